// Tokens that are found in the text itself before any merging: <|endoftext|>, runs of spaces.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// As a tokenizer.json describes it.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  // matches only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space behind it along
  bool normalized = false;   // matched in the normalized text, otherwise in the text as given
};

// A piece of a text: an added token, or what lies between two.
struct TextPiece {
  std::string_view text;
  TokenId token = -1;  // -1 = ordinary text
};

// Finds added tokens, leftmost first, of those that start at the same place the longest. Immutable.
class AddedTokenFinder {
 public:
  // Contents must not be empty.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  // Takes the pieces off the front of `text` one by one; none is empty.
  class Cursor {
   public:
    Cursor(const AddedTokenFinder& finder, std::string_view text) : finder_(finder), text_(text) {}
    bool next(TextPiece& piece);

   private:
    const AddedTokenFinder& finder_;
    std::string_view text_;
    std::size_t done_ = 0;
    std::size_t token_end_ = 0;  // of a token that was found behind a piece handed over
    TokenId token_ = -1;
  };

 private:
  struct Match {
    std::size_t start = 0;
    std::size_t end = 0;
    TokenId token = -1;
  };
  struct Node {
    std::vector<std::pair<unsigned char, int>> children;
    int token = -1;  // index into tokens_ of the token that ends here
  };

  void insert(int token);
  Match find(std::string_view text, std::size_t from) const;
  int longest_at(std::string_view text, std::size_t at) const;
  bool stands_alone(std::string_view text, std::size_t start, std::size_t end) const;
  Match widen(std::string_view text, std::size_t from, Match match, const AddedToken& token) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> starts_{};  // bytes a token starts with
};

}  // namespace spikegpt
