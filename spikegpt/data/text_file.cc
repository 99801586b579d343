#include "spikegpt/data/text_file.h"

#include <optional>

#include "spikegpt/core/error.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

void refuse_zero_byte(std::string_view text, const std::string& file) {
  const std::size_t zero = text.find('\0');
  if (zero == std::string_view::npos) return;
  throw Error(ErrorKind::kInvalidArgument,
              "{} is binary, not text: it has a zero byte at {}; give a text file (UTF-16 without a mark: convert it "
              "with iconv -f utf-16le -t utf-8), or read it with --tokenizer bytes",
              file, zero);
}

[[noreturn]] void refuse_encoding(std::string_view text, std::size_t at, const std::string& file) {
  throw Error(ErrorKind::kInvalidArgument,
              "{} is not UTF-8: byte {} (line {}) is 0x{:02X}; convert it (for Latin-1: iconv -f "
              "latin1 -t utf8), or take --tokenizer bytes",
              file, at, line_at(text, at), static_cast<unsigned char>(text[at]));
}

std::size_t count_invalid(std::string_view text) {
  std::size_t count = 0;
  while (const std::optional<std::size_t> at = find_invalid_utf8(text)) {
    ++count;
    text.remove_prefix(*at + static_cast<std::size_t>(decode_utf8(text.substr(*at)).length));
  }
  return count;
}

std::string_view checked(const MappedFile& file, TextCheck check) {
  refuse_foreign_data(file.text(), file.path(),
                      check == TextCheck::kAnyBytes ? ForeignData::kInBytes : ForeignData::kInText);
  return file.text();
}

}  // namespace

TextCheck check_for(const Tokenizer& tokenizer) {
  return tokenizer.kind() == "bytes" ? TextCheck::kAnyBytes : TextCheck::kMostlyText;
}

PlainTextOptions plain_text_for(TextCheck check) {
  const bool text = check != TextCheck::kAnyBytes;
  return {.utf16 = text, .line_feeds = text};
}

TextFile::TextFile(const std::filesystem::path& path, TextCheck check, std::size_t most_bytes)
    : file_(path),
      whole_(checked(file_, check).size() <= most_bytes),
      plain_(file_.text().substr(0, whole_characters(file_.text(), most_bytes)), path.string(),
             plain_text_for(check)) {
  if (text().empty()) {
    throw Error(ErrorKind::kInvalidArgument, "{} is empty; a file with text is needed", path.string());
  }
  if (check == TextCheck::kAnyBytes) return;
  refuse_foreign_data(text(), path);  // a page in UTF-16
  refuse_zero_byte(text(), path.string());
  const std::optional<std::size_t> at = find_invalid_utf8(text());
  if (at && (check == TextCheck::kUtf8 || count_invalid(text()) > text().size() / 100)) {
    refuse_encoding(text(), *at, path.string());
  }
}

}  // namespace spikegpt
