#include "spikegpt/cli/bench_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <numeric>

#include "spikegpt/cli/bench_timer.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/core/random.h"
#include "spikegpt/model/architecture.h"
#include "spikegpt/model/init.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/text/tokenizer.h"
#include "spikegpt/train/calibration.h"

namespace spikegpt::cli {
namespace {

constexpr std::int64_t kWarmUp = 64;    // tokens: past the start of the text
constexpr std::int64_t kPassage = 256;  // tokens timed at once
static_assert(kWarmUp + kPassage == kLeastDecodeText);
constexpr double kSecondsPerRow = 1.0;

// One way to decode.
struct Way {
  PackOptions options;
  ProductPath path;
};

std::vector<Way> ways(const ModelConfig& config, const std::vector<WeightType>& types) {
  std::vector<Way> all;
  for (const WeightType type : types) {
    const PackOptions best = default_pack_options(config, type);
    all.push_back({{.type = type}, ProductPath::kDense});
    if (best.fold_token_shift || best.event_rows) all.push_back({best, ProductPath::kDense});
    all.push_back({best, ProductPath::kAuto});
  }
  return all;
}

const char* name_of(ProductPath path) { return path == ProductPath::kDense ? "dense" : "events"; }

struct DecodeFigures {
  double seconds = 0.0;  // per token, the best passage
  ProductWork work;      // of all tokens counted
  std::int64_t tokens = 0;
  double firing_rate = 0.0;
};

// Reads the text token by token, passage by passage, always the same one, so that only the machine's mood differs.
DecodeFigures measure(const PackedModel& packed, const DecodeModel& model, ProductPath path) {
  Session session(packed);
  session.runner().path = path;
  const std::span<const std::int32_t> text(model.text);
  session.feed(text.first(kWarmUp));
  const SessionState start = session.state();
  session.runner().work = {};
  DecodeFigures figures;
  figures.seconds = 1e9;
  const Timer all;
  do {
    session.set_state(start);
    const Timer timer;
    for (std::int64_t i = 0; i < kPassage; ++i) session.feed(text.subspan(static_cast<std::size_t>(kWarmUp + i), 1));
    figures.seconds = std::min(figures.seconds, timer.seconds() / kPassage);
    figures.tokens += kPassage;
  } while (all.seconds() < kSecondsPerRow);
  figures.work = session.runner().work;
  figures.firing_rate = session.firing_rate();
  return figures;
}

Json row_of(const Way& way, const PackedModel& packed, const DecodeFigures& figures) {
  const auto per_token = [&](std::int64_t count) {
    return static_cast<double>(count) / static_cast<double>(figures.tokens);
  };
  const double bytes = per_token(figures.work.weight_bytes);
  const double bandwidth = read_bandwidth(packed.size_in_bytes());
  Json row;
  row["type"] = name_of(way.options.type);
  row["path"] = name_of(way.path);
  row["token_shift"] = packed.folded() ? "folded" : "separate";
  row["layout"] = way.options.event_rows ? "rows" : "panels";
  row["tokens_per_second"] = 1.0 / figures.seconds;
  row["weight_bytes_per_token"] = bytes;
  row["model_bytes"] = packed.size_in_bytes();
  row["share_of_read_bandwidth"] = bytes / figures.seconds / bandwidth;
  row["read_bandwidth"] = bandwidth;
  row["firing_rate"] = figures.firing_rate;
  row["accumulates_per_token"] = per_token(figures.work.accumulates);
  row["multiply_accumulates_per_token"] = per_token(figures.work.multiply_accumulates);
  return row;
}

// Mean firing rate over the beginning of the text.
double firing_rate_of(const DecodeModel& model) {
  const std::span<const std::int32_t> text = std::span(model.text).first(kWarmUp + 64);
  const PackedModel packed(model.config, model.parameters.data(), default_pack_options(model.config, WeightType::kF32));
  Session session(packed);
  session.feed(text);
  return session.firing_rate();
}

// Random weights fire more than trained ones: sets the threshold so that `rate` of the neurons do.
void set_firing_rate(DecodeModel& model, double rate) {
  if (!architecture_of(model.config).reads_spikes()) return;
  double low = 0.1;
  double high = 20.0;
  for (int i = 0; i < 12; ++i) {
    model.config.v_threshold = std::sqrt(low * high);
    (firing_rate_of(model) > rate ? low : high) = model.config.v_threshold;
  }
}

}  // namespace

DecodeModel decode_model(const ModelConfig& config, const DecodeSource& source) {
  const auto& [folder, data, rate] = source;
  DecodeModel model;
  if (!folder.empty()) {
    StoredModel stored = load_model(folder);
    model.config = stored.config;
    model.parameters = std::move(stored.parameters);
  } else {
    model.config = config;
    model.parameters = AlignedBuffer<float>(static_cast<std::size_t>(ParameterLayout(config).flat_size()));
    initialise(config, InitKind::kDefault, 1, model.parameters.data());
  }
  if (!data.empty()) {
    if (folder.empty())
      throw Error(ErrorKind::kInvalidArgument, "--data needs --model: random weights have no tokenizer");
    model.text = read_first_tokens(data, *load_tokenizer(folder, model.config.vocab_size), 1 << 16);
  } else {
    RandomStream random(1, RandomPurpose::kBatch);
    for (int i = 0; i < 4096; ++i) {
      model.text.push_back(
          static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(model.config.vocab_size))));
    }
  }
  if (static_cast<std::int64_t>(model.text.size()) < kLeastDecodeText) {
    throw Error(ErrorKind::kInvalidArgument, "{} has {} tokens; expected at least {}", data.string(), model.text.size(),
                kLeastDecodeText);
  }
  if (folder.empty()) {
    calibrate_gains(model.config, std::span(model.text).first(256), model.parameters.data());
    set_firing_rate(model, rate);
  }
  return model;
}

