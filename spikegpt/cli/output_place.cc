#include "spikegpt/cli/output_place.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"

namespace spikegpt::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array kModelFiles = {"model.safetensors", "packed.safetensors", "train.json", "checkpoints"};
constexpr std::array kOtherFiles = {"config.json",  "tokenizer.json", "vocab.json", "metrics.jsonl", "best",
                                    "results.json", "compare.json",   "compare.md", "compare.html",  "speed.json"};

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::symlink_status(path, unreadable).type() != fs::file_type::not_found;
}

bool is_same(const fs::path& a, const fs::path& b) {
  std::error_code unreadable;
  return !b.empty() && fs::equivalent(a, b, unreadable);
}

// Of a run that was killed before its first line: to be begun again.
bool is_unbegun_run(const fs::path& folder) {
  std::error_code absent;
  return fs::file_size(folder / "metrics.jsonl", absent) == 0 && !absent &&
         std::none_of(kModelFiles.begin(), kModelFiles.end(),
                      [&](const char* name) { return is_there(folder / name); });
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  std::error_code unreadable;
  if (!fs::is_directory(folder, unreadable)) return false;
  const fs::path relative =
      fs::weakly_canonical(path, unreadable).lexically_relative(fs::canonical(folder, unreadable));
  return !unreadable && !relative.empty() && *relative.begin() != "..";
}

}  // namespace

void refuse_used_folder(const fs::path& folder, std::string_view advice, const fs::path& tokenizer) {
  for (const char* name : kModelFiles) {
    if (!is_there(folder / name)) continue;
    throw Error(ErrorKind::kInvalidArgument, "{} already holds a model ({}); {}", folder.string(), name, advice);
  }
  if (is_unbegun_run(folder)) return;
  for (const char* name : kOtherFiles) {
    if (!is_there(folder / name) || is_same(folder / name, tokenizer)) continue;
    throw Error(ErrorKind::kInvalidArgument, "{} already holds another {}; {}", folder.string(), name, advice);
  }
}

void refuse_other_file(const fs::path& file, std::string_view mark, bool force) {
  constexpr std::size_t kMarkedBytes = 4096;
  const fs::path target = output_file(file);
  std::error_code absent;
  if (target.has_parent_path() && !fs::is_directory(target.parent_path(), absent)) {
    const std::string parent = target.parent_path().string();
    throw Error(ErrorKind::kIo, "cannot create {}: {}", file.string(),
                fs::exists(parent, absent) ? parent + " is not a folder" : "there is no folder " + parent);
  }
  const std::uintmax_t size = fs::file_size(target, absent);
  if (absent || size == 0) return;
  const std::string name = target.filename().string();
  const bool model = name == "config.json" || name == "vocab.json" ||
                     std::find(kModelFiles.begin(), kModelFiles.end(), name) != kModelFiles.end();
  if (force && !model) return;
  const MappedFile earlier(target);
  const std::string_view text = earlier.text();
  const std::string_view end = text.substr(text.size() - std::min(text.size(), kMarkedBytes));
  const bool ours =
      text.substr(0, kMarkedBytes).find(mark) != std::string_view::npos || end.find(mark) != std::string_view::npos;
  if (!mark.empty() && ours && !model) return;
  throw Error(ErrorKind::kInvalidArgument, "{} exists and is not what this command writes; choose another name{}",
              file.string(), model ? "" : ", or give --force to replace it");
}

void refuse_output_inside(const fs::path& out, std::span<const fs::path> sources) {
  for (const fs::path& source : sources) {
    if (!is_inside(out, source)) continue;
    throw Error(
        ErrorKind::kInvalidArgument,
        "{} lies inside {}, whose files are all read as text, what is written there too; choose a place outside",
        out.string(), source.string());
  }
}

void add_force_flag(Flags& app, bool& force) {
  app.add_switch("--force", force, "replace a file of another kind where the result goes");
}

}  // namespace spikegpt::cli
