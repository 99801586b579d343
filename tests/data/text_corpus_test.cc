#include "spikegpt/data/text_corpus.h"

#include <gtest/gtest.h>

#include <cmath>

#include "spikegpt/core/files.h"
#include "tests/support/shared_data.h"
#include "tests/text/small_bpe.h"
#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

std::vector<TokenId> all_of(const TokenStreamPtr& stream) {
  std::vector<TokenId> ids(static_cast<std::size_t>(stream->size()));
  stream->read(0, ids);
  return ids;
}

class TextCorpusTest : public testing::Test {
 protected:
  std::filesystem::path write(std::string_view name, std::string_view content) {
    write_text_atomically(folder_ / name, content);
    return folder_ / name;
  }
  CorpusOptions options(std::string_view content) {
    CorpusOptions options;
    options.data = write("data.txt", content);
    options.ctx_len = 4;
    options.valid_fraction = 0.1;
    return options;
  }
  void expect_refused(const CorpusOptions& options, std::initializer_list<std::string_view> words) {
    expect_error(ErrorKind::kInvalidArgument, words, [&] { load_text_corpus(options); });
  }
  TemporaryDirectory folder_;
};

TEST_F(TextCorpusTest, SplitsOffTheEnd) {
  const TextCorpus corpus = load_text_corpus(options("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"));
  ASSERT_EQ(corpus.train->size(), 36);
  ASSERT_EQ(corpus.valid->size(), 4);
  EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.train)), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ");
  EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.valid)), "KLMN");
  EXPECT_EQ(corpus.train_unknowns.count, 0);
  EXPECT_EQ(corpus.valid_unknowns.count, 0);
}

TEST_F(TextCorpusTest, HoldsOutNothingOrAFewAtLeast) {
  CorpusOptions all = options("abcdefgh");
  all.valid_fraction = 0;
  EXPECT_EQ(load_text_corpus(all).train->size(), 8);
  EXPECT_EQ(load_text_corpus(all).valid, nullptr);
  EXPECT_EQ(load_text_corpus(options("abcdefgh")).valid->size(), 2);
}

TEST_F(TextCorpusTest, ASeparateFileKeepsTheTokenizer) {
  CorpusOptions with_file = options("abcabcabc ");
  with_file.valid = write("valid.txt", "cab\u00E9z");
  const TextCorpus corpus = load_text_corpus(with_file);
  EXPECT_EQ(corpus.tokenizer->vocab_size(), 4);
  EXPECT_EQ(corpus.train->size(), 10);
  EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.valid)), "cab  ");
  EXPECT_EQ(corpus.train_unknowns.count, 0);
  EXPECT_EQ(corpus.valid_unknowns.count, 2);
}

TEST_F(TextCorpusTest, UnknownCharactersCountWhereTheyAre) {
  const std::shared_ptr<const Tokenizer> letters = make_tokenizer("chars", "abcdefghij ");
  const auto count = [&](const std::string& text) {
    CorpusOptions halves = options(text);
    halves.valid_fraction = 0.5;
    const TextCorpus corpus = load_text_corpus(halves, letters);
    return std::pair{corpus.train_unknowns.count, corpus.valid_unknowns.count};
  };
  EXPECT_EQ(count("abcdefghijabcdefghij"), (std::pair<std::int64_t, std::int64_t>{0, 0}));
  EXPECT_EQ(count("abcdefghiXYbcdefghiZ"), (std::pair<std::int64_t, std::int64_t>{1, 2}));
  const auto file = write("odd.txt", "abXdefYhij");
  EXPECT_EQ(encode_text_file(file, *letters).unknowns.count, 2);
  EXPECT_EQ(encode_text_file(file, *letters, 6).unknowns.count, 1);
  EXPECT_EQ(encode_text_file(file, *letters, 7).unknowns.count, 2);
  EXPECT_EQ(encode_text_file(file, *letters, 2).unknowns.count, 0);
  EXPECT_EQ(encode_text_file(file, *letters, 6).tokens->size(), 6);
}

