// What tests need from outside the program: shared data that may be absent, and a folder to write
// in.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <stdlib.h>

#include "tests/support/places.h"

namespace spikegpt {

// The path of a file or folder of shared data: in $SPIKEGPT_SHARED when that is set, otherwise in
// `shared/` beside the checkout. Nothing when it is not there; such a test says so and skips:
//
//   const auto path = shared_path("official/a/config.json");
//   if (!path) GTEST_SKIP() << "shared data official/a is absent";
inline std::optional<std::filesystem::path> shared_path(std::string_view relative) {
  const char* chosen = std::getenv("SPIKEGPT_SHARED");
  const std::filesystem::path root =
      chosen != nullptr && *chosen != '\0' ? std::filesystem::path(chosen) : test::source_folder() / ".." / "shared";
  std::error_code ignored;  // an unreadable place counts as absent
  std::filesystem::path path = (root / relative).lexically_normal();
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return path;
}

// A new empty folder of this test alone, removed with all it holds at the end of its scope. Tests
// of one program run side by side, so a fixed name would be shared.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "spikegpt-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::filesystem::filesystem_error("cannot make a temporary folder", name,
                                              std::error_code(errno, std::generic_category()));
    }
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace spikegpt
