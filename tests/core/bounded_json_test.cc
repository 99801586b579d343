#include "spikegpt/core/bounded_json.h"

#include <gtest/gtest.h>

namespace spikegpt {
namespace {

std::string nested(int depth) {
  const auto size = static_cast<std::size_t>(depth);
  return std::string(size, '[') + std::string(size, ']');
}

TEST(BoundedJson, NestingHasALimit) {
  EXPECT_FALSE(parse_bounded_json(nested(kMaxJsonDepth)).is_discarded());
  EXPECT_TRUE(parse_bounded_json(nested(kMaxJsonDepth + 1)).is_discarded());
  EXPECT_TRUE(parse_bounded_json(nested(5'000'000)).is_discarded());
  EXPECT_TRUE(parse_bounded_json(std::string(5'000'000, '[')).is_discarded());
}

TEST(BoundedJson, BracketsInStringsAreText) {
  const std::string text = "{\"a\\\"[\": \"" + std::string(1000, '{') + "\\\\\"}";
  EXPECT_EQ(parse_bounded_json(text)["a\"["].get<std::string>(), std::string(1000, '{') + "\\");
  EXPECT_EQ(parse_bounded_json("[[1, 2], [3]]").size(), 2u);
  EXPECT_TRUE(parse_bounded_json("{\"a\": ").is_discarded());
  EXPECT_TRUE(parse_bounded_json("").is_discarded());
}

}  // namespace
}  // namespace spikegpt
