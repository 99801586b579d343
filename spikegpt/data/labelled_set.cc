#include "spikegpt/data/labelled_set.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/text/lines.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

struct Row {
  std::string label;
  std::string text;
  std::size_t line = 0;
};

[[noreturn]] void refuse(const std::filesystem::path& path, std::size_t line, std::string_view fault) {
  throw Error(ErrorKind::kCorruptFile, "{}, line {}: {}", path.string(), line, fault);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

std::vector<Row> read_plain(const std::filesystem::path& path, std::string_view text) {
  std::vector<Row> rows;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (is_blank(line)) return;
    line = trimmed(line);
    const std::size_t end = line.find_first_of(" \t");
    if (end == std::string_view::npos) refuse(path, number, "expected a label, a space or tab, and a text");
    rows.push_back({std::string(line.substr(0, end)), std::string(trimmed(line.substr(end))), number});
  });
  return rows;
}

std::vector<Row> read_json_lines(const std::filesystem::path& path, std::string_view text) {
  std::vector<Row> rows;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (is_blank(line)) return;
    const Json json = parse_bounded_json(to_utf8(line));
    const char* key = json.is_object() && json.contains("text") ? "text" : "sentence";
    if (!json.is_object() || !json.contains("label") || !json.contains(key) || !json[key].is_string()) {
      refuse(path, number, R"(expected {"label": ..., "text": "..."})");
    }
    const Json& label = json["label"];
    rows.push_back({label.is_string() ? label.get<std::string>() : label.dump(), json[key].get<std::string>(), number});
  });
  return rows;
}

// Cells of a table; quoted ones may hold separators, line ends and doubled quotes.
class TableReader {
 public:
  TableReader(const std::filesystem::path& path, std::string_view text, char separator)
      : path_(path), text_(text), separator_(separator) {}

  bool at_end() const { return at_ >= text_.size(); }
  std::size_t line() const { return line_; }
  std::vector<std::string> row() {
    std::vector<std::string> cells = {cell()};
    while (at_ < text_.size() && text_[at_] == separator_) {
      ++at_;
      cells.push_back(cell());
    }
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
    return cells;
  }

 private:
  std::string cell() {
    // In files with tabs a quote is a character like any other.
    if (separator_ == '\t' || at_ >= text_.size() || text_[at_] != '"') {
      const std::size_t end = std::min(text_.find_first_of(std::string{separator_, '\r', '\n'}, at_), text_.size());
      std::string found(text_.substr(at_, end - at_));
      at_ = end;
      return found;
    }
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
};

std::vector<Row> read_table(const std::filesystem::path& path, std::string_view text, char separator) {
  TableReader reader(path, text, separator);
  std::vector<Row> rows;
  std::size_t label = 0;
  std::size_t content = 1;
  for (bool first = true; !reader.at_end(); first = false) {
    const std::size_t line = reader.line();
    const std::vector<std::string> cells = reader.row();
    if (cells.size() == 1 && trimmed(cells[0]).empty()) continue;
    if (cells.size() < 2) refuse(path, line, "expected at least two columns");
    if (first) {
      const auto find = [&](std::string_view name) {
        return static_cast<std::size_t>(std::find(cells.begin(), cells.end(), name) - cells.begin());
      };
      const std::size_t named = std::min(find("text"), find("sentence"));
      if (find("label") < cells.size() && named < cells.size()) {
        label = find("label");
        content = named;
        continue;
      }
    }
    if (std::max(label, content) >= cells.size()) refuse(path, line, "fewer columns than the first line");
    rows.push_back({std::string(trimmed(cells[label])), cells[content], line});
  }
  return rows;
}

std::optional<double> number_of(const std::string& text) {
  double value = 0.0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool label_before(const std::string& a, const std::string& b) {
  const auto x = number_of(a);
  const auto y = number_of(b);
  if (x && y && *x != *y) return *x < *y;
  if (x.has_value() != y.has_value()) return x.has_value();
  return a < b;
}

}  // namespace

std::string to_utf8(std::string_view text) {
  if (!find_invalid_utf8(text)) return std::string(text);
  std::string converted;
  for (const char c : text) append_utf8(converted, static_cast<unsigned char>(c));
  return converted;
}

LabelledSet read_labelled(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string ending = path.extension().string();
  std::vector<Row> rows = ending == ".jsonl" || ending == ".json" ? read_json_lines(path, file.text())
                          : ending == ".csv"                      ? read_table(path, file.text(), ',')
                          : ending == ".tsv"                      ? read_table(path, file.text(), '\t')
                                                                  : read_plain(path, file.text());
  if (rows.empty()) throw Error(ErrorKind::kCorruptFile, "{} has no labelled text", path.string());
  LabelledSet set;
  for (Row& row : rows) {
    if (row.label.empty()) refuse(path, row.line, "the label is empty");
    if (trimmed(row.text).empty()) refuse(path, row.line, "the text is empty");
    if (find_invalid_utf8(row.text)) {
      ++set.from_latin1;
      row.text = to_utf8(row.text);
    }
    row.label = to_utf8(row.label);
    set.labels.push_back(row.label);
  }
  std::sort(set.labels.begin(), set.labels.end(), label_before);
  set.labels.erase(std::unique(set.labels.begin(), set.labels.end()), set.labels.end());
  std::map<std::string_view, std::int32_t> number;
  for (const std::string& label : set.labels) number.emplace(label, static_cast<std::int32_t>(number.size()));
  for (Row& row : rows) set.examples.push_back({number.at(row.label), std::move(row.text)});
  return set;
}

void use_labels(const std::vector<std::string>& labels, std::string_view where, LabelledSet& set) {
  std::vector<std::int32_t> number;
  for (const std::string& label : set.labels) {
    const auto found = std::find(labels.begin(), labels.end(), label);
    if (found == labels.end()) {
      throw Error(ErrorKind::kInvalidArgument, "{}: label \"{}\" is none of {}", where, label, fmt::join(labels, ", "));
    }
    number.push_back(static_cast<std::int32_t>(found - labels.begin()));
  }
  for (Example& example : set.examples) example.label = number[static_cast<std::size_t>(example.label)];
  set.labels = labels;
}

}  // namespace spikegpt
