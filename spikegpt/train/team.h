// One process of several that train a model together (data parallel): which share of the moments it keeps, and what the
// leader has the others do. Every rank holds all parameters and works on its share of a step's micro-batches.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/train/collectives.h"
#include "spikegpt/train/communicator.h"
#include "spikegpt/train/gradient_exchange.h"

namespace spikegpt {

// What the leader has every rank do next.
struct Order {
  enum class Kind : std::int64_t {
    kStep,    // one optimiser step
    kForget,  // sequences forget what they remember of the text before
    kGather,  // send moments and memory to the leader
    kAdopt,   // take over its parameters, moments and memory
    kEnd,
  };
  Kind kind = Kind::kEnd;
  double lr = 0.0;                 // kStep
  std::int64_t skipped_steps = 0;  // kStep
  double found_weight = 1.0;       // kStep
  std::int64_t status = 0;         // kEnd: what the process exits with
};

class Team {
 public:
  // `communicator` must outlive it.
  Team(Communicator& communicator, const ModelConfig& config, const ParameterLayout& layout);

  int rank() const noexcept { return communicator_.rank(); }
  int size() const noexcept { return communicator_.size(); }
  bool leads() const noexcept { return rank() == 0; }
  GradientExchange& exchange() noexcept { return exchange_; }
  // What of the flat vector this rank updates.
  const std::vector<FlatRange>& own() const { return exchange_.owned(rank()); }

  // The leader's order, on all other ranks.
  void tell(Order order);
  Order listen();

  void sum(std::span<double> values) { communicator_.sum(values); }
  std::string first_text(const std::string& own) { return spikegpt::first_text(communicator_, own); }

  // Between a full vector on the leader and the shares of it that the ranks own, one after the other. Only the
  // leader's `full` is used.
  void gather(std::span<const float> share, std::span<float> full);
  void scatter(std::span<const float> full, std::span<float> share);

  void broadcast(std::span<float> values) { communicator_.broadcast(std::as_writable_bytes(values)); }
  void broadcast(std::int64_t& value) { communicator_.broadcast(std::as_writable_bytes(std::span(&value, 1))); }
  // From `from` to the leader, or the other way; both have `values` of the same size.
  void send_to_leader(std::span<const float> values) { communicator_.send(0, std::as_bytes(values)); }
  void receive(int from, std::span<float> values) { communicator_.receive(from, std::as_writable_bytes(values)); }
  void send(int to, std::span<const float> values) { communicator_.send(to, std::as_bytes(values)); }

 private:
  std::vector<float> shares_of(int rank, std::span<const float> full) const;

  Communicator& communicator_;
  GradientExchange exchange_;
};

// Floats that a rank owns.
std::int64_t total_size(const std::vector<FlatRange>& ranges);

}  // namespace spikegpt
