#include "spikegpt/cli/bench_train.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "spikegpt/cli/bench_baseline.h"
#include "spikegpt/cli/bench_decode.h"
#include "spikegpt/cli/bench_kernels.h"
#include "spikegpt/cli/bench_timer.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/core/kernel_log.h"
#include "spikegpt/core/random.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt::cli {
namespace {

constexpr int kRounds = 2;                                   // of the baseline; ours has one more
constexpr std::size_t kBeyondCaches = std::size_t{1} << 28;  // bytes

// Tokens at random: speed does not depend on what they say.
class RandomTokens final : public WindowSource {
 public:
  explicit RandomTokens(int vocab_size) : vocab_size_(vocab_size) {}
  void fill(std::int64_t step, std::int64_t first_row, const WindowBatch& out) const override {
    RandomStream random(1, RandomPurpose::kBatch, static_cast<std::uint64_t>(step));
    random.set_counter(static_cast<std::uint64_t>(first_row) << 32);
    for (TokenId& id : out.idx) id = next(random);
    for (TokenId& id : out.targets) id = next(random);
  }

 private:
  TokenId next(RandomStream& random) const {
    return static_cast<TokenId>(random.next_below(static_cast<std::uint64_t>(vocab_size_)));
  }
  int vocab_size_;
};

double peak_megabytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double sum(const std::vector<double>& values) {
  double total = 0.0;
  for (const double value : values) total += value;
  return total;
}

bool is_product(const KernelWork& work) { return work.operations > 0.0; }

std::string title(const KernelWork& work, const ModelConfig& model) {
  if (!is_product(work)) return std::string(work.name);
  if (work.out == model.vocab_size) return fmt::format("{}, head", work.name);
  return fmt::format("{}, {} -> {}", work.name, work.in, work.out);
}

// One row per kind of kernel, the longest first, each per step; the last is what no kernel accounts for.
Json breakdown(const KernelLog& log, const std::vector<double>& step_seconds, const ModelConfig& model) {
  const double total = sum(step_seconds);
  const auto steps = static_cast<double>(step_seconds.size());
  std::vector<KernelLog::Entry> entries = log.entries();
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  Json rows = Json::array();
  double rest = total;
  for (const auto& [work, calls, seconds] : entries) {
    rest -= seconds;
    Json row = {{"name", title(work, model)},
                {"seconds", seconds / steps},
                {"share", seconds / total},
                {"calls", static_cast<double>(calls) / steps},
                {"gbytes", 1e-9 * work.bytes / seconds}};
    if (is_product(work)) row["gflops"] = 1e-9 * work.operations / seconds;
    rows.push_back(row);
  }
  rows.push_back(
      {{"name", "the rest: sampling, zeroing of gradients, sums"}, {"seconds", rest / steps}, {"share", rest / total}});
  return rows;
}

double product_share(const KernelLog& log, double total) {
  double seconds = 0.0;
  for (const KernelLog::Entry& entry : log.entries()) {
    if (is_product(entry.work)) seconds += entry.seconds;
  }
  return seconds / total;
}

class Measurement {
 public:
  explicit Measurement(const TrainBench& bench)
      : bench_(bench), tokens_(bench.model.vocab_size), trainer_(bench.model, bench.train, tokens_) {
    trainer_.initialise_parameters();
    for (int i = 0; i < 2; ++i) trainer_.step(bench.train.lr);  // the library compiles its kernels at first use
  }

  void time_steps() {
    const KernelListening listening(log_);
    for (int i = 0; i < bench_.steps; ++i) {
      const Timer timer;
      trainer_.step(bench_.train.lr);
      seconds_.push_back(timer.seconds());
    }
  }

  // Ours and the baseline's in turn, ours at both ends.
  Json compare(const PytorchBaseline& baseline) {
    std::vector<double> theirs;
    Json json;
    for (int round = 0; round < kRounds; ++round) {
      const PytorchBaseline::Result result = baseline.run(bench_.steps);
      theirs.insert(theirs.end(), result.step_seconds.begin(), result.step_seconds.end());
      json["peak_memory_mb"] = result.peak_memory_mb;
      json["torch"] = result.torch;
      time_steps();
    }
    json["tokens_per_second"] = step_tokens() / median(theirs);
    json["step_seconds"] = summary(theirs);
    json["speed_up"] = median(theirs) / median(seconds_);
    json["speed_up_of_best_steps"] =
        *std::min_element(theirs.begin(), theirs.end()) / *std::min_element(seconds_.begin(), seconds_.end());
    return json;
  }

  Json result() const {
    Json json;
    json["parameters"] = trainer_.layout().parameter_count();
    json["tokens_per_second"] = step_tokens() / median(seconds_);
    json["step_seconds"] = summary(seconds_);
    json["share_outside_products"] = 1.0 - product_share(log_, sum(seconds_));
    json["breakdown"] = breakdown(log_, seconds_, bench_.model);
    return json;
  }

