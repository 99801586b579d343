#include "spikegpt/text/utf8.h"

#include <gtest/gtest.h>

namespace spikegpt {
namespace {

TEST(Utf8, EveryCodePointComesBack) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    std::string text;
    append_utf8(text, code_point);
    const Utf8Step step = decode_utf8(text);
    ASSERT_TRUE(step.valid);
    ASSERT_EQ(step.code_point, code_point);
    ASSERT_EQ(static_cast<std::size_t>(step.length), text.size());
    ASSERT_FALSE(find_invalid_utf8(text));
  }
}

TEST(Utf8, RefusesWhatTheStandardRefuses) {
  for (const std::string_view text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE", "\xC3(", "\xE2\x82(", "\xF0\x9F\x98("}) {
    const Utf8Step step = decode_utf8(text);
    EXPECT_FALSE(step.valid);
    EXPECT_FALSE(step.truncated);
    EXPECT_EQ(find_invalid_utf8(text), 0u);
  }
}

TEST(Utf8, TellsAnEndFromAFault) {
  for (const std::string_view text : {"\xC3", "\xE2\x82", "\xF0", "\xF0\x9F\x98"}) {
    EXPECT_TRUE(decode_utf8(text).truncated);
    EXPECT_EQ(static_cast<std::size_t>(decode_utf8(text).length), text.size());
  }
}

TEST(Utf8, FindsTheFirstFaultBehindLongText) {
  for (std::size_t before = 0; before < 40; ++before) {
    const std::string text = std::string(before, 'x') + "\xC3\xA9\xE9z";
    EXPECT_EQ(find_invalid_utf8(text), before + 2);
  }
  EXPECT_FALSE(find_invalid_utf8(""));
}

TEST(Utf8, IllFormedPartsBecomeOneReplacementEach) {
  // The example of the Unicode standard, table 3-11: maximal subparts.
  std::string out;
  EXPECT_EQ(append_well_formed(out, "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), 0u);
  EXPECT_EQ(out, "\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  out.clear();
  EXPECT_EQ(append_well_formed(out, "a\xE2\x82"), 2u);
  EXPECT_EQ(out, "a");
}

TEST(Utf8, CountsLines) {
  EXPECT_EQ(line_at("a\nb\nc", 0), 1u);
  EXPECT_EQ(line_at("a\nb\nc", 4), 3u);
}

TEST(Utf8, ShowsCharacters) {
  EXPECT_EQ(show_code_point(U'é'), "'é' (U+00E9)");
  EXPECT_EQ(show_code_point(U'\n'), "U+000A");
  EXPECT_EQ(show_code_point(0x1F600), "'\U0001F600' (U+1F600)");
}

}  // namespace
}  // namespace spikegpt
