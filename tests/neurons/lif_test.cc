// The neuron's formulas one by one, by hand; over time they are tested in
// tests/kernels/spike_scan_test.cc.
#include "spikegpt/neurons/kinds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "spikegpt/neurons/heaviside.h"

namespace spikegpt {
namespace {

TEST(Heaviside, FiresAtAndAboveTheThreshold) {
  EXPECT_EQ(heaviside(0.0f), 1.0f);
  EXPECT_EQ(heaviside(-0.0f), 1.0f);
  EXPECT_EQ(heaviside(1e-45f), 1.0f);
  EXPECT_EQ(heaviside(-1e-45f), 0.0f);
  EXPECT_EQ(heaviside(std::numeric_limits<float>::infinity()), 1.0f);
  EXPECT_EQ(heaviside(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(heaviside(std::numeric_limits<float>::quiet_NaN()), 0.0f);
}

// One by one, as SPEC.md 1 fires.
float sum_of_spikes(const Thresholds& thresholds, float z) {
  float sum = 0.0f;
  for (int i = 0; i < thresholds.count(); ++i) {
    const Thresholds::Threshold threshold = thresholds.at(i);
    sum += threshold.slope * heaviside(threshold.offset + threshold.slope * z);
  }
  return sum;
}

TEST(Thresholds, AllTogetherAreTheSumOfEach) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float first : {1.0f, 0.1f, 0.6f, 1.0f / 3.0f, 7.7f, 1e-20f, 3e20f}) {
    for (const Thresholds thresholds :
         {Thresholds{first, 1, true}, Thresholds{first, 3, false}, Thresholds{first, 8, true},
          Thresholds{first, 16, false}, Thresholds{first, 16, true}}) {
      std::vector<float> distances = {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 0.0f, -0.0f,
                                      3e38f,     -3e38f};
      for (int i = 0; i < thresholds.count(); ++i) {
        float z = -thresholds.at(i).slope * thresholds.at(i).offset;
        for (int step = 0; step < 4; ++step) z = std::nextafter(z, -kInfinity);
        for (int step = 0; step < 8; ++step, z = std::nextafter(z, kInfinity)) distances.push_back(z);
      }
      for (int i = -2000; i < 2000; ++i) distances.push_back(first * 0.01f * static_cast<float>(i));
      for (const float z : distances) {
        const float spikes = thresholds.is_signed ? thresholds.spikes<true>(z) : thresholds.spikes<false>(z);
        ASSERT_EQ(spikes, sum_of_spikes(thresholds, z)) << "threshold " << first << ", z " << z;
      }
    }
  }
}

TEST(Lif, Charge) {
  LifParameters p;
  p.tau = 4.0f;
  p.v_reset = -0.5f;
  EXPECT_EQ((Lif<true, true>(p).charge(1.5f, 4.0f)), 1.5f + (4.0f - 2.0f) / 4.0f);
  EXPECT_EQ((Lif<true, false>(p).charge(1.5f, 4.0f)), 1.5f - 2.0f / 4.0f + 4.0f);
}

TEST(Lif, AtRestItStays) {
  LifParameters p;
  p.v_reset = -0.5f;
  p.tau = 3.0f;
  EXPECT_EQ((Lif<true, false>(p).charge(-0.5f, 0.0f)), -0.5f);
  EXPECT_EQ((Lif<true, true>(p).charge(-0.5f, 0.0f)), -0.5f);
}

TEST(Lif, Reset) {
  LifParameters p;
  p.v_threshold = 1.25f;
  p.v_reset = -0.5f;
  EXPECT_EQ((Lif<true, true>(p).reset(2.0f, 1.0f)), -0.5f);
  EXPECT_EQ((Lif<true, true>(p).reset(0.75f, 0.0f)), 0.75f);
  EXPECT_EQ((Lif<false, true>(p).reset(2.0f, 1.0f)), 0.75f);
  EXPECT_EQ((Lif<false, true>(p).reset(0.75f, 0.0f)), 0.75f);
}

TEST(Lif, Derivatives) {
  LifParameters p;
  p.tau = 4.0f;
  p.v_threshold = 1.25f;
  p.v_reset = -0.5f;
  EXPECT_EQ((Lif<true, true>(p).d_reset(2.0f, 1.0f, 0.5f)), (-0.5f - 2.0f) * 0.5f);
  EXPECT_EQ((Lif<true, true>(p).d_reset(0.5f, 0.0f, 0.5f)), 1.0f + (-0.5f - 0.5f) * 0.5f);
  EXPECT_EQ((Lif<false, true>(p).d_reset(2.0f, 1.0f, 0.5f)), 1.0f - 1.25f * 0.5f);
  EXPECT_EQ((Lif<true, true>(p).d_charge_d_membrane()), 0.75f);
  EXPECT_EQ((Lif<true, true>(p).d_charge_d_input()), 0.25f);
  EXPECT_EQ((Lif<true, false>(p).d_charge_d_input()), 1.0f);
  p.detach_reset = true;
  EXPECT_EQ((Lif<true, true>(p).d_reset(2.0f, 1.0f, 0.5f)), 0.0f);
  EXPECT_EQ((Lif<true, true>(p).d_reset(0.5f, 0.0f, 0.5f)), 1.0f);
  EXPECT_EQ((Lif<false, true>(p).d_reset(2.0f, 1.0f, 0.5f)), 1.0f);
}

TEST(Lif, ParametersChooseTheFormula) {
  const auto chosen = [](bool hard_reset, bool decay_input) {
    LifParameters p;
    p.hard_reset = hard_reset;
    p.decay_input = decay_input;
    int found = -1;
    with_neuron(p, [&]<class Neuron>(const Neuron&) {
      found = std::is_same_v<Neuron, Lif<true, true>>    ? 3
              : std::is_same_v<Neuron, Lif<true, false>> ? 2
              : std::is_same_v<Neuron, Lif<false, true>> ? 1
                                                         : 0;
    });
    return found;
  };
  EXPECT_EQ(chosen(true, true), 3);
  EXPECT_EQ(chosen(true, false), 2);
  EXPECT_EQ(chosen(false, true), 1);
  EXPECT_EQ(chosen(false, false), 0);
}

}  // namespace
}  // namespace spikegpt
