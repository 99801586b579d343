#include "spikegpt/text/bpe_tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "spikegpt/core/files.h"
#include "spikegpt/core/random.h"
#include "spikegpt/text/streaming_decoder.h"
#include "spikegpt/text/utf8.h"
#include "tests/support/shared_data.h"
#include "tests/text/expect_error.h"
#include "tests/text/small_bpe.h"

namespace spikegpt {
namespace {

using Ids = std::vector<TokenId>;
using nlohmann::json;

std::unique_ptr<BpeTokenizer> make(const json& file) { return BpeTokenizer::parse(file.dump(), "t.json"); }

// "th" 256, "the" 257, " the" 258, "aa" 259, <|endoftext|> 260
json five() { return small_bpe({"t h", "th e", "Ġ the", "a a"}); }

TEST(BpeTokenizer, MergesBySmallestRankThenFromTheLeft) {
  const auto tokenizer = make(five());
  EXPECT_EQ(tokenizer->vocab_size(), 261);
  EXPECT_EQ(tokenizer->unit(), "token");
  EXPECT_EQ(tokenizer->encode("the the").ids, (Ids{257, 258}));
  EXPECT_EQ(tokenizer->encode("aaaaa").ids, (Ids{259, 259, 'a'}));
  EXPECT_EQ(tokenizer->encode("xaaa<|endoftext|>th").ids, (Ids{'x', 259, 'a', 260, 256}));
  EXPECT_EQ(tokenizer->end_of_text(), 260);
  EXPECT_EQ(tokenizer->find_added_token("<|padding|>"), std::nullopt);
  EXPECT_EQ(tokenizer->encode("").ids, Ids());
}

TEST(BpeTokenizer, AnyBytesComeBack) {
  const auto tokenizer = make(five());
  std::string text = "the \xFF\xFE the\xC3 caf\xC3\xA9 \xE2\x82 \xED\xA0\x80\xF0\x9F\x98\x80";
  for (int byte = 0; byte < 512; ++byte) text.push_back(static_cast<char>(byte % 256));
  const Encoding encoding = tokenizer->encode(text);
  EXPECT_EQ(tokenizer->decode(encoding.ids), text);
  EXPECT_EQ(encoding.unknowns.count, 0);
}

TEST(BpeTokenizer, RandomBytesComeBack) {
  json file = five();
  file["normalizer"] = nullptr;  // the one thing that changes well-formed text
  const auto tokenizer = make(file);
  RandomStream random(5, RandomPurpose::kSampling);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::uint64_t i = random.next_below(60); i > 0; --i) {
      constexpr std::string_view kBytes = "the a\n\xE2\x82\xAC\xC3\xA9\xF0\x9F\x98\x80\xFF\x80<|>";
      text.push_back(kBytes[random.next_below(kBytes.size())]);
    }
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text).ids), text);
  }
}

TEST(BpeTokenizer, MissingBytesAreCountedAndBecomeTheUnknownToken) {
  json file = small_bpe({});
  json& vocabulary = file["model"]["vocab"];
  vocabulary.erase("z");
  vocabulary["<unk>"] = 'z';
  file["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(make(file)->stand_in(), 'z');
  EXPECT_EQ(make(five())->stand_in(), std::nullopt);
  const Encoding encoding = make(file)->encode("azzb azzb");
  EXPECT_EQ(encoding.ids, (Ids{'a', 'z', 'z', 'b', ' ', 'a', 'z', 'z', 'b'}));
  EXPECT_EQ(encoding.unknowns.count, 4);
  ASSERT_EQ(encoding.unknowns.examples.size(), 1u);
  EXPECT_EQ(encoding.unknowns.examples[0], (Unknowns::Example{"'z' (U+007A)", "line 1, column 2"}));
}

TEST(BpeTokenizer, AMissingCharacterIsNamedWithItsPlace) {
  json file = small_bpe({});
  std::vector<std::string> lost;
  for (const auto& [bytes, id] : file["model"]["vocab"].items()) {
    if (bytes == "\u00C3") lost.push_back(bytes);  // how the file spells the first byte of \u00E9
  }
  ASSERT_EQ(lost.size(), 1u);
  file["model"]["vocab"]["<unk>"] = file["model"]["vocab"][lost[0]];
  file["model"]["vocab"].erase(lost[0]);
  file["model"]["unk_token"] = "<unk>";
  for (const bool prefixed : {false, true}) {
    file["pre_tokenizer"]["add_prefix_space"] = prefixed;
    const Unknowns unknowns = make(file)->encode("a caf\u00E9\nand \u00E9t\u00E9").unknowns;
    EXPECT_EQ(unknowns.describe(), "3 unknown characters, for example '\u00E9' (U+00E9) at line 1, column 6");
  }
}

TEST(BpeTokenizer, LongTextIsCutWithoutATrace) {
  // Longer than the blocks text is taken in, with every kind of place to cut at.
  const auto tokenizer = make(five());
  const std::string part = "the aa\nthe\n\n the  aaa 12 the\tx!the<|endoftext|>e\u0301\n";
  std::string text;
  while (text.size() < 3'500'000) text += part;
  const Ids one = tokenizer->encode(part + part).ids;
  const Ids all = tokenizer->encode(text).ids;
  const std::size_t repeats = text.size() / part.size();
  ASSERT_EQ(all.size(), one.size() / 2 * repeats);
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], one[i % (one.size() / 2)]) << i;
}

