#include "spikegpt/text/word_splitter.h"

#include <gtest/gtest.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "spikegpt/core/random.h"
#include "spikegpt/text/character_class.h"
#include "spikegpt/text/utf8.h"
#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

using Words = std::vector<std::string>;

constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Words split(const WordSplitter& splitter, std::string_view text) {
  Words words;
  splitter.split(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

// Whether a pattern matches one character.
class OneCharacter {
 public:
  explicit OneCharacter(const char* pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                          &offset, nullptr);
    match_ = pcre2_match_data_create(1, nullptr);
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
  }
  ~OneCharacter() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  bool operator()(const std::string& text) const {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, PCRE2_NO_UTF_CHECK, match_,
                       nullptr) > 0;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* match_;
};

// PCRE2 counts U+180E as white space, which Unicode gave up in version 6.3, and may know fewer
// characters than we do.
bool comparable(char32_t c, const OneCharacter& unassigned) {
  std::string text;
  append_utf8(text, c);
  return c != 0x180E && !unassigned(text);
}

TEST(CharacterClass, AgreesWithPcreOnEveryCharacter) {
  const OneCharacter letter("\\p{L}");
  const OneCharacter number("\\p{N}");
  const OneCharacter space("\\s");
  const OneCharacter unassigned("\\p{Cn}");
  int compared = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if ((c >= 0xD800 && c < 0xE000) || !comparable(c, unassigned)) continue;
    std::string text;
    append_utf8(text, c);
    const CharacterClass expected = letter(text)   ? CharacterClass::kLetter
                                    : number(text) ? CharacterClass::kNumber
                                    : space(text)  ? CharacterClass::kSpace
                                                   : CharacterClass::kOther;
    ASSERT_EQ(classify(c), expected) << show_code_point(c);
    ++compared;
  }
  EXPECT_GT(compared, 280'000);
}

TEST(Gpt2Splitter, CutsAsTheExamplesDo) {
  const Gpt2Splitter splitter;
  EXPECT_EQ(split(splitter, "Hello world, it's 3pm!"), (Words{"Hello", " world", ",", " it", "'s", " 3", "pm", "!"}));
  EXPECT_EQ(split(splitter, "a  b\n\n c\t"), (Words{"a", " ", " b", "\n\n", " c", "\t"}));
  EXPECT_EQ(split(splitter, "'re're'x 'll"), (Words{"'re", "'re", "'", "x", " '", "ll"}));
  EXPECT_EQ(split(splitter, "\xFF\xFEx \xE2\x82"), (Words{"\xFF\xFE", "x", " \xE2\x82"}));
  EXPECT_EQ(split(splitter, ""), Words());
}

TEST(Gpt2Splitter, IsThePatternOnRandomText) {
  const Gpt2Splitter by_hand;
  const auto by_pattern = make_regex_splitter(kGpt2);
  const OneCharacter unassigned("\\p{Cn}");
  RandomStream random(11, RandomPurpose::kSampling);
  const std::u32string common = U"abstrevmld'''   \t\n\r01 9.,!?_-\u00A0\u3000\u0085\u2028éÄß漢字٣²½\u0301\u200D😀";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::uint64_t i = random.next_below(24); i > 0; --i) {
      char32_t c = common[random.next_below(common.size())];
      if (random.next_below(10) == 0) c = static_cast<char32_t>(random.next_below(0x20000));
      if (c >= 0xD800 && c < 0xE000) c = U'x';
      if (comparable(c, unassigned)) append_utf8(text, c);
      if (random.next_below(40) == 0) text.push_back('\xC3');  // ill-formed now and then
    }
    // An ill-formed part is no character to PCRE2: it stands by itself there. Compare what parts
    // it.
    if (find_invalid_utf8(text)) {
      std::string joined;
      for (const std::string& word : split(by_hand, text)) joined += word;
      EXPECT_EQ(joined, text);
    } else {
      ASSERT_EQ(split(by_hand, text), split(*by_pattern, text)) << text;
    }
  }
}

TEST(RegexSplitter, WhatMatchesNothingIsAWordToo) {
  const auto digits = make_regex_splitter("\\p{N}");
  EXPECT_EQ(split(*digits, "ab12c"), (Words{"ab", "1", "2", "c"}));
  EXPECT_EQ(split(*digits, "abc"), (Words{"abc"}));
  EXPECT_EQ(split(*digits, ""), Words());
  EXPECT_EQ(split(*digits,
                  "\xFF"
                  "1\xC3"),
            (Words{"\xFF", "1", "\xC3"}));
}

TEST(RegexSplitter, EmptyMatchesGetNowhere) {
  EXPECT_EQ(split(*make_regex_splitter("x*"), "axxb\u00E9"), (Words{"a", "xx", "b\u00E9"}));
  EXPECT_EQ(split(*make_regex_splitter("(?=b)"), "abc"), (Words{"abc"}));
  EXPECT_EQ(split(*make_regex_splitter("b\\Kc"), "abcd"), (Words{"ab", "c", "d"}));
}

TEST(RegexSplitter, NamesTheFaultOfAPattern) {
  expect_error(ErrorKind::kUnsupported, {"a(b", "byte 3"}, [] { make_regex_splitter("a(b"); });
}

TEST(RegexSplitter, GivesUpOnPatternsThatTakeForever) {
  const auto hostile = make_regex_splitter("(a+)+(a+)+(a+)+$");
  expect_error(ErrorKind::kInvalidArgument, {"(a+)+", "byte 0"}, [&] { split(*hostile, std::string(60, 'a') + "b"); });
}

}  // namespace
}  // namespace spikegpt
