// Structs with a `visit` list of fields, to and from JSON objects.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {

using Json = nlohmann::ordered_json;

namespace detail {

inline void read_json(const Json& json, std::optional<double>& field) {
  if (json.is_null()) {
    field.reset();
  } else {
    field = json.get<double>();
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

inline Json to_json_value(const std::optional<double>& field) { return field ? Json(*field) : Json(nullptr); }
template <class T>
Json to_json_value(const T& field) {
  return Json(field);
}

}  // namespace detail

template <class Fields>
Json fields_to_json(const Fields& fields) {
  Json json = Json::object();
  Fields::visit(fields,
                [&](const char* key, const auto& field, const char*) { json[key] = detail::to_json_value(field); });
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
    try {
      detail::read_json(json[key], field);
    } catch (const std::exception&) {
      throw Error(ErrorKind::kCorruptFile, "{}: \"{}\" has the value {}, which is not of its type", where, key,
                  json[key].dump());
    }
  });
  for (const auto& [key, value] : json.items()) {
    if (known.count(key) == 0) {
      throw Error(ErrorKind::kInvalidArgument, "{}: unknown key \"{}\" with the value {}", where, key, value.dump());
    }
  }
}

}  // namespace spikegpt
