// What a run can be told beside the recipe: schedules, averages, frozen parameters, other beginnings.
#include <gtest/gtest.h>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class ControlTest : public SmallRuns {
 protected:
  std::vector<float> tensor(const std::string& file, const std::string& name) const {
    return floats_of(read_safetensors(at(file)), name);
  }
  static constexpr const char* kWeights = "/model.safetensors";
};

TEST_F(ControlTest, FrozenParametersStayAndTheOthersLearn) {
  make_model("start", {"--steps", "1", "--lr", "1e-30", "--lr-final", "0", "--freeze", "emb.*", "blocks.*"});
  make_model("end", {"--steps", "20", "--freeze", "emb.*", "blocks.0.att.*", "--weight-decay", "0.1"});
  const WeightFile start = read_safetensors(at("start/model.safetensors"));
  for (const TensorView& view : start.tensors()) {
    const bool frozen = view.name.starts_with("emb.") || view.name.starts_with("blocks.0.att.");
    EXPECT_EQ(tensor(std::string("start") + kWeights, view.name) == tensor(std::string("end") + kWeights, view.name),
              frozen)
        << view.name;
  }
  expect_refused(run(train_args("bad", {"--freeze", "blocks.7.*"})), 1, {"freeze \"blocks.7.*\" fits no parameter"});
  expect_refused(run(train_args("bad", {"--freeze", "*"})), 1, {"no parameter to train"});
  EXPECT_FALSE(std::filesystem::exists(at("bad")));
}

TEST_F(ControlTest, TheAverageIsTheModelAndResumes) {
  const Args flags = {"--steps", "30", "--ema-decay", "0.9", "--save-every", "10", "--eval-every", "10"};
  make_model("whole", flags);
  make_model("cut", flags);
  const WeightFile last = read_safetensors(at("whole/checkpoints/step-000000030.safetensors"));
  EXPECT_NE(last.find("training.average"), nullptr);
  EXPECT_NE(floats_of(last, "head.weight"), tensor("whole/model.safetensors", "head.weight"));
  std::filesystem::remove(at("cut/checkpoints/step-000000030.safetensors"));
  expect_success(run({"train", "--out", "cut", "--resume"}));
  expect_same_tensors(at("whole/model.safetensors"), at("cut/model.safetensors"));
  // The same by hand: the average of what every checkpoint holds.
  make_model("steps", {"--steps", "5", "--ema-decay", "0.5", "--save-every", "1", "--keep", "9"});
  make_model("zero", {"--steps", "1", "--lr", "1e-30", "--lr-final", "0"});
  std::vector<float> average = tensor("zero/model.safetensors", "head.weight");
  for (int step = 1; step <= 5; ++step) {
    const auto now = tensor("steps/checkpoints/step-00000000" + std::to_string(step) + ".safetensors", "head.weight");
    for (std::size_t i = 0; i < now.size(); ++i) average[i] = 0.5f * average[i] + 0.5f * now[i];
  }
  const auto stored = tensor("steps/model.safetensors", "head.weight");
  ASSERT_EQ(stored.size(), average.size());
  for (std::size_t i = 0; i < average.size(); ++i) ASSERT_NEAR(stored[i], average[i], 1e-6);
}

TEST_F(ControlTest, FineTuningBeginsWhereTheOtherModelEnded) {
  make_model("base", {"--steps", "30", "--eval-every", "0"});
  const ProgramResult result = run({"train", "--data", "text.txt", "--out", "tuned", "--from", "base", "--steps", "1",
                                    "--lr", "1e-30", "--lr-final", "0", "--batch-size", "2", "--sample-tokens", "0"});
  expect_success(result);
  expect_words(result.out, {"note: ", "parameters taken from base"});
  expect_same_tensors(at("base/model.safetensors"), at("tuned/model.safetensors"));
  expect_refused(run({"train", "--data", "text.txt", "--out", "bad", "--from", "base", "--preset", "tiny"}), 1,
                 {"--preset and --from"});
  expect_refused(run({"train", "--data", "text.txt", "--out", "bad", "--from", "base", "--n-embd", "32"}), 1,
                 {"base has [15, 16] for emb.weight", "[15, 32]", "--reinit"});
  expect_refused(run({"train", "--data", "text.txt", "--out", "bad", "--from", "base", "--n-layer", "2"}), 1,
                 {"base has no blocks.1.", "--reinit"});
  expect_refused(run({"train", "--data", "text.txt", "--out", "bad", "--from", "none"}), 1, {"none/config.json"});
  expect_refused(run({"train", "--data", "text.txt", "--out", "bad", "--reinit", "head.*"}), 1, {"--from"});
  EXPECT_FALSE(std::filesystem::exists(at("bad")));
}

