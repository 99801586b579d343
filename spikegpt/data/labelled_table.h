// Tables of labelled texts: .csv and .tsv.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/data/labelled_set.h"

namespace spikegpt {

struct LabelledRow {
  std::string label;
  std::string text;
  std::size_t line = 0;
};

// What columns are usually called, in lower case.
inline constexpr std::array<std::string_view, 8> kLabelNames = {"label",  "labels",    "class",    "category",
                                                                "target", "sentiment", "polarity", "rating"};
inline constexpr std::array<std::string_view, 8> kTextNames = {"text",    "texts",   "sentence", "review",
                                                               "content", "comment", "tweet",    "document"};

// A .csv is separated by what cuts its lines into the same number of cells: commas, semicolons or tabs. Quoted cells
// may hold separators, line ends and doubled quotes. Throws Error (kCorruptFile) that names file and line.
std::vector<LabelledRow> read_labelled_table(const std::filesystem::path& path, std::string_view text,
                                             const LabelledColumns& columns);

// Throws Error (kCorruptFile) when the first row of a table without known names looks like names that are not
// known, which would be learned from as a text: both cells are words that could be names, no other row has
// that label, and the other rows look different.
void refuse_unknown_names(const std::filesystem::path& path, std::span<const LabelledRow> rows);

// For readers of labelled texts.
[[noreturn]] void refuse(const std::filesystem::path& path, std::size_t line, std::string_view fault);
std::string_view trimmed(std::string_view text);
std::string lower_case(std::string_view text);  // of ASCII letters
bool is_among(std::string_view name, std::span<const std::string_view> names);

}  // namespace spikegpt
