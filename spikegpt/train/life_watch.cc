#include "spikegpt/train/life_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "spikegpt/core/host_name.h"

namespace spikegpt {
namespace {

constexpr int kLifeTag = 2;
constexpr std::size_t kHostSize = 64;
constexpr double kLongestPause = 1.0;       // [s] between two signs
constexpr double kFollowersPatience = 3.0;  // [s] more, for the first follower to speak for all

double seconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

LifeWatch::LifeWatch(MPI_Comm ranks, double patience, std::function<void(const std::string&)> lost)
    : ranks_(ranks), patience_(patience), lost_(std::move(lost)), looked_(Clock::now()) {
  MPI_Comm_rank(ranks, &rank_);
  MPI_Comm_size(ranks, &size_);
  share_hosts();
  for (int other = 0; other < size_; ++other) {
    if (other != rank_ && (rank_ == 0 || other == 0)) peers_.push_back({other, Clock::now(), MPI_REQUEST_NULL, 0});
  }
  thread_ = std::thread([this] { work(); });
}

LifeWatch::~LifeWatch() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void LifeWatch::share_hosts() {
  hosts_.resize(kHostSize * static_cast<std::size_t>(size_));
  std::string host = host_name();
  host.resize(kHostSize - 1);
  MPI_Allgather(host.c_str(), kHostSize, MPI_CHAR, hosts_.data(), kHostSize, MPI_CHAR, ranks_);
}

void LifeWatch::work() {
  const std::chrono::duration<double> pause(std::min(kLongestPause, patience_ / 10.0));
  {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, pause, [this] { return ends_; })) look_round();
  }
  // Goes on until all have come to the end, then takes in what was still under way.
  for (int round = 0; round < 2; ++round) {
    MPI_Request all_here = MPI_REQUEST_NULL;
    MPI_Ibarrier(ranks_, &all_here);
    for (int done = 0; done == 0;) {
      if (round == 0) look_round();
      MPI_Test(&all_here, &done, MPI_STATUS_IGNORE);
      if (done == 0) std::this_thread::sleep_for(pause / 20.0);
    }
    for (Peer& peer : peers_) MPI_Wait(&peer.request, MPI_STATUS_IGNORE);
    receive_signs();
  }
}

void LifeWatch::look_round() {
  const auto now = Clock::now();
  receive_signs();
  // A pause that long was ours: the job or the machine had been suspended.
  const bool was_stopped = seconds(now - looked_) > 0.5 * patience_;
  looked_ = now;
  for (Peer& peer : peers_) {
    if (was_stopped) peer.heard = now;
    send_sign(peer);
    if (seconds(now - peer.heard) > patience_ + (rank_ > 1 ? kFollowersPatience : 0.0)) lost_(last_words(peer.rank));
  }
}

void LifeWatch::send_sign(Peer& peer) {
  int done = 0;
  MPI_Test(&peer.request, &done, MPI_STATUS_IGNORE);
  if (done != 0) MPI_Isend(&peer.sign, 1, MPI_CHAR, peer.rank, kLifeTag, ranks_, &peer.request);
}

void LifeWatch::receive_signs() {
  int arrived = 0;
  MPI_Status status;
  while (MPI_Iprobe(MPI_ANY_SOURCE, kLifeTag, ranks_, &arrived, &status) == MPI_SUCCESS && arrived != 0) {
    char sign = 0;
    MPI_Recv(&sign, 1, MPI_CHAR, status.MPI_SOURCE, kLifeTag, ranks_, MPI_STATUS_IGNORE);
    for (Peer& peer : peers_) {
      if (peer.rank == status.MPI_SOURCE) peer.heard = Clock::now();
    }
  }
}

std::string LifeWatch::last_words(int rank) const {
  return fmt::format(
      "rank {} on {} has given no sign of life for {:.0f} s: the job ends; what was saved is whole, go on with "
      "--resume",
      rank, hosts_.data() + kHostSize * static_cast<std::size_t>(rank), patience_);
}

}  // namespace spikegpt
