// What neurons of several kinds do with the same input current, one neuron of each.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "spikegpt/model/config.h"
#include "spikegpt/plot/trace_panels.h"

namespace spikegpt::cli {

// One neuron over time, a value a token.
struct NeuronResponse {
  std::string kind;
  std::string about;
  std::vector<float> potential;  // charged, before it may fire
  std::vector<float> threshold;
  std::vector<float> sent;
  std::vector<float> after;  // potential after the reset
};

// The neurons that `config` says, all of them lif1; what they learn is as before training.
NeuronResponse neuron_response(const ModelConfig& config, std::span<const float> current);

// "step:1.5": nothing, then this much, then nothing; "noise": normal numbers about 0.5, "noise:SEED" others; else a
// file of numbers, which `tokens` does not count for. Throws Error.
std::vector<float> input_current(const std::string& text, int tokens);

// The current on top, below it each neuron: its potential, its threshold (dashed), what it sent.
TracePanels response_picture(std::span<const float> current, std::span<const NeuronResponse> responses);

}  // namespace spikegpt::cli
