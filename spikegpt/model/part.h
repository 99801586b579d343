// What a part of a network is made of, as tables. Files, memory, packing, states on disk, counting and first weights
// all read them, so that a new part is described in one place (docs/architecture.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/core/operations.h"

namespace spikegpt {

// How a parameter starts (SPEC.md 3, 4, 6).
struct FirstValues {
  enum class Kind : std::uint8_t {
    kConstant,
    kGain,       // the gain in front of neurons that spike into products (initialise's event_gain)
    kEmbedding,  // N(0, 1), or RWKV's
    kMatrix,     // uniform, or orthogonal times `scale`; 0 for RWKV's rule where `silent`
    kTimeDecay,  // RWKV's ramp over channels and depth
    kTimeFirst,  // ln(0.3) and a zigzag
    kTimeMix,    // ramp^(scale (1 - layer / L)) + offset * depth
    kEach,       // `values`, each for an equal share of the numbers
  };
  Kind kind = Kind::kMatrix;
  double value = 0.0;
  double scale = 1.0;
  double offset = 0.0;
  bool silent = false;
  std::vector<float> values = {};
};

struct ParameterForm {
  std::string name;                 // within its part: "key.weight"
  std::vector<std::int64_t> shape;  // empty: this configuration does not have it
  FirstValues first = {};
  bool is_joined = false;  // lies right behind the parameter before it, without padding
};

// A product with one of the part's parameters, [outputs, inputs]. Weights are packed in the order of this list.
struct ProductForm {
  std::size_t weight = 0;  // index of the parameter
  std::size_t joined = 1;  // so many parameters from there on are one matrix: their outputs stand side by side
  enum class Reads : std::uint8_t {
    kInput,    // what the part reads
    kSpikes,   // of neurons within the part
    kDense,    // any other activation
    kSquares,  // relu(k)^2: an activation that is mostly zero
  };
  Reads reads = Reads::kDense;
  std::size_t from = 0;  // kSpikes: index of the part's neurons
  int token_shift = -1;  // index of the parameter that mixes its inputs first; -1 = none
  bool is_last = false;  // its outputs are the part's: the published inference script scales it (SPEC.md 10)
};

// A projection of what the part reads, mixed with the token before (projections.h), by the indices of its parameters.
struct ProjectionForm {
  std::size_t weight = 0;  // [outputs, C]
  std::size_t mu = 0;      // [1, 1, C] shifted before, [1, 1, outputs] after
  bool squares = false;    // relu(.)^2 of that
};

// What a forward pass keeps for the backward pass: [N, columns], N = B * T.
struct ActivationForm {
  std::int64_t columns = 0;  // 0: this configuration does not have it
  bool is_remade = false;    // one memory for all parts: the backward pass makes it again
};

// What a sequence leaves behind for its next token.
struct StateForm {
  std::string name;  // within its block: "numerator"
  std::int64_t channels = 0;
  float rest = 0.0f;  // before the first token
};

// Neurons within a part, or around it.
struct NeuronForm {
  std::string place;  // "att_out": what the configuration, traces and tables call them
  std::int64_t neurons = 0;
  int gain = -1;              // index of the parameter that multiplies their current
  bool is_rectified = false;  // in the place of a non-linearity: no negative spikes, whatever the configuration says
};

struct PartForm {
  std::vector<ParameterForm> parameters;
  std::vector<ProjectionForm> projections;
  std::vector<ProductForm> products;
  std::vector<ActivationForm> activations;
  int statistics = 0;  // vectors of [N] floats that are kept beside them
  std::vector<StateForm> states;
  std::vector<NeuronForm> neurons;
  std::vector<std::int64_t> scratch;  // columns of memory that nobody expects to find as they left it, [N, columns]
  std::vector<std::int64_t> backward_scratch;  // more of it, to train only
  Operations operations;                       // per token, beside products and neurons

  std::int64_t inputs(const ProductForm& product) const { return parameters[product.weight].shape[1]; }
  std::int64_t outputs(const ProductForm& product) const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < product.joined; ++i) sum += parameters[product.weight + i].shape[0];
    return sum;
  }
};

}  // namespace spikegpt
