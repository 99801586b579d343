#include "spikegpt/core/bounded_json.h"

#include "spikegpt/core/files.h"
#include "spikegpt/core/plain_text.h"

namespace spikegpt {
namespace {

// Of arrays and objects; brackets in strings do not count.
bool is_too_deep(std::string_view text) noexcept {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Json parse_bounded_json(std::string_view text) {
  if (is_too_deep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, false);
}

Json read_json_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_bounded_json(PlainText(file.text(), path.string()).text());
}

}  // namespace spikegpt
