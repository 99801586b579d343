// From text or tokens in files to what a model learns from and what it is tested on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "spikegpt/data/token_stream.h"
#include "spikegpt/data/window_sampler.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// A text file, a folder of text, JSON lines, or .bin/.idx (documents.h). Several documents have the
// tokenizer's end of text behind each, or a line feed.
struct DataSource {
  std::filesystem::path path;
  double weight = 1;  // share of training windows, relative to the other sources
};

// "PATH" or "PATH:WEIGHT". Throws Error (kInvalidArgument) for a weight that is not positive.
DataSource parse_source(const std::string& text);

struct CorpusOptions {
  std::filesystem::path data;       // training data
  double weight = 1;                // of `data` among all sources
  std::vector<DataSource> more;     // further sources of training data
  std::filesystem::path valid;      // held-out data; empty = the end of every training source
  double valid_fraction = 0.05;     // share held out when `valid` is empty; 0 = none
  std::string tokenizer = "chars";  // a kind that make_tokenizer knows, or a tokenizer's file
  std::int64_t ctx_len = 0;         // tokens in a training window T
  bool count_only = false;          // texts are read and checked, their tokens are not kept
};

struct TextCorpus {
  std::shared_ptr<const Tokenizer> tokenizer;
  TokenStreamPtr train;                 // all sources one behind the other
  TokenStreamPtr valid;                 // nullptr when nothing is held out
  Unknowns train_unknowns;              // what of `train` the vocabulary lacks
  Unknowns valid_unknowns;              // and of `valid`
  std::vector<WeightedStream> sources;  // the parts of `train`, for a WindowSampler
};

// Reads, checks, encodes and splits. `tokenizer`, when given, takes the place of options.tokenizer:
// that of a model being resumed or fine-tuned. Throws Error for data that are missing, empty,
// binary, not UTF-8, or too short for one window.
TextCorpus load_text_corpus(const CorpusOptions& options, std::shared_ptr<const Tokenizer> tokenizer = nullptr);

// One source with a tokenizer that exists, for evaluation. The same checks but for length: at least
// two tokens, one to read and one to predict. With `most_tokens` only so many from the start, and only as much of the
// source is read and checked as they need; the unknowns are theirs.
struct EncodedFile {
  TokenStreamPtr tokens;
  Unknowns unknowns;
};
EncodedFile encode_text_file(const std::filesystem::path& source, const Tokenizer& tokenizer,
                             std::int64_t most_tokens = INT64_MAX);

}  // namespace spikegpt
