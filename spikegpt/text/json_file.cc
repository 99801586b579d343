#include "spikegpt/text/json_file.h"

#include <unordered_set>
#include <vector>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/foreign_file.h"
#include "spikegpt/core/plain_text.h"
#include "spikegpt/text/utf8.h"

namespace spikegpt {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kShownBytes = 120;

// Walks a document before it is built and throws at the first fault. (The library's own callback
// parser would do, were it not quadratic in the number of objects.)
class Inspector final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Inspector(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return enter(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    throw Error(ErrorKind::kCorruptFile, "{}: the key \"{}\" stands twice in one object", file_, show_text(name));
  }

  bool parse_error(std::size_t byte, const std::string&, const nlohmann::json::exception& failure) override {
    throw Error(ErrorKind::kCorruptFile, "{}: not JSON, at byte {} (line {}): {}", file_, byte, line_at(text_, byte),
                reason_of(failure));
  }

 private:
  bool enter() {
    if (keys_.size() == kMaxDepth) {
      throw Error(ErrorKind::kCorruptFile, "{}: JSON nested more than {} deep", file_, kMaxDepth);
    }
    keys_.emplace_back();
    return true;
  }
  bool leave() {
    keys_.pop_back();
    return true;
  }
  // What the library says behind its own prefix "[json.exception.parse_error.101] ".
  static std::string reason_of(const nlohmann::json::exception& failure) {
    const std::string_view what = failure.what();
    const std::size_t start = what.find("] ");
    return show_text(start == std::string_view::npos ? what : what.substr(start + 2));
  }

  const std::string& file_;
  std::string_view text_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects and arrays that are open
};

}  // namespace

nlohmann::json parse_json_file(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  refuse_foreign(mapped.text(), file);
  return parse_json(PlainText(mapped.text(), file.string(), {.line_feeds = false}).text(), file.string());
}

nlohmann::json parse_json(std::string_view text, const std::string& name) {
  Inspector inspector(name, text);
  nlohmann::json::sax_parse(text, &inspector);
  return nlohmann::json::parse(text);
}

std::string show_text(std::string_view text) {
  std::string shown;
  if (append_well_formed(shown, text.substr(0, kShownBytes)) > 0) shown += "?";
  for (char& character : shown) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7F) character = '?';
  }
  return text.size() > kShownBytes ? shown + "..." : shown;
}

}  // namespace spikegpt
