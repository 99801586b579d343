// Command-line flags and TOML keys for structs with a `visit` list of fields.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "spikegpt/cli/flags.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"

namespace spikegpt::cli {

// A flag for every field: `n_layer` becomes --n-layer. Only the flags that were given count.
template <class Fields>
class FieldFlags {
 public:
  // `hidden` names fields that get no flag. The object must live as long as the command.
  FieldFlags(Flags& app, const std::string& group, const std::vector<std::string>& hidden = {}) {
    Fields::visit(values_, [&](const char* key, auto& field, const char* help) {
      if (std::find(hidden.begin(), hidden.end(), key) != hidden.end()) return;
      given_.push_back({key, add(app, key, field, help).group(group)});
    });
  }
  FieldFlags(const FieldFlags&) = delete;
  FieldFlags& operator=(const FieldFlags&) = delete;

  bool given(std::string_view key) const {
    return std::any_of(given_.begin(), given_.end(),
                       [&](const Given& field) { return field.key == key && field.flag.given(); });
  }
  const Fields& values() const { return values_; }

  // Sets the fields whose flags were given.
  void apply(Fields& target) const {
    const Json json = all_fields_to_json(values_);
    Json chosen = Json::object();
    for (const Given& field : given_) {
      if (!field.flag.given()) continue;
      const auto pairs = pairs_.find(field.key);
      chosen[field.key] = pairs == pairs_.end() ? json[field.key] : object_of(field.key, pairs->second);
    }
    read_fields(chosen, "the command line", target);
  }

 private:
  struct Given {
    std::string key;
    Flag flag;
  };

  // name=value,... as an object.
  static Json object_of(const std::string& key, const std::vector<std::string>& pairs) {
    Json object = Json::object();
    for (const std::string& pair : pairs) {
      const std::size_t equals = pair.find('=');
      check_setting(equals != std::string::npos && equals > 0, key, pair, "name=value,...");
      object[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return object;
  }
  Flag add(Flags& app, const std::string& key, std::map<std::string, std::string>&, const char* help) {
    std::string name = "--" + key;
    std::replace(name.begin(), name.end(), '_', '-');
    return app.add(name, pairs_[key], help).separated_by(',');
  }
  template <class Field>
  static Flag add(Flags& app, const std::string& key, Field& field, const char* help) {
    std::string name = "--" + key;
    std::replace(name.begin(), name.end(), '_', '-');
    if constexpr (std::is_same_v<Field, double>) {
      if (is_limit(key)) return app.add_limit(name, field, help).show_default();
    }
    Flag flag = app.add(name, field, help);
    if constexpr (!std::is_same_v<Field, std::vector<std::string>>) flag.show_default();
    return flag;
  }

  Fields values_;
  std::map<std::string, std::vector<std::string>> pairs_;  // what fields of name=value were given
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
