// A value in a JSON document that knows where it stands, so that every complaint can say so.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace spikegpt {

// Every accessor throws Error (kCorruptFile) with the place, what was expected and what is there.
class JsonPlace {
 public:
  // `value` must outlive the place; messages begin with `name`.
  JsonPlace(const nlohmann::json& value, std::string name) : value_(&value), name_(std::move(name)) {}

  const nlohmann::json& value() const noexcept { return *value_; }
  const std::string& name() const noexcept { return name_; }
  JsonPlace renamed(std::string name) const { return {*value_, std::move(name)}; }

  const nlohmann::json& object() const;
  const nlohmann::json& array() const;
  const std::string& text() const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;

  // A member of this object: nullptr when it is absent; `at` throws then.
  const nlohmann::json* find(const char* key) const;
  JsonPlace at(const char* key) const;
  // True or false; `fallback` where it is absent or null.
  bool flag(const char* key, bool fallback) const;
  JsonPlace element(std::size_t index) const;
  // The place of a member that iteration has found already.
  JsonPlace member(const std::string& key, const nlohmann::json& value) const;

 private:
  [[noreturn]] void expected(const char* what) const;

  const nlohmann::json* value_;
  std::string name_;
};

}  // namespace spikegpt
