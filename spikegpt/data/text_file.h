// A file that is to be read as text, checked once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "spikegpt/core/files.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

enum class TextCheck {
  kAnyBytes,    // not empty
  kMostlyText,  // no zero bytes, and at most one in a hundred bytes outside UTF-8
  kUtf8,        // no zero bytes, and UTF-8 throughout
};

// What a tokenizer that exists asks of a file: characters and byte pairs tolerate stray bytes.
TextCheck check_for(const Tokenizer& tokenizer);

// How bytes that the check is for are read: any bytes as they are but for a mark of UTF-8, text as PlainText does.
PlainTextOptions plain_text_for(TextCheck check);

class TextFile {
 public:
  // Of a file longer than `most_bytes` only so many are read, to the end of a character. Throws Error: as
  // MappedFile, refuse_foreign_data and PlainText; kInvalidArgument for an empty file and for one that fails
  // the check, with byte and line and what to try.
  TextFile(const std::filesystem::path& path, TextCheck check, std::size_t most_bytes = SIZE_MAX);
  std::string_view text() const noexcept { return plain_.text(); }
  bool is_whole() const noexcept { return whole_; }

 private:
  MappedFile file_;
  bool whole_;
  PlainText plain_;
};

}  // namespace spikegpt
