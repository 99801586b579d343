#include "spikegpt/text/vocabulary_file.h"

#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

std::size_t parse_id(const std::string& key, std::size_t count, const std::string& file) {
  std::size_t id = 0;
  const char* end = key.data() + key.size();
  const auto [stop, failure] = std::from_chars(key.data(), end, id);
  if (failure != std::errc() || stop != end || id >= count || (key.size() > 1 && key[0] == '0')) {
    throw Error(ErrorKind::kCorruptFile,
                "{}: \"{}\" is no id of a vocabulary of {} characters; expected every number from 0 "
                "to {} once",
                file, show_text(key), count, count - 1);
  }
  return id;
}

char32_t parse_character(const nlohmann::json& value, const std::string& key, const std::string& file) {
  if (value.is_number()) {
    throw Error(ErrorKind::kUnsupported,
                "{}: maps tokens to ids, as the vocabulary of a BPE does (\"{}\": {}); that one is read "
                "from its tokenizer.json",
                file, show_text(key), value.dump());
  }
  const auto* text = value.get_ptr<const std::string*>();
  const std::optional<Utf8Step> step =
      text != nullptr && !text->empty() ? std::optional(decode_utf8(*text)) : std::nullopt;
  if (!step || !step->valid || static_cast<std::size_t>(step->length) != text->size()) {
    throw Error(ErrorKind::kCorruptFile, "{}: id \"{}\" must stand for one character, found {}", file, show_text(key),
                show_text(value.dump()));
  }
  return step->code_point;
}

}  // namespace

std::vector<char32_t> read_character_vocabulary(const std::filesystem::path& file) {
  const std::string name = file.string();
  const nlohmann::json root = parse_json_file(file);
  if (!root.is_object() || root.empty()) {
    throw Error(ErrorKind::kCorruptFile, "{}: expected a JSON object of ids and characters, {{\"0\": \"a\", ...}}",
                name);
  }
  constexpr char32_t kNone = 0xFFFFFFFF;
  std::vector<char32_t> vocabulary(root.size(), kNone);
  std::vector<bool> seen(0x110000);
  for (const auto& [key, value] : root.items()) {
    const char32_t code_point = parse_character(value, key, name);
    const std::size_t id = parse_id(key, root.size(), name);
    if (seen[code_point]) {
      throw Error(ErrorKind::kCorruptFile, "{}: character {} has two ids, {} is one of them", name,
                  show_code_point(code_point), id);
    }
    seen[code_point] = true;
    vocabulary[id] = code_point;
  }
  return vocabulary;  // as many different ids below the size as entries: all are there
}

void write_character_vocabulary(const std::filesystem::path& file, const std::vector<char32_t>& vocabulary) {
  std::string text = "{";
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    std::string character;
    append_utf8(character, vocabulary[id]);
    text += fmt::format("{}\"{}\": {}", id == 0 ? "" : ", ", id, nlohmann::json(character).dump());
  }
  write_text_atomically(file, text + "}");
}

}  // namespace spikegpt
