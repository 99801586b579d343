#include "spikegpt/data/labelled_table.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "spikegpt/core/error.h"
#include "spikegpt/text/lines.h"

namespace spikegpt {
namespace {

using Cells = std::vector<std::string>;

// Cells of a table; quoted ones may hold separators, line ends and doubled quotes.
class TableReader {
 public:
  TableReader(const std::filesystem::path& path, std::string_view text, char separator)
      : path_(path), text_(text), separator_(separator) {}

  bool at_end() const { return at_ >= text_.size(); }
  std::size_t line() const { return line_; }
  // Of the next line that is not blank; no cells at the end. Spreadsheets leave empty cells at the end of lines.
  Cells row() {
    while (!at_end()) {
      first_line_ = line_;
      Cells cells = next_row();
      const auto is_empty = [](const std::string& cell) { return trimmed(cell).empty(); };
      while (cells.size() > 2 && is_empty(cells.back())) cells.pop_back();
      if (!std::all_of(cells.begin(), cells.end(), is_empty)) return cells;
    }
    return {};
  }
  std::size_t first_line() const { return first_line_; }  // of the last row

 private:
  Cells next_row() {
    Cells cells = {cell()};
    while (at_ < text_.size() && text_[at_] == separator_) {
      ++at_;
      cells.push_back(cell());
    }
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
    return cells;
  }

  std::string cell() {
    // In files with tabs a quote is a character like any other.
    if (separator_ == '\t' || at_ >= text_.size() || text_[at_] != '"') {
      const std::size_t end = std::min(text_.find_first_of(std::string{separator_, '\r', '\n'}, at_), text_.size());
      std::string found(text_.substr(at_, end - at_));
      at_ = end;
      return found;
    }
    return quoted_cell();
  }

  std::string quoted_cell() {
    const std::size_t start = line_;
    std::string found;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
        ++at_;
      }
      found += text_[at_];
    }
    if (at_ >= text_.size()) refuse(path_, start, "a quote that is never closed");
    ++at_;
    if (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\r' && text_[at_] != '\n') {
      refuse(path_, line_, "characters behind a closing quote");
    }
    return found;
  }

  const std::filesystem::path& path_;
  std::string_view text_;
  char separator_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t first_line_ = 1;
};

// How many cells every one of the first rows has; 0 where they differ or the separator makes no sense of them.
std::size_t common_width(const std::filesystem::path& path, std::string_view text, char separator) {
  constexpr int kRows = 100;
  TableReader reader(path, text, separator);
  std::size_t width = 0;
  try {
    for (int i = 0; i < kRows; ++i) {
      const Cells cells = reader.row();
      if (cells.empty()) break;
      if (i > 0 && cells.size() != width) return 0;
      width = cells.size();
    }
  } catch (const Error&) {
    return 0;
  }
  return width;
}

char separator_of(const std::filesystem::path& path, std::string_view text) {
  if (path.extension() == ".tsv") return '\t';
  for (const char separator : {',', ';', '\t'}) {
    if (common_width(path, text, separator) >= 2) return separator;
  }
  return ',';
}

std::optional<std::size_t> number_from_one(const std::string& text) {
  std::size_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size() || number == 0) return std::nullopt;
  return number;
}

std::optional<std::size_t> find_name(const Cells& names, const std::string& wanted,
                                     std::span<const std::string_view> usual) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name = lower_case(trimmed(names[i]));
    if (wanted.empty() ? is_among(name, usual) : name == lower_case(wanted)) return i;
  }
  return std::nullopt;
}

struct Places {
  std::size_t label = 0;
  std::size_t text = 1;
  std::size_t width = 2;
  bool has_names = false;  // the first row holds names, no text
  bool is_said = false;    // by flags, so that the first row is a text for sure
};

