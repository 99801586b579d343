#include "spikegpt/model/projections.h"

#include <cstring>

#include "spikegpt/kernels/pointwise.h"
#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/model/layer_operations.h"

namespace spikegpt {
namespace {

bool shifts_after(const HalfForm& half) { return half.mixer.products[0].token_shift < 0; }

std::int64_t outputs_of(const PartForm& form, const ProjectionForm& projection) {
  return form.parameters[projection.weight].shape[0];
}

// ---- before ----

// The mixes of the input, one for each projection.
template <class A>
TokenShiftForward<A> mixes_of(const MixerPass<A>& mix) {
  const std::vector<ProjectionForm>& projections = mix.half.mixer.projections;
  TokenShiftForward<A> shift;
  shift.x = mix.keep.input;
  shift.mixes = projections.size();
  for (std::size_t j = 0; j < projections.size(); ++j) {
    shift.mu[j] = mix.weights[projections[j].mu];
    shift.mixed[j] = mix.pass.scratch->part[j];
  }
  if (!mix.state_in.empty()) shift.previous = mix.state_in[0];
  return shift;
}

// pairs [B, T, 2C] = [x[t] | x[t-1]].
void pair_with_previous(const SequenceShape& shape, const TokenShiftForward<float>& shift, float* pairs) {
  const auto row_bytes = static_cast<std::size_t>(shape.channels) * sizeof(float);
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    const float* previous = shift.previous == nullptr ? nullptr : shift.previous + b * shape.channels;
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      const std::int64_t row = b * shape.tokens + t;
      const float* const x = shift.x + row * shape.channels;
      float* const pair = pairs + row * 2 * shape.channels;
      std::memcpy(pair, x, row_bytes);
      if (previous == nullptr) {
        std::memset(pair + shape.channels, 0, row_bytes);
      } else {
        std::memcpy(pair + shape.channels, previous, row_bytes);
      }
      previous = x;
    }
    if (shift.last != nullptr) std::memcpy(shift.last + b * shape.channels, previous, row_bytes);
  }
}

void packed_products(const MixerPass<float>& mix, const TokenShiftForward<float>& shift, float* pairs) {
  const SequenceShape& shape = mix.pass.shape;
  const bool folded = mix.products[0].packed()->inputs() == 2 * shape.channels;
  if (folded) {
    pair_with_previous(shape, shift, pairs);
  } else {
    token_shift_forward(shape, shift);
  }
  std::array<PackedProduct, kMaxMixes> packed;
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    packed[j] = {mix.products[j].packed(), folded ? pairs : shift.mixed[j], projected(mix, j),
                 mix.half.mixer.projections[j].squares};
  }
  mix.pass.runner->run(shape.rows(), std::span(packed).first(shift.mixes));
}

template <class A>
void project_mixes(const MixerPass<A>& mix, A* pairs) {
  TokenShiftForward<A> shift = mixes_of(mix);
  if (!mix.state_out.empty()) shift.last = mix.state_out[0];
  if constexpr (std::is_same_v<A, float>) {
    if (mix.products[0].packed() != nullptr) return packed_products(mix, shift, pairs);
  }
  token_shift_forward(mix.pass.shape, shift);
  for (std::size_t j = 0; j < shift.mixes; ++j) {
    mix.products[j].forward(mix.pass.shape.rows(), shift.mixed[j], projected(mix, j), mix.pass.runner,
                            mix.half.mixer.projections[j].squares ? Epilogue::kSquaredRelu : Epilogue::kNone);
  }
}

template <class A>
void mixes_backward(const MixerPass<A>& mix, std::initializer_list<A*> d_y, A* d_x,
                    std::span<float* const> gradients) {
  const std::int64_t rows = mix.pass.shape.rows();
  const TokenShiftForward<A> again = mixes_of(mix);
  token_shift_forward(mix.pass.shape, again);
  TokenShiftBackward<A> shift;
  shift.x = mix.keep.input;
  shift.previous = again.previous;
  shift.mixes = again.mixes;
  shift.mu = again.mu;
  shift.d_x = d_x;
  shift.scratch = mix.pass.scratch->sums;
  for (std::size_t j = 0; j < again.mixes; ++j) {
    const ProjectionForm& projection = mix.half.mixer.projections[j];
    const A* const d = d_y.begin()[j];
    mix.products[j].backward_weight(rows, d, again.mixed[j], gradients[projection.weight]);
    // The mix is done with: its memory takes its gradient.
    mix.products[j].backward_input(rows, d, again.mixed[j]);
    shift.d_mixed[j] = again.mixed[j];
    shift.d_mu[j] = gradients[projection.mu];
  }
  token_shift_backward(mix.pass.shape, shift);
}

// ---- after ----

// The shift of one projection: its columns of the joined product, which is keep.values[0].
template <class A>
struct ShiftAfter {
  SequenceShape shape;
  std::int64_t first_column = 0;
  TokenShiftForward<A> forward;
};

