#include "spikegpt/text/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "spikegpt/core/files.h"
#include "spikegpt/text/char_tokenizer.h"
#include "spikegpt/text/streaming_decoder.h"
#include "spikegpt/text/utf8.h"
#include "tests/support/shared_data.h"
#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

using Ids = std::vector<TokenId>;

std::string all_bytes_twice() {
  std::string text;
  for (int i = 0; i < 512; ++i) text.push_back(static_cast<char>(i % 256));
  return text;
}

std::string long_text() {  // longer than the block a tokenizer hands over
  std::string text;
  while (text.size() < 50'000) text += "Blüte, Ärger & 漢字 — 😀\n";
  return text;
}

TEST(ByteTokenizer, AnyBytesComeBack) {
  const auto tokenizer = make_tokenizer("bytes", "");
  EXPECT_EQ(tokenizer->vocab_size(), 256);
  EXPECT_EQ(tokenizer->kind(), "bytes");
  EXPECT_EQ(tokenizer->unit(), "byte");
  for (const std::string& text : {all_bytes_twice(), long_text(), std::string()}) {
    const Encoding encoding = tokenizer->encode(text);
    EXPECT_EQ(encoding.unknowns.count, 0);
    EXPECT_EQ(encoding.ids.size(), text.size());
    EXPECT_EQ(tokenizer->decode(encoding.ids), text);
  }
  EXPECT_EQ(tokenizer->encode("\xFF\x01").ids, (Ids{255, 1}));
}

TEST(CharTokenizer, VocabularyIsTheCorpusByCodePoint) {
  const auto tokenizer = make_tokenizer("chars",
                                        "b\xC3\xA9"
                                        "a\nb\U0001F600");
  EXPECT_EQ(tokenizer->vocab_size(), 5);
  EXPECT_EQ(tokenizer->unit(), "character");
  EXPECT_EQ(tokenizer->encode("\nab\u00E9\U0001F600").ids, (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(tokenizer->token_bytes(3), "\u00E9");
}

TEST(CharTokenizer, LongTextComesBack) {
  const std::string text = long_text();
  const auto tokenizer = make_tokenizer("chars", text);
  const Encoding encoding = tokenizer->encode(text);
  EXPECT_EQ(encoding.unknowns.count, 0);
  EXPECT_EQ(tokenizer->decode(encoding.ids), text);
}

TEST(CharTokenizer, UnknownCharactersAreCountedAndBecomeSpaces) {
  const auto tokenizer = make_tokenizer("chars", "ab c");
  const Encoding encoding = tokenizer->encode("a\u00E9b\u00E9\U0001F600\xFFz");
  EXPECT_EQ(tokenizer->decode(encoding.ids), "a b    ");
  EXPECT_EQ(encoding.unknowns.count, 5);
  EXPECT_EQ(encoding.unknowns.examples,
            (std::vector<Unknowns::Example>{{"'\u00E9' (U+00E9)", "line 1, column 2"},
                                            {"'\U0001F600' (U+1F600)", "line 1, column 5"},
                                            {"byte 0xFF", "line 1, column 6"},
                                            {"'z' (U+007A)", "line 1, column 7"}}));
}

TEST(CharTokenizer, WithoutASpaceTheStandInIsTheFirst) {
  const auto tokenizer = make_tokenizer("chars", "xyz");
  EXPECT_EQ(tokenizer->encode("y?").ids, (Ids{1, 0}));
}

TEST(CharTokenizer, RefusesCorporaItCannotHold) {
  expect_error(ErrorKind::kInvalidArgument, {"byte 7", "line 2", "--tokenizer bytes"},
               [] { make_tokenizer("chars", "abcd\nxy\xE9z"); });
  expect_error(ErrorKind::kInvalidArgument, {"empty"}, [] { make_tokenizer("chars", ""); });
}

TEST(Tokenizer, UnknownKindNamesTheKnownOnes) {
  expect_error(ErrorKind::kInvalidArgument, {"\"words\"", "bytes, chars"}, [] { make_tokenizer("words", "text"); });
}

TEST(Tokenizer, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = make_tokenizer("chars", "abc");
  const Ids ids = {0, 3};
  expect_error(ErrorKind::kInvalidArgument, {"3", "vocabulary of 3"}, [&] { tokenizer->decode(ids); });
  expect_error(ErrorKind::kInvalidArgument, {"-1"}, [&] { tokenizer->token_bytes(-1); });
}

TEST(Tokenizer, SavedIsLoaded) {
  const std::string text = "Käse \"\\\n\t\x01\x7F \u2028 \U0001F600";
  for (const char* kind : {"bytes", "chars"}) {
    const TemporaryDirectory folder;
    const auto tokenizer = make_tokenizer(kind, text);
    tokenizer->save(folder.path());
    const auto loaded = load_tokenizer(folder.path());
    EXPECT_EQ(loaded->kind(), kind);
    EXPECT_EQ(loaded->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(loaded->encode(text).ids, tokenizer->encode(text).ids);
    EXPECT_EQ(loaded->decode(loaded->encode(text).ids), text);
  }
}

TEST(Tokenizer, TheLastSavedWins) {
  const TemporaryDirectory folder;
  make_tokenizer("bytes", "")->save(folder.path());
  make_tokenizer("chars", "ab")->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->kind(), "chars");
  make_tokenizer("bytes", "")->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->kind(), "bytes");
}

std::string utf16(std::u16string_view text, bool big_endian) {
  std::string bytes;
  for (const char16_t unit : u"\uFEFF" + std::u16string(text)) {
    const char low = static_cast<char>(unit & 0xFF);
    const char high = static_cast<char>(unit >> 8);
    bytes += big_endian ? std::string{high, low} : std::string{low, high};
  }
  return bytes;
}

class VocabularyFile : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> load(std::string_view content) {
    std::ofstream(folder_ / "vocab.json", std::ios::binary) << content;
    return load_tokenizer(folder_.path());
  }
  void expect_refused(std::string_view content, std::initializer_list<std::string_view> words,
                      ErrorKind kind = ErrorKind::kCorruptFile) {
    expect_error(kind, {"vocab.json"}, [&] { load(content); });
    expect_error(kind, words, [&] { load(content); });
  }
  TemporaryDirectory folder_;
};

TEST_F(VocabularyFile, AllEncodingsAreRead) {
  const std::u16string text = u"{\"0\": \"\\n\", \"1\": \"a\", \"2\": \"\u00E9\", \"3\": \"\U0001F600\"}";
  for (const bool big_endian : {false, true}) {
    EXPECT_EQ(load(utf16(text, big_endian))->decode(Ids{3, 2, 1, 0}),
              "\U0001F600\u00E9"
              "a\n");
  }
  const char* utf8 = "{\"0\": \"\\n\", \"3\": \"\\ud83d\\ude00\", \"1\": \"a\", \"2\": \"é\"}";
  EXPECT_EQ(load(utf8)->decode(Ids{3, 2, 1, 0}),
            "\U0001F600\u00E9"
            "a\n");
  EXPECT_EQ(load(std::string("\xEF\xBB\xBF") + utf8)->vocab_size(), 4);
}

TEST_F(VocabularyFile, SaysWhatIsWrong) {
  expect_refused("", {"not JSON"});
  expect_refused("{\"0\": \"a\"", {"not JSON", "byte 10"});
  expect_refused("{\"0\": \"\xFF\"}", {"not JSON"});
  expect_refused("[\"a\"]", {"expected a JSON object"});
  expect_refused("{}", {"expected a JSON object"});
  expect_refused("{\"0\": \"a\", \"2\": \"b\"}", {"\"2\" is no id", "vocabulary of 2"});
  expect_refused("{\"0\": \"a\", \"x\": \"b\"}", {"\"x\" is no id"});
  expect_refused("{\"0\": \"a\", \"-1\": \"b\"}", {"\"-1\" is no id"});
  expect_refused("{\"0\": \"a\", \"01\": \"b\"}", {"\"01\" is no id"});
  expect_refused("{\"0\": \"a\", \"99999999999999999999\": \"b\"}", {"is no id"});
  expect_refused("{\"0\": \"a\", \"0\": \"b\"}", {"\"0\" stands twice"});
  expect_refused("{\"0\": \"a\", \"1\": \"a\"}", {"'a' (U+0061) has two ids"});
  expect_refused("{\"0\": \"ab\"}", {"one character", "ab"});
  expect_refused("{\"0\": \"\"}", {"one character"});
  expect_refused("{\"0\": null}", {"one character"});
  expect_refused("{\"a\": 0}", {"tokenizer.json"}, ErrorKind::kUnsupported);
  expect_refused(std::string(100'000, '['), {"nested"});
  expect_refused("\xFF\xFE\x7B", {"odd number"});
  expect_refused(std::string("\xFF\xFE\x00\xD8\x7D\x00", 6), {"lone UTF-16 surrogate", "byte 2"});
}

TEST_F(VocabularyFile, CutAnywhereItIsRefusedOrWhole) {
  const std::string whole = utf16(u"{\"0\": \"\\n\", \"1\": \"\U0001F600\"}", false);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(load(whole.substr(0, size)), Error) << size;
  }
  EXPECT_EQ(load(whole)->vocab_size(), 2);
}

TEST_F(VocabularyFile, AnyByteChangedItLoadsOrIsRefused) {
  const std::string whole = "{\"0\": \"\\n\", \"1\": \"\xF0\x9F\x98\x80\"}";
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int byte = static_cast<int>(at % 7); byte < 256; byte += 7) {
      std::string changed = whole;
      changed[at] = static_cast<char>(byte);
      try {
        EXPECT_EQ(load(changed)->vocab_size(), 2);
      } catch (const Error&) {
      }
    }
  }
}

TEST(LoadTokenizer, NamesWhatIsMissing) {
  const TemporaryDirectory folder;
  expect_error(ErrorKind::kNotFound, {"tokenizer.json", "vocab.json"}, [&] { load_tokenizer(folder.path()); });
  expect_error(ErrorKind::kNotFound, {"nowhere"}, [&] { load_tokenizer(folder / "nowhere"); });
  write_text_atomically(folder / "tokenizer.json", "{\"spikegpt_tokenizer\": \"runes\"}");
  expect_error(ErrorKind::kUnsupported, {"runes"}, [&] { load_tokenizer(folder.path()); });
}

TEST(LoadTokenizer, ReadsTheVocabularyOfThePublicCode) {
  const auto path = shared_path("tokenizer/vocab_book.json");
  if (!path) GTEST_SKIP() << "shared data tokenizer/vocab_book.json is absent";
  const auto tokenizer = load_tokenizer(*path);
  EXPECT_EQ(tokenizer->kind(), "chars");
  EXPECT_EQ(tokenizer->vocab_size(), 77);
  EXPECT_EQ(tokenizer->encode("\n !z\x7F").ids, (Ids{0, 8, 9, 71, 76}));
}

TEST(LoadTokenizer, FitsTheVocabularyOfItsModel) {
  const TemporaryDirectory folder;
  make_tokenizer("chars", "abcde")->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path(), 5)->vocab_size(), 5);
  EXPECT_EQ(load_tokenizer(folder.path(), 64)->vocab_size(), 5) << "a model may have more, for round sizes";
  expect_error(
      ErrorKind::kInvalidArgument,
      {folder.path().string(), "the tokenizer has 5 tokens, the model's vocabulary 4", "another model"},
      [&] { load_tokenizer(folder.path(), 4); });
}

