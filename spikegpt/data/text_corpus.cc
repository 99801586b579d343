#include "spikegpt/data/text_corpus.h"

#include <algorithm>
#include <cmath>

#include "spikegpt/core/error.h"
#include "spikegpt/data/text_file.h"

namespace spikegpt {
namespace {

// The largest ctx_len that `tokens` tokens allow, as advice in a message.
std::string advice(std::int64_t tokens) {
  if (tokens < 3) return "use more text";
  return fmt::format("use more text, or a ctx_len of at most {}", tokens - 1);
}

void check_fraction(double fraction) {
  if (fraction >= 0 && fraction < 1) return;
  throw Error(ErrorKind::kInvalidArgument,
              "the share of the text held out (valid_fraction) is {}; expected 0 <= share < 1",
              fraction);
}

// Tokens at the end that are held out; at least two, as fewer predict nothing.
std::int64_t held_out_tokens(std::int64_t tokens, double fraction) {
  if (fraction == 0) return 0;
  const auto share = static_cast<std::int64_t>(std::llround(static_cast<double>(tokens) * fraction));
  return std::min(std::max<std::int64_t>(share, 2), tokens);
}

void check_window_fits(const CorpusOptions& options, const Tokenizer& tokenizer,
                       std::int64_t train, std::int64_t held_out) {
  if (train > options.ctx_len) return;
  const std::string rest =
      held_out > 0 ? fmt::format(" after {} are held out for validation", held_out) : std::string();
  throw Error(ErrorKind::kInvalidArgument,
              "{} is too short: it has {} {}s to train on{}, a window of ctx_len = {} and the {} after "
              "it need {}; {}",
              options.data.string(), train, tokenizer.unit(), rest, options.ctx_len,
              tokenizer.unit(), options.ctx_len + 1, advice(train));
}

std::shared_ptr<const Tokenizer> tokenizer_of(const CorpusOptions& options) {
  const TextFile file(options.data, options.tokenizer == "bytes" ? TextCheck::kAnyBytes
                                                                 : TextCheck::kUtf8);
  return make_tokenizer(options.tokenizer, file.text());
}

void split_or_read_held_out(const CorpusOptions& options, TokenStreamPtr all, TextCorpus& corpus) {
  if (!options.valid.empty()) {
    const EncodedFile valid = encode_text_file(options.valid, *corpus.tokenizer);
    corpus.unknowns.add(valid.unknowns);
    corpus.valid = valid.tokens;
  }
  const std::int64_t held_out =
      corpus.valid ? 0 : held_out_tokens(all->size(), options.valid_fraction);
  const std::int64_t train = all->size() - held_out;
  check_window_fits(options, *corpus.tokenizer, train, held_out);
  if (held_out > 0) corpus.valid = slice(all, train, held_out);
  corpus.train = slice(all, 0, train);
}

}  // namespace

EncodedFile encode_text_file(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  const TextFile file(path, check_for(tokenizer));
  TokenStreamBuilder builder(tokenizer.vocab_size());
  EncodedFile encoded;
  encoded.unknowns = tokenizer.encode_into(
      file.text(), [&](std::span<const TokenId> ids) { builder.append(ids); });
  encoded.tokens = builder.finish();
  if (encoded.tokens->size() < 2) {
    throw Error(ErrorKind::kInvalidArgument,
                "{} has {} {}; at least 2 are needed, one to read and one to predict", path.string(),
                encoded.tokens->size(), tokenizer.unit());
  }
  return encoded;
}

TextCorpus load_text_corpus(const CorpusOptions& options,
                            std::shared_ptr<const Tokenizer> tokenizer) {
  check_fraction(options.valid_fraction);
  TextCorpus corpus;
  corpus.tokenizer = tokenizer ? std::move(tokenizer) : tokenizer_of(options);
  EncodedFile data = encode_text_file(options.data, *corpus.tokenizer);
  corpus.unknowns = std::move(data.unknowns);
  split_or_read_held_out(options, std::move(data.tokens), corpus);
  return corpus;
}

}  // namespace spikegpt