// Where the flags or a first line with names say; without either two columns, label first.
Places places_of(const std::filesystem::path& path, const Cells& first, std::size_t line,
                 const LabelledColumns& columns) {
  Places places = {0, 1, first.size(), false};
  const auto label = find_name(first, columns.label, kLabelNames);
  const auto text = find_name(first, columns.text, kTextNames);
  if (label && text && label != text) return {*label, *text, first.size(), true};
  const auto label_number = number_from_one(columns.label);
  const auto text_number = number_from_one(columns.text);
  if (label_number && text_number && label_number != text_number) {
    if (std::max(*label_number, *text_number) > first.size()) {
      refuse(path, line, fmt::format("there is no column {}", std::max(*label_number, *text_number)));
    }
    return {*label_number - 1, *text_number - 1, first.size(), false, true};
  }
  if (!columns.label.empty() || !columns.text.empty()) {
    refuse(path, line,
           fmt::format("no columns {} and {} among: {}", columns.label.empty() ? "label" : columns.label,
                       columns.text.empty() ? "text" : columns.text, fmt::join(first, ", ")));
  }
  if (first.size() < 2) refuse(path, line, "expected at least two columns");
  if (first.size() > 2) {
    refuse(path, line,
           fmt::format(
               "{} columns, and no names label and text among: {}; say which they are with --label-column "
               "and --text-column (a name, or a number from 1)",
               first.size(), fmt::join(first, ", ")));
  }
  return places;
}

bool could_be_name(std::string_view cell) {
  constexpr std::size_t kLongest = 40;
  cell = trimmed(cell);
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
  };
  if (cell.empty() || cell.size() > kLongest || !is_letter(cell.front())) return false;
  return std::all_of(cell.begin(), cell.end(),
                     [&](char c) {
                       return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ' ';
                     }) &&
         std::count(cell.begin(), cell.end(), ' ') <= 1;
}

bool is_number(std::string_view cell) {
  double value = 0.0;
  const auto [end, failure] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return failure == std::errc() && end == cell.data() + cell.size();
}

}  // namespace

void refuse_unknown_names(const std::filesystem::path& path, std::span<const LabelledRow> rows) {
  if (rows.size() < 3) return;
  const LabelledRow& first = rows.front();
  const auto others = rows.subspan(1);
  if (!could_be_name(first.label) || !could_be_name(first.text)) return;
  std::map<std::string_view, int> count;
  for (const LabelledRow& row : others) ++count[row.label];
  if (count.contains(first.label)) return;
  const auto all_others = [&](auto&& has) { return std::all_of(others.begin(), others.end(), has); };
  const bool known = is_among(first.label, kLabelNames) || is_among(first.label, kTextNames) ||
                     is_among(trimmed(first.text), kLabelNames) || is_among(trimmed(first.text), kTextNames);
  const bool different =
      all_others([&](const LabelledRow& row) { return count[row.label] > 1; }) ||
      all_others([](const LabelledRow& row) { return is_number(row.label); }) ||
      all_others([](const LabelledRow& row) { return is_number(trimmed(row.text)); }) ||
      all_others([](const LabelledRow& row) { return row.text.find(' ') != std::string::npos; });
  if (!known && !different) return;
  refuse(
      path, first.line,
      fmt::format("\"{}\" and \"{}\" look like names of columns, and are not known: say which is which with "
                  "--label-column and --text-column, or that they are no names with --label-column 1 "
                  "--text-column 2",
                  first.label, trimmed(first.text)));
}

std::vector<LabelledRow> read_labelled_table(const std::filesystem::path& path, std::string_view text,
                                             const LabelledColumns& columns) {
  constexpr std::string_view kSeparatorLine = "sep=";  // by which a spreadsheet says what it separates with
  char separator = separator_of(path, text);
  std::size_t skipped = 0;
  if (text.starts_with(kSeparatorLine) && text.size() > kSeparatorLine.size()) {
    separator = text[kSeparatorLine.size()];
    take_line(text);
    skipped = 1;
  }
  TableReader reader(path, text, separator);
  std::vector<LabelledRow> rows;
  std::optional<Places> places;
  for (Cells cells = reader.row(); !cells.empty(); cells = reader.row()) {
    const std::size_t line = reader.first_line() + skipped;
    if (!places) {
      places = places_of(path, cells, line, columns);
      if (places->has_names) continue;
    }
    if (cells.size() < 2) refuse(path, line, "expected at least two columns");
    if (cells.size() > places->width) {
      refuse(path, line, fmt::format("{} columns, more than the {} of the first line", cells.size(), places->width));
    }
    if (std::max(places->label, places->text) >= cells.size()) refuse(path, line, "fewer columns than the first line");
    rows.push_back({std::string(trimmed(cells[places->label])), cells[places->text], line});
  }
  if (places && !places->has_names && !places->is_said) refuse_unknown_names(path, rows);
  return rows;
}

void refuse(const std::filesystem::path& path, std::size_t line, std::string_view fault) {
  throw Error(ErrorKind::kCorruptFile, "{}, line {}: {}", path.string(), line, fault);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool is_among(std::string_view name, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), lower_case(name)) != names.end();
}

}  // namespace spikegpt