TEST(Unknowns, AreToldWithTheirPlace) {
  const auto tokenizer = make_tokenizer("chars", "ab ");
  std::string text;
  for (int i = 0; i < 40000; ++i) text += i % 9999 == 9998 ? "\u00E9" : "a";  // several blocks
  text += "\xFF";
  std::vector<std::int64_t> places;
  Ids ids;
  tokenizer->encode_into(
      text, [&](std::span<const TokenId> more) { ids.insert(ids.end(), more.begin(), more.end()); },
      [&](const Unknown& unknown) { places.push_back(unknown.place); });
  EXPECT_EQ(places, (std::vector<std::int64_t>{9998, 19997, 29996, 39995, 40000}));
  for (const std::int64_t place : places)
    EXPECT_EQ(ids[static_cast<std::size_t>(place)], tokenizer->stand_in());
  EXPECT_EQ(tokenizer->token_bytes(*tokenizer->stand_in()), " ");
  EXPECT_EQ(make_tokenizer("bytes", "")->stand_in(), std::nullopt);
}

TEST(Unknowns, AreCountedByPart) {
  UnknownPlaces places;
  EXPECT_TRUE(places.empty());
  for (const std::int64_t place : {0, 5, 5, 200, 20000, 3000000}) {
    places.add(place, "kind " + std::to_string(place % 10), "at " + std::to_string(place));
  }
  EXPECT_FALSE(places.empty());
  EXPECT_EQ(places.part(0, INT64_MAX).count, 6);
  EXPECT_EQ(places.part(1, 200).count, 2);
  EXPECT_EQ(places.part(5, 201).count, 3);
  EXPECT_EQ(places.part(6, 200).count, 0);
  EXPECT_EQ(places.part(20001, 3000001).count, 1);
  EXPECT_EQ(places.part(0, 201).describe(),
            "4 unknown characters, for example kind 0 at at 0, kind 5 at at 5");
  EXPECT_EQ(places.part(20001, 3000001).describe(), "1 unknown character, for example kind 0 at at 3000000");
}

