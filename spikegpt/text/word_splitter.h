// Cuts text into the words that a byte-pair encoding treats one by one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace spikegpt {

// Receives the words of a text in order; together they are the text.
using WordSink = std::function<void(std::string_view)>;

// Thread-safe.
class WordSplitter {
 public:
  virtual ~WordSplitter() = default;
  virtual void split(std::string_view text, const WordSink& sink) const = 0;
  // True when cutting a text between an ASCII letter and white space behind it changes no word.
  virtual bool may_cut_behind_letters() const { return false; }
};

// The words of GPT-2 and all that followed it: the matches of
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// one behind the other. Ill-formed bytes count as [^\s\p{L}\p{N}].
class Gpt2Splitter final : public WordSplitter {
 public:
  void split(std::string_view text, const WordSink& sink) const override;
  bool may_cut_behind_letters() const override { return true; }
  // Bytes of the first word of `text`, which must not be empty.
  static std::size_t first_word(std::string_view text) noexcept;
};

// The matches of any pattern (PCRE2, Unicode), and what lies between them as words of their own.
// Throws Error (kUnsupported) that names the place for a pattern that cannot be compiled;
// split throws Error (kInvalidArgument) for a text on which matching takes too long.
std::unique_ptr<WordSplitter> make_regex_splitter(const std::string& pattern);

}  // namespace spikegpt
