// One process at a time in a folder.
#pragma once

#include <filesystem>

namespace spikegpt {

// Holds FOLDER/lock for as long as it lives. The operating system lets go of it when the process ends in whatever
// way, so a run that was killed leaves nothing to clear away.
class FolderLock {
 public:
  // Throws Error: kInvalidArgument that names the process and machine that has the folder, kIo.
  explicit FolderLock(const std::filesystem::path& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace spikegpt
