// What of a text a vocabulary lacks: counted, with a few examples and where they stand.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt {

// A character, or a byte of no character, that the vocabulary lacks.
struct Unknown {
  std::int64_t place = 0;  // in the ids: of its stand-in, or of the next id; for byte pairs of its word
  std::optional<std::size_t> offset;  // of its first byte in the text, where that is known
  std::string_view shown;             // "'é' (U+00E9)"; valid during the call only
};
using UnknownSink = std::function<void(const Unknown&)>;

struct Unknowns {
  struct Example {
    std::string shown;
    std::string where;  // of the first such: "line 3, column 9"
    bool operator==(const Example&) const = default;
  };

  std::int64_t count = 0;
  std::vector<Example> examples;  // a few distinct ones

  // Counts one; returns whether it became an example.
  bool add(std::string_view shown, std::string where = {});
  void add(const Unknowns& other);
  // "3 unknown characters, for example 'é' (U+00E9) at line 3, column 9"; empty when there is none.
  std::string describe() const;
};

// Line and column, in characters from 1, of places of a text that are asked for from its beginning to its
// end.
class TextCursor {
 public:
  struct Position {
    std::size_t line = 1;
    std::size_t column = 1;
  };

  explicit TextCursor(std::string_view text) : text_(text) {}
  Position at(std::size_t offset);

 private:
  std::string_view text_;
  std::size_t offset_ = 0;
  Position position_;
};

// "line 3, column 9", or nothing where the offset is not known.
std::string place_in_text(TextCursor& cursor, const Unknown& unknown);

// The same for a text that stands in line `line` of a file: "line 7, character 5 of the text".
std::string place_in_line(TextCursor& cursor, std::size_t line, const Unknown& unknown);

// The unknowns of tokens that are divided later: which part each belongs to is known when all are counted.
class UnknownPlaces {
 public:
  // In the order of their places. `where` is where it stands in the text.
  void add(std::int64_t place, std::string_view shown, const std::string& where);
  // Those in tokens [first, last), with examples out of the first hundred kinds.
  Unknowns part(std::int64_t first, std::int64_t last) const;
  bool empty() const noexcept { return steps_.empty(); }

 private:
  struct Kind {
    std::string shown;
    std::int64_t first = 0;  // places of the first and the last
    std::int64_t last = 0;
    std::string first_where;
    std::string last_where;
  };

  std::vector<std::uint8_t> steps_;  // from place to place, in groups of seven bits: mostly a byte each
  std::int64_t end_ = 0;             // the last place
  std::vector<Kind> kinds_;
};

}  // namespace spikegpt
