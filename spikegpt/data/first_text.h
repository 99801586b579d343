// The beginning of a text file: as much as its first tokens need, however long the file is.
#pragma once

#include <filesystem>
#include <optional>

#include "spikegpt/data/text_file.h"

namespace spikegpt {

// Text that gives at least `tokens` tokens, the same that the whole file begins with; or the whole text. With byte
// and character tokenizers exactly so many. Only this part of the file is read and checked.
class FirstText {
 public:
  // Throws Error as TextFile.
  FirstText(const std::filesystem::path& path, const Tokenizer& tokenizer, std::int64_t tokens);
  std::string_view text() const noexcept { return text_; }

 private:
  std::optional<TextFile> file_;
  std::string_view text_;  // of file_
};

}  // namespace spikegpt
