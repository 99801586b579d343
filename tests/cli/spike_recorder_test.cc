// What traces say of neurons' potentials.
#include "spikegpt/cli/spike_recorder.h"

#include <gtest/gtest.h>

#include "spikegpt/model/init.h"
#include "spikegpt/model/network.h"
#include "tests/support/model_case.h"
#include "tests/support/neuron_reference.h"

namespace spikegpt::test {
namespace {

// Hands what it is told on, and keeps the currents.
class CurrentsToo final : public Probe {
 public:
  explicit CurrentsToo(cli::SpikeRecorder& recorder) : recorder_(recorder) {}
  void on_spikes(const SpikeRecord& record) override {
    recorder_.on_spikes(record);
    const auto count = static_cast<std::size_t>(record.batch * record.tokens * record.neurons);
    const auto* current = static_cast<const float*>(record.current);
    currents.emplace_back(current, current + count);
  }
  std::vector<std::vector<float>> currents;

 private:
  cli::SpikeRecorder& recorder_;
};

// The charged potential before the neuron may fire, against the formula in double that reads the same current and is
// told what was sent.
TEST(SpikeRecorder, PotentialsAreThoseBeforeFiring) {
  for (const NeuronInfo* info : kKinds) {
    SCOPED_TRACE(info->name);
    ModelConfig config = default_config("spikegpt");
    config.n_layer = 1;
    config.n_embd = 8;
    config.vocab_size = 11;
    config.ctx_len = 12;
    config.v_threshold = 0.05;
    config.neuron = info->name;
    if (config.neuron == "alif") config.neuron_settings.adaptive.beta = 0.5;
    if (config.neuron == "izhikevich") config.neuron_settings.izhikevich.b = 0.2;
    FlatParameters parameters(config);
    initialise(config, InitKind::kDefault, 5, parameters.data());
    for (const ParameterInfo& one : parameters.layout().infos()) {
      if (one.name.ends_with(".taps")) parameters.of(one).back() = -0.05f;  // a threshold that they reach
    }
    NetworkOptions options;
    options.plan = {1, 12, false, false};
    const auto network = make_network(config, options);
    network->set_parameters(parameters.data());
    cli::SpikeRecorder recorder(config);
    CurrentsToo probe(recorder);
    RunOptions run;
    run.probe = &probe;
    network->forward({std::vector<std::int32_t>{1, 5, 2, 10, 0, 3, 3, 7, 9, 4, 6, 8}}, run);

    const std::vector<NeuronParameters> neurons = site_neurons(config);
    double spikes = 0.0;
    for (std::size_t site = 0; site < recorder.trains().size(); ++site) {
      const cli::SpikeTrain& train = recorder.trains()[site];
      for (std::size_t c = 0; c < 8; ++c) {
        reference::NeuronInput in;
        std::vector<double> sent;
        for (std::size_t t = 0; t < 12; ++t) {
          in.x.push_back(static_cast<double>(probe.currents[site][t * 8 + c]));
          sent.push_back(train.spikes[t * 8 + c]);
          spikes += std::abs(sent.back());
        }
        in.state = reference::rest(neurons[site]);
        if (neurons[site].learned() > 0) {
          const std::string name = train.site.name + "." + info_of(neurons[site].kind).learned.front();
          for (const float value : parameters.of(*parameters.layout().find(name)))
            in.learned.push_back(static_cast<double>(value));
        }
        const reference::NeuronTrace trace =
            reference::run(neurons[site], FireMode::kSpike, in, {.sent = &sent});
        for (std::size_t t = 0; t < 12; ++t) {
          const double expected = trace.z[t] + trace.threshold[t];
          EXPECT_NEAR(static_cast<double>(train.membrane[t * 8 + c]), expected, 1e-4 * (1.0 + std::abs(expected)));
        }
      }
    }
    EXPECT_GT(spikes, 0.0);
  }
}

}  // namespace
}  // namespace spikegpt::test
