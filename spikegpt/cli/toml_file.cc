#include "spikegpt/cli/toml_file.h"

#include <toml++/toml.h>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/plain_text.h"

namespace spikegpt::cli {
namespace {

// The one setting that is a table.
constexpr std::string_view kTable = "neurons";

[[noreturn]] void refuse(const std::filesystem::path& path, const toml::node& node) {
  const auto& where = node.source().begin;
  throw Error(ErrorKind::kInvalidArgument,
              "{}:{}:{}: expected key = value with a number, true, false, a string, or a list of them", path.string(),
              where.line, where.column);
}

Json to_json(const std::filesystem::path& path, const toml::node& node) {
  if (const auto* value = node.as_boolean()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_string()) {
    return value->get() == "none" ? Json(nullptr) : Json(value->get());
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& item : *array) list.push_back(to_json(path, item));
    return list;
  }
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, item] : *table) object[std::string(key.str())] = to_json(path, item);
    return object;
  }
  refuse(path, node);
}

}  // namespace

Json read_toml(const std::filesystem::path& path) {
  const MappedFile file(path);
  refuse_foreign(file.text(), path);
  const PlainText text(file.text(), path.string());
  Json json = Json::object();
  try {
    const toml::table table = toml::parse(text.text(), path.string());
    for (const auto& [key, node] : table) {
      if (node.is_table() && key.str() != kTable) refuse(path, node);
      json[std::string(key.str())] = to_json(path, node);
    }
  } catch (const toml::parse_error& error) {
    const auto& where = error.source().begin;
    throw Error(ErrorKind::kInvalidArgument, "{}:{}:{}: {}", path.string(), where.line, where.column,
                error.description());
  }
  return json;
}

}  // namespace spikegpt::cli
