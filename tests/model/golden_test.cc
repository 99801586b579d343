// The whole model against an independent PyTorch implementation: logits, spikes, gradients, training.
#include <gtest/gtest.h>

#include "tests/support/model_case.h"

namespace spikegpt::test {
namespace {

constexpr float kL2Wrap = 1e-4f;

class GoldenModel : public testing::TestWithParam<const char*> {
 protected:
  GoldenModel()
      : file_(read_safetensors(golden_folder() / (std::string(GetParam()) + ".safetensors"))),
        config_(config_from_json(file_.metadata().at("config"), GetParam())),
        parameters_(config_),
        idx_(raw_values<std::int32_t>(tensor("idx"))),
        targets_(raw_values<std::int32_t>(tensor("targets"))),
        batch_(tensor("idx").shape.at(0)) {
    for (const ParameterInfo& info : parameters_.layout().infos()) {
      const TensorView& stored = tensor("param." + info.name);
      EXPECT_EQ(stored.shape, info.shape) << info.name;
      copy_as_float(stored, parameters_.of(info));
    }
  }

  const TensorView& tensor(const std::string& name) const {
    const TensorView* found = file_.find(name);
    if (found == nullptr) throw std::runtime_error("golden file without " + name);
    return *found;
  }

  std::unique_ptr<TrainableNetwork> network(bool recompute = false) const {
    NetworkOptions options;
    options.plan = {batch_, static_cast<std::int64_t>(idx_.size()) / batch_, true, recompute};
    auto made = make_network(config_, options);
    made->set_parameters(parameters_.data());
    return made;
  }

  LossOptions loss_options() const { return {targets_, 1.0 / static_cast<double>(targets_.size()), kL2Wrap}; }

  void expect_gradients(const FlatParameters& gradients) const {
    for (const ParameterInfo& info : gradients.layout().infos()) {
      expect_gradient(gradients.of(info), floats_of(tensor("grad." + info.name)), 2e-4, info.name);
    }
  }

  WeightFile file_;
  ModelConfig config_;
  FlatParameters parameters_;
  std::vector<std::int32_t> idx_;
  std::vector<std::int32_t> targets_;
  std::int64_t batch_;
};

TEST_P(GoldenModel, LogitsSpikesAndLoss) {
  const auto net = network();
  SpikeRecorder recorder;
  RunOptions run;
  run.probe = &recorder;
  net->forward({idx_, batch_}, run);
  const std::vector<float> expected = floats_of(tensor("logits"));
  std::vector<float> logits(expected.size());
  net->logits(0, static_cast<std::int64_t>(idx_.size()), logits.data());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(logits[i], expected[i], 1e-4) << i;
  const auto sites = spike_sites(config_);
  for (std::size_t s = 0; s < sites.size(); ++s) {
    const auto spikes = raw_values<std::int8_t>(tensor(sites[s].name));
    EXPECT_EQ(recorder.site(static_cast<int>(s)), std::vector<float>(spikes.begin(), spikes.end())) << sites[s].name;
  }
  EXPECT_NEAR(mean_loss(net->losses(targets_)), static_cast<double>(floats_of(tensor("loss"))[0]), 1e-5);
}

TEST_P(GoldenModel, Gradients) {
  const auto net = network();
  FlatParameters gradients(config_);
  net->forward({idx_, batch_}, {});
  net->losses_and_gradients(loss_options(), gradients.data());
  expect_gradients(gradients);
}

TEST_P(GoldenModel, GradientsWithRecomputation) {
  const auto net = network(true);
  FlatParameters gradients(config_);
  net->forward({idx_, batch_}, {});
  net->losses_and_gradients(loss_options(), gradients.data());
  expect_gradients(gradients);
}

TEST_P(GoldenModel, FiveStepsOfAdam) {
  const std::vector<std::int32_t> batches = raw_values<std::int32_t>(tensor("train.batches"));
  const std::vector<float> losses = floats_of(tensor("train.losses"));
  const auto net = network();
  AdamReplay replay(config_, *net, parameters_);
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const std::span<const std::int32_t> all(batches);
    const auto idx = all.subspan(2 * step * idx_.size(), idx_.size());
    const auto targets = all.subspan((2 * step + 1) * idx_.size(), idx_.size());
    EXPECT_NEAR(replay.step({idx, batch_}, targets), static_cast<double>(losses[step]), 1e-4) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel,
                         testing::Values("spikegpt", "spikegpt_ffnpre", "spikegpt_odd", "spikegpt_t1", "spikegpt_b1",
                                         "spikegpt_vreset", "spikegpt_soft_reset_detached", "rwkv", "rwkv_ffnpre",
                                         "event", "event_ffnpre", "event_head", "event_odd", "event_raw_embedding",
                                         "event_graded", "event_graded_ffnpre", "spikegpt_learnable_tau",
                                         "event_learnable_tau", "spikegpt_after", "rwkv_after", "event_after",
                                         "event_payload", "event_payload_before"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace spikegpt::test