double read_bandwidth(std::size_t bytes) {
  const auto words = static_cast<std::int64_t>(bytes / sizeof(std::uint64_t));
  const AlignedBuffer<std::uint64_t> buffer(static_cast<std::size_t>(words));
  for (std::uint64_t& word : buffer.span()) word = 1;
  constexpr std::int64_t kPiece = 1 << 16;
  std::atomic<std::uint64_t> total = 0;
  const double seconds = median_seconds([&] {
    parallel_for((words + kPiece - 1) / kPiece, [&](std::int64_t task) {
      const std::int64_t end = std::min(words, (task + 1) * kPiece);
      const std::uint64_t* const from = buffer.data() + task * kPiece;
      total += std::accumulate(from, static_cast<const std::uint64_t*>(buffer.data() + end), std::uint64_t{0});
    });
  });
  ensure(total > 0, "nothing was read");
  return static_cast<double>(bytes) / seconds;
}

double write_bandwidth(std::size_t bytes) {
  const auto words = static_cast<std::int64_t>(bytes / sizeof(std::uint64_t));
  const AlignedBuffer<std::uint64_t> buffer(static_cast<std::size_t>(words));
  constexpr std::int64_t kPiece = 1 << 16;
  std::uint64_t round = 0;
  const double seconds = median_seconds([&] {
    ++round;
    parallel_for((words + kPiece - 1) / kPiece, [&](std::int64_t task) {
      const std::int64_t first = task * kPiece;
      std::fill_n(buffer.data() + first, std::min(words - first, kPiece), round);
    });
  });
  ensure(buffer[0] == round, "nothing was written");
  return static_cast<double>(bytes) / seconds;
}

Json bench_decode(const DecodeModel& model, const std::vector<WeightType>& types) {
  Json rows = Json::array();
  for (const Way& way : ways(model.config, types)) {
    const PackedModel packed(model.config, model.parameters.data(), way.options);
    rows.push_back(row_of(way, packed, measure(packed, model, way.path)));
  }
  return rows;
}

