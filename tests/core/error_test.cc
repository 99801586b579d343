#include "spikegpt/core/error.h"

#include <gtest/gtest.h>

#include <set>

namespace spikegpt {
namespace {

TEST(Error, CarriesItsKindAndText) {
  try {
    throw Error(ErrorKind::kCorruptFile, "{}: byte {}: expected {}", "a.bin", 17, "a length");
  } catch (const std::runtime_error& error) {  // also for those who know nothing of this project
    EXPECT_STREQ(error.what(), "a.bin: byte 17: expected a length");
    EXPECT_EQ(dynamic_cast<const Error&>(error).kind(), ErrorKind::kCorruptFile);
  }
}

TEST(Error, TextMayHoldBraces) { EXPECT_STREQ(Error(ErrorKind::kIo, "{}", "{not a field}").what(), "{not a field}"); }

TEST(Error, EveryKindHasItsOwnName) {
  std::set<std::string_view> names;
  for (const ErrorKind kind :
       {ErrorKind::kInvalidArgument, ErrorKind::kNotFound, ErrorKind::kCorruptFile, ErrorKind::kUnsupported,
        ErrorKind::kIo, ErrorKind::kMemory, ErrorKind::kDiverged, ErrorKind::kCancelled}) {
    names.insert(name_of(kind));
  }
  EXPECT_EQ(names.size(), 8u);
  EXPECT_EQ(names.count("unknown error"), 0u);
  EXPECT_EQ(name_of(static_cast<ErrorKind>(99)), "unknown error");
}

TEST(Bug, SaysWhatAndWhere) {
  const int line = __LINE__ + 3;
  try {
    ensure(true, "never said");
    ensure(1 + 1 == 3, "arithmetic holds");
    FAIL() << "no Bug";
  } catch (const std::logic_error& bug) {
    const std::string_view text = bug.what();
    EXPECT_NE(text.find("arithmetic holds"), text.npos) << text;
    EXPECT_NE(text.find(fmt::format("error_test.cc:{}", line)), text.npos) << text;
    EXPECT_NE(text.find("report"), text.npos) << text;
  }
}

}  // namespace
}  // namespace spikegpt