TEST(BpeTokenizer, LongWordsTakeNoLongerThanShortOnes) {
  const auto tokenizer = make(five());
  for (const char* part : {"a", "the", " ", "'", "\u0301\u0323", "\u6F22"}) {
    std::string word;
    while (word.size() < 1'000'000) word += part;
    EXPECT_GT(tokenizer->encode(word).ids.size(), 0u);
  }
}

TEST(BpeTokenizer, SavedIsLoaded) {
  const TemporaryDirectory folder;
  const auto tokenizer = make(five());
  tokenizer->save(folder.path());
  const auto loaded = load_tokenizer(folder.path());
  EXPECT_EQ(loaded->kind(), "bpe");
  EXPECT_EQ(loaded->vocab_size(), 261);
  EXPECT_EQ(loaded->encode("xaaa<|endoftext|>th").ids, (Ids{'x', 259, 'a', 260, 256}));
  loaded->save(folder.path());
  EXPECT_EQ(read_text(folder / "tokenizer.json"), five().dump());
}

TEST(BpeTokenizer, StreamsWholeCharactersOnly) {
  const auto tokenizer = make(five());
  StreamingDecoder decoder(*tokenizer);
  std::string heard;
  for (const TokenId id : tokenizer->encode("the \u6F22\U0001F600<|endoftext|>\xFF.").ids) {
    const std::string piece = decoder.push(id);
    EXPECT_FALSE(find_invalid_utf8(piece));
    heard += piece;
  }
  EXPECT_EQ(heard + decoder.finish(), "the \u6F22\U0001F600<|endoftext|>\uFFFD.");
}

TEST(BpeTokenizer, UnknownIdsAreRefused) {
  expect_error(ErrorKind::kInvalidArgument, {"261", "vocabulary of 261 tokens"},
               [] { make(five())->decode(Ids{261}); });
}

void expect_refused(ErrorKind kind, const json& file, std::initializer_list<std::string_view> words) {
  expect_error(kind, {"t.json"}, [&] { make(file); });
  expect_error(kind, words, [&] { make(file); });
}

json patched(const char* patch) {
  json file = five();
  file.merge_patch(json::parse(patch));
  return file;
}

TEST(BpeFile, RefusesWhatContradictsItself) {
  const ErrorKind corrupt = ErrorKind::kCorruptFile;
  expect_refused(corrupt, patched(R"({"model": {"merges": null}})"), {"\"merges\" is missing"});
  expect_refused(corrupt, patched(R"({"model": {"merges": []}})"), {"no merge makes token 256", "th"});
  expect_refused(corrupt, patched(R"({"model": {"merges": ["t h", "th e", "a a"]}})"),
                 {"no merge makes token 258", "not complete"});
  expect_refused(corrupt, patched(R"({"model": {"merges": ["t h", "th x"]}})"), {"merges[1]", "thx"});
  expect_refused(corrupt, patched(R"({"model": {"merges": ["t h", "the"]}})"), {"merges[1]", "\"a b\""});
  expect_refused(corrupt, patched(R"({"model": {"merges": ["t h e"]}})"), {"merges[0]"});
  expect_refused(corrupt, patched(R"({"model": {"merges": [["t"]]}})"), {"merges[0]"});
  expect_refused(corrupt, patched(R"({"model": {"merges": [["t", 3]]}})"), {"merges[0][1]", "a text"});
  expect_refused(corrupt, patched(R"({"model": {"merges": [7]}})"), {"merges[0]"});
  expect_refused(corrupt, patched(R"({"model": {"merges": 7}})"), {"model.merges", "a list"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": null}})"), {"\"vocab\" is missing"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": [1]}})"), {"model.vocab", "an object"});
  expect_refused(corrupt, patched(R"({"model": 5})"), {"model", "an object"});
  expect_refused(corrupt, patched(R"({"model": {"unk_token": "nobody"}})"), {"unk_token", "nobody"});
}