TEST_F(TextCorpusTest, UnknownCharactersAreToldWithTheirPlaceInThePartTheyAreIn) {
  using Examples = std::vector<Unknowns::Example>;
  const std::shared_ptr<const Tokenizer> letters = make_tokenizer("chars", "abcdefghij \n");
  CorpusOptions halves =
      options("ab\u00E9d\nfgXij\nlX\u00E9Xcdefg");  // of 20 characters, the second ten held out
  halves.valid_fraction = 0.5;
  const TextCorpus corpus = load_text_corpus(halves, letters);
  EXPECT_EQ(corpus.train_unknowns.count, 2);
  EXPECT_EQ(corpus.train_unknowns.examples,
            (Examples{{"'\u00E9' (U+00E9)", "line 1, column 3"}, {"'X' (U+0058)", "line 2, column 3"}}));
  EXPECT_EQ(corpus.valid_unknowns.count, 4);
  EXPECT_EQ(corpus.valid_unknowns.examples, (Examples{{"'\u00E9' (U+00E9)", "line 3, column 3"},
                                                      {"'X' (U+0058)", "line 3, column 4"},
                                                      {"'l' (U+006C)", "line 3, column 1"}}));
  const auto folder = folder_ / "corpus";
  std::filesystem::create_directory(folder);
  write("corpus/one.txt", "abc\nZ");
  write("corpus/two.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\\nY\"}\n");
  EXPECT_EQ(encode_text_file(folder, *letters).unknowns.examples,
            (Examples{{"'Z' (U+005A)", folder.string() + "/one.txt, line 2, column 1"},
                      {"'Y' (U+0059)", folder.string() + "/two.jsonl, text 2, line 2, column 1"}}));
}

TEST_F(TextCorpusTest, AGivenTokenizerIsUsed) {
  std::shared_ptr<const Tokenizer> bytes = make_tokenizer("bytes", "");
  const TextCorpus corpus = load_text_corpus(options("h\u00E9llo w\u00F6rld"), bytes);
  EXPECT_EQ(corpus.tokenizer, bytes);
  EXPECT_EQ(corpus.train->size() + corpus.valid->size(), 13);
}

TEST_F(TextCorpusTest, BytesTakeAnything) {
  CorpusOptions binary = options(std::string_view("\0\xFF\x80 binary\0", 11));
  binary.tokenizer = "bytes";
  EXPECT_EQ(load_text_corpus(binary).train->size(), 9);
}

TEST_F(TextCorpusTest, RefusesWhatIsNoText) {
  expect_refused(options(""), {"data.txt", "empty"});
  expect_refused(options(std::string_view("ELF\0\1\2\3\4", 8)), {"binary", "zero byte at 3"});
  std::string chinese("\x2D\x4E\x87\x65\x0A\x00", 6);  // UTF-16 without a mark, which might be anything
  expect_refused(options(chinese), {"zero byte at 5", "UTF-16", "iconv"});
  expect_refused(options("caf\xE9 au\nlait"), {"byte 3", "line 1", "0xE9", "--tokenizer bytes"});
  CorpusOptions folder = options("abcdefgh");
  folder.data = folder_ / "empty";
  std::filesystem::create_directory(folder.data);
  expect_refused(folder, {"empty", "no files"});
  CorpusOptions missing = options("abcdefgh");
  missing.data = folder_ / "missing.txt";
  expect_error(ErrorKind::kNotFound, {"missing.txt"}, [&] { load_text_corpus(missing); });
  missing = options("abcdefgh");
  missing.valid = folder_ / "missing.txt";
  expect_error(ErrorKind::kNotFound, {"missing.txt"}, [&] { load_text_corpus(missing); });
}

TEST_F(TextCorpusTest, ATextIsTheSameInEveryForm) {
  const std::string text = "one\ntwo\ncaf\xC3\xA9\nfour\n";
  std::string windows = "\xEF\xBB\xBF";
  for (const char c : text) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
  std::string wide;
  for (const char16_t c : std::u16string_view(u"one\r\ntwo\r\ncaf\u00E9\r\nfour\r\n"))
    wide += {static_cast<char>(c & 0xFF), static_cast<char>(c >> 8)};
  for (const std::string& form : {text, windows, "\xFF\xFE" + wide, wide}) {
    const TextCorpus corpus = load_text_corpus(options(form));
    EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.train)) + corpus.tokenizer->decode(all_of(corpus.valid)), text);
    EXPECT_EQ(corpus.tokenizer->vocab_size(), 12);
  }
  CorpusOptions bytes = options(
      "\xEF\xBB\xBF"
      "one\r\ntwo\r\n");
  bytes.tokenizer = "bytes";
  EXPECT_EQ(load_text_corpus(bytes).train->size() + load_text_corpus(bytes).valid->size(), 10);
}

TEST_F(TextCorpusTest, CountingKeepsNoTokens) {
  CorpusOptions counted = options("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN");
  counted.count_only = true;
  const TextCorpus corpus = load_text_corpus(counted);
  EXPECT_EQ(corpus.train->size(), 36);
  EXPECT_EQ(corpus.valid->size(), 4);
  EXPECT_EQ(corpus.tokenizer->vocab_size(), 40);
}

