// First weights out of another model: fine-tuning, also with another vocabulary.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "spikegpt/data/text_corpus.h"
#include "spikegpt/train/trainer.h"

namespace spikegpt {

// Puts the parameters of the model in `folder` in place of the trainer's, but for those that `reinit` names. Where the
// tokenizers differ, rows of embedding and head go by what their token stands for; tokens that the other model does
// not know keep their fresh row. A gain that the other model lacks is set from the first batch. Then start_anew().
// Returns a sentence about what was taken. Throws Error: as load_model and load_tokenizer; kInvalidArgument for a
// parameter that is missing there, or has another shape.
std::string start_from(const std::filesystem::path& folder, const Tokenizer& tokenizer,
                       std::span<const std::string> reinit, Trainer& trainer);

}  // namespace spikegpt
