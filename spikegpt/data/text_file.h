// A file that is to be read as text, checked once.
#pragma once

#include <filesystem>
#include <string_view>

#include "spikegpt/core/files.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

enum class TextCheck {
  kAnyBytes,    // not empty
  kMostlyText,  // no zero bytes, and at most one in a hundred bytes outside UTF-8
  kUtf8,        // no zero bytes, and UTF-8 throughout
};

// What a tokenizer that exists asks of a file: characters and byte pairs tolerate stray bytes.
TextCheck check_for(const Tokenizer& tokenizer);

class TextFile {
 public:
  // Throws Error: as MappedFile; kInvalidArgument for an empty file and for one that fails the
  // check, with byte and line and what to try.
  TextFile(const std::filesystem::path& path, TextCheck check);
  std::string_view text() const noexcept { return file_.text(); }

 private:
  MappedFile file_;
};

}  // namespace spikegpt
