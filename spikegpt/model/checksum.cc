#include "spikegpt/model/checksum.h"

#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "spikegpt/core/error.h"

namespace spikegpt {

void ContentHash::add(std::span<const std::byte> bytes) noexcept {
  value_ = XXH3_64bits_withSeed(bytes.data(), bytes.size(), value_);
}

std::string ContentHash::text() const { return fmt::format("{:016x}", value_); }

std::string checksum_of(const std::map<std::string, std::string>& metadata, std::span<const TensorView> tensors) {
  ContentHash hash;
  for (const auto& [key, value] : metadata) {
    if (key == kChecksum) continue;
    hash.add(key);
    hash.add(value);
  }
  std::vector<const TensorView*> order;
  for (const TensorView& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const TensorView* tensor : order) {
    hash.add(fmt::format("{} {} [{}]", tensor->name, name_of(tensor->dtype), fmt::join(tensor->shape, ",")));
    hash.add(tensor->data);
  }
  return hash.text();
}

void verify_checksum(const WeightFile& file) {
  const std::string& stated = file.metadata_at(kChecksum, "the checksum of its content");
  const std::string found = checksum_of(file.metadata(), file.tensors());
  if (stated == found) return;
  throw Error(ErrorKind::kCorruptFile, "{} is damaged: its content has the checksum {}, it was written with {}",
              file.path().string(), found, printable(stated));
}

}  // namespace spikegpt
