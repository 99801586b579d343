#include "spikegpt/train/mpi_communicator.h"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/train/life_watch.h"

namespace spikegpt {
namespace {

constexpr std::size_t kLargestMessage = std::size_t{64} << 20;  // [bytes]; MPI counts in int
constexpr int kDataTag = 1;
constexpr int kEagerLooks = 200;
constexpr std::chrono::microseconds kNap(50);

// Calls body(first, count) for pieces that MPI can count.
template <class Body>
void in_pieces(std::size_t size, const Body& body) {
  for (std::size_t first = 0; first < size; first += kLargestMessage) {
    body(first, static_cast<int>(std::min(kLargestMessage, size - first)));
  }
}

// MPI's own waiting spins: on processors that the backward pass, or the leader's evaluation, could use.
void wait_for(std::vector<MPI_Request>& requests) {
  int done = 0;
  for (int looks = 0; done == 0; ++looks) {
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    if (done == 0 && looks > kEagerLooks) std::this_thread::sleep_for(kNap);
  }
  requests.clear();
}

}  // namespace

struct MpiCommunicator::Impl {
  MPI_Comm data = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  std::vector<MPI_Request> requests;
  std::unique_ptr<LifeWatch> watch;

  MPI_Request* next_request() { return &requests.emplace_back(MPI_REQUEST_NULL); }
};

bool is_mpi_job() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

void end_mpi_job(int status) noexcept { MPI_Abort(MPI_COMM_WORLD, status); }

MpiCommunicator::MpiCommunicator(std::function<void(const std::string&)> lost, double patience)
    : impl_(std::make_unique<Impl>()) {
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  if (provided < MPI_THREAD_MULTIPLE) {
    throw Error(ErrorKind::kUnsupported, "this MPI library was built without MPI_THREAD_MULTIPLE");
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &impl_->data);
  MPI_Comm_rank(impl_->data, &impl_->rank);
  MPI_Comm_size(impl_->data, &impl_->size);
  if (impl_->size == 1) return;
  MPI_Comm life = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &life);
  impl_->watch = std::make_unique<LifeWatch>(life, patience, std::move(lost));
}

MpiCommunicator::~MpiCommunicator() {
  impl_->watch.reset();
  MPI_Finalize();
}

int MpiCommunicator::rank() const noexcept { return impl_->rank; }
int MpiCommunicator::size() const noexcept { return impl_->size; }

void MpiCommunicator::broadcast(std::span<std::byte> bytes) {
  in_pieces(bytes.size(), [&](std::size_t first, int count) {
    MPI_Ibcast(bytes.data() + first, count, MPI_BYTE, 0, impl_->data, impl_->next_request());
    wait_for(impl_->requests);
  });
}

void MpiCommunicator::sum(std::span<double> values) {
  MPI_Iallreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, impl_->data,
                 impl_->next_request());
  wait_for(impl_->requests);
}

void MpiCommunicator::exchange(int to, std::span<const std::byte> out, int from, std::span<std::byte> in) {
  in_pieces(in.size(), [&](std::size_t first, int count) {
    MPI_Irecv(in.data() + first, count, MPI_BYTE, from, kDataTag, impl_->data, impl_->next_request());
  });
  in_pieces(out.size(), [&](std::size_t first, int count) {
    MPI_Isend(out.data() + first, count, MPI_BYTE, to, kDataTag, impl_->data, impl_->next_request());
  });
  wait_for(impl_->requests);
}

}  // namespace spikegpt
