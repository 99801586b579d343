#include "spikegpt/cli/bench_kernels.h"

#include "spikegpt/cli/bench_timer.h"
#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/adam.h"
#include "spikegpt/kernels/cross_entropy.h"
#include "spikegpt/kernels/layer_norm.h"
#include "spikegpt/kernels/pointwise.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/kernels/token_shift.h"
#include "spikegpt/kernels/wkv_scan.h"

namespace spikegpt::cli {
namespace {

template <class A>
AlignedBuffer<A> random_values(std::int64_t count) {
  AlignedBuffer<A> values(static_cast<std::size_t>(count));
  RandomStream random(1, RandomPurpose::kInit);
  for (A& value : values.span()) value = from_float<A>(static_cast<float>(2.0 * random.next_normal()));
  return values;
}

template <class A>
class KernelBench {
 public:
  KernelBench(const ModelConfig& config, int batch)
      : shape_{batch, config.ctx_len, config.n_embd},
        V_(config.vocab_size),
        x_(random_values<A>(shape_.size())),
        y_(random_values<A>(shape_.size())),
        z_(random_values<A>(shape_.size())),
        d_(random_values<A>(shape_.size())),
        stream_(random_values<float>(shape_.size())),
        weight_(random_values<float>(shape_.channels)),
        sums_(static_cast<std::size_t>(
            std::max(wkv_scratch_size(shape_), layer_norm_scratch_size(shape_.rows(), shape_.channels)))) {}

  Json run() {
    scans();
    pointwise();
    losses();
    return std::move(results_);
  }

 private:
  // `floats` and `narrow`: values read or written per element of [B, T, C], in float and in A.
  template <class Body>
  void measure(const char* name, double narrow, double floats, const Body& body) {
    const double seconds = median_seconds(body);
    const double bytes = static_cast<double>(shape_.size()) * (narrow * sizeof(A) + floats * sizeof(float));
    results_.push_back({{"name", name}, {"seconds", seconds}, {"gbytes", 1e-9 * bytes / seconds}});
  }

  void scans() {
    const LifParameters neuron;
    measure("LIF forward", 3, 0, [&] {
      spike_scan_forward<A>(shape_, neuron, FireMode::kSpike,
                            {.current = x_.data(), .spikes = y_.data(), .distance = z_.data()});
    });
    measure("LIF backward", 2, 1, [&] {
      spike_scan_backward<A, float>(shape_, neuron, FireMode::kSpike,
                                    {.distance = z_.data(), .d_spikes = stream_.data(), .d_current = d_.data()});
    });
    const WkvWeights weights = {weight_.data(), weight_.data()};
    measure("WKV forward", 4, 0, [&] {
      wkv_forward<A>(shape_, weights,
                     {.receptance = x_.data(), .key = y_.data(), .value = z_.data(), .output = d_.data()});
    });
    AlignedBuffer<A> d_key(x_.size());
    AlignedBuffer<A> d_value(x_.size());
    AlignedBuffer<float> d_weight(weight_.size());
    measure("WKV backward", 7, 0, [&] {
      wkv_backward<A>(shape_, weights,
                      {.receptance = x_.data(),
                       .key = y_.data(),
                       .value = z_.data(),
                       .d_output = d_.data(),
                       .d_receptance = d_.data(),
                       .d_key = d_key.data(),
                       .d_value = d_value.data(),
                       .d_time_decay = d_weight.data(),
                       .d_time_first = d_weight.data(),
                       .scratch = sums_.data()});
    });
    measure("token shift forward (3 mixes)", 4, 0, [&] {
      token_shift_forward<A>(shape_, {.x = x_.data(),
                                      .mixes = 3,
                                      .mu = {weight_.data(), weight_.data(), weight_.data()},
                                      .mixed = {y_.data(), z_.data(), d_.data()}});
    });
    measure("token shift backward (3 mixes)", 5, 0, [&] {
      token_shift_backward<A>(shape_, {.x = x_.data(),
                                       .mixes = 3,
                                       .mu = {weight_.data(), weight_.data(), weight_.data()},
                                       .d_mixed = {y_.data(), z_.data(), d_.data()},
                                       .d_x = d_key.data(),
                                       .d_mu = {d_weight.data(), d_weight.data(), d_weight.data()},
                                       .scratch = sums_.data()});
    });
  }

