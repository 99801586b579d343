#include "spikegpt/model/recurrent_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "spikegpt/core/error.h"
#include "spikegpt/model/architecture.h"

namespace spikegpt {

namespace {

// "membrane", ...; of a window of inputs "input0" (the oldest), "input1", ...
std::string state_name(const NeuronParameters& neuron, int i) {
  const NeuronInfo& info = info_of(neuron.kind);
  if (neuron.kind == NeuronKind::kSlidingPsn) return fmt::format("{}{}", info.states.front(), i);
  return info.states[static_cast<std::size_t>(i)];
}

}  // namespace

RecurrentState::RecurrentState(const ModelConfig& config, std::int64_t batch) : config_(config), batch_(batch) {
  build(config, nullptr);
  std::int64_t size = 0;
  for (const Part& part : parts_) size += batch * part.channels;
  values_ = AlignedBuffer<float>(static_cast<std::size_t>(size));
  build(config, values_.data());
  reset();
}

RecurrentState::RecurrentState(const RecurrentState& other) : RecurrentState(other.config_, other.batch_) {
  std::copy(other.values().begin(), other.values().end(), values().begin());
}

RecurrentState& RecurrentState::operator=(const RecurrentState& other) {
  if (this == &other) return *this;
  if (batch_ != other.batch_ || !(config_ == other.config_)) return *this = RecurrentState(other);
  std::copy(other.values().begin(), other.values().end(), values().begin());
  return *this;
}

// With null memory only the sizes of the parts come out right.
void RecurrentState::build(const ModelConfig& config, float* memory) {
  parts_.clear();
  mixers_.clear();
  membranes_.clear();
  std::int64_t offset = 0;
  const auto add = [&](std::string name, std::int64_t channels, float rest) {
    float* values = memory == nullptr ? nullptr : memory + offset;
    parts_.push_back({std::move(name), values, channels, rest});
    offset += batch_ * channels;
    return values;
  };
  const NetworkForm form = network_form(config);
  for (std::size_t layer = 0; layer < form.blocks.size(); ++layer) {
    const std::vector<HalfForm>& halves = form.blocks[layer].halves;
    std::vector<std::vector<float*>>& mixers = mixers_.emplace_back(halves.size());
    // The first state of every half, the second, and so on: the order of the files.
    for (std::size_t i = 0, left = 1; left > 0; ++i) {
      left = 0;
      for (std::size_t half = 0; half < halves.size(); ++half) {
        const std::vector<StateForm>& states = halves[half].mixer.states;
        if (i >= states.size()) continue;
        const StateForm& state = states[i];
        mixers[half].push_back(add(fmt::format("blocks.{}.{}", layer, state.name), state.channels, state.rest));
        ++left;
      }
    }
  }
  for (const SpikeSite& site : form.sites) {
    const NeuronParameters neuron = neuron_parameters(config, site.place);
    float* first = nullptr;
    for (int i = 0; i < neuron.states(); ++i) {
      float* const values = add(state_name(neuron, i) + "." + site.name, site.neurons, neuron.rest(i));
      if (i == 0) first = values;
    }
    membranes_.push_back(first);
  }
}

void RecurrentState::reset() {
  for (std::int64_t b = 0; b < batch_; ++b) reset(b);
}

void RecurrentState::reset(std::int64_t b) {
  ensure(b >= 0 && b < batch_, "no such sequence in the state");
  for (const Part& part : parts_) {
    std::fill_n(part.values + b * part.channels, part.channels, part.rest);
  }
}

void RecurrentState::copy_sequence(std::int64_t b, const RecurrentState& from, std::int64_t from_b) {
  ensure(b >= 0 && b < batch_ && from_b >= 0 && from_b < from.batch_, "no such sequence in the state");
  ensure(parts_.size() == from.parts_.size(), "states of different shapes");
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const std::int64_t channels = parts_[i].channels;
    ensure(channels == from.parts_[i].channels, "states of different shapes");
    std::copy_n(from.parts_[i].values + from_b * channels, channels, parts_[i].values + b * channels);
  }
}

}  // namespace spikegpt
