#include "spikegpt/data/text_corpus.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

#include "spikegpt/core/error.h"
#include "spikegpt/data/documents.h"
#include "spikegpt/data/first_text.h"
#include "spikegpt/data/indexed_dataset.h"

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
              "the share of the text held out (valid_fraction) is {}; expected 0 <= share < 1", fraction);
}

// Tokens at the end that are held out; at least two, as fewer predict nothing.
std::int64_t held_out_tokens(std::int64_t tokens, double fraction) {
  if (fraction == 0) return 0;
  const auto share = static_cast<std::int64_t>(std::llround(static_cast<double>(tokens) * fraction));
  return std::min(std::max<std::int64_t>(share, 2), tokens);
}

struct Split {
  std::int64_t train = 0;
  std::int64_t held_out = 0;
};

void check_window_fits(const std::filesystem::path& path, const Split& split, std::int64_t ctx_len,
                       const Tokenizer& tokenizer) {
  if (split.train > ctx_len) return;
  const std::string rest =
      split.held_out > 0 ? fmt::format(" after {} are held out for validation", split.held_out) : std::string();
  throw Error(ErrorKind::kInvalidArgument,
              "{} is too short: it has {} {}s to train on{}, a window of ctx_len = {} and the {} after "
              "it need {}; {}",
              path.string(), split.train, tokenizer.unit(), rest, ctx_len, tokenizer.unit(), ctx_len + 1,
              advice(split.train));
}

std::vector<DataSource> all_sources(const CorpusOptions& options) {
  std::vector<DataSource> sources = {{options.data, options.weight}};
  sources.insert(sources.end(), options.more.begin(), options.more.end());
  return sources;
}

bool is_kind(std::string_view name) {
  const std::vector<std::string_view> kinds = tokenizer_kinds();
  return std::find(kinds.begin(), kinds.end(), name) != kinds.end();
}

// The tokenizer that made a .bin: one that lies beside it.
std::shared_ptr<const Tokenizer> tokenizer_beside(const std::filesystem::path& data) {
  const std::filesystem::path folder = data.has_parent_path() ? data.parent_path() : ".";
  if (const auto file = find_tokenizer(folder)) return load_tokenizer(*file);
  throw Error(ErrorKind::kInvalidArgument,
              "{} holds tokens already: say which tokenizer made them, --tokenizer tokenizer.json (or "
              "put that file beside it)",
              data.string());
}

std::shared_ptr<const Tokenizer> tokenizer_of(const CorpusOptions& options) {
  std::error_code unreadable;
  if (!is_kind(options.tokenizer)) {
    if (std::filesystem::exists(options.tokenizer, unreadable)) {
      return load_tokenizer(options.tokenizer);
    }
    throw Error(ErrorKind::kInvalidArgument,
                "there is no tokenizer \"{}\": neither a kind ({}) nor a file (tokenizer.json, "
                "vocab.json) or folder with one",
                options.tokenizer, fmt::join(tokenizer_kinds(), ", "));
  }
  if (options.tokenizer == "bytes") return make_tokenizer("bytes", {});
  if (source_kind(options.data) == SourceKind::kIndexed) return tokenizer_beside(options.data);
  if (options.more.empty() && source_kind(options.data) == SourceKind::kText) {
    return make_tokenizer(options.tokenizer, TextFile(options.data, TextCheck::kUtf8).text());
  }
  std::string text;
  for (const DataSource& source : all_sources(options)) {
    text += read_documents(source.path, TextCheck::kUtf8) + "\n";
  }
  text.pop_back();
  return make_tokenizer(options.tokenizer, text);
}

// Receives the place of an unknown among the tokens of a source, what it is, and where in the source it
// stands.
using SourceUnknownSink =
    std::function<void(std::int64_t place, std::string_view shown, const std::string& where)>;

// Hands over the tokens of all documents, at least the first `most_tokens` where there are so many, and what
// is unknown. No more of the documents is read than these need.
void encode_documents(const std::filesystem::path& path, const Tokenizer& tokenizer, std::int64_t most_tokens,
                      const TokenSink& sink, const SourceUnknownSink& unknown) {
  const bool several = source_kind(path) != SourceKind::kText;
  const std::vector<TokenId> separator = several ? separator_of(tokenizer) : std::vector<TokenId>();
  std::int64_t size = 0;
  std::int64_t number = 0;  // of the document in its file
  const auto append = [&](std::span<const TokenId> ids) {
    sink(ids);
    size += std::ssize(ids);
  };
  for (const auto& file : files_of(path)) {
    number = 0;
    const auto add = [&](std::string_view document) {
      ++number;
      const std::int64_t begin = size;
      TextCursor cursor(document);
      tokenizer.encode_into(document, append, [&](const Unknown& found) {
        unknown(begin + found.place, found.shown,
                (several ? document_name(file, number) : "") + place_in_text(cursor, found));
      });
      append(separator);
      return size < most_tokens;
    };
    if (is_json_lines(file)) {
      for_each_json_line_until(file, add);
    } else if (most_tokens == INT64_MAX) {
      add(TextFile(file, check_for(tokenizer)).text());
    } else {
      add(FirstText(file, tokenizer, most_tokens - size).text());
    }
    if (size >= most_tokens) return;
  }
}