  void pointwise() {
    AlignedBuffer<float> mean(static_cast<std::size_t>(shape_.rows()));
    AlignedBuffer<float> inverse_std(static_cast<std::size_t>(shape_.rows()));
    AlignedBuffer<float> d_weight(weight_.size());
    AlignedBuffer<float> d_stream(stream_.size());
    measure("LayerNorm forward", 1, 1, [&] {
      layer_norm_forward<A>(shape_.rows(), shape_.channels,
                            {.x = stream_.data(),
                             .weight = weight_.data(),
                             .bias = weight_.data(),
                             .y = y_.data(),
                             .mean = mean.data(),
                             .inverse_std = inverse_std.data()});
    });
    measure("LayerNorm backward", 1, 3, [&] {
      layer_norm_backward<A>(shape_.rows(), shape_.channels,
                             {.x = stream_.data(),
                              .weight = weight_.data(),
                              .mean = mean.data(),
                              .inverse_std = inverse_std.data(),
                              .d_y = y_.data(),
                              .d_x = d_stream.data(),
                              .d_weight = d_weight.data(),
                              .d_bias = d_weight.data(),
                              .scratch = sums_.data()});
    });
    measure("residual sum with dropout", 1, 2, [&] {
      residual_add(shape_.size(), stream_.data(), x_.data(), {0.03f, 1, 1}, d_stream.data());
    });
    measure("sigmoid gate forward", 3, 0,
            [&] { sigmoid_gate_forward(shape_.size(), x_.data(), y_.data(), z_.data()); });
    AlignedBuffer<A> d_value(x_.size());
    measure("sigmoid gate backward", 5, 0, [&] {
      sigmoid_gate_backward<A>(shape_.size(), {.receptance = x_.data(),
                                               .value = y_.data(),
                                               .d_output = z_.data(),
                                               .d_receptance = d_.data(),
                                               .d_value = d_value.data()});
    });
    AlignedBuffer<float> moments(2 * stream_.size());
    measure("Adam", 0, 7, [&] {
      adam_update(shape_.size(), {}, {d_stream.data(), stream_.data(), moments.data(), moments.data() + shape_.size()});
    });
  }

  void losses() {
    const std::int64_t rows = std::min<std::int64_t>(shape_.rows(), std::max<std::int64_t>(1, (1 << 22) / V_));
    const AlignedBuffer<float> logits = random_values<float>(rows * V_);
    const std::vector<std::int32_t> targets(static_cast<std::size_t>(rows));
    AlignedBuffer<float> loss(static_cast<std::size_t>(rows));
    AlignedBuffer<A> d_logits(logits.size());
    const double seconds = median_seconds([&] {
      cross_entropy<A>(rows, V_,
                       {.logits = logits.data(),
                        .targets = targets.data(),
                        .losses = loss.data(),
                        .d_logits = d_logits.data(),
                        .l2wrap = 1e-4f});
    });
    const double bytes = static_cast<double>(rows * V_) * (2 * sizeof(float) + sizeof(A));
    results_.push_back(
        {{"name", "cross-entropy with gradient"}, {"seconds", seconds}, {"gbytes", 1e-9 * bytes / seconds}});
  }

