// Curves for TensorBoard: its event files, which are TFRecords of protocol buffers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spikegpt/core/files.h"

namespace spikegpt {

// Appends to FOLDER/events.out.tfevents.<seconds>.<host>.<process>, which the first write makes. A file begins with a
// mark at its first step, by which TensorBoard drops what an earlier file of the folder has from there on: so a run
// that went back to a checkpoint shows one curve.
class EventLog {
 public:
  explicit EventLog(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Throws Error (kIo).
  void write(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars);

 private:
  void open(std::int64_t step);
  void write_record(const std::string& event);

  std::filesystem::path folder_;
  std::filesystem::path path_;
  std::optional<GrowingFile> file_;
};

// CRC-32C (Castagnoli), as TFRecords have it. For EventLog and its tests.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace spikegpt