Json bench_stream(const DecodeModel& model, WeightType type, std::int64_t tokens) {
  const PackedModel packed(model.config, model.parameters.data(), default_pack_options(model.config, type));
  Session session(packed);
  Json rows = Json::array();
  std::vector<double> times;
  constexpr std::int64_t kSpan = 1000;  // tokens of one figure
  std::int64_t next_figure = 1000;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const Timer timer;
    session.feed({&model.text[static_cast<std::size_t>(i) % model.text.size()], 1});
    times.push_back(timer.seconds());
    if (static_cast<std::int64_t>(times.size()) < kSpan) continue;
    std::nth_element(times.begin(), times.begin() + kSpan / 2, times.end());
    if (i + 1 >= next_figure) {
      rows.push_back({{"position", i + 1},
                      {"microseconds_per_token", 1e6 * times[kSpan / 2]},
                      {"state_bytes", session.state().memory.size_in_bytes()}});
      next_figure *= 10;
    }
    times.clear();
  }
  return rows;
}

namespace {

// Copies of one matrix, too many for the caches, and what they multiply.
class MatrixBench {
 public:
  MatrixBench(WeightType type, std::int64_t inputs, std::int64_t outputs, MatrixLayout layout)
      : runner_(1, inputs), x_(static_cast<std::size_t>(inputs)), y_(static_cast<std::size_t>(outputs)) {
    constexpr std::size_t kWorkingSet = std::size_t{96} << 20;  // bytes
    std::vector<float> weights(static_cast<std::size_t>(inputs * outputs));
    for (float& weight : weights) weight = static_cast<float>(random_.next_normal());
    while (bytes_ < kWorkingSet) {
      matrices_.emplace_back(type, inputs, outputs, weights.data(), layout);
      bytes_ += matrices_.back().size_in_bytes();
    }
  }
  std::size_t bytes() const { return bytes_; }
  // Of a product with each of them: the best of several rounds, each with other inputs, of which a share `density` are
  // graded events from -4 to 4.
  double best_seconds(ProductPath path, double density) {
    runner_.path = path;
    double best = 1e9;
    for (int repeat = 0; repeat < 12; ++repeat) {
      for (float& value : x_) {
        const float size = 1.0f + static_cast<float>(random_.next_below(4));
        const float event = random_.next_below(2) == 0 ? size : -size;
        value = random_.next_uniform() < density ? event : 0.0f;
      }
      const Timer timer;
      for (const PackedMatrix& matrix : matrices_) {
        const PackedProduct products[] = {{&matrix, x_.data(), y_.data()}};
        runner_.run(1, products);
      }
      best = std::min(best, timer.seconds());
    }
    return best;
  }

 private:
  RandomStream random_{1, RandomPurpose::kBatch};
  std::vector<PackedMatrix> matrices_;
  std::size_t bytes_ = 0;
  PackedRunner runner_;
  std::vector<float> x_;
  std::vector<float> y_;
};

}  // namespace

Json bench_events(const ModelConfig& config, const std::vector<WeightType>& types) {
  const std::int64_t inputs = config.n_embd;
  const std::int64_t outputs = config.hidden_size() + config.n_embd;  // key and receptance
  Json json = Json::array();
  for (const WeightType type : types) {
    MatrixBench in_panels(type, inputs, outputs, MatrixLayout::kPanels);
    MatrixBench in_rows(type, inputs, outputs, MatrixLayout::kRows);
    const double dense = in_panels.best_seconds(ProductPath::kDense, 0.2);
    const double all_rows = in_rows.best_seconds(ProductPath::kEvents, 1.0);
    Json entry;
    entry["type"] = name_of(type);
    entry["dense_bytes_per_second"] = static_cast<double>(in_panels.bytes()) / dense;
    entry["all_rows_bytes_per_second"] = static_cast<double>(in_rows.bytes()) / all_rows;
    double break_even = 1.0;
    for (const double density : {0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0}) {
      const double seconds = in_rows.best_seconds(ProductPath::kEvents, density);
      const double speedup = dense / seconds;
      entry["curve"].push_back(
          {{"density", density}, {"speedup", speedup}, {"share_of_all_rows", density * all_rows / seconds}});
      if (speedup < 1.0 && break_even == 1.0) break_even = density;
    }
    entry["break_even"] = break_even;
    json.push_back(entry);
  }
  return json;
}

