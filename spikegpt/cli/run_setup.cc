#include "spikegpt/cli/run_setup.h"

#include <algorithm>

#include "spikegpt/core/error.h"
#include "spikegpt/kernels/gemm.h"

namespace spikegpt::cli {
namespace {

TextCorpus load_data(const std::filesystem::path& folder, const TrainSettings& settings, RunPurpose purpose) {
  CorpusOptions options;
  options.data = settings.run.data;
  for (const std::string& source : settings.run.more) options.more.push_back(parse_source(source));
  options.valid = settings.run.valid;
  options.valid_fraction = settings.train.valid_fraction;
  options.tokenizer = settings.run.tokenizer;
  options.ctx_len = settings.model.ctx_len;
  options.count_only = purpose == RunPurpose::kEstimate;
  if (purpose != RunPurpose::kResume) return load_text_corpus(options);
  return load_text_corpus(options, load_tokenizer(folder));
}

}  // namespace

RunSetup make_run_setup(const std::filesystem::path& folder, TrainSettings& settings, RunPurpose purpose) {
  validate(settings.train);
  ModelConfig shape = settings.model;  // all of it can be checked but the vocabulary, which the data decide
  shape.vocab_size = std::max(shape.vocab_size, 1);
  validate(shape);
  TextCorpus corpus = load_data(folder, settings, purpose);
  if (settings.model.vocab_size == 0) settings.model.vocab_size = static_cast<int>(corpus.tokenizer->vocab_size());
  check_vocabulary(folder.string(), *corpus.tokenizer, settings.model.vocab_size);
  TrainConfig train = settings.train;
  // A run that began where bf16 can be multiplied goes on without; its settings keep the wish.
  if (purpose == RunPurpose::kResume && train.precision == "bf16" && !can_multiply(GemmPrecision::kBf16)) {
    train.precision = "f32";
  }
  return {folder, settings.model, train, std::move(corpus), settings.run.from, {}};
}

void save_description(const std::filesystem::path& folder, const TrainSettings& settings, const Tokenizer& tokenizer,
                      bool resume) {
  if (!resume || !find_tokenizer(folder)) tokenizer.save(folder);
  save_settings(folder, settings);
}

}  // namespace spikegpt::cli