// A file with a hole: to read it all takes its size in memory.
TEST_F(TextCorpusTest, TheFirstTokensOfALongFileNeedOnlyItsStart) {
  std::string start;
  while (start.size() < 5000) start += "one two caf\xC3\xA9 two one\r\n";
  const auto path = write("long.txt", start);
  const auto chars = make_tokenizer("chars", "one two caf\xC3\xA9\n");
  const auto all = encode_text_file(path, *chars);
  std::filesystem::resize_file(path, std::uintmax_t{1} << 33);
  for (const std::int64_t count : {2, 11, 12, 13, 20}) {
    const EncodedFile first = encode_text_file(path, *chars, count);
    ASSERT_EQ(first.tokens->size(), count);
    std::vector<TokenId> expected(static_cast<std::size_t>(count));
    all.tokens->read(0, expected);
    EXPECT_EQ(all_of(first.tokens), expected);
    EXPECT_EQ(first.unknowns.count, 0);
  }
  const auto bytes = make_tokenizer("bytes", "");
  EXPECT_EQ(encode_text_file(path, *bytes, 1000).tokens->size(), 1000);
}

// Byte pairs too, whose tokens are not counted in bytes or characters.
TEST_F(TextCorpusTest, TheFirstTokensOfALongFileInBytePairs) {
  write("tokenizer.json", small_bpe({"t h", "th e", "\u0120 a", "a a"}).dump());
  const auto pairs = load_tokenizer(folder_ / "tokenizer.json");
  std::string start;
  while (start.size() < 60000) start += "the aa the, then\naaa   caf\xC3\xA9 the\r\n";
  const auto path = write("long.txt", start);
  const auto all = encode_text_file(path, *pairs);
  std::filesystem::resize_file(path, std::uintmax_t{1} << 33);
  for (const std::int64_t count : {2, 3, 17, 1000, 3001}) {
    const EncodedFile first = encode_text_file(path, *pairs, count);
    ASSERT_EQ(first.tokens->size(), count);
    std::vector<TokenId> expected(static_cast<std::size_t>(count));
    all.tokens->read(0, expected);
    EXPECT_EQ(all_of(first.tokens), expected);
  }
}

TEST_F(TextCorpusTest, TheFirstTokensOfSeveralDocuments) {
  std::filesystem::create_directory(folder_ / "texts");
  write("texts/a.txt", "abc");
  write("texts/b.jsonl", "{\"text\": \"de\"}\n{\"text\": \"fg\"}\nno JSON\n");
  write("texts/c.txt", std::string_view("\0", 1));
  const auto chars = make_tokenizer("chars", "abcdefg\n");
  const EncodedFile first = encode_text_file(folder_ / "texts", *chars, 9);
  EXPECT_EQ(chars->decode(all_of(first.tokens)), "abc\nde\nfg");
  EXPECT_EQ(encode_text_file(folder_ / "texts", *chars, 2).tokens->size(), 2);
}

TEST_F(TextCorpusTest, ATokenizerThatExistsToleratesStrayBytesOnly) {
  const std::shared_ptr<const Tokenizer> chars = make_tokenizer("chars", "abc ");
  const std::string mostly = std::string(400, 'a') + "\xE9";
  EXPECT_EQ(load_text_corpus(options(mostly), chars).valid_unknowns.count, 1);
  expect_error(ErrorKind::kInvalidArgument, {"not UTF-8", "byte 3"},
               [&] { load_text_corpus(options("abc\xE9\xE8\xE7"), chars); });
}

TEST_F(TextCorpusTest, SaysHowMuchIsNeeded) {
  CorpusOptions too_long = options("abcdefghij");
  too_long.ctx_len = 1024;
  expect_refused(too_long, {"8 characters", "1024", "1025", "2 are held out", "at most 7"});
  too_long.valid = write("valid.txt", "abc");
  expect_refused(too_long, {"10 characters", "at most 9"});
  expect_refused(options("a"), {"1 character"});
}

TEST_F(TextCorpusTest, RefusesFractionsThatAreNone) {
  for (const double fraction : {-0.1, 1.0, 2.0, std::nan("")}) {
    CorpusOptions strange = options("abcdefghij");
    strange.valid_fraction = fraction;
    expect_refused(strange, {"valid_fraction"});
  }
}

TEST_F(TextCorpusTest, RefusesUnknownTokenizers) {
  CorpusOptions unknown = options("abcdefghij");
  unknown.tokenizer = "words";
  expect_refused(unknown, {"words", "bytes, chars", "tokenizer.json"});
}

TEST_F(TextCorpusTest, ATokenizerMayBeAFile) {
  CorpusOptions with_file = options("cabcabcab");
  with_file.tokenizer = write("letters.json", R"({"0": "c", "1": "b", "2": "a"})").string();
  const TextCorpus corpus = load_text_corpus(with_file);
  EXPECT_EQ(all_of(corpus.train), (std::vector<TokenId>{0, 2, 1, 0, 2, 1, 0}));
}

