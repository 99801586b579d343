// TensorBoard's files, read back by their published formats.
#include "spikegpt/train/event_log.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

// Fields of a protocol buffer by number: the last of each, raw.
std::multimap<int, std::string> fields_of(std::string_view bytes) {
  std::multimap<int, std::string> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.size()) {
    const std::uint64_t key = varint();
    std::size_t size = 0;
    switch (key & 7) {
      case 0: {
        const std::uint64_t value = varint();
        fields.emplace(static_cast<int>(key >> 3), std::to_string(value));
        continue;
      }
      case 1: size = 8; break;
      case 2: size = varint(); break;
      case 5: size = 4; break;
      default: ADD_FAILURE() << "wire type " << (key & 7); return fields;
    }
    fields.emplace(static_cast<int>(key >> 3), std::string(bytes.substr(at, size)));
    at += size;
  }
  return fields;
}

std::vector<std::string> records_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> records;
  const auto checked = [](std::string_view bytes, std::string_view stored) {
    std::uint32_t value = 0;
    std::memcpy(&value, stored.data(), 4);
    value -= 0xA282EAD8u;
    EXPECT_EQ((value >> 17) | (value << 15), crc32c(bytes));
  };
  for (std::size_t at = 0; at < all.size();) {
    std::uint64_t size = 0;
    std::memcpy(&size, all.data() + at, 8);
    checked(std::string_view(all).substr(at, 8), std::string_view(all).substr(at + 8, 4));
    records.push_back(all.substr(at + 12, size));
    checked(records.back(), std::string_view(all).substr(at + 12 + size, 4));
    at += 16 + size;
  }
  return records;
}

TEST(EventLog, ChecksumsAreThoseOfRfc3720) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST(EventLog, HoldsWhatWasWritten) {
  const TemporaryDirectory folder;
  {
    EventLog untouched(folder.path());
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "no file before the first write";
    EventLog log(folder.path());
    log.write(300, {{"train/loss", 1.5}, {"train/bits", 2.25}});
    log.write(301, {{"train/loss", 1.25}});
  }
  const auto path = std::filesystem::directory_iterator(folder.path())->path();
  EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
  const auto records = records_of(path);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(fields_of(records[0]).find(3)->second, "brain.Event:2");
  EXPECT_EQ(fields_of(records[1]).find(2)->second, "300");
  EXPECT_EQ(fields_of(fields_of(records[1]).find(7)->second).find(1)->second, "1") << "a session starts here";
  const auto event = fields_of(records[2]);
  EXPECT_EQ(event.find(2)->second, "300");
  std::map<std::string, float> values;
  const auto summary = fields_of(event.find(5)->second);
  for (const auto& [field, value] : summary) {
    const auto scalar = fields_of(value);
    std::memcpy(&values[scalar.find(1)->second], scalar.find(2)->second.data(), 4);
  }
  EXPECT_EQ(values, (std::map<std::string, float>{{"train/loss", 1.5f}, {"train/bits", 2.25f}}));
  EXPECT_EQ(fields_of(records[3]).find(2)->second, "301");
}

TEST(EventLog, TwoInOneSecondAreTwoFiles) {
  const TemporaryDirectory folder;
  EventLog first(folder.path());
  EventLog second(folder.path());
  first.write(1, {{"a", 1.0}});
  second.write(1, {{"a", 2.0}});
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_EQ(records_of(entry.path()).size(), 3u);
    ++files;
  }
  EXPECT_EQ(files, 2);
}

}  // namespace
}  // namespace spikegpt::test
