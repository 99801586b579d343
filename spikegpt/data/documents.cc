#include "spikegpt/data/documents.h"

#include <algorithm>
#include <system_error>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// Regular files below a folder, in the order of their paths. Links to folders are not followed:
// they could lead in a circle.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failure;
  fs::recursive_directory_iterator entry(folder, failure);
  for (const fs::recursive_directory_iterator end; !failure && entry != end; entry.increment(failure)) {
    if (is_hidden(entry->path())) {
      if (entry->is_directory()) entry.disable_recursion_pending();
    } else if (entry->is_regular_file()) {
      files.push_back(entry->path());
    }
  }
  if (failure) {
    throw Error(ErrorKind::kIo, "cannot list the folder {}: {}", folder.string(), failure.message());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void hand_over_file(const fs::path& path, TextCheck check, const DocumentSink& sink) {
  if (is_json_lines(path)) {
    for_each_json_line(path, sink);
  } else {
    sink(TextFile(path, check).text());
  }
}

}  // namespace

bool is_json_lines(const fs::path& file) { return file.extension() == ".jsonl" || file.extension() == ".ndjson"; }

SourceKind source_kind(const fs::path& path) {
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) return SourceKind::kFolder;
  if (is_json_lines(path)) return SourceKind::kJsonLines;
  if (path.extension() == ".idx" || path.extension() == ".bin") {
    const bool both = fs::exists(fs::path(path).replace_extension(".idx"), unreadable);
    return both || path.extension() == ".idx" ? SourceKind::kIndexed : SourceKind::kText;
  }
  fs::path index = path;
  index += ".idx";
  const bool prefix = !fs::exists(path, unreadable) && fs::exists(index, unreadable);
  return prefix ? SourceKind::kIndexed : SourceKind::kText;
}

std::vector<fs::path> files_of(const fs::path& path) {
  if (source_kind(path) != SourceKind::kFolder) return {path};
  std::vector<fs::path> files = files_below(path);
  if (files.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "the folder {} holds no files", path.string());
  }
  std::error_code unreadable;
  std::erase_if(files, [&](const fs::path& file) { return fs::file_size(file, unreadable) == 0; });
  return files;
}

void for_each_document(const fs::path& path, TextCheck check, const DocumentSink& sink) {
  for (const fs::path& file : files_of(path)) hand_over_file(file, check, sink);
}

std::string read_documents(const fs::path& path, TextCheck check) {
  std::string all;
  for_each_document(path, check, [&](std::string_view document) {
    if (!all.empty()) all += '\n';
    all += document;
  });
  return all;
}

std::string document_name(const fs::path& file, std::int64_t number) {
  if (!is_json_lines(file)) return file.string() + ", ";
  return fmt::format("{}, text {}, ", file.string(), number);
}

std::vector<TokenId> separator_of(const Tokenizer& tokenizer) {
  if (const auto end = tokenizer.end_of_text()) return {*end};
  const Encoding line_feed = tokenizer.encode("\n");
  return line_feed.unknowns.count == 0 ? line_feed.ids : std::vector<TokenId>();
}

}  // namespace spikegpt
