// Text to token ids and back: the interface every tokenizer fits, and the registry of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spikegpt/text/unknowns.h"

namespace spikegpt {

using TokenId = std::int32_t;

struct Encoding {
  std::vector<TokenId> ids;
  Unknowns unknowns;
};

// Receives the ids of a text in order, a block at a time. The span is valid during the call only.
using TokenSink = std::function<void(std::span<const TokenId>)>;

// Immutable after construction; every method may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // "bytes", "chars" or "bpe".
  virtual std::string_view kind() const noexcept = 0;
  // What one token is, as in bits per ...: "byte", "character" or "token".
  virtual std::string_view unit() const noexcept = 0;

  // Ids are in [0, vocab_size()).
  std::int64_t vocab_size() const noexcept { return static_cast<std::int64_t>(tokens_.size()); }

  // What cannot be represented gets a stand-in token and is counted.
  Encoding encode(std::string_view text) const;
  // The same for texts whose ids need not be in memory at once.
  Unknowns encode_into(std::string_view text, const TokenSink& sink) const;
  // And with a say in which of the unknown count.
  virtual void encode_into(std::string_view text, const TokenSink& sink,
                           const UnknownSink& unknown) const = 0;

  // What stands for the unknown; nothing where it is left out or cannot occur.
  virtual std::optional<TokenId> stand_in() const { return std::nullopt; }

  // The bytes a token stands for; not always whole UTF-8 characters.
  // Throws Error (kInvalidArgument) for an id outside the vocabulary.
  std::string_view token_bytes(TokenId id) const;
  std::string decode(std::span<const TokenId> ids) const;

  // The token between documents, where the vocabulary has one.
  virtual std::optional<TokenId> end_of_text() const { return std::nullopt; }

  // Writes the file by which load_tokenizer(folder) makes the same tokenizer again, and removes the
  // file of another kind that would be taken in its stead. Throws Error (kIo).
  virtual void save(const std::filesystem::path& folder) const = 0;

 protected:
  // The bytes of every id.
  explicit Tokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}

 private:
  std::vector<std::string> tokens_;
};

// Reads the tokenizer of a model folder (tokenizer.json, else vocab.json), or a file of either
// kind. Throws Error: kNotFound, kCorruptFile, kUnsupported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder_or_file);

// The tokenizer for a model with a vocabulary of `vocab_size`: what every command calls that has both. The
// vocabulary may be larger, for round sizes. Throws Error: as above, and as check_vocabulary.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder_or_file,
                                          std::int64_t vocab_size);

// Throws Error (kInvalidArgument) that names `where` when the tokenizer has tokens that the model does not.
void check_vocabulary(std::string_view where, const Tokenizer& tokenizer, std::int64_t vocab_size);

// The file in `folder` that load_tokenizer(folder) reads, if there is one.
std::optional<std::filesystem::path> find_tokenizer(const std::filesystem::path& folder);

// A tokenizer of a kind that needs no file: "bytes", or "chars" with the vocabulary of `corpus`.
// Throws Error (kInvalidArgument) for an unknown kind, naming the known ones, and for a corpus that
// the kind cannot hold.
std::unique_ptr<Tokenizer> make_tokenizer(std::string_view kind, std::string_view corpus);

// The kinds make_tokenizer knows, in the order of its table.
std::vector<std::string_view> tokenizer_kinds();

}  // namespace spikegpt
