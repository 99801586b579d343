#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/data/documents.h"
#include "spikegpt/data/indexed_dataset.h"
#include "spikegpt/data/indexed_writer.h"
#include "spikegpt/text/bpe_trainer.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

using Paths = std::vector<std::filesystem::path>;

std::string read_all(const std::filesystem::path& path) {
  if (!path.empty() && path != "-") {
    std::string text = read_text(path);
    refuse_foreign_data(text, path, ForeignData::kInBytes);
    return text;
  }
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

int print_ids(const Tokenizer& tokenizer, const Paths& sources) {
  const std::string text = read_all(sources.empty() ? std::filesystem::path("-") : sources.front());
  const PlainText plain(text, "the text", plain_text_for(check_for(tokenizer)));
  const char* separator = "";
  const Unknowns unknowns = tokenizer.encode_into(plain.text(), [&](std::span<const TokenId> ids) {
    for (const TokenId id : ids) {
      fmt::print("{}{}", separator, id);
      separator = " ";
    }
  });
  fmt::print("\n");
  warn_of_unknown("the text", unknowns, tokenizer);
  return 0;
}

int write_files(const Tokenizer& tokenizer, const Paths& sources, const std::filesystem::path& out, bool force) {
  refuse_output_inside(out, sources);
  const IndexedPaths paths = indexed_paths(out);
  for (const auto& file : {paths.bin, paths.idx}) refuse_other_file(file, "", force);
  install_stop_handler();
  keep_working_when_output_closes();
  StatusLine status;
  const TokenizeSummary summary = tokenize_to_files(sources, tokenizer, out, [&](const TokenizeSummary& done) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted; nothing was written");
    status.update(fmt::format("{} documents, {} tokens", quantity(static_cast<double>(done.documents)),
                              quantity(static_cast<double>(done.tokens))));
  });
  status.clear();
  warn_of_unknown("the text", summary.unknowns, tokenizer);
  fmt::print("{} documents, {} bytes, {} tokens in {}.bin and {}.idx\n", summary.documents, summary.bytes,
             summary.tokens, out.string(), out.string());
  return 0;
}

struct TokenizeFlags {
  bool force = false;
  std::filesystem::path tokenizer;
  Paths sources;
  std::filesystem::path out;
};

struct TokenizerTrainFlags {
  bool force = false;
  Paths sources;
  BpeTrainerOptions options;
  std::filesystem::path out;
};

int train_tokenizer(const TokenizerTrainFlags& flags) {
  refuse_output_inside(flags.out, flags.sources);
  refuse_other_file(flags.out, "", flags.force);
  install_stop_handler();
  keep_working_when_output_closes();
  StatusLine status;
  BpeTrainer trainer(flags.options);
  std::int64_t bytes = 0;
  const auto check_stop = [] {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted; nothing was written");
  };
  for (const auto& source : flags.sources) {
    for_each_document(source, TextCheck::kMostlyText, [&](std::string_view document) {
      check_stop();
      trainer.add(document);
      bytes += static_cast<std::int64_t>(document.size());
      status.update(fmt::format("read {} bytes", quantity(static_cast<double>(bytes))));
    });
  }
  const std::string json = trainer.train([&](std::int64_t done, std::int64_t wanted) {
    check_stop();
    status.update(fmt::format("{} {} of {} merges", bar(static_cast<double>(done) / static_cast<double>(wanted), 20),
                              done, wanted));
  });
  status.clear();
  write_text_atomically(flags.out, json);
  fmt::print("{} tokens learned from {} bytes with {} different words: {}\n", load_tokenizer(flags.out)->vocab_size(),
             bytes, trainer.distinct_words(), flags.out.string());
  return 0;
}

}  // namespace

std::function<int()> add_tokenize(Flags& app) {
  auto flags = std::make_shared<TokenizeFlags>();
  app.add("tokenizer", flags->tokenizer, "tokenizer.json, vocab.json, or the folder of a model").required();
  app.add("sources", flags->sources, "text, folders of text, JSON lines; without: standard input");
  app.add("--out", flags->out, "write OUT.bin and OUT.idx (MMIDIDX) for training");
  add_force_flag(app, flags->force);
  app.footer(
      "Without --out the ids of one text are printed. Examples:\n"
      "  echo \"Hello\" | spikegpt tokenize 20B_tokenizer.json\n"
      "  spikegpt tokenize 20B_tokenizer.json corpus/ --out corpus");
  return [flags] {
    const auto tokenizer = load_tokenizer(flags->tokenizer);
    if (flags->out.empty()) return print_ids(*tokenizer, flags->sources);
    if (flags->sources.empty()) {
      throw Error(ErrorKind::kInvalidArgument, "--out needs the texts to tokenize");
    }
    return write_files(*tokenizer, flags->sources, flags->out, flags->force);
  };
}

std::function<int()> add_detokenize(Flags& app) {
  auto flags = std::make_shared<TokenizeFlags>();
  app.add("tokenizer", flags->tokenizer, "tokenizer.json, vocab.json, or the folder of a model").required();
  app.add("ids", flags->out, "file of token ids; without: standard input");
  app.footer("Example:\n  echo \"12092 1533\" | spikegpt detokenize 20B_tokenizer.json");
  return [flags] {
    const auto tokenizer = load_tokenizer(flags->tokenizer);
    const std::string where = flags->out.empty() ? "standard input" : flags->out.string();
    const std::string text = tokenizer->decode(parse_token_ids(where, read_all(flags->out)));
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  };
}

std::function<int()> add_tokenizer(Flags& app) {
  Flags train = app.subcommand("train", "learn a byte-level BPE from text");
  auto flags = std::make_shared<TokenizerTrainFlags>();
  train.add("--data", flags->sources, "text, folders of text, JSON lines").required();
  train.add("--vocab-size", flags->options.vocab_size, "tokens in all").show_default();
  train.add("--min-frequency", flags->options.min_frequency, "rarer pairs are not merged").show_default();
  train.add("--out", flags->out, "tokenizer.json to write").required();
  add_force_flag(train, flags->force);
  train.footer("Example:\n  spikegpt tokenizer train --data corpus.txt --vocab-size 8192 --out tokenizer.json");
  return [flags] { return train_tokenizer(*flags); };
}

}  // namespace spikegpt::cli
