#include "spikegpt/data/json_lines.h"

#include <nlohmann/json.hpp>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/text/json_file.h"
#include "spikegpt/text/lines.h"

namespace spikegpt {
namespace {

// What `sink` says to the text of a line: whether to go on.
bool hand_over_text(std::string_view line, const std::string& where,
                    const std::function<bool(std::string_view)>& sink) {
  const nlohmann::json object = parse_json(line, where);
  const auto text = object.is_object() ? object.find("text") : object.end();
  if (!object.is_object() || text == object.end() || !text->is_string()) {
    throw Error(ErrorKind::kCorruptFile, "{}: expected an object with a text, {{\"text\": \"...\"}}, found {}", where,
                show_text(line));
  }
  const auto& document = text->get_ref<const std::string&>();
  return document.empty() || sink(document);
}

}  // namespace

void for_each_json_line(const std::filesystem::path& file, const DocumentSink& sink) {
  for_each_json_line_until(file, [&](std::string_view document) {
    sink(document);
    return true;
  });
}

void for_each_json_line_until(const std::filesystem::path& file, const std::function<bool(std::string_view)>& sink) {
  const MappedFile mapped(file);
  refuse_foreign_data(mapped.text(), file);
  const PlainText plain(mapped.text(), file.string(), {.line_feeds = false});
  std::string_view rest = plain.text();
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = take_line(rest);
    if (is_blank(line)) continue;
    if (!hand_over_text(line, fmt::format("{}, line {} of the file", file.string(), number), sink)) return;
  }
}

}  // namespace spikegpt
