// Texts with labels, to classify.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace spikegpt {

struct Example {
  std::int32_t label = 0;  // index into LabelledSet::labels
  std::string text;        // UTF-8
  std::size_t line = 0;    // of the file, from 1
};

struct LabelledSet {
  std::vector<std::string> labels;  // sorted; numbers by value
  std::vector<Example> examples;
  std::int64_t from_latin1 = 0;  // lines that were not UTF-8 and were read as Latin-1
};

// Which columns of a table, or fields of JSON lines, hold what: their names in any case, or in a table without names
// their numbers from 1. Empty: one of the usual names, in a table of two columns without names label first.
struct LabelledColumns {
  std::string label;
  std::string text;
};

// By the end of the name: .jsonl and .json have an object a line with "label" and "text"; .csv (separated by comma,
// semicolon or tab) and .tsv have columns with names in the first line; anything else has a label, a tab or spaces,
// and the text. Read as PlainText. Empty lines are left out. Throws Error (kNotFound, kIo, kCorruptFile) that names
// file and line.
LabelledSet read_labelled(const std::filesystem::path& path, const LabelledColumns& columns = {});

// Gives the labels of `set` the numbers that `labels` has. Throws Error (kInvalidArgument) for one that is not among
// them.
void use_labels(const std::vector<std::string>& labels, std::string_view where, LabelledSet& set);

// UTF-8 as it is; anything else as Latin-1.
std::string to_utf8(std::string_view text);

}  // namespace spikegpt
