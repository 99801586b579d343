#include "spikegpt/cli/neuron_response.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "spikegpt/cli/spike_recorder.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/spike_scan.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt::cli {
namespace {

constexpr std::size_t kMostTokens = 100000;

// `text` as one number. Throws Error that names `where`.
float number(std::string_view text, const std::string& where) {
  double value = 0.0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || !(std::abs(value) <= 1e6)) {
    throw Error(ErrorKind::kInvalidArgument, "{}: \"{}\" is not a number between -1e6 and 1e6", where,
                displayable(text.substr(0, 40)));
  }
  return static_cast<float>(value);
}

std::vector<float> step(float height, int tokens) {
  std::vector<float> current(static_cast<std::size_t>(tokens), 0.0f);
  for (int t = tokens / 10; t < tokens * 8 / 10; ++t) current[static_cast<std::size_t>(t)] = height;
  return current;
}

std::vector<float> noise(std::string_view seed, int tokens) {
  std::uint64_t value = 1;
  const auto [end, fault] = std::from_chars(seed.data(), seed.data() + seed.size(), value);
  if (!seed.empty() && (fault != std::errc() || end != seed.data() + seed.size())) {
    throw Error(ErrorKind::kInvalidArgument, "--current noise:{}: expected noise or noise:SEED, a whole number",
                displayable(seed));
  }
  RandomStream random(value, RandomPurpose::kInit);
  std::vector<float> current;
  for (int t = 0; t < tokens; ++t) current.push_back(static_cast<float>(0.5 + random.next_normal()));
  return current;
}

std::vector<float> from_file(const std::string& path) {
  constexpr std::string_view kBetween = " \t\r\n,;";
  const std::string text = read_text(path);
  std::vector<float> current;
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size();) {
    if (kBetween.find(text[i]) != std::string_view::npos) {
      line += text[i++] == '\n' ? 1 : 0;
      continue;
    }
    const std::size_t end = std::min(text.find_first_of(kBetween, i), text.size());
    current.push_back(number(std::string_view(text).substr(i, end - i), fmt::format("{}, line {}", path, line)));
    if (current.size() > kMostTokens)
      throw Error(ErrorKind::kInvalidArgument, "{}: more than {} numbers", path, kMostTokens);
    i = end;
  }
  if (current.empty()) throw Error(ErrorKind::kInvalidArgument, "{}: holds no numbers", path);
  return current;
}

// The potential as a line that charges during a token and is reset at its end.
std::vector<Point> potential_line(const NeuronResponse& response) {
  std::vector<Point> line;
  for (std::size_t t = 0; t < response.potential.size(); ++t) {
    const auto x = static_cast<double>(t);
    line.push_back({x, static_cast<double>(response.potential[t])});
    if (response.sent[t] != 0.0f && response.after[t] != response.potential[t])
      line.push_back({x, static_cast<double>(response.after[t])});
  }
  return line;
}

std::vector<Point> over_tokens(std::span<const float> values) {
  std::vector<Point> points;
  for (std::size_t t = 0; t < values.size(); ++t)
    points.push_back({static_cast<double>(t), static_cast<double>(values[t])});
  return points;
}

}  // namespace

NeuronResponse neuron_response(const ModelConfig& config, std::span<const float> current) {
  const NeuronParameters neuron = neuron_parameters(config, "lif1");
  const NeuronInfo& info = info_of(neuron.kind);
  NeuronResponse response;
  response.kind = info.name;
  response.about = info.about;
  std::vector<float> state(static_cast<std::size_t>(std::max(1, neuron.states())));
  for (int i = 0; i < neuron.states(); ++i) state[static_cast<std::size_t>(i)] = neuron.rest(i);
  std::vector<float> learned;
  for (int i = 0; i < neuron.learned(); ++i) learned.push_back(neuron.first_learned(i, config.tau));
  for (const float x : current) {
    float sent = 0.0f;
    float distance = 0.0f;
    float kept = 0.0f;
    SpikeScanForward<float> scan;
    scan.current = &x;
    if (!learned.empty()) scan.learned = {learned.data(), true};
    scan.membrane_in = scan.membrane_out = state.data();
    scan.spikes = &sent;
    scan.distance = &distance;
    if (neuron.keeps_more()) scan.kept = &kept;
    spike_scan_forward({1, 1, 1}, neuron, FireMode::kSpike, scan);
    response.sent.push_back(sent);
    response.threshold.push_back(threshold_of(neuron, kept));
    response.potential.push_back(distance + response.threshold.back());
    // Neurons without a reset keep other things than a potential.
    response.after.push_back((info.uses & kUsesReset) != 0 ? state[0] : response.potential.back());
  }
  return response;
}

std::vector<float> input_current(const std::string& text, int tokens) {
  if (text.starts_with("step:")) return step(number(text.substr(5), "--current step"), tokens);
  if (text == "noise") return noise("", tokens);
  if (text.starts_with("noise:")) return noise(text.substr(6), tokens);
  return from_file(text);
}

TracePanels response_picture(std::span<const float> current, std::span<const NeuronResponse> responses) {
  TracePanels picture;
  picture.title = responses.size() == 1 ? fmt::format("{}: {}", responses[0].kind, responses[0].about)
                                        : "Neurons that read the same current (dashed: threshold, bars: spikes)";
  picture.x_label = "time [tokens]";
  TracePanel input;
  input.title = "input current";
  input.y_label = "current";
  input.line = over_tokens(current);
  input.steps = true;
  picture.panels.push_back(input);
  for (const NeuronResponse& response : responses) {
    TracePanel panel;
    double events = 0.0;
    for (const float sent : response.sent) events += std::abs(static_cast<double>(sent));
    panel.title = fmt::format("{}, {:.0f} spike{}", response.kind, events, events == 1.0 ? "" : "s");
    panel.y_label = "potential";
    panel.line = potential_line(response);
    panel.dashed = over_tokens(response.threshold);
    panel.marks = over_tokens(response.sent);
    panel.most = 4.0 * static_cast<double>(*std::max_element(response.threshold.begin(), response.threshold.end()));
    picture.panels.push_back(panel);
  }
  return picture;
}

}  // namespace spikegpt::cli