template <class A>
ShiftAfter<A> shift_of(const MixerPass<A>& mix, std::size_t i) {
  const PartForm& form = mix.half.mixer;
  const ProjectionForm& projection = form.projections[i];
  ShiftAfter<A> shift;
  shift.shape = mix.pass.with_channels(outputs_of(form, projection));
  for (std::size_t p = form.products[0].weight; p < projection.weight; ++p) {
    shift.first_column += form.parameters[p].shape[0];
  }
  TokenShiftForward<A>& forward = shift.forward;
  forward.x = mix.keep.values[0] + shift.first_column;
  forward.stride = form.outputs(form.products[0]);
  forward.scale = mix.half.input_site < 0 ? 1.0f : mix.pass.neuron(mix.half.input_site).event_value();
  forward.mixes = 1;
  forward.mu[0] = mix.weights[projection.mu];
  forward.mixed[0] = projected(mix, i);
  if (!mix.state_in.empty()) forward.previous = mix.state_in[0] + shift.first_column;
  return shift;
}

template <class A>
void shift_products(const MixerPass<A>& mix, bool keeps_last) {
  for (std::size_t i = 0; i < mix.half.mixer.projections.size(); ++i) {
    ShiftAfter<A> shift = shift_of(mix, i);
    if (keeps_last) shift.forward.last = mix.state_out[0] + shift.first_column;
    token_shift_forward(shift.shape, shift.forward);
    if (mix.half.mixer.projections[i].squares) squared_relu_forward(shift.shape.size(), shift.forward.mixed[0]);
  }
}

template <class A>
void products_backward(const MixerPass<A>& mix, std::initializer_list<A*> d_y, A* joined, A* d_x,
                       std::span<float* const> gradients) {
  const PartForm& form = mix.half.mixer;
  for (std::size_t i = 0; i < form.projections.size(); ++i) {
    const ShiftAfter<A> shift = shift_of(mix, i);
    TokenShiftBackward<A> back;
    back.x = shift.forward.x;
    back.stride = shift.forward.stride;
    back.scale = shift.forward.scale;
    back.previous = shift.forward.previous;
    back.mixes = 1;
    back.mu = shift.forward.mu;
    back.d_mixed[0] = d_y.begin()[i];
    back.d_x = joined + shift.first_column;
    back.d_mu[0] = gradients[form.projections[i].mu];
    back.scratch = mix.pass.scratch->sums;
    token_shift_backward(shift.shape, back);
  }
  const std::int64_t rows = mix.pass.shape.rows();
  mix.products[0].backward_weight(rows, joined, mix.keep.input, gradients[form.products[0].weight]);
  mix.products[0].backward_input(rows, joined, d_x);
}

}  // namespace

void add_projections(const MixerContext& context, std::vector<ProjectionForm> projections, PartForm& form) {
  using Reads = ProductForm::Reads;
  const std::string state = std::string(context.state) + "_shift";
  if (context.shifts_after()) {
    std::size_t first = projections[0].weight;
    for (const ProjectionForm& projection : projections) first = std::min(first, projection.weight);
    const ProductForm joined = {.weight = first, .joined = projections.size(), .reads = Reads::kInput};
    form.activations.push_back({form.outputs(joined)});
    form.states.push_back({state, form.outputs(joined)});
    form.operations += token_shift_operations(form.outputs(joined));
    form.products.push_back(joined);
  } else {
    for (const ProjectionForm& projection : projections) {
      form.products.push_back(
          {.weight = projection.weight, .reads = Reads::kInput, .token_shift = static_cast<int>(projection.mu)});
      form.activations.push_back({outputs_of(form, projection)});
      if (!context.reads_spikes) form.operations += token_shift_operations(context.config.n_embd);
    }
    form.states.push_back({state, context.config.n_embd});
  }
  form.projections = std::move(projections);
}

template <class A>
A* projected(const MixerPass<A>& mix, std::size_t i) {
  return shifts_after(mix.half) ? mix.pass.scratch->part[i] : mix.keep.values[i];
}

template <class A>
void project(const MixerPass<A>& mix, A* pairs) {
  if (!shifts_after(mix.half)) return project_mixes(mix, pairs);
  mix.products[0].forward(mix.pass.shape.rows(), mix.keep.input, mix.keep.values[0], mix.pass.runner);
  shift_products(mix, !mix.state_out.empty());
}

template <class A>
void project_again(const MixerPass<A>& mix) {
  if (shifts_after(mix.half)) shift_products(mix, false);
}

template <class A>
void project_backward(const MixerPass<A>& mix, std::initializer_list<A*> d_y, A* joined, A* d_x,
                      std::span<float* const> gradients) {
  if (shifts_after(mix.half)) {
    products_backward(mix, d_y, joined, d_x, gradients);
  } else {
    mixes_backward(mix, d_y, d_x, gradients);
  }
}

template float* projected(const MixerPass<float>&, std::size_t);
template Bf16* projected(const MixerPass<Bf16>&, std::size_t);
template void project(const MixerPass<float>&, float*);
template void project(const MixerPass<Bf16>&, Bf16*);
template void project_again(const MixerPass<float>&);
template void project_again(const MixerPass<Bf16>&);
template void project_backward(const MixerPass<float>&, std::initializer_list<float*>, float*, float*,
                               std::span<float* const>);
template void project_backward(const MixerPass<Bf16>&, std::initializer_list<Bf16*>, Bf16*, Bf16*,
                               std::span<float* const>);

}  // namespace spikegpt
