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

  // Call before writing, so that a folder which was deleted is not begun anew with half of its content, and
  // that no other process writes there too: a lock that somebody deleted is made again. Throws Error: kIo
  // when the folder is no longer where it was; as the constructor when another process has the folder now.
  void check_folder();

 private:
  int take() const;  // the open lock

  std::filesystem::path folder_;
  std::filesystem::path path_;
  int folder_fd_ = -1;
  int fd_ = -1;
};

}  // namespace spikegpt
