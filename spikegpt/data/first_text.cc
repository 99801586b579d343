#include "spikegpt/data/first_text.h"

#include <algorithm>
#include <cctype>

#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

std::string_view first_characters(std::string_view text, std::int64_t count) {
  std::size_t end = 0;
  for (; count > 0 && end < text.size(); --count) {
    end += static_cast<std::size_t>(decode_utf8(text.substr(end)).length);
  }
  return text.substr(0, end);
}

std::int64_t count_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::int64_t count = 0;
  tokenizer.encode_into(text, [&](std::span<const TokenId> ids) { count += std::ssize(ids); });
  return count;
}

// The last place where words end for sure in the eyes of every pattern that splits texts for byte pairs: between a
// letter or digit and a blank. What stands before it has the same tokens whatever follows.
std::size_t last_word_end(std::string_view text) {
  for (std::size_t i = text.size(); i-- > 1;) {
    const auto before = static_cast<unsigned char>(text[i - 1]);
    const bool word = std::isalnum(before) != 0 || before >= 0x80;
    if (text[i] == ' ' && word) return i;
  }
  return 0;
}

}  // namespace

FirstText::FirstText(const std::filesystem::path& path, const Tokenizer& tokenizer, std::int64_t tokens) {
  constexpr std::int64_t kMostGuess = std::int64_t{1} << 50;
  constexpr std::size_t kLongestWord = std::size_t{1} << 20;  // longer ones are cut
  const bool by_bytes = tokenizer.kind() == "bytes";
  const bool by_characters = tokenizer.kind() == "chars";
  auto most = static_cast<std::size_t>(std::min(tokens, kMostGuess)) * (by_bytes ? 1 : 8) + 64;
  for (;; most *= 2) {
    file_.emplace(path, check_for(tokenizer), most);
    text_ = file_->text();
    if (by_bytes) text_ = text_.substr(0, static_cast<std::size_t>(std::min(tokens, std::ssize(text_))));
    if (by_characters) text_ = first_characters(text_, tokens);
    if (file_->is_whole()) return;
    if (!by_bytes && !by_characters) {
      const std::size_t end = last_word_end(text_);
      text_ = text_.substr(0, end == 0 && text_.size() > kLongestWord ? text_.size() : end);
    }
    if (count_tokens(tokenizer, text_) >= tokens) return;
  }
}

}  // namespace spikegpt
