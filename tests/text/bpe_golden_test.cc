// The ids of the reference implementation, from files that make_bpe_golden.js and
// make_bpe_variants.js wrote with it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "spikegpt/core/files.h"
#include "spikegpt/text/bpe_tokenizer.h"
#include "spikegpt/text/utf8.h"
#include "tests/support/places.h"
#include "tests/support/shared_data.h"

namespace spikegpt {
namespace {

using Ids = std::vector<TokenId>;
using nlohmann::json;

std::filesystem::path golden(const char* name) { return test::source_folder() / "tests" / "text" / name; }

std::string from_latin1(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) append_utf8(text, static_cast<unsigned char>(c));
  return text;
}

std::uint64_t hash_of(const Ids& ids) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const TokenId id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ ((static_cast<std::uint32_t>(id) >> shift) & 0xFFu)) * 0x100000001b3u;
    }
  }
  return hash;
}

void expect_file_matches(const Tokenizer& tokenizer, const json& line) {
  const std::string name = line["file"];
  const auto path = shared_path("data/" + name);
  ASSERT_TRUE(path) << name;
  std::string text = read_text(*path);
  if (line["latin1"]) text = from_latin1(text);
  const Ids ids = tokenizer.encode(text).ids;
  EXPECT_EQ(ids.size(), line["count"]) << name;
  EXPECT_EQ(fmt::format("{:016x}", hash_of(ids)), line["hash"].get<std::string>()) << name;
  if (name.find("shakespeare") != std::string::npos) {
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(BpeGolden, GptNeoxIdsAreThoseOfTheReference) {
  const auto path = shared_path("tokenizer/20B_tokenizer.json");
  if (!path) GTEST_SKIP() << "shared data tokenizer/20B_tokenizer.json is absent";
  const auto tokenizer = load_tokenizer(*path);
  EXPECT_EQ(tokenizer->kind(), "bpe");
  EXPECT_EQ(tokenizer->vocab_size(), 50277);
  EXPECT_EQ(tokenizer->end_of_text(), 0);
  std::ifstream lines(golden("bpe_20b.golden.jsonl"));
  int checked = 0;
  for (std::string line; std::getline(lines, line); ++checked) {
    const json entry = json::parse(line);
    if (entry.contains("file")) {
      expect_file_matches(*tokenizer, entry);
    } else {
      EXPECT_EQ(tokenizer->encode(entry["text"].get<std::string>()).ids, entry["ids"].get<Ids>()) << entry["text"];
    }
  }
  EXPECT_EQ(checked, 72);
}

TEST(BpeGolden, OtherSettingsToo) {
  const json file = json::parse(read_text(golden("bpe_variants.golden.json")));
  int checked = 0;
  for (const json& variant : file["variants"]) {
    json definition = file["base"];
    definition.merge_patch(variant["patch"]);
    const auto tokenizer = BpeTokenizer::parse(definition.dump(), "variant");
    for (const json& entry : variant["cases"]) {
      EXPECT_EQ(tokenizer->encode(entry["text"].get<std::string>()).ids, entry["ids"].get<Ids>())
          << variant["patch"] << "\n"
          << entry["text"];
      ++checked;
    }
  }
  EXPECT_EQ(checked, 140);
}

}  // namespace
}  // namespace spikegpt
