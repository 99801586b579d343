#include "spikegpt/energy/text_pass.h"

#include <algorithm>

#include "spikegpt/model/network.h"

namespace spikegpt {
namespace {

constexpr std::int64_t kChunk = 256;

}  // namespace

void watch_text(const ModelConfig& config, const float* parameters, std::span<const std::int32_t> tokens, Probe& probe,
                const TextPass& pass) {
  check_tokens(tokens, config);
  const auto size = static_cast<std::int64_t>(tokens.size());
  const std::int64_t window = pass.window > 0 ? pass.window : size;
  const auto network = make_network(config, {GemmPrecision::kF32, {1, std::min({kChunk, window, size})}});
  network->set_parameters(parameters);
  RecurrentState state(config, 1);
  RunOptions run;
  run.probe = &probe;
  run.state_in = run.state_out = &state;
  for (std::int64_t done = 0; done < size;) {
    if (done % window == 0) {
      state.reset();
      if (pass.on_window) pass.on_window();
    }
    const std::int64_t length = std::min({kChunk, window - done % window, size - done});
    network->forward({tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(length))}, run);
    done += length;
    if (pass.progress) pass.progress(done);
  }
}

}  // namespace spikegpt
