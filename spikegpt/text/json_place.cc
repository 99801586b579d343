#include "spikegpt/text/json_place.h"

#include "spikegpt/core/error.h"
#include "spikegpt/text/json_file.h"

namespace spikegpt {

using nlohmann::json;

void JsonPlace::expected(const char* what) const {
  throw Error(ErrorKind::kCorruptFile, "{}: expected {}, found {} {}", name_, what, value_->type_name(),
              value_->is_structured() ? "" : show_text(value_->dump()));
}

const json& JsonPlace::object() const {
  if (!value_->is_object()) expected("an object");
  return *value_;
}

const json& JsonPlace::array() const {
  if (!value_->is_array()) expected("a list");
  return *value_;
}

const std::string& JsonPlace::text() const {
  if (!value_->is_string()) expected("a text");
  return value_->get_ref<const std::string&>();
}

std::int64_t JsonPlace::integer(std::int64_t least, std::int64_t most) const {
  // An unsigned number beyond int64 would wrap around in get<int64_t>.
  const bool fits = value_->is_number_integer() &&
                    (!value_->is_number_unsigned() || value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(most));
  if (!fits || value_->get<std::int64_t>() < least || value_->get<std::int64_t>() > most) {
    expected(fmt::format("a whole number from {} to {}", least, most).c_str());
  }
  return value_->get<std::int64_t>();
}

const json* JsonPlace::find(const char* key) const {
  const auto member = object().find(key);
  return member == value_->end() ? nullptr : &*member;
}

JsonPlace JsonPlace::at(const char* key) const {
  const json* member = find(key);
  if (member != nullptr) return {*member, fmt::format("{}.{}", name_, key)};
  throw Error(ErrorKind::kCorruptFile, "{}: \"{}\" is missing", name_, key);
}

bool JsonPlace::flag(const char* key, bool fallback) const {
  const json* member = find(key);
  if (member == nullptr || member->is_null()) return fallback;
  if (!member->is_boolean()) at(key).expected("true or false");
  return member->get<bool>();
}

JsonPlace JsonPlace::element(std::size_t index) const { return {array()[index], fmt::format("{}[{}]", name_, index)}; }

JsonPlace JsonPlace::member(const std::string& key, const json& value) const {
  return {value, fmt::format("{}.\"{}\"", name_, show_text(key))};
}

}  // namespace spikegpt
