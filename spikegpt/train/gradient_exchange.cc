#include "spikegpt/train/gradient_exchange.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>

#include "spikegpt/core/error.h"
#include "spikegpt/train/collectives.h"

namespace spikegpt {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kFloatsPerLine = 16;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int stage_of(const ModelConfig& config, std::string_view name) {
  if (name == "head.weight") return config.n_layer;
  constexpr std::string_view kBlocks = "blocks.";
  if (!name.starts_with(kBlocks)) return 0;
  int block = 0;
  std::from_chars(name.data() + kBlocks.size(), name.data() + name.size(), block);
  return block;
}

}  // namespace

std::vector<Bucket> make_buckets(const ModelConfig& config, const ParameterLayout& layout, std::int64_t largest) {
  std::vector<Bucket> buckets;
  const auto& infos = layout.infos();
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const std::int64_t end = i + 1 < infos.size() ? infos[i + 1].offset : layout.flat_size();
    const int stage = stage_of(config, infos[i].name);
    for (std::int64_t first = infos[i].offset; first < end;) {
      const bool joins = !buckets.empty() && buckets.back().stage == stage && buckets.back().range.size < largest;
      if (!joins) buckets.push_back({{first, 0}, stage});
      Bucket& bucket = buckets.back();
      const std::int64_t taken = std::min(end - first, largest - bucket.range.size);
      bucket.range.size += taken;
      first += taken;
    }
  }
  return buckets;
}

GradientExchange::GradientExchange(Communicator& communicator, std::vector<Bucket> buckets)
    : communicator_(communicator), buckets_(std::move(buckets)), owned_(static_cast<std::size_t>(communicator.size())) {
  const std::int64_t ranks = communicator.size();
  for (const Bucket& bucket : buckets_) {
    const std::int64_t lines = (bucket.range.size + kFloatsPerLine - 1) / kFloatsPerLine;
    for (std::int64_t rank = 0; rank <= ranks; ++rank) {
      parts_.push_back(std::min(bucket.range.size, lines * rank / ranks * kFloatsPerLine));
      if (rank == 0) continue;
      const std::int64_t begin = parts_[parts_.size() - 2];
      if (parts_.back() > begin) {
        owned_[static_cast<std::size_t>(rank - 1)].push_back({bucket.range.first + begin, parts_.back() - begin});
      }
    }
  }
  thread_ = std::thread([this] { work(); });
}

GradientExchange::~GradientExchange() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::span<const std::int64_t> GradientExchange::parts(std::size_t bucket) const {
  const auto count = static_cast<std::size_t>(communicator_.size()) + 1;
  return std::span(parts_).subspan(bucket * count, count);
}

void GradientExchange::begin(float* gradients) {
  const std::lock_guard lock(mutex_);
  gradients_ = gradients;
  left_ = buckets_.size();
  waited_ = 0.0;
}

void GradientExchange::stage_done(int stage) {
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i].stage == stage) waiting_.push_back(i);
    }
  }
  changed_.notify_all();
}

void GradientExchange::finish() {
  const auto start = Clock::now();
  std::unique_lock lock(mutex_);
  ensure(waiting_.size() <= left_, "more buckets than were begun");
  changed_.wait(lock, [this] { return left_ == 0; });
  waited_ += seconds_since(start);
}

void GradientExchange::share(float* parameters) {
  const auto start = Clock::now();
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    all_gather(communicator_, parameters + buckets_[i].range.first, parts(i));
  }
  waited_ += seconds_since(start);
}

void GradientExchange::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    const std::size_t next = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    reduce_scatter(communicator_, gradients_ + buckets_[next].range.first, parts(next), received_);
    lock.lock();
    if (--left_ == 0) changed_.notify_all();
  }
}

}  // namespace spikegpt
