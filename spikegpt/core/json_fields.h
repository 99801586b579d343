// Structs with a `visit` list of fields, to and from JSON objects.
#pragma once

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/plain_text.h"

namespace spikegpt {

using Json = nlohmann::ordered_json;

// JSON as text, for files and printing. Bytes that are no UTF-8 are replaced.
inline std::string json_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// Settings that are a limit, with 0 for none: there infinity is another word for 0.
inline bool is_limit(std::string_view key) { return key == "grad_clip" || key == "loss_spike"; }

namespace detail {

// Names of files may have any bytes, JSON texts may not: those are stored as {"latin1": "..."}, a character a byte.
inline constexpr const char* kAnyBytes = "latin1";

inline Json to_json_value(const std::string& field) {
  Json json = field;
  try {
    json.dump();
    return json;
  } catch (const Json::type_error&) {  // the library's own way of saying that it is no UTF-8
    std::string characters;
    for (const char c : field) append_utf8(characters, static_cast<unsigned char>(c));
    return {{kAnyBytes, characters}};
  }
}
inline Json to_json_value(const std::vector<std::string>& field) {
  Json json = Json::array();
  for (const std::string& text : field) json.push_back(to_json_value(text));
  return json;
}
inline Json to_json_value(const std::optional<double>& field) { return field ? Json(*field) : Json(nullptr); }
template <class T>
Json to_json_value(const T& field) {
  return Json(field);
}

inline void read_json(const Json& json, std::string& field) {
  if (!json.is_object()) {
    json.get_to(field);
    return;
  }
  field.clear();
  const auto characters = json.at(kAnyBytes).get<std::string>();
  for (std::size_t i = 0; i < characters.size(); ++i) {
    const auto byte = static_cast<unsigned char>(characters[i]);
    const bool two = byte >= 0x80 && i + 1 < characters.size();
    field += two ? static_cast<char>((byte & 0x03) << 6 | (characters[++i] & 0x3F)) : characters[i];
  }
}
inline void read_json(const Json& json, std::vector<std::string>& field) {
  if (!json.is_array()) throw Error(ErrorKind::kCorruptFile, "not a list");
  field.resize(json.size());
  for (std::size_t i = 0; i < field.size(); ++i) read_json(json[i], field[i]);
}
// What kernels compute with are floats: a number beyond them is as good as infinite.
inline void read_json(const Json& json, double& field) {
  json.get_to(field);
  if (!(std::abs(field) <= static_cast<double>(std::numeric_limits<float>::max()))) {
    throw Error(ErrorKind::kCorruptFile, "not a finite number");
  }
}
inline void read_json(const Json& json, std::optional<double>& field) {
  if (json.is_null()) {
    field.reset();
  } else {
    read_json(json, field.emplace());
  }
}
template <class T>
void read_json(const Json& json, T& field) {
  // The library converts between numbers silently: it would cut off fractions and wrap what does not fit.
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const bool fits = json.is_number_unsigned()  ? std::in_range<T>(json.get<std::uint64_t>())
                      : json.is_number_integer() ? std::in_range<T>(json.get<std::int64_t>())
                                                 : false;
    if (!fits) throw Error(ErrorKind::kCorruptFile, "not an integer in range");
  }
  json.get_to(field);
}

// As the library writes a number that is not finite; older runs have it for --grad-clip inf.
inline bool means_no_limit(const Json& json) {
  return json.is_null() || (json.is_number_float() && json.get<double>() == std::numeric_limits<double>::infinity());
}

inline std::string shown(const Json& json) {
  if (json.is_number_float() && !std::isfinite(json.get<double>())) return fmt::format("{}", json.get<double>());
  return json_text(json);
}

template <class T>
constexpr const char* expected() {
  if (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>) return "a finite number";
  if (std::is_same_v<T, bool>) return "true or false";
  if (std::is_integral_v<T>) return "a whole number in its range";
  return "a text";
}

}  // namespace detail

template <class Fields>
Json all_fields_to_json(const Fields& fields) {
  Json json = Json::object();
  Fields::visit(fields,
                [&](const char* key, const auto& field, const char*) { json[key] = detail::to_json_value(field); });
  return json;
}

// For files: without the fields that `Fields` calls optional and that are as they always were, so that files that do
// not need them stay the same byte for byte.
template <class Fields>
Json fields_to_json(const Fields& fields) {
  Json json = all_fields_to_json(fields);
  if constexpr (requires { Fields::is_optional(std::string_view()); }) {
    const Json usual = all_fields_to_json(Fields());
    for (const auto& [key, value] : usual.items()) {
      if (Fields::is_optional(key) && json[key] == value) json.erase(key);
    }
  }
  return json;
}

// Sets the fields that `json` holds and leaves the others. Throws Error that names `where` and the key:
// kCorruptFile for a value of another type, kInvalidArgument for a key that no field has.
template <class Fields>
void read_fields(const Json& json, std::string_view where, Fields& fields) {
  std::set<std::string> known;
  Fields::visit(fields, [&](const char* key, auto& field, const char*) {
    known.insert(key);
    if (!json.contains(key)) return;
    using Field = std::remove_cvref_t<decltype(field)>;
    try {
      if (is_limit(key) && detail::means_no_limit(json[key])) {
        field = Field{};
      } else {
        detail::read_json(json[key], field);
      }
    } catch (const std::exception&) {
      throw Error(ErrorKind::kCorruptFile, "{}: \"{}\" has the value {}, which is not of its type: expected {}", where,
                  key, detail::shown(json[key]), detail::expected<Field>());
    }
  });
  for (const auto& [key, value] : json.items()) {
    if (known.count(key) == 0) {
      throw Error(ErrorKind::kInvalidArgument, "{}: unknown key \"{}\" with the value {}", where, key,
                  detail::shown(value));
    }
  }
}

}  // namespace spikegpt