TEST_F(ControlTest, AnotherVocabularyKeepsTheTokensThatBothKnow) {
  make_model("base", {"--steps", "20", "--eval-every", "0"});
  write("other.txt", small_text(800) + "Zebras! Zebras!\n" + small_text(100));
  const ProgramResult result =
      run({"train", "--data", "other.txt", "--tokenizer", "bytes", "--out", "tuned", "--from", "base", "--steps", "1",
           "--lr", "1e-30", "--lr-final", "0", "--batch-size", "2", "--sample-tokens", "0"});
  expect_success(result);
  expect_words(result.out, {"15 of 256 tokens known"});
  const Json vocabulary = Json::parse(read("base/vocab.json"));
  const auto old_head = tensor("base/model.safetensors", "head.weight");
  const auto new_head = tensor("tuned/model.safetensors", "head.weight");
  for (const auto& [id, text] : vocabulary.items()) {
    const std::size_t from = 16 * std::stoul(id);
    const std::size_t to = 16 * static_cast<unsigned char>(text.get<std::string>().at(0));
    for (std::size_t c = 0; c < 16; ++c) ASSERT_EQ(old_head[from + c], new_head[to + c]) << id;
  }
  EXPECT_EQ(tensor("base/model.safetensors", "blocks.0.att.key.weight"),
            tensor("tuned/model.safetensors", "blocks.0.att.key.weight"));
}

TEST_F(ControlTest, ReinitAndAnotherArchitecture) {
  make_model("base", {"--steps", "10", "--arch", "rwkv", "--eval-every", "0"});
  const Args common = {"--steps", "1", "--lr", "1e-30", "--lr-final", "0", "--batch-size", "2", "--sample-tokens", "0"};
  Args event = {"train", "--data", "text.txt", "--out",    "event", "--from",
                "base",  "--arch", "event",    "--reinit", "head.*"};
  event.insert(event.end(), common.begin(), common.end());
  expect_success(run(event));
  EXPECT_EQ(tensor("base/model.safetensors", "blocks.0.att.key.weight"),
            tensor("event/model.safetensors", "blocks.0.att.key.weight"));
  EXPECT_NE(tensor("base/model.safetensors", "head.weight"), tensor("event/model.safetensors", "head.weight"));
  const Json config = Json::parse(read("event/config.json"));
  EXPECT_EQ(config.at("spike_levels"), 8);
  const auto gain = tensor("event/model.safetensors", "blocks.0.ffn.gain");
  EXPECT_GT(gain.at(0), 0.0f);
}

TEST_F(ControlTest, ADryRunWritesNothing) {
  const ProgramResult result = run(train_args("model", {"--steps", "100", "--dry-run"}));
  expect_success(result);
  expect_words(result.out, {"memory", "disk", "tokens/s", "100 steps", "nothing was written"});
  EXPECT_FALSE(std::filesystem::exists(at("model")));
}

TEST_F(ControlTest, SchedulesEndWhereTheySay) {
  const auto rates = [&](const std::string& schedule) {
    make_model(schedule,
               {"--steps", "20", "--schedule", schedule, "--lr", "1e-3", "--lr-final", "1e-4", "--eval-every", "0"});
    std::vector<double> found;
    for (const Json& line : metrics(schedule)) {
      if (line.contains("lr")) found.push_back(line.at("lr").get<double>());
    }
    return found;
  };
  EXPECT_EQ(rates("constant"), std::vector<double>(20, 1e-3));
  const auto linear = rates("linear");
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(linear[i], 1e-3 - 9e-4 * static_cast<double>(i) / 20.0, 1e-12);
  const auto wsd = rates("wsd");
  EXPECT_NEAR(wsd[15], 1e-3, 1e-12);
  EXPECT_NEAR(wsd[18], 1e-4 + 9e-4 * 0.5, 1e-12);
  expect_refused(run(train_args("bad", {"--schedule", "stairs"})), 1, {"schedule = stairs", "wsd"});
}

}  // namespace
}  // namespace spikegpt::test
