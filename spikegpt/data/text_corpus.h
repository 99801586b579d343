// From a text file to the tokens a model learns from and those it is tested on.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "spikegpt/data/token_stream.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

struct CorpusOptions {
  std::filesystem::path data;        // training text
  std::filesystem::path valid;       // held-out text; empty = the end of `data`
  double valid_fraction = 0.05;      // share of `data` held out when `valid` is empty; 0 = none
  std::string tokenizer = "chars";   // a kind that make_tokenizer knows
  std::int64_t ctx_len = 0;          // tokens in a training window T
};

struct TextCorpus {
  std::shared_ptr<const Tokenizer> tokenizer;
  TokenStreamPtr train;
  TokenStreamPtr valid;  // nullptr when nothing is held out
  Unknowns unknowns;     // of `data` and `valid` together
};

// Reads, checks, encodes and splits. `tokenizer`, when given, takes the place of options.tokenizer:
// that of a model being resumed or fine-tuned. Throws Error for a file that is missing, a folder,
// empty, binary, not UTF-8, or too short for one window.
TextCorpus load_text_corpus(const CorpusOptions& options,
                            std::shared_ptr<const Tokenizer> tokenizer = nullptr);

// One file encoded with a tokenizer that exists, for evaluation. The same checks but for length: at
// least two tokens, one to read and one to predict.
struct EncodedFile {
  TokenStreamPtr tokens;
  Unknowns unknowns;
};
EncodedFile encode_text_file(const std::filesystem::path& file, const Tokenizer& tokenizer);

}  // namespace spikegpt