TEST(Unknowns, StandInLinesAndColumnsOfCharacters) {
  const std::string text = "h\u00E9\n\n\u20AC x";
  TextCursor cursor(text);
  const auto at = [&](std::size_t offset) {
    const auto [line, column] = cursor.at(offset);
    return std::pair(line, column);
  };
  using Place = std::pair<std::size_t, std::size_t>;
  EXPECT_EQ(at(0), Place(1, 1));
  EXPECT_EQ(at(1), Place(1, 2));
  EXPECT_EQ(at(5), Place(3, 1));
  EXPECT_EQ(at(8), Place(3, 2));
  EXPECT_EQ(at(9), Place(3, 3));
  EXPECT_EQ(at(1), Place(1, 2)) << "and back again";
  EXPECT_EQ(at(99), Place(3, 4)) << "no farther than the text";
}

TEST(StreamingDecoder, HoldsBackHalfCharacters) {
  const auto tokenizer = make_tokenizer("bytes", "");
  StreamingDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(0x98), "");
  EXPECT_EQ(decoder.push(0x80), "\U0001F600");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push('x'), "\uFFFDx");
  EXPECT_EQ(decoder.push(0xFF), "\uFFFD");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
  EXPECT_THROW(decoder.push(256), Error);
}

TEST(StreamingDecoder, SpeaksOnlyUtf8AndLosesNothing) {
  const auto tokenizer = make_tokenizer("bytes", "");
  const std::string text = long_text();
  StreamingDecoder decoder(*tokenizer);
  std::string heard;
  for (const TokenId id : tokenizer->encode(text).ids) {
    const std::string piece = decoder.push(id);
    ASSERT_FALSE(find_invalid_utf8(piece));
    heard += piece;
  }
  EXPECT_EQ(heard + decoder.finish(), text);
}

TEST(Unknowns, DescribeThemselves) {
  Unknowns unknowns;
  EXPECT_EQ(unknowns.describe(), "");
  unknowns.add("'x' (U+0078)", "line 2, column 7");
  EXPECT_EQ(unknowns.describe(), "1 unknown character, for example 'x' (U+0078) at line 2, column 7");
  Unknowns others;
  for (int i = 0; i < 10; ++i) others.add(std::to_string(i % 7));
  unknowns.add(others);
  EXPECT_EQ(unknowns.count, 11);
  EXPECT_EQ(unknowns.examples.size(), 5u);
}

}  // namespace
}  // namespace spikegpt
