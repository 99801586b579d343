#include "spikegpt/data/labelled_set.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/data/labelled_table.h"
#include "spikegpt/text/lines.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

// A label, blanks and the text. Flags may say so, which makes sure that the first line holds no names.
std::vector<LabelledRow> read_plain(const std::filesystem::path& path, std::string_view text,
                                    const LabelledColumns& columns) {
  const bool is_said = columns.label == "1" && columns.text == "2";
  if (!is_said && !(columns.label.empty() && columns.text.empty())) {
    throw Error(
        ErrorKind::kInvalidArgument,
        "{}: a file of labels and texts without columns; --label-column and --text-column are for .csv, .tsv "
        "and .jsonl",
        path.string());
  }
  std::vector<LabelledRow> rows;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (is_blank(line)) return;
    line = trimmed(line);
    const std::size_t end = line.find_first_of(" \t");
    if (end == std::string_view::npos) refuse(path, number, "expected a label, a space or tab, and a text");
    rows.push_back({std::string(line.substr(0, end)), std::string(trimmed(line.substr(end))), number});
  });
  if (!is_said) refuse_unknown_names(path, rows);
  return rows;
}

const Json* find_field(const Json& object, const std::string& wanted, std::span<const std::string_view> usual) {
  for (const auto& [key, value] : object.items()) {
    if (wanted.empty() ? is_among(key, usual) : lower_case(key) == lower_case(wanted)) return &value;
  }
  return nullptr;
}

std::string label_of(const Json& label, const std::filesystem::path& path, std::size_t line) {
  if (label.is_string()) return label.get<std::string>();
  if (label.is_number() || label.is_boolean()) return label.dump();
  refuse(path, line, fmt::format("the label is {}; expected a text or a number", label.type_name()));
}

std::vector<LabelledRow> read_json_lines(const std::filesystem::path& path, std::string_view text,
                                         const LabelledColumns& columns) {
  std::vector<LabelledRow> rows;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (is_blank(line)) return;
    const Json json = parse_bounded_json(to_utf8(line));
    const Json* const label = json.is_object() ? find_field(json, columns.label, kLabelNames) : nullptr;
    const Json* const content = json.is_object() ? find_field(json, columns.text, kTextNames) : nullptr;
    if (label == nullptr || content == nullptr || !content->is_string()) {
      refuse(
          path, number,
          fmt::format(R"(expected {{"{}": ..., "{}": "..."}}; other names: --label-column, --text-column)",
                      columns.label.empty() ? "label" : columns.label, columns.text.empty() ? "text" : columns.text));
    }
    rows.push_back({label_of(*label, path, number), content->get<std::string>(), number});
  });
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

LabelledSet read_labelled(const std::filesystem::path& path, const LabelledColumns& columns) {
  const MappedFile file(path);
  refuse_foreign_data(file.text(), path);
  const PlainText plain(file.text(), path.string());
  const std::string_view text = plain.text();
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw Error(ErrorKind::kCorruptFile, "{} is binary, not text: it has a zero byte at {}", path.string(), zero);
  }
  const std::string ending = path.extension().string();
  const bool table = ending == ".csv" || ending == ".tsv";
  std::vector<LabelledRow> rows = ending == ".jsonl" || ending == ".json"
                                      ? read_json_lines(path, text, columns)
                                  : table ? read_labelled_table(path, text, columns)
                                          : read_plain(path, text, columns);
  if (rows.empty()) throw Error(ErrorKind::kCorruptFile, "{} has no labelled text", path.string());
  LabelledSet set;
  for (LabelledRow& row : rows) {
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
  for (LabelledRow& row : rows) set.examples.push_back({number.at(row.label), std::move(row.text), row.line});
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
