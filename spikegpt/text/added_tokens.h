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
  struct Match {
    std::size_t start = 0;
    std::size_t end = 0;
    std::size_t content_end = 0;  // before rstrip
    TokenId token = -1;
  };

 public:
  // Contents must not be empty.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  // Takes the pieces off the front of `text` one by one; none is empty. The search goes on behind
  // the content of a token even where rstrip took white space along, so that, as in the reference,
  // a token of white space is found there once more.
  class Cursor {
   public:
    Cursor(const AddedTokenFinder& finder, std::string_view text) : finder_(finder), text_(text) {}
    bool next(TextPiece& piece);

   private:
    const AddedTokenFinder& finder_;
    std::string_view text_;
    std::size_t done_ = 0;    // all before is handed over
    std::size_t search_ = 0;  // where the next token may start
    Match found_;             // a token behind the piece handed over last
  };

 private:
  struct Node {
    std::vector<std::pair<unsigned char, int>> children;
    int token = -1;  // index into tokens_ of the token that ends here
  };

  void insert(int token);
  // The first token from `from` on; lstrip takes nothing from before `done`.
  Match find(std::string_view text, std::size_t from, std::size_t done) const;
  int longest_at(std::string_view text, std::size_t at) const;
  bool stands_alone(std::string_view text, std::size_t start, std::size_t end) const;
  static Match widen(std::string_view text, std::size_t done, Match match, const AddedToken& token);

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> starts_{};  // bytes a token starts with
};

}  // namespace spikegpt