  SequenceShape shape_;
  std::int64_t V_;
  AlignedBuffer<A> x_;
  AlignedBuffer<A> y_;
  AlignedBuffer<A> z_;
  AlignedBuffer<A> d_;
  AlignedBuffer<float> stream_;
  AlignedBuffer<float> weight_;
  AlignedBuffer<float> sums_;
  Json results_ = Json::array();
};

// The three products of one linear layer in a training step, alone.
template <class A>
class LinearBench {
 public:
  LinearBench(const LinearShape& shape, GemmPrecision precision)
      : shape_(shape),
        forward_(shape.out, shape.in, WeightUse::kForward, precision),
        backward_(shape.out, shape.in, WeightUse::kBackward, precision),
        x_(random_values<A>(shape.rows * shape.in)),
        y_(random_values<A>(shape.rows * shape.out)),
        d_weight_(random_values<float>(shape.out * shape.in)) {
    forward_.pack(d_weight_.data());
    backward_.pack(d_weight_.data());
  }
  double forward() {
    return median_seconds([&] { forward_.multiply(shape_.rows, x_.data(), y_.data()); });
  }
  double backward_input() {
    return median_seconds([&] { backward_.multiply(shape_.rows, y_.data(), x_.data()); });
  }
  double backward_weight() {
    return median_seconds([&] { weight_gradient(shape_, y_.data(), x_.data(), d_weight_.data(), true); });
  }
  double flops() const {
    return 2.0 * static_cast<double>(shape_.rows) * static_cast<double>(shape_.out) * static_cast<double>(shape_.in);
  }

 private:
  LinearShape shape_;
  PackedWeight forward_;
  PackedWeight backward_;
  AlignedBuffer<A> x_;
  AlignedBuffer<A> y_;
  AlignedBuffer<float> d_weight_;
};

// The shapes of a model's linear layers.
std::vector<LinearShape> layer_shapes(const ModelConfig& config, int batch) {
  const std::int64_t rows = static_cast<std::int64_t>(batch) * config.ctx_len;
  const std::int64_t C = config.n_embd;
  const std::int64_t H = config.hidden_size();
  const std::int64_t head_rows = std::min<std::int64_t>(rows, std::max<std::int64_t>(1, (1 << 22) / config.vocab_size));
  return {{rows, C, C}, {rows, H, C}, {rows, C, H}, {head_rows, config.vocab_size, C}};
}

template <class A>
void bench_products(const ModelConfig& config, int batch, GemmPrecision precision, Json& results) {
  for (const LinearShape& shape : layer_shapes(config, batch)) {
    LinearBench<A> bench(shape, precision);
    const auto add = [&](const char* what, double seconds) {
      results.push_back({{"name", fmt::format("{} {} x {} x {}", what, shape.rows, shape.in, shape.out)},
                         {"seconds", seconds},
                         {"gflops", 1e-9 * bench.flops() / seconds}});
    };
    add("x W^T", bench.forward());
    add("d W", bench.backward_input());
    add("d^T x", bench.backward_weight());
  }
}

template <class A>
double best_rate(const ModelConfig& config, int batch, GemmPrecision precision) {
  double best = 0.0;
  for (const LinearShape& shape : layer_shapes(config, batch)) {
    LinearBench<A> bench(shape, precision);
    best = std::max({best, bench.flops() / bench.forward(), bench.flops() / bench.backward_input()});
  }
  return best;
}

}  // namespace

Json bench_kernels(const ModelConfig& config, int batch, GemmPrecision precision) {
  Json results = Json::array();
  const bool narrow = precision == GemmPrecision::kBf16;
  if (narrow) {
    bench_products<Bf16>(config, batch, precision, results);
  } else {
    bench_products<float>(config, batch, precision, results);
  }
  const Json rest = narrow ? KernelBench<Bf16>(config, batch).run() : KernelBench<float>(config, batch).run();
  for (const Json& result : rest) results.push_back(result);
  return results;
}

double best_product_rate(const ModelConfig& config, int batch, GemmPrecision precision) {
  if (precision == GemmPrecision::kBf16) return best_rate<Bf16>(config, batch, precision);
  return best_rate<float>(config, batch, precision);
}

}  // namespace spikegpt::cli
