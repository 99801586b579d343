#include "spikegpt/train/mpi_communicator.h"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/host_name.h"

namespace spikegpt {
namespace {

constexpr std::size_t kLargestMessage = std::size_t{64} << 20;  // [bytes]; MPI counts in int
constexpr int kDataTag = 1;
constexpr int kLifeTag = 2;
constexpr std::size_t kHostSize = 64;

// A rank that has stopped answering, and what it should not be confused with: all of us having been stopped.
class Watch {
 public:
  Watch(MPI_Comm ranks, double patience, std::function<void(const std::string&)> lost)
      : ranks_(ranks), patience_(patience), lost_(std::move(lost)) {
    MPI_Comm_rank(ranks, &rank_);
    MPI_Comm_size(ranks, &size_);
    share_hosts();
    // Signs of life go to the leader and from it: everyone knows whether the leader lives, and the leader who else.
    for (int other = 0; other < size_; ++other) {
      if (other != rank_ && (rank_ == 0 || other == 0)) peers_.push_back({other, Clock::now(), MPI_REQUEST_NULL, 0});
    }
    thread_ = std::thread([this] { work(); });
  }
  // All ranks end their watches together, so that nobody takes the end for a death.
  ~Watch() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    ended_.notify_all();
    thread_.join();
    MPI_Barrier(ranks_);
    receive_all();
    for (Peer& peer : peers_) MPI_Wait(&peer.request, MPI_STATUS_IGNORE);
    MPI_Barrier(ranks_);
    receive_all();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    int rank;
    Clock::time_point heard;
    MPI_Request request;
    char message;
  };

  void share_hosts() {
    hosts_.resize(kHostSize * static_cast<std::size_t>(size_));
    std::string host = host_name();
    host.resize(kHostSize - 1);
    MPI_Allgather(host.c_str(), kHostSize, MPI_CHAR, hosts_.data(), kHostSize, MPI_CHAR, ranks_);
  }

  void work() {
    auto last = Clock::now();
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, std::chrono::seconds(1), [this] { return ends_; })) {
      const auto now = Clock::now();
      const bool was_stopped = now - last > std::chrono::seconds(5);
      last = now;
      receive_all();
      for (Peer& peer : peers_) {
        if (was_stopped) peer.heard = now;
        send_sign(peer);
        if (std::chrono::duration<double>(now - peer.heard).count() > patience_) give_up(peer.rank);
      }
    }
  }

  void send_sign(Peer& peer) {
    int done = 0;
    MPI_Test(&peer.request, &done, MPI_STATUS_IGNORE);
    if (done != 0) MPI_Isend(&peer.message, 1, MPI_CHAR, peer.rank, kLifeTag, ranks_, &peer.request);
  }

  void receive_all() {
    int arrived = 1;
    MPI_Status status;
    while (MPI_Iprobe(MPI_ANY_SOURCE, kLifeTag, ranks_, &arrived, &status) == MPI_SUCCESS && arrived != 0) {
      char sign = 0;
      MPI_Recv(&sign, 1, MPI_CHAR, status.MPI_SOURCE, kLifeTag, ranks_, MPI_STATUS_IGNORE);
      for (Peer& peer : peers_) {
        if (peer.rank == status.MPI_SOURCE) peer.heard = Clock::now();
      }
    }
  }

  [[noreturn]] void give_up(int rank) {
    const char* host = hosts_.data() + kHostSize * static_cast<std::size_t>(rank);
    lost_(fmt::format("rank {} on {} has given no sign of life for {:.0f} s: the job ends; what was saved is intact, go on "
                      "with --resume",
                      rank, host, patience_));
    std::signal(SIGALRM, SIG_DFL);
    alarm(10);  // should the library wait for the very rank that is gone
    MPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
  }

  MPI_Comm ranks_;
  double patience_;
  std::function<void(const std::string&)> lost_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<char> hosts_;
  std::vector<Peer> peers_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ends_ = false;
  std::thread thread_;
};

// Calls body(first, count) for pieces that MPI can count.
template <class Body>
void in_pieces(std::size_t size, const Body& body) {
  for (std::size_t first = 0; first < size; first += kLargestMessage) {
    body(first, static_cast<int>(std::min(kLargestMessage, size - first)));
  }
}

std::vector<int> sizes_of(std::span<const std::int64_t> parts) {
  std::vector<int> sizes;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) sizes.push_back(static_cast<int>(parts[i + 1] - parts[i]));
  return sizes;
}

}  // namespace

struct MpiCommunicator::Impl {
  MPI_Comm data = MPI_COMM_NULL;
  MPI_Comm life = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  std::unique_ptr<Watch> watch;
  std::vector<float> sums;
};

bool is_mpi_job() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

MpiCommunicator::MpiCommunicator(std::function<void(const std::string&)> lost, double patience)
    : impl_(std::make_unique<Impl>()) {
  // Who waits for a message leaves the processor to those who compute.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  if (provided < MPI_THREAD_MULTIPLE) {
    throw Error(ErrorKind::kUnsupported, "this MPI library was built without MPI_THREAD_MULTIPLE");
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &impl_->data);
  MPI_Comm_dup(MPI_COMM_WORLD, &impl_->life);
  MPI_Comm_rank(impl_->data, &impl_->rank);
  MPI_Comm_size(impl_->data, &impl_->size);
  if (impl_->size > 1) impl_->watch = std::make_unique<Watch>(impl_->life, patience, std::move(lost));
}

MpiCommunicator::~MpiCommunicator() {
  impl_->watch.reset();
  MPI_Finalize();
}

int MpiCommunicator::rank() const noexcept { return impl_->rank; }
int MpiCommunicator::size() const noexcept { return impl_->size; }

void MpiCommunicator::broadcast(std::span<std::byte> bytes) {
  in_pieces(bytes.size(), [&](std::size_t first, int count) { MPI_Bcast(bytes.data() + first, count, MPI_BYTE, 0, impl_->data); });
}

void MpiCommunicator::sum(std::span<double> values) {
  MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, impl_->data);
}

void MpiCommunicator::reduce_scatter(float* values, std::span<const std::int64_t> parts) {
  const std::vector<int> sizes = sizes_of(parts);
  const auto rank = static_cast<std::size_t>(impl_->rank);
  impl_->sums.resize(static_cast<std::size_t>(sizes[rank]));
  MPI_Reduce_scatter(values, impl_->sums.data(), sizes.data(), MPI_FLOAT, MPI_SUM, impl_->data);
  std::copy(impl_->sums.begin(), impl_->sums.end(), values + parts[rank]);
}

void MpiCommunicator::all_gather(float* values, std::span<const std::int64_t> parts) {
  const std::vector<int> sizes = sizes_of(parts);
  const std::vector<int> begins(parts.begin(), parts.end() - 1);
  MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, sizes.data(), begins.data(), MPI_FLOAT, impl_->data);
}

void MpiCommunicator::send(int to, std::span<const std::byte> bytes) {
  in_pieces(bytes.size(), [&](std::size_t first, int count) { MPI_Send(bytes.data() + first, count, MPI_BYTE, to, kDataTag, impl_->data); });
}

void MpiCommunicator::receive(int from, std::span<std::byte> bytes) {
  in_pieces(bytes.size(), [&](std::size_t first, int count) {
    MPI_Recv(bytes.data() + first, count, MPI_BYTE, from, kDataTag, impl_->data, MPI_STATUS_IGNORE);
  });
}

void MpiCommunicator::abort(int status) noexcept {
  std::signal(SIGALRM, SIG_DFL);
  alarm(10);
  MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

}  // namespace spikegpt