TEST_F(TextCorpusTest, AFolderIsReadInOrder) {
  std::filesystem::create_directories(folder_ / "texts" / "deeper");
  std::filesystem::create_directories(folder_ / "texts" / ".git");
  write("texts/b.txt", "bbbb");
  write("texts/a.txt", "aaaa");
  write("texts/empty.txt", "");
  write("texts/.hidden", "hhhh");
  write("texts/.git/config", "gggg");
  write("texts/deeper/c.jsonl", "{\"text\": \"cc\"}\n{\"text\": \"dd\"}\n");
  CorpusOptions folder = options("");
  folder.data = folder_ / "texts";
  folder.valid_fraction = 0;
  const TextCorpus corpus = load_text_corpus(folder);
  EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.train)), "aaaa\nbbbb\ncc\ndd\n");
}

TEST_F(TextCorpusTest, JsonLinesAreDocuments) {
  CorpusOptions lines = options("");
  lines.data =
      write("d.jsonl", "\xEF\xBB\xBF{\"text\": \"f\\u00e9e\\n\", \"id\": 7}\r\n\n{\"text\":\"\"}\n{\"text\":\"x\"}");
  lines.valid_fraction = 0;
  lines.tokenizer = "bytes";
  EXPECT_EQ(load_text_corpus(lines).tokenizer->decode(all_of(load_text_corpus(lines).train)), "f\u00E9e\n\nx\n");
}

TEST_F(TextCorpusTest, JsonLinesNameTheLine) {
  for (const char* line : {"{\"text\": 5}", "{\"txt\": \"a\"}", "[\"text\"]", "{\"text\": \"a\"", "nonsense"}) {
    CorpusOptions lines = options("");
    lines.data = write("d.jsonl", std::string("{\"text\": \"good\"}\n") + line + "\n");
    lines.tokenizer = "bytes";
    expect_error(ErrorKind::kCorruptFile, {"d.jsonl", "line 2"}, [&] { load_text_corpus(lines); });
  }
}

TEST_F(TextCorpusTest, SeveralSourcesHaveTheirWeightsAndTheirOwnEnds) {
  CorpusOptions several = options("aaaaaaaaaaaaaaaaAAAA");
  several.valid_fraction = 0.2;
  several.more = {{write("second.txt", "bbbbbbbbBB"), 3}};
  const TextCorpus corpus = load_text_corpus(several);
  ASSERT_EQ(corpus.sources.size(), 2u);
  EXPECT_EQ(corpus.sources[0].weight, 1);
  EXPECT_EQ(corpus.sources[1].weight, 3);
  EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.train)), "aaaaaaaaaaaaaaaabbbbbbbb");
  EXPECT_EQ(corpus.tokenizer->decode(all_of(corpus.valid)), "AAAABB");
  several.more[0].path = write("short.txt", "bb");
  expect_refused(several, {"short.txt", "too short"});
}

TEST(ParseSource, ReadsWeights) {
  EXPECT_EQ(parse_source("a.txt").weight, 1);
  EXPECT_EQ(parse_source("a:b.txt:0.25").path, "a:b.txt");
  EXPECT_EQ(parse_source("a:b.txt:0.25").weight, 0.25);
  for (const char* text : {"a:0", "a:-1", "a:x", "a:", "a:1x", "a:inf", "a:nan"}) {
    expect_error(ErrorKind::kInvalidArgument, {text}, [&] { parse_source(text); });
  }
}

TEST_F(TextCorpusTest, EvaluationNeedsSomethingToPredict) {
  const auto tokenizer = make_tokenizer("chars", "abc");
  EXPECT_EQ(encode_text_file(write("two", "ab"), *tokenizer).tokens->size(), 2);
  expect_error(ErrorKind::kInvalidArgument, {"at least 2"}, [&] { encode_text_file(write("one", "a"), *tokenizer); });
}

TEST(TextCorpusOfPlays, IsReadWhole) {
  const auto path = shared_path("data/text/tinyshakespeare.txt");
  if (!path) GTEST_SKIP() << "shared data data/text/tinyshakespeare.txt is absent";
  CorpusOptions options;
  options.data = *path;
  options.ctx_len = 1024;
  const TextCorpus corpus = load_text_corpus(options);
  EXPECT_EQ(corpus.tokenizer->vocab_size(), 65);
  EXPECT_EQ(corpus.train->size() + corpus.valid->size(), 1'115'394);
}

}  // namespace
}  // namespace spikegpt
