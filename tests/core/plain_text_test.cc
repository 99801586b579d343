#include "spikegpt/core/plain_text.h"

#include <gtest/gtest.h>

#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

std::string plain(std::string_view bytes, PlainTextOptions options = {}) {
  return std::string(PlainText(bytes, "file.txt", options).text());
}

std::string utf16(std::u16string_view text, bool big_endian) {
  std::string bytes;
  for (const char16_t unit : text) {
    const char low = static_cast<char>(unit & 0xFF);
    const char high = static_cast<char>(unit >> 8);
    bytes += big_endian ? high : low;
    bytes += big_endian ? low : high;
  }
  return bytes;
}

TEST(PlainText, AMarkOfUtf8IsDropped) {
  EXPECT_EQ(plain("\xEF\xBB\xBF"
                  "abc"),
            "abc");
  EXPECT_EQ(plain("\xEF\xBB\xBF"), "");
  EXPECT_EQ(plain("a\xEF\xBB\xBF"), "a\xEF\xBB\xBF");
}

TEST(PlainText, Utf16IsDecodedWithAndWithoutMark) {
  for (const bool big_endian : {false, true}) {
    for (const std::u16string_view text :
         {u"Hello, caf\u00E9\n", u"\u041F\u0440\u0438\u0432\u0435\u0442, \u043C\u0438\u0440\n",
          u"smile \U0001F600, so many letters around it, more than twenty\n"}) {
      const std::string bytes = utf16(text, big_endian);
      const std::string marked = utf16(u"\uFEFF", big_endian) + bytes;
      EXPECT_TRUE(is_utf16(bytes));
      EXPECT_EQ(plain(bytes), plain(marked));
      EXPECT_EQ(plain(marked).find('\0'), std::string::npos);
    }
  }
  EXPECT_EQ(plain(utf16(u"\uFEFFcaf\u00E9 \U0001F600", false)), "caf\xC3\xA9 \xF0\x9F\x98\x80");
  expect_error(ErrorKind::kCorruptFile, {"file.txt", "lone UTF-16 surrogate", "byte 2"},
               [] { plain(std::string_view("\xFF\xFE\x00\xD8\x7D\x00", 6)); });
  expect_error(ErrorKind::kCorruptFile, {"odd number"}, [] { plain("\xFF\xFE\x41"); });
}

// As in a .bin of token ids, or any program.
TEST(PlainText, NumbersAreNotTakenForUtf16) {
  std::string ids;
  for (int i = 0; i < 60; ++i) ids += {static_cast<char>(i), '\0'};
  EXPECT_FALSE(is_utf16(ids));
  EXPECT_FALSE(is_utf16(std::string_view("ELF\0\1\2\3\4", 8)));
  EXPECT_FALSE(is_utf16(std::string(1000, '\0')));
  EXPECT_FALSE(is_utf16("plain text"));
  EXPECT_EQ(plain(ids, {.line_feeds = false}), ids);
}

TEST(PlainText, LinesEndWithLineFeeds) {
  EXPECT_EQ(plain("a\r\n\r\nb\rc\r\n"), "a\n\nb\rc\n");
  EXPECT_EQ(plain("a\r\n", {.line_feeds = false}), "a\r\n");
  EXPECT_EQ(plain(utf16(u"\uFEFFa\r\nb", true)), "a\nb");
}

TEST(PlainText, ACutFallsBetweenCharacters) {
  const std::string text = "a\xC3\xA9\xF0\x9F\x98\x80\r\nb";
  const std::size_t ends[] = {0, 1, 1, 3, 3, 3, 3, 7, 7, 9, 10, 10};
  for (std::size_t most = 0; most < std::size(ends); ++most) {
    EXPECT_EQ(whole_characters(text, most), ends[most]) << most;
  }
  const std::string wide = utf16(u"\uFEFFa\U0001F600b", false);
  EXPECT_EQ(whole_characters(wide, 5), 4u);
  EXPECT_EQ(whole_characters(wide, 6), 4u);
  EXPECT_EQ(whole_characters(wide, 8), 8u);
}

}  // namespace
}  // namespace spikegpt
