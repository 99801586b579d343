#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "spikegpt/core/error.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/utf8.h"
#include "spikegpt/text/word_splitter.h"

namespace spikegpt {
namespace {

// Backtracking steps for one match: far beyond any sensible pattern, well below a hang.
constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kHeapLimitKib = 64 * 1024;

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    kFree(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

class RegexSplitter final : public WordSplitter {
 public:
  explicit RegexSplitter(const std::string& pattern) : pattern_(pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error,
                              &offset, nullptr));
    if (!code_) {
      throw Error(ErrorKind::kUnsupported, "the pattern {} cannot be compiled, at byte {}: {}", show_text(pattern),
                  offset, message_of(error));
    }
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // matching works without it too
    limits_.reset(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(limits_.get(), kMatchLimit);
    pcre2_set_heap_limit(limits_.get(), kHeapLimitKib);
  }

  void split(std::string_view text, const WordSink& sink) const override {
    const MatchData match(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    std::size_t done = 0;  // all before is handed over
    for (std::size_t from = 0; from <= text.size();) {
      if (!find(text, from, match.get())) break;
      const PCRE2_SIZE* place = pcre2_get_ovector_pointer(match.get());
      const std::size_t start = place[0];
      const std::size_t end = place[1];
      if (end <= start) {  // \K in a lookahead can even turn them around
        from = next_character(text, std::max(from, start));
        continue;
      }
      if (start > done) sink(text.substr(done, start - done));
      if (start >= done) sink(text.substr(start, end - start));
      from = done = end;
    }
    if (done < text.size()) sink(text.substr(done));
  }

 private:
  bool find(std::string_view text, std::size_t from, pcre2_match_data* match) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int found = pcre2_match(code_.get(), subject, text.size(), from, 0, match, limits_.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_JIT, match, limits_.get());
    }
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    throw Error(ErrorKind::kInvalidArgument, "splitting the text into words by the pattern {} fails at byte {}: {}",
                show_text(pattern_), from, message_of(found));
  }

  static std::size_t next_character(std::string_view text, std::size_t at) {
    if (at >= text.size()) return text.size() + 1;
    return at + static_cast<std::size_t>(decode_utf8(text.substr(at)).length);
  }

  std::string pattern_;
  Code code_;
  MatchContext limits_;
};

}  // namespace

std::unique_ptr<WordSplitter> make_regex_splitter(const std::string& pattern) {
  return std::make_unique<RegexSplitter>(pattern);
}

}  // namespace spikegpt
