// A checkpoint of the public training code and what that code computed with it.
#include <gtest/gtest.h>

#include "spikegpt/kernels/simd.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/model/pth_reader.h"
#include "tests/support/model_case.h"
#include "tests/support/npz.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

class OfficialCheckpoint : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = shared_path("official/a");
    if (!folder) GTEST_SKIP() << "the official checkpoint is not on this machine";
    expected_ = read_npz(*folder / "expected.npz");
    config_.n_layer = 3;
    config_.n_embd = 64;
    config_.vocab_size = 77;
    config_.dropout = 0.0;
    parameters_ = std::make_unique<FlatParameters>(config_);
    read_parameters(read_pth(*folder / "model.pth"), parameters_->layout(), parameters_->data());
    idx_ = expected_.at("idx").as<std::int32_t>();
    targets_ = expected_.at("targets").as<std::int32_t>();
    batch_ = expected_.at("idx").shape.at(0);
    NetworkOptions options;
    options.plan = {batch_, static_cast<std::int64_t>(idx_.size()) / batch_, true, false};
    network_ = make_network(config_, options);
    network_->set_parameters(parameters_->data());
  }

  std::map<std::string, NpyArray> expected_;
  ModelConfig config_;
  std::unique_ptr<FlatParameters> parameters_;
  std::vector<std::int32_t> idx_;
  std::vector<std::int32_t> targets_;
  std::int64_t batch_ = 0;
  std::unique_ptr<TrainableNetwork> network_;
};

TEST_F(OfficialCheckpoint, LogitsLossAndSpikes) {
  SpikeRecorder recorder;
  RunOptions run;
  run.probe = &recorder;
  network_->forward({idx_, batch_}, run);
  const auto logits = expected_.at("logits").as<float>();
  std::vector<float> found(logits.size());
  network_->logits(0, static_cast<std::int64_t>(idx_.size()), found.data());
  for (std::size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(found[i], logits[i], 1e-4) << i;
  EXPECT_NEAR(mean_loss(network_->losses(targets_)), expected_.at("loss").as<double>()[0], 1e-5);
  const auto sites = spike_sites(config_);
  for (std::size_t s = 0; s < sites.size(); ++s) {
    EXPECT_EQ(recorder.site(static_cast<int>(s)), expected_.at(sites[s].name).as<float>()) << sites[s].name;
  }
}

TEST_F(OfficialCheckpoint, Gradients) {
  FlatParameters gradients(config_);
  network_->forward({idx_, batch_}, {});
  network_->losses_and_gradients({targets_, 1.0 / static_cast<double>(targets_.size()), 1e-4f}, gradients.data());
  for (const ParameterInfo& info : gradients.layout().infos()) {
    expect_gradient(gradients.of(info), expected_.at("grad." + info.name).as<float>(), 1e-3, info.name);
  }
}

TEST_F(OfficialCheckpoint, TwentyStepsOfAdam) {
  const NpyArray& stored = expected_.at("train.batches");  // [steps, B, T + 1]
  const auto batches = stored.as<std::int32_t>();
  const auto losses = expected_.at("train.losses").as<double>();
  const auto row = static_cast<std::size_t>(stored.shape.at(2));
  AdamReplay replay(config_, *network_, *parameters_);
  ASSERT_EQ(losses.size(), 20u);
  // The losses come from a CPU with fused multiply-add. Without it products round otherwise, until a spike flips: here
  // at step 14, after which the two runs are different ones.
  const std::size_t comparable = simd_target() == "baseline" ? 10 : losses.size();
  for (std::size_t step = 0; step < comparable; ++step) {
    std::vector<std::int32_t> idx;
    std::vector<std::int32_t> targets;
    for (std::size_t b = 0; b < static_cast<std::size_t>(batch_); ++b) {
      const auto start =
          batches.begin() + static_cast<std::ptrdiff_t>((step * static_cast<std::size_t>(batch_) + b) * row);
      const auto end = start + static_cast<std::ptrdiff_t>(row);
      idx.insert(idx.end(), start, end - 1);
      targets.insert(targets.end(), start + 1, end);
    }
    EXPECT_NEAR(replay.step({idx, batch_}, targets), losses[step], 1e-3) << "step " << step;
  }
}

}  // namespace
}  // namespace spikegpt::test
