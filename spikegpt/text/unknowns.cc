#include "spikegpt/text/unknowns.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace spikegpt {
namespace {

constexpr std::size_t kMaxExamples = 5;
constexpr std::size_t kMaxKinds = 100;

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

bool Unknowns::add(std::string_view shown, std::string where) {
  ++count;
  const auto same = [&](const Example& example) { return example.shown == shown; };
  if (examples.size() >= kMaxExamples || std::any_of(examples.begin(), examples.end(), same)) return false;
  examples.push_back({std::string(shown), std::move(where)});
  return true;
}

void Unknowns::add(const Unknowns& other) {
  const std::int64_t total = count + other.count;
  for (const Example& example : other.examples) add(example.shown, example.where);
  count = total;
}

std::string Unknowns::describe() const {
  if (count == 0) return {};
  std::vector<std::string> shown;
  for (const Example& example : examples) {
    shown.push_back(example.where.empty() ? example.shown
                                          : fmt::format("{} at {}", example.shown, example.where));
  }
  return fmt::format("{} unknown character{}, for example {}", count, count == 1 ? "" : "s",
                     fmt::join(shown, ", "));
}

TextCursor::Position TextCursor::at(std::size_t offset) {
  if (offset < offset_) {
    offset_ = 0;
    position_ = {};
  }
  for (const std::size_t end = std::min(offset, text_.size()); offset_ < end; ++offset_) {
    if (text_[offset_] == '\n') {
      ++position_.line;
      position_.column = 1;
    } else if (starts_character(text_[offset_])) {
      ++position_.column;
    }
  }
  return position_;
}

std::string place_in_text(TextCursor& cursor, const Unknown& unknown) {
  if (!unknown.offset) return {};
  const auto [line, column] = cursor.at(*unknown.offset);
  return fmt::format("line {}, column {}", line, column);
}

std::string place_in_line(TextCursor& cursor, std::size_t line, const Unknown& unknown) {
  if (!unknown.offset) return fmt::format("line {}", line);
  return fmt::format("line {}, character {} of the text", line, cursor.at(*unknown.offset).column);
}

void UnknownPlaces::add(std::int64_t place, std::string_view shown, const std::string& where) {
  auto step = static_cast<std::uint64_t>(place - end_);
  for (; step >= 0x80; step >>= 7) steps_.push_back(static_cast<std::uint8_t>(step | 0x80));
  steps_.push_back(static_cast<std::uint8_t>(step));
  end_ = place;
  const auto kind =
      std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& k) { return k.shown == shown; });
  if (kind != kinds_.end()) {
    kind->last = place;
    kind->last_where = where;
  } else if (kinds_.size() < kMaxKinds) {
    kinds_.push_back({std::string(shown), place, place, where, where});
  }
}

Unknowns UnknownPlaces::part(std::int64_t first, std::int64_t last) const {
  Unknowns unknowns;
  for (const Kind& kind : kinds_) {
    const auto inside = [&](std::int64_t place) { return place >= first && place < last; };
    if (inside(kind.first)) {
      unknowns.add(kind.shown, kind.first_where);
    } else if (inside(kind.last)) {
      unknowns.add(kind.shown, kind.last_where);
    }
  }
  unknowns.count = 0;
  std::int64_t place = 0;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    std::uint64_t step = steps_[i] & 0x7F;
    for (int shift = 7; (steps_[i] & 0x80) != 0; shift += 7) {
      step |= static_cast<std::uint64_t>(steps_[++i] & 0x7F) << shift;
    }
    place += static_cast<std::int64_t>(step);
    if (place >= first && place < last) ++unknowns.count;
  }
  return unknowns;
}

}  // namespace spikegpt
