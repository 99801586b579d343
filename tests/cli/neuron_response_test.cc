// One neuron and its picture.
#include "spikegpt/cli/neuron_response.h"

#include <gtest/gtest.h>

#include <limits>

#include "spikegpt/core/files.h"
#include "tests/support/neuron_reference.h"
#include "tests/support/shared_data.h"
#include "tests/text/expect_error.h"

namespace spikegpt::test {
namespace {

ModelConfig of_kind(const char* kind) {
  ModelConfig config = default_config("spikegpt");
  config.vocab_size = 1;
  config.neuron = kind;
  return config;
}

TEST(NeuronResponse, EveryKindFollowsItsFormula) {
  const std::vector<float> current = cli::input_current("step:1.5", 40);
  for (const NeuronInfo* info : kKinds) {
    SCOPED_TRACE(info->name);
    const ModelConfig config = of_kind(info->name);
    const cli::NeuronResponse response = cli::neuron_response(config, current);
    const NeuronParameters neuron = neuron_parameters(config, "lif1");
    reference::NeuronInput in;
    in.x.assign(current.begin(), current.end());
    in.state = reference::rest(neuron);
    for (int i = 0; i < neuron.learned(); ++i)
      in.learned.push_back(static_cast<double>(neuron.first_learned(i, config.tau)));
    const reference::NeuronTrace trace = reference::run(neuron, FireMode::kSpike, in);
    double spikes = 0.0;
    for (std::size_t t = 0; t < current.size(); ++t) {
      const double potential = trace.z[t] + trace.threshold[t];
      EXPECT_NEAR(static_cast<double>(response.potential[t]), potential, 1e-4 * (1.0 + std::abs(potential))) << t;
      EXPECT_NEAR(static_cast<double>(response.threshold[t]), trace.threshold[t], 1e-5) << t;
      EXPECT_EQ(static_cast<double>(response.sent[t]), trace.spike[t]) << t;
      spikes += trace.spike[t];
    }
    EXPECT_GT(spikes, 0.0);
  }
}

TEST(NeuronResponse, CurrentsAreStepsNoiseOrFiles) {
  const std::vector<float> step = cli::input_current("step:2", 20);
  EXPECT_EQ(step.size(), 20u);
  EXPECT_EQ(step[1], 0.0f);
  EXPECT_EQ(step[2], 2.0f);
  EXPECT_EQ(step[15], 2.0f);
  EXPECT_EQ(step[16], 0.0f);
  EXPECT_EQ(cli::input_current("noise", 5), cli::input_current("noise:1", 5));
  EXPECT_NE(cli::input_current("noise", 5), cli::input_current("noise:2", 5));
  const TemporaryDirectory folder;
  const std::string file = (folder.path() / "current.txt").string();
  write_text_atomically(file, "1, 2.5\n-3e-1;0\n");
  EXPECT_EQ(cli::input_current(file, 99), (std::vector<float>{1.0f, 2.5f, -0.3f, 0.0f}));
  const auto refuses = [&](const std::string& text, std::initializer_list<std::string_view> words) {
    write_text_atomically(file, text);
    expect_error(ErrorKind::kInvalidArgument, words, [&] { cli::input_current(file, 99); });
  };
  refuses("1\n2 x3\n", {"line 2", "x3"});
  refuses("1 nan", {"nan"});
  refuses("1 1e30", {"1e30"});
  refuses(" \n", {"no numbers"});
  for (const char* text : {"step:", "step:high", "noise:x"})
    expect_error(ErrorKind::kInvalidArgument, {"--current"}, [&] { cli::input_current(text, 9); });
}

TEST(NeuronResponse, PicturesHoldEveryKindAndExtremes) {
  const std::vector<float> current = cli::input_current("noise", 200);
  std::vector<cli::NeuronResponse> responses;
  for (const NeuronInfo* info : kKinds) responses.push_back(cli::neuron_response(of_kind(info->name), current));
  const std::string svg = cli::response_picture(current, responses).draw(PlotFormat::kSvg);
  EXPECT_NE(svg.find("<svg"), std::string::npos);
  EXPECT_LT(svg.size(), 400000u);
  responses[0].potential[3] = std::numeric_limits<float>::infinity();
  responses[0].threshold[4] = std::numeric_limits<float>::quiet_NaN();
  responses.resize(1);
  EXPECT_EQ(cli::response_picture(current, responses).draw(PlotFormat::kSvg).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace spikegpt::test
