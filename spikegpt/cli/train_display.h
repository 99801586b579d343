// What a person sees of a training run.
#pragma once

#include <memory>
#include <string>

#include "spikegpt/cli/progress.h"
#include "spikegpt/text/tokenizer.h"
#include "spikegpt/train/training_run.h"

namespace spikegpt::cli {

class TrainDisplay final : public TrainingObserver {
 public:
  TrainDisplay(const ModelConfig& model, const TrainConfig& train, const Tokenizer& tokenizer,
               std::string sample_prompt);

  void on_step(const StepReport& report, const RunProgress& progress) override;
  void on_evaluation(std::int64_t step, const EvaluationResult& result, const float* parameters) override;
  std::string sample(std::int64_t step, const float* parameters) override;
  void on_checkpoint(const std::filesystem::path& path) override;
  void on_note(const std::string& text) override;

  void print_start(const Trainer& trainer, const TextCorpus& corpus);
  void print_end(const RunOutcome& outcome, const std::filesystem::path& folder);

 private:
  ModelConfig model_;
  TrainConfig train_;
  const Tokenizer& tokenizer_;
  std::string sample_prompt_;
  StatusLine status_;
};

}  // namespace spikegpt::cli
