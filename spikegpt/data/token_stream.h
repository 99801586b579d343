// An immutable sequence of tokens, wherever it lies: memory, part of another stream, a mapped file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// May be read from several threads at once.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  virtual std::int64_t size() const noexcept = 0;
  // Copies tokens [first, first + out.size()), which must lie within the stream.
  void read(std::int64_t first, std::span<TokenId> out) const;

 private:
  virtual void read_checked(std::int64_t first, std::span<TokenId> out) const = 0;
};

using TokenStreamPtr = std::shared_ptr<const TokenStream>;

// One that knows how long it is and holds nothing: not to be read.
TokenStreamPtr counted_token_stream(std::int64_t size);

// Tokens in memory. Throws Error (kInvalidArgument) for an id outside [0, vocab_size).
TokenStreamPtr make_token_stream(std::span<const TokenId> ids, std::int64_t vocab_size);

// Collects tokens in two bytes each where the vocabulary allows it, otherwise in four.
class TokenStreamBuilder {
 public:
  explicit TokenStreamBuilder(std::int64_t vocab_size) : vocab_size_(vocab_size) {}
  // Throws Error (kInvalidArgument) for an id outside the vocabulary.
  void append(std::span<const TokenId> ids);
  std::int64_t size() const noexcept;
  // The stream; the builder is empty afterwards.
  TokenStreamPtr finish();

 private:
  bool is_narrow() const noexcept { return vocab_size_ <= 65536; }

  std::int64_t vocab_size_;
  std::vector<std::uint16_t> narrow_;
  std::vector<std::int32_t> wide_;
};

// Tokens [first, first + count) of `whole`, without a copy.
TokenStreamPtr slice(TokenStreamPtr whole, std::int64_t first, std::int64_t count);

// One stream behind the other, without a copy; `parts` must not be empty.
TokenStreamPtr concatenate(std::vector<TokenStreamPtr> parts);

}  // namespace spikegpt
