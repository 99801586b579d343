#include "spikegpt/model/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "spikegpt/core/error.h"
#include "spikegpt/model/weight_file.h"

namespace spikegpt {
namespace {

constexpr std::size_t kMaxMetadata = 65536;  // entries

// Hears the JSON text piece by piece and accepts only what a header can hold, so that no text
// builds more than it describes. (A tree of the library's would be deep, or slow to look up, as the
// text likes.)
class HeaderListener final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderListener(const std::string& where, std::size_t first_byte) : where_(where), first_byte_(first_byte) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a truth value"); }
  bool number_integer(number_integer_t value) override { return refuse(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return refuse(printable(text)); }
  bool binary(binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kNumbers) return refuse(std::to_string(value));
    const std::size_t most = field_ == "shape" ? kMaxRank : 2;
    if (numbers().size() == most) fail("{}: more than {} numbers", subject(), most);
    numbers().push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadataValue) {
      if (!header_.metadata.emplace(field_, std::move(value)).second) twice(field_);
      if (header_.metadata.size() > kMaxMetadata) fail("more than {} metadata", kMaxMetadata);
      place_ = Place::kMetadata;
    } else if (place_ == Place::kFieldValue && field_ == "dtype") {
      header_.tensors.back().dtype = std::move(value);
      place_ = Place::kTensor;
    } else {
      return refuse("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kStart: place_ = Place::kNames; return true;
      case Place::kNameValue: return start_entry();
      default: return refuse("an object");
    }
  }

  bool key(string_t& name) override {
    if (place_ == Place::kNames) {
      entry_ = std::move(name);
      place_ = Place::kNameValue;
    } else {
      field_ = std::move(name);
      if (place_ == Place::kTensor) check_field();
      place_ = place_ == Place::kTensor ? Place::kFieldValue : Place::kMetadataValue;
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor && seen_ != 7) {
      fail("tensor \"{}\": expected dtype, shape and data_offsets", printable(entry_));
    }
    place_ = place_ == Place::kNames ? Place::kEnd : Place::kNames;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kFieldValue || field_ == "dtype") return refuse("an array");
    place_ = Place::kNumbers;
    return true;
  }

  bool end_array() override {
    if (field_ == "data_offsets" && numbers().size() != 2) {
      fail("{}: expected 2 numbers, found {}", subject(), numbers().size());
    }
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("byte {}: the header is not JSON; the file is damaged or not safetensors",
         first_byte_ + (position > 0 ? position - 1 : 0));
  }

 private:
  // Where in the header the next piece stands.
  enum class Place { kStart, kNames, kNameValue, kMetadata, kMetadataValue, kTensor, kFieldValue, kNumbers, kEnd };

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::kCorruptFile, "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void twice(const std::string& name) const {
    fail("the name \"{}\" occurs twice in the header", printable(name));
  }

  // What is being read, for messages.
  std::string subject() const { return fmt::format("tensor \"{}\": {}", printable(entry_), printable(field_)); }

  bool refuse(const std::string& found) const {
    switch (place_) {
      case Place::kStart: fail("the header is not a JSON object but {}", found);
      case Place::kNameValue: fail("tensor \"{}\": expected an object, found {}", printable(entry_), found);
      case Place::kMetadataValue: fail("__metadata__ \"{}\": expected a string, found {}", printable(field_), found);
      case Place::kNumbers: fail("{}: expected sizes, found {}", subject(), found);
      default: fail("{}: expected {}, found {}", subject(), field_ == "dtype" ? "a string" : "an array", found);
    }
  }

  bool start_entry() {
    if (entry_ == "__metadata__") {
      if (has_metadata_) twice(entry_);
      has_metadata_ = true;
      place_ = Place::kMetadata;
      return true;
    }
    header_.tensors.emplace_back().name = entry_;
    seen_ = 0;
    place_ = Place::kTensor;
    return true;
  }

  void check_field() {
    const unsigned bit = field_ == "dtype" ? 1u : field_ == "shape" ? 2u : field_ == "data_offsets" ? 4u : 0u;
    if (bit == 0) {
      fail("tensor \"{}\": unknown field \"{}\"; expected dtype, shape and data_offsets", printable(entry_),
           printable(field_));
    }
    if ((seen_ & bit) != 0) fail("{} occurs twice", subject());
    seen_ |= bit;
  }

  std::vector<std::uint64_t>& numbers() {
    SafetensorsEntry& entry = header_.tensors.back();
    return field_ == "shape" ? entry.shape : entry.offsets;
  }

  const std::string& where_;
  std::size_t first_byte_;
  SafetensorsHeader header_;
  Place place_ = Place::kStart;
  std::string entry_;  // the key of the outer object
  std::string field_;  // the key of the inner one
  unsigned seen_ = 0;  // fields of the tensor so far, by bit
  bool has_metadata_ = false;
};

void check_names(const SafetensorsHeader& header, const std::string& where) {
  std::vector<std::string_view> names;
  for (const SafetensorsEntry& entry : header.tensors) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    throw Error(ErrorKind::kCorruptFile, "{}: the name \"{}\" occurs twice in the header", where, printable(*twice));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where, std::size_t first_byte) {
  HeaderListener listener(where, first_byte);
  const bool parsed = nlohmann::json::sax_parse(text, &listener);
  ensure(parsed, "the listener throws instead of saying no");
  SafetensorsHeader header = listener.take();
  check_names(header, where);
  return header;
}

}  // namespace spikegpt
