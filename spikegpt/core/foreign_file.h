// Files that are not what their names say, as downloads that went wrong leave them.
#pragma once

#include <filesystem>
#include <string_view>

namespace spikegpt {

// What `bytes` are when they can only be something else than a model, a tokenizer or a configuration, and
// what to do: "a git-lfs pointer, not the file itself: ...". Empty when they may be the real thing.
std::string_view describe_foreign(std::string_view bytes) noexcept;

// Throws Error (kCorruptFile) that names the file and says what it is, if describe_foreign knows.
void refuse_foreign(std::string_view bytes, const std::filesystem::path& path);

// For data: text, labelled texts, tokens. A page is what it should be where the file is called one (.html,
// .xml).
enum class ForeignData {
  kInText,   // pointers, pages, archives
  kInBytes,  // pointers and pages: any other bytes may be meant
};
// Throws Error (kCorruptFile) as above.
void refuse_foreign_data(std::string_view bytes, const std::filesystem::path& path,
                         ForeignData where = ForeignData::kInText);

}  // namespace spikegpt