void print_decode(const Json& rows) {
  fmt::print("{:<6} {:<8} {:<10} {:>10} {:>12} {:>12} {:>9} {:>9}\n", "type", "path", "shift", "tokens/s", "MB/token",
             "of bandwidth", "firing", "x dense");
  std::map<std::string, double> dense;  // the fastest dense way of a type
  for (const Json& row : rows) {
    if (row["path"] != "dense") continue;
    double& best = dense[row["type"].get<std::string>()];
    best = std::max(best, row["tokens_per_second"].get<double>());
  }
  for (const Json& row : rows) {
    const double speed = row["tokens_per_second"].get<double>();
    fmt::print("{:<6} {:<8} {:<10} {:>10.0f} {:>12.3f} {:>10.0f} % {:>7.1f} % {:>9.2f}\n",
               row["type"].get<std::string>(), row["path"].get<std::string>(),
               row["layout"] == "rows" ? "rows" : row["token_shift"].get<std::string>(), speed,
               1e-6 * row["weight_bytes_per_token"].get<double>(), 100.0 * row["share_of_read_bandwidth"].get<double>(),
               100.0 * row["firing_rate"].get<double>(), speed / dense[row["type"].get<std::string>()]);
  }
  fmt::print("\n");
}

void print_stream(const Json& rows) {
  fmt::print("{:>12} {:>16} {:>14}\n", "position", "microseconds", "state [bytes]");
  for (const Json& row : rows) {
    fmt::print("{:>12} {:>16.1f} {:>14}\n", row["position"].get<std::int64_t>(),
               row["microseconds_per_token"].get<double>(), row["state_bytes"].get<std::int64_t>());
  }
  fmt::print("\n");
}

LineChart events_chart(const Json& json) {
  LineChart chart;
  chart.title = "Event-driven against dense products";
  chart.x_label = "share of active inputs [%]";
  chart.y_label = "times as fast as dense";
  chart.log_x = true;
  chart.log_y = true;
  chart.reference_y = 1.0;
  chart.reference_label = "break-even";
  for (const Json& entry : json) {
    Series series = {entry["type"].get<std::string>(), {}};
    for (const Json& point : entry["curve"]) {
      series.points.push_back({100.0 * point["density"].get<double>(), point["speedup"].get<double>()});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void print_events(const Json& json) {
  fmt::print("graded events against the dense product of the same type, by active inputs\n{:<8}", "active");
  for (const Json& entry : json) fmt::print("{:>16}", entry["type"].get<std::string>());
  fmt::print("\n{:<8}", "");
  for (std::size_t i = 0; i < json.size(); ++i) fmt::print("{:>8}{:>8}", "times", "gather");
  const std::size_t points = json.at(0)["curve"].size();
  for (std::size_t i = 0; i < points; ++i) {
    fmt::print("\n{:>5.0f} % ", 100.0 * json.at(0)["curve"][i]["density"].get<double>());
    for (const Json& entry : json) {
      const Json& point = entry["curve"][i];
      fmt::print("{:>8.2f}{:>6.0f} %", point["speedup"].get<double>(),
                 100.0 * point["share_of_all_rows"].get<double>());
    }
  }
  const auto print_row = [&](const char* name, const char* key, double scale, const char* unit) {
    fmt::print("\n{:<8}", name);
    for (const Json& entry : json) fmt::print("{:>11.1f} {:<4}", scale * entry[key].get<double>(), unit);
  };
  print_row("equal at", "break_even", 100.0, "%");
  print_row("dense", "dense_bytes_per_second", 1e-9, "GB/s");
  print_row("all rows", "all_rows_bytes_per_second", 1e-9, "GB/s");
  fmt::print("\ngather: bytes fetched a second, as a share of those when all inputs are active\n\n");
}

}  // namespace spikegpt::cli
