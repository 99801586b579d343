#include "spikegpt/cli/bench_neurons.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "spikegpt/cli/bench_baseline.h"
#include "spikegpt/cli/bench_timer.h"
#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/kernels/tiles.h"

namespace spikegpt::cli {
namespace {

constexpr int kRounds = 7;

template <class A>
AlignedBuffer<A> random_values(std::int64_t count, double scale) {
  AlignedBuffer<A> values(static_cast<std::size_t>(count));
  RandomStream random(1, RandomPurpose::kInit);
  for (A& value : values.span()) value = from_float<A>(static_cast<float>(scale * random.next_normal()));
  return values;
}

template <class Body>
void keep_quickest(double& seconds, const Body& body) {
  const WorkTimer timer;
  body();
  seconds = std::min(seconds, timer.seconds());
}

// One neuron's scan over the same tensors as every other's. Default settings, float gradients from above.
template <class A>
class ScanBench {
 public:
  explicit ScanBench(const SequenceShape& shape)
      : shape_(shape),
        current_(random_values<A>(shape.size(), 2.0)),
        spikes_(current_.size()),
        distance_(current_.size()),
        kept_(current_.size()),
        d_current_(current_.size()),
        d_spikes_(random_values<A>(shape.size(), 1e-3)) {}

  struct Times {
    double forward = 1e9;
    double backward = 1e9;
  };

  void run(const NeuronParameters& neuron, Times& times) {
    std::vector<float> learned;
    for (int i = 0; i < neuron.learned(); ++i)
      learned.push_back(neuron.first_learned(i, static_cast<double>(neuron.tau)));
    std::vector<float> d_learned(learned.size());
    const auto plane = static_cast<std::size_t>(shape_.batch * shape_.channels);
    std::vector<float> scratch((1 + learned.size()) * plane);
    SpikeScanForward<A> forward;
    forward.current = current_.data();
    forward.spikes = spikes_.data();
    forward.distance = distance_.data();
    SpikeScanBackward<A, A> backward;
    backward.distance = distance_.data();
    backward.d_spikes = d_spikes_.data();
    backward.d_current = d_current_.data();
    if (neuron.keeps_more()) {
      forward.kept = kept_.data();
      backward.kept = kept_.data();
    }
    if (!learned.empty()) {
      forward.learned = backward.learned = {learned.data(), true};
      backward.d_learned = d_learned.data();
      backward.scratch = scratch.data();
    }
    keep_quickest(times.forward, [&] { spike_scan_forward<A>(shape_, neuron, FireMode::kSpike, forward); });
    keep_quickest(times.backward, [&] { spike_scan_backward<A, A>(shape_, neuron, FireMode::kSpike, backward); });
  }

  void copy(double& seconds) {
    keep_quickest(seconds, [&] {
      parallel_for(piece_count(shape_.size()), shape_.size(), [&](std::int64_t task) {
        const Piece piece = piece_at(shape_.size(), task);
        std::memcpy(spikes_.data() + piece.first, current_.data() + piece.first,
                    static_cast<std::size_t>(piece.size) * sizeof(A));
      });
    });
  }

  // GB/s of `rows` values of each neuron and token.
  double rate(int rows, double seconds) const {
    return 1e-9 * static_cast<double>(shape_.size()) * rows * static_cast<double>(sizeof(A)) / seconds;
  }

 private:
  SequenceShape shape_;
  AlignedBuffer<A> current_;
  AlignedBuffer<A> spikes_;
  AlignedBuffer<A> distance_;
  AlignedBuffer<A> kept_;
  AlignedBuffer<A> d_current_;
  AlignedBuffer<A> d_spikes_;
};

template <class A>
Json measure(const SequenceShape& shape) {
  using Bench = ScanBench<A>;
  Bench bench(shape);
  std::vector<typename Bench::Times> times(kKinds.size());
  double copied = 1e9;
  const auto neuron_of = [](std::size_t kind) {
    NeuronParameters neuron;
    neuron.kind = static_cast<NeuronKind>(kind);
    return neuron;
  };
  for (int round = 0; round < kRounds; ++round) {
    bench.copy(copied);
    for (std::size_t kind = 0; kind < kKinds.size(); ++kind) bench.run(neuron_of(kind), times[kind]);
  }
  Json json = {{"copy_gbytes", bench.rate(2, copied)}, {"kinds", Json::array()}};
  for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
    const NeuronParameters neuron = neuron_of(kind);
    const int rows = neuron.keeps_more() ? 4 : 3;
    json["kinds"].push_back({{"name", kKinds[kind]->name},
                             {"states", neuron.states()},
                             {"forward_ms", 1e3 * times[kind].forward},
                             {"forward_gbytes", bench.rate(rows, times[kind].forward)},
                             {"backward_ms", 1e3 * times[kind].backward},
                             {"backward_gbytes", bench.rate(rows, times[kind].backward)}});
  }
  return json;
}

}  // namespace

Json bench_neurons(const SequenceShape& shape, GemmPrecision precision, const std::filesystem::path& script) {
  Json torch;
  if (!script.empty()) {
    torch = run_pytorch(script, fmt::format("--shape {},{},{} --threads {}", shape.batch, shape.tokens,
                                            shape.channels, thread_count()));
  }
  Json json = precision == GemmPrecision::kBf16 ? measure<Bf16>(shape) : measure<float>(shape);
  if (script.empty()) return json;
  json["torch"] = torch.at("torch");
  for (Json& kind : json["kinds"]) {
    const auto& theirs = torch.at("kinds");
    const auto found = theirs.find(kind.at("name").get<std::string>());
    if (found == theirs.end()) continue;
    kind["torch_forward_ms"] = 1e3 * found->at("forward").get<double>();
    kind["torch_backward_ms"] = 1e3 * found->at("backward").get<double>();
  }
  return json;
}

void print_neurons(const Json& results) {
  const bool has_torch = results.contains("torch");
  fmt::print("{:<12} {:>6} {:>9} {:>7} {:>9} {:>7}{}\n", "neuron", "states", "fwd ms", "GB/s", "bwd ms", "GB/s",
             has_torch ? " faster than PyTorch" : "");
  for (const Json& kind : results.at("kinds")) {
    const auto number = [&](const char* key) { return kind.at(key).get<double>(); };
    std::string against;
    if (kind.contains("torch_forward_ms")) {
      against = fmt::format(" {:>7.0f} x, {:>6.0f} x", number("torch_forward_ms") / number("forward_ms"),
                            number("torch_backward_ms") / number("backward_ms"));
    }
    fmt::print("{:<12} {:>6} {:>9.2f} {:>7.1f} {:>9.2f} {:>7.1f}{}\n", kind.at("name").get<std::string>(),
               kind.at("states").get<int>(), number("forward_ms"), number("forward_gbytes"), number("backward_ms"),
               number("backward_gbytes"), against);
  }
  fmt::print("{:<12} {:>24.1f}\n", "copying", results.at("copy_gbytes").get<double>());
}

}  // namespace spikegpt::cli
