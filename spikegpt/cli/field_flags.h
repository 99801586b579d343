// Command-line flags and TOML keys for structs with a `visit` list of fields.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"

namespace spikegpt::cli {

// What is wrong with a number as it was written; empty for nothing. The parser's own conversion would take -1 for a
// large seed, cut what is too large, and take nan.
template <class Number>
std::string number_fault(const std::string& word) {
  constexpr bool kWhole = std::is_integral_v<Number>;
  using Limits = std::numeric_limits<Number>;
  Number value{};
  const char* const end = word.data() + word.size();
  const auto [stop, failure] = std::from_chars(word.data(), end, value);
  bool finite = true;
  if constexpr (!kWhole) finite = std::isfinite(value);
  if (failure == std::errc() && stop == end && finite) return "";
  return fmt::format("expected a {}{}, found \"{}\"", kWhole ? "whole number" : "finite number",
                     kWhole ? fmt::format(" from {} to {}", Limits::min(), Limits::max()) : "", word);
}

// For flags that are added by hand. CLI::Range lets nan through.
inline CLI::Validator finite_range(double low, double high) {
  const auto fault = [low, high](const std::string& word) -> std::string {
    double value = 0.0;
    const char* const end = word.data() + word.size();
    const auto [stop, failure] = std::from_chars(word.data(), end, value);
    const bool good = failure == std::errc() && stop == end && value >= low && value <= high;
    return good ? "" : fmt::format("expected a number from {} to {}, found \"{}\"", low, high, word);
  };
  return CLI::Validator(fault, fmt::format("FLOAT in [{} - {}]", low, high));
}

// A flag for every field: `n_layer` becomes --n-layer. Only the flags that were given count.
template <class Fields>
class FieldFlags {
 public:
  // `hidden` names fields that get no flag. The object must live as long as the app.
  FieldFlags(CLI::App& app, const std::string& group, const std::vector<std::string>& hidden = {}) {
    Fields::visit(values_, [&](const char* key, auto& field, const char* help) {
      if (std::find(hidden.begin(), hidden.end(), key) != hidden.end()) return;
      CLI::Option* option = add(app, flag_name(key), field, help);
      option->group(group);
      given_.push_back({key, option});
    });
  }
  FieldFlags(const FieldFlags&) = delete;
  FieldFlags& operator=(const FieldFlags&) = delete;

  bool given(std::string_view key) const {
    return std::any_of(given_.begin(), given_.end(),
                       [&](const Given& flag) { return flag.key == key && flag.option->count() > 0; });
  }
  const Fields& values() const { return values_; }

  // Sets the fields whose flags were given.
  void apply(Fields& target) const {
    const Json json = fields_to_json(values_);
    Json chosen = Json::object();
    for (const Given& flag : given_) {
      if (flag.option->count() > 0) chosen[flag.key] = json[flag.key];
    }
    read_fields(chosen, "the command line", target);
  }

 private:
  struct Given {
    std::string key;
    CLI::Option* option;
  };

  static std::string flag_name(std::string key) {
    std::replace(key.begin(), key.end(), '_', '-');
    return "--" + key;
  }
  static std::string key_of(std::string flag) {
    std::replace(flag.begin(), flag.end(), '-', '_');
    return flag.substr(2);
  }
  static CLI::Option* add(CLI::App& app, const std::string& flag, bool& field, const char* help) {
    return app.add_option(flag, field, help)->type_name("true|false")->capture_default_str();
  }
  static CLI::Option* add(CLI::App& app, const std::string& flag, std::optional<double>& field, const char* help) {
    const auto read = [flag, &field](const std::string& word) {
      field.reset();
      if (word == "none") return;
      if (!number_fault<double>(word).empty()) {
        throw CLI::ValidationError(flag, fmt::format("expected a number or none, found \"{}\"", word));
      }
      std::from_chars(word.data(), word.data() + word.size(), field.emplace());
    };
    return app.add_option_function<std::string>(flag, read, help)->type_name("FLOAT|none");
  }
  static CLI::Option* add(CLI::App& app, const std::string& flag, std::string& field, const char* help) {
    return app.add_option(flag, field, help)->capture_default_str();
  }
  static CLI::Option* add(CLI::App& app, const std::string& flag, std::vector<std::string>& field, const char* help) {
    return app.add_option(flag, field, help);
  }
  template <class Number>
  static CLI::Option* add(CLI::App& app, const std::string& flag, Number& field, const char* help) {
    const bool limit = is_limit(key_of(flag));
    const auto fault = [limit](const std::string& word) -> std::string {
      return limit && word == "inf" ? "" : number_fault<Number>(word);
    };
    return app.add_option(flag, field, help)->capture_default_str()->check(fault);
  }

  Fields values_;
  std::vector<Given> given_;
};

template <class Fields>
bool has_field(std::string_view wanted) {
  bool found = false;
  const Fields fields;
  Fields::visit(fields, [&](const char* key, const auto&, const char*) { found |= wanted == key; });
  return found;
}

}  // namespace spikegpt::cli