 private:
  double step_tokens() const {
    return static_cast<double>(bench_.train.batch_size) * bench_.train.accumulate * bench_.model.ctx_len;
  }
  static Json summary(const std::vector<double>& seconds) {
    const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    return {{"min", *least}, {"median", median(seconds)}, {"max", *most}};
  }

  const TrainBench& bench_;
  RandomTokens tokens_;
  Trainer trainer_;
  KernelLog log_;
  std::vector<double> seconds_;
};

void print_breakdown(const Json& json) {
  fmt::print("\n{:<48} {:>9} {:>7} {:>6} {:>9} {:>7}\n", "where a step's time goes", "ms", "share", "calls", "GFLOP/s",
             "GB/s");
  for (const Json& row : json["breakdown"]) {
    const auto cell = [&](const char* key, const char* format) {
      return row.contains(key) ? fmt::format(fmt::runtime(format), row[key].get<double>()) : std::string("-");
    };
    fmt::print("{:<48} {:>9.2f} {:>6.1f}% {:>6} {:>9} {:>7}\n", row["name"].get<std::string>(),
               1e3 * row["seconds"].get<double>(), 100.0 * row["share"].get<double>(), cell("calls", "{:.0f}"),
               cell("gflops", "{:.0f}"), cell("gbytes", "{:.1f}"));
  }
  const Json& limits = json["limits"];
  fmt::print(
      "the machine in this run: {:.0f} GFLOP/s in the fastest product alone, {:.1f} GB/s read, {:.1f} GB/s written\n\n",
      limits["gflops"].get<double>(), limits["read_gbytes"].get<double>(), limits["write_gbytes"].get<double>());
}

void print_figure(const char* what, const std::string& value) { fmt::print("  {:<44} {:>10}\n", what, value); }

}  // namespace

Json bench_train(const TrainBench& bench) {
  const GemmPrecision precision = gemm_precision(bench.train.precision);
  std::optional<PytorchBaseline> baseline;
  if (!bench.baseline.empty()) baseline.emplace(bench.baseline, bench.model, bench.train.batch_size, precision);
  Json json = {{"arch", bench.model.arch},        {"n_layer", bench.model.n_layer},
               {"n_embd", bench.model.n_embd},    {"vocab_size", bench.model.vocab_size},
               {"ctx_len", bench.model.ctx_len},  {"batch_size", bench.train.batch_size},
               {"precision", name_of(precision)}, {"recompute", bench.train.recompute}};
  {
    Measurement measurement(bench);
    measurement.time_steps();
    json["peak_memory_mb"] = peak_megabytes();
    if (baseline) json["baseline"] = measurement.compare(*baseline);
    json.update(measurement.result());
  }
  json["limits"] = {{"gflops", 1e-9 * best_product_rate(bench.model, bench.train.batch_size, precision)},
                    {"read_gbytes", 1e-9 * read_bandwidth(kBeyondCaches)},
                    {"write_gbytes", 1e-9 * write_bandwidth(kBeyondCaches)}};
  return json;
}

void print_train(const Json& json) {
  fmt::print("training {} {} x {}, V = {}, T = {}, B = {}, {}{}, {} parameters\n", json["arch"].get<std::string>(),
             json["n_layer"].get<int>(), json["n_embd"].get<int>(), json["vocab_size"].get<int>(),
             json["ctx_len"].get<int>(), json["batch_size"].get<int>(), json["precision"].get<std::string>(),
             json["recompute"].get<bool>() ? ", recomputing" : "", quantity(json["parameters"].get<double>()));
  print_figure("tokens/s (median step)", fmt::format("{:.0f}", json["tokens_per_second"].get<double>()));
  print_figure("step [ms]", fmt::format("{:.1f}", 1e3 * json["step_seconds"]["median"].get<double>()));
  print_figure("share of the step outside matrix products",
               fmt::format("{:.1f}%", 100.0 * json["share_outside_products"].get<double>()));
  print_figure("peak memory of the process [MB]", fmt::format("{:.0f}", json["peak_memory_mb"].get<double>()));
  if (json.contains("baseline")) {
    const Json& baseline = json["baseline"];
    fmt::print("PyTorch {}, in turn with ours\n", baseline["torch"].get<std::string>());
    print_figure("tokens/s (median step)", fmt::format("{:.0f}", baseline["tokens_per_second"].get<double>()));
    print_figure("peak memory of the process [MB]", fmt::format("{:.0f}", baseline["peak_memory_mb"].get<double>()));
    print_figure("ours is faster by (median steps)", fmt::format("{:.2f}", baseline["speed_up"].get<double>()));
    print_figure("ours is faster by (best steps)",
                 fmt::format("{:.2f}", baseline["speed_up_of_best_steps"].get<double>()));
  }
  print_breakdown(json);
}

}  // namespace spikegpt::cli
