// Notices when a rank has stopped answering: a process that was stopped, a machine that hangs, a cable that was pulled.
#pragma once

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace spikegpt {

// Ranks tell each other that they live, on a thread of its own: all the leader (rank 0), and the leader all. So
// everyone knows whether the leader lives, and the leader who else does.
class LifeWatch {
 public:
  // `ranks` is its own. Once a rank has given no sign for `patience` seconds, `lost` is told which one, in words, on
  // the watch's thread; it ends the process.
  LifeWatch(MPI_Comm ranks, double patience, std::function<void(const std::string&)> lost);
  // All ranks end their watches together, so that nobody takes the end for a death.
  ~LifeWatch();
  LifeWatch(const LifeWatch&) = delete;
  LifeWatch& operator=(const LifeWatch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    int rank;
    Clock::time_point heard;
    MPI_Request request;  // of the last sign sent
    char sign;
  };

  void share_hosts();
  void work();
  void look_round();
  void send_sign(Peer& peer);
  void receive_signs();
  std::string last_words(int rank) const;

  MPI_Comm ranks_;
  double patience_;  // [s]
  std::function<void(const std::string&)> lost_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<char> hosts_;  // names of equal length, by rank
  std::vector<Peer> peers_;
  Clock::time_point looked_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace spikegpt
