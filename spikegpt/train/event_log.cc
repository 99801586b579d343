#include "spikegpt/train/event_log.h"

#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstring>

#include "spikegpt/core/error.h"
#include "spikegpt/core/host_name.h"

namespace spikegpt {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78u;  // Castagnoli's, bits reversed
constexpr std::uint32_t kMaskDelta = 0xA282EAD8u;   // TFRecord: checksums of data that hold checksums

// What a field of a protocol buffer holds.
enum class Wire : std::uint8_t { kVarint = 0, kDouble = 1, kBytes = 2, kFloat = 5 };

// The few fields of tensorflow/core/util/event.proto and summary.proto that a curve needs.
constexpr int kWallTime = 1;
constexpr int kStep = 2;
constexpr int kFileVersion = 3;
constexpr int kSummary = 5;
constexpr int kSessionLog = 7;
constexpr int kSummaryValue = 1;
constexpr int kTag = 1;
constexpr int kSimpleValue = 2;
constexpr int kStatus = 1;
constexpr std::uint64_t kStatusStart = 1;

template <class Number>
void append_raw(std::string& out, Number value) {
  static_assert(std::endian::native == std::endian::little, "protocol buffers and TFRecords are little-endian");
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  out += static_cast<char>(value);
}

class Message {
 public:
  Message& varint(int field, std::uint64_t value) {
    key(field, Wire::kVarint);
    append_varint(bytes_, value);
    return *this;
  }
  Message& number(int field, double value) {
    key(field, Wire::kDouble);
    append_raw(bytes_, value);
    return *this;
  }
  Message& number(int field, float value) {
    key(field, Wire::kFloat);
    append_raw(bytes_, value);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, Wire::kBytes);
    append_varint(bytes_, value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& text() const { return bytes_; }

 private:
  void key(int field, Wire wire) {
    append_varint(bytes_, static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire));
  }
  std::string bytes_;
};

Message event_at(std::int64_t step) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Message event;
  event.number(kWallTime, std::chrono::duration<double>(now).count()).varint(kStep, static_cast<std::uint64_t>(step));
  return event;
}

std::uint32_t masked(std::uint32_t crc) { return std::rotr(crc, 15) + kMaskDelta; }

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? kPolynomial : 0u);
  }
  return ~crc;
}

void EventLog::open(std::int64_t step) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string host = host_name();
  for (int attempt = 0; path_.empty() || std::filesystem::exists(path_); ++attempt) {  // two in one second
    path_ = folder_ /
            fmt::format("events.out.tfevents.{}.{}.{}", seconds + attempt, host.empty() ? "localhost" : host, getpid());
  }
  file_.emplace(path_);
  write_record(event_at(0).bytes(kFileVersion, "brain.Event:2").text());
  write_record(event_at(step).bytes(kSessionLog, Message().varint(kStatus, kStatusStart).text()).text());
}

void EventLog::write(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars) {
  if (!file_) open(step);
  Message summary;
  for (const auto& [tag, value] : scalars) {
    summary.bytes(kSummaryValue, Message().bytes(kTag, tag).number(kSimpleValue, static_cast<float>(value)).text());
  }
  write_record(event_at(step).bytes(kSummary, summary.text()).text());
}

void EventLog::write_record(const std::string& event) {
  std::string length;
  append_raw(length, static_cast<std::uint64_t>(event.size()));
  std::string record = length;
  append_raw(record, masked(crc32c(length)));
  record += event;
  append_raw(record, masked(crc32c(event)));
  file_->append(record);
}

}  // namespace spikegpt