TEST(BpeFile, RefusesIdsWithGaps) {
  const ErrorKind corrupt = ErrorKind::kCorruptFile;
  expect_refused(corrupt, patched(R"({"model": {"vocab": {"aa": 300}}})"), {"\"aa\"", "300", "gap"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": {"aa": 7}}})"), {"7", "another token"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": {"aa": -1}}})"), {"aa", "whole number"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": {"aa": 1.5}}})"), {"aa", "whole number"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": {"aa": 18446744073709551615}}})"), {"aa", "whole number"});
  expect_refused(corrupt, patched(R"({"model": {"vocab": {"": 261}}})"), {"empty token"});
  json file = five();
  file["added_tokens"][0]["id"] = 262;
  expect_refused(corrupt, file, {"<|endoftext|>", "262", "gap"});
  file = five();
  file["added_tokens"].push_back(file["added_tokens"][0]);
  expect_refused(corrupt, file, {"stands twice"});
  file = five();
  file["model"]["vocab"]["<|endoftext|>"] = 260;
  file["added_tokens"][0]["id"] = 3;
  expect_refused(corrupt, file, {"<|endoftext|>", "has the id 3", "260"});
  file = five();
  file["added_tokens"][0]["content"] = "";
  expect_refused(corrupt, file, {"added_tokens[0]", "0 bytes"});
}

TEST(BpeFile, RefusesOtherKindsOfTokenizer) {
  const ErrorKind unsupported = ErrorKind::kUnsupported;
  expect_refused(unsupported, patched(R"({"model": {"type": "WordPiece"}})"), {"WordPiece", "\"BPE\""});
  expect_refused(unsupported, patched(R"({"model": null})"), {"no tokenizer this program knows"});
  expect_refused(unsupported, patched(R"({"model": {"byte_fallback": true}})"), {"byte_fallback"});
  expect_refused(unsupported, patched(R"({"model": {"dropout": 0.1}})"), {"dropout"});
  expect_refused(unsupported, patched(R"({"model": {"end_of_word_suffix": "</w>"}})"), {"</w>"});
  expect_refused(unsupported, patched(R"({"pre_tokenizer": null})"), {"ByteLevel"});
  expect_refused(unsupported, patched(R"({"pre_tokenizer": {"type": "Metaspace"}})"), {"ByteLevel"});
  expect_refused(unsupported, patched(R"({"normalizer": {"type": "Lowercase"}})"), {"Lowercase", "NFC"});
  expect_refused(unsupported, patched(R"({"decoder": {"type": "WordPiece"}})"), {"decoder", "ByteLevel"});
  json file = five();
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers",
                            {{{"type", "Split"}, {"pattern", {{"Regex", "(unclosed"}}}, {"behavior", "Isolated"}},
                             {{"type", "ByteLevel"}, {"use_regex", false}}}}};
  expect_error(unsupported, {"(unclosed", "byte 9"}, [&] { make(file); });
}

TEST(BpeFile, CutOrChangedAnywhereItLoadsOrIsRefused) {
  const std::string whole = small_bpe({"t h"}).dump();
  for (std::size_t size = 0; size < whole.size(); size += 11) {
    EXPECT_THROW(BpeTokenizer::parse(whole.substr(0, size), "t.json"), Error) << size;
  }
  RandomStream random(3, RandomPurpose::kSampling);
  for (std::size_t at = 0; at < whole.size(); at += 5) {
    std::string changed = whole;
    changed[at] = static_cast<char>(random.next_below(256));
    try {
      const auto tokenizer = BpeTokenizer::parse(changed, "t.json");
      tokenizer->encode("the rest\xFF");
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace spikegpt
