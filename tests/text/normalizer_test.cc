#include "spikegpt/text/normalizer.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <set>

#include "spikegpt/core/random.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

std::string normalized(NormalForm form, std::string_view text) {
  std::string storage;
  return std::string(normalize(form, text, storage));
}

// The library's own route, whole text at once.
std::string by_library(NormalForm form, const std::string& text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.c_str());
  utf8proc_uint8_t* mapped = form == NormalForm::kNfc    ? utf8proc_NFC(bytes)
                             : form == NormalForm::kNfd  ? utf8proc_NFD(bytes)
                             : form == NormalForm::kNfkc ? utf8proc_NFKC(bytes)
                                                         : utf8proc_NFKD(bytes);
  const std::string result = reinterpret_cast<const char*>(mapped);
  std::free(mapped);
  return result;
}

std::string utf8(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

TEST(Normalizer, ComposesAndKeeps) {
  EXPECT_EQ(normalized(NormalForm::kNfc, "e\u0301 x \u212B"), "\u00E9 x \u00C5");
  EXPECT_EQ(normalized(NormalForm::kNfd, "\u00E9"), "e\u0301");
  EXPECT_EQ(normalized(NormalForm::kNfkc, "\uFB01"), "fi");
  EXPECT_EQ(normalized(NormalForm::kNone, "e\u0301"), "e\u0301");
  std::string storage;
  const std::string plain = "plain \u00E9 \u6F22";
  EXPECT_EQ(normalize(NormalForm::kNfc, plain, storage).data(), plain.data());  // not copied
}

TEST(Normalizer, IllFormedBytesStayAndPart) {
  for (const NormalForm form : {NormalForm::kNfc, NormalForm::kNfkc}) {
    EXPECT_EQ(normalized(form,
                         "e\u0301\xFF"
                         "e\u0301\xC3"),
              "\u00E9\xFF\u00E9\xC3");
    EXPECT_EQ(normalized(form, "e\xFF\u0301"), "e\xFF\u0301");
  }
}

TEST(Normalizer, InertCharactersAreInert) {
  std::set<char32_t> second;  // characters that join one before them
  for (char32_t c = 1; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string parts = by_library(NormalForm::kNfd, utf8(c));
    for (std::string_view rest = parts; !rest.empty();) {
      const Utf8Step step = decode_utf8(rest);
      if (rest.size() != parts.size()) second.insert(step.code_point);
      rest.remove_prefix(static_cast<std::size_t>(step.length));
    }
  }
  for (char32_t c = 1; c <= 0x10FFFF; ++c) {
    if (!is_inert_in_nfc(c)) continue;
    ASSERT_EQ(by_library(NormalForm::kNfc, utf8(c)), utf8(c)) << show_code_point(c);
    ASSERT_EQ(utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class, 0);
    ASSERT_EQ(second.count(c), 0u) << show_code_point(c);
  }
}

TEST(Normalizer, IsTheLibraryOnRandomText) {
  RandomStream random(4, RandomPurpose::kSampling);
  const std::u32string common =
      U"aeiouAEk "
      U"\n\u0301\u0308\u0323\u0327\u0338\u00E9\u212B\u1EC7\u1100\u1161\u11A8\uAC00\u304B\u3099"
      U"\u0915\u093C\u09C7\u09BE\u2126\uFB01\u6F22";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::uint64_t i = 1 + random.next_below(20); i > 0; --i) {
      char32_t c = common[random.next_below(common.size())];
      if (random.next_below(8) == 0) c = 1 + static_cast<char32_t>(random.next_below(0x2FFFF));
      if (c < 0xD800 || c >= 0xE000) append_utf8(text, c);
    }
    for (const NormalForm form : {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc, NormalForm::kNfkd}) {
      ASSERT_EQ(normalized(form, text), by_library(form, text)) << text;
    }
  }
}

TEST(Normalizer, AMillionMarksAreNoTrouble) {
  std::string text = "e";
  for (int i = 0; i < 250'000; ++i) text += "\u0301\u0323";
  const std::string result = normalized(NormalForm::kNfc, text);
  EXPECT_TRUE(result.starts_with("\u1EB9\u0323"));
  EXPECT_TRUE(result.ends_with("\u0301"));
}

}  // namespace
}  // namespace spikegpt
