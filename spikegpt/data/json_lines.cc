#include "spikegpt/data/json_lines.h"

#include <nlohmann/json.hpp>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/lines.h"

namespace spikegpt {
namespace {

void hand_over_text(std::string_view line, const std::string& where, const DocumentSink& sink) {
  const nlohmann::json object = parse_json(line, where);
  const auto text = object.is_object() ? object.find("text") : object.end();
  if (!object.is_object() || text == object.end() || !text->is_string()) {
    throw Error(ErrorKind::kCorruptFile, "{}: expected an object with a text, {{\"text\": \"...\"}}, found {}", where,
                show_text(line));
  }
  const auto& document = text->get_ref<const std::string&>();
  if (!document.empty()) sink(document);
}

}  // namespace

void for_each_json_line(const std::filesystem::path& file, const DocumentSink& sink) {
  const MappedFile mapped(file);
  std::string_view rest = mapped.text();
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for_each_line(rest, [&](std::size_t number, std::string_view line) {
    if (is_blank(line)) return;
    hand_over_text(line, fmt::format("{}, line {} of the file", file.string(), number), sink);
  });
}

}  // namespace spikegpt