// How much of a source is wanted.
struct Extent {
  std::int64_t most_tokens = INT64_MAX;
  bool count_only = false;
};

struct Encoded {
  TokenStreamPtr tokens;
  UnknownPlaces unknowns;
};

Encoded encode(const std::filesystem::path& source, const Tokenizer& tokenizer, const Extent& extent) {
  Encoded encoded;
  if (source_kind(source) == SourceKind::kIndexed) {
    encoded.tokens = IndexedDataset(source, tokenizer.vocab_size(), extent.most_tokens).tokens();
  } else {
    TokenStreamBuilder builder(tokenizer.vocab_size());
    std::int64_t size = 0;
    const auto append = [&](std::span<const TokenId> ids) {
      if (!extent.count_only) builder.append(ids);
      size += std::ssize(ids);
    };
    encode_documents(source, tokenizer, extent.most_tokens, append,
                     [&](std::int64_t place, std::string_view shown, const std::string& where) {
                       encoded.unknowns.add(place, shown, where);
                     });
    encoded.tokens = extent.count_only ? counted_token_stream(size) : builder.finish();
  }
  if (encoded.tokens->size() > extent.most_tokens) encoded.tokens = slice(encoded.tokens, 0, extent.most_tokens);
  if (encoded.tokens->size() < 2) {
    throw Error(ErrorKind::kInvalidArgument, "{} has {} {}; at least 2 are needed, one to read and one to predict",
                source.string(), encoded.tokens->size(), tokenizer.unit());
  }
  return encoded;
}

void add_source(const CorpusOptions& options, const DataSource& source, TextCorpus& corpus,
                std::vector<TokenStreamPtr>& held_out) {
  const Encoded data = encode(source.path, *corpus.tokenizer, {.count_only = options.count_only});
  Split split;
  if (!corpus.valid) split.held_out = held_out_tokens(data.tokens->size(), options.valid_fraction);
  split.train = data.tokens->size() - split.held_out;
  check_window_fits(source.path, split, options.ctx_len, *corpus.tokenizer);
  corpus.train_unknowns.add(data.unknowns.part(0, split.train));
  corpus.valid_unknowns.add(data.unknowns.part(split.train, split.train + split.held_out));
  if (split.held_out > 0) held_out.push_back(slice(data.tokens, split.train, split.held_out));
  corpus.sources.push_back({slice(data.tokens, 0, split.train), source.weight});
}

}  // namespace

DataSource parse_source(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::error_code unreadable;
  if (colon == std::string::npos || std::filesystem::exists(text, unreadable)) return {text, 1};
  double weight = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data() + colon + 1, end, weight);
  if (failure != std::errc() || stop != end || !(weight > 0) || !std::isfinite(weight)) {
    throw Error(ErrorKind::kInvalidArgument,
                "\"{}\": expected a file, or a file and its weight as in corpus.txt:0.5, a number above "
                "zero",
                text);
  }
  return {text.substr(0, colon), weight};
}

EncodedFile encode_text_file(const std::filesystem::path& source, const Tokenizer& tokenizer,
                             std::int64_t most_tokens) {
  Encoded encoded = encode(source, tokenizer, {.most_tokens = most_tokens});
  return {std::move(encoded.tokens), encoded.unknowns.part(0, most_tokens)};
}

TextCorpus load_text_corpus(const CorpusOptions& options, std::shared_ptr<const Tokenizer> tokenizer) {
  check_fraction(options.valid_fraction);
  TextCorpus corpus;
  corpus.tokenizer = tokenizer ? std::move(tokenizer) : tokenizer_of(options);
  if (!options.valid.empty()) {
    Encoded valid = encode(options.valid, *corpus.tokenizer, {.count_only = options.count_only});
    corpus.valid_unknowns = valid.unknowns.part(0, INT64_MAX);
    corpus.valid = std::move(valid.tokens);
  }
  std::vector<TokenStreamPtr> held_out;
  for (const DataSource& source : all_sources(options)) {
    add_source(options, source, corpus, held_out);
  }
  if (!held_out.empty()) corpus.valid = concatenate(std::move(held_out));
  std::vector<TokenStreamPtr> train;
  for (const WeightedStream& source : corpus.sources) train.push_back(source.tokens);
  corpus.train = concatenate(std::move(train));
  return corpus;
}

}  // namespace spikegpt
