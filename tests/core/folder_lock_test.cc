#include "spikegpt/core/folder_lock.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

void expect_error(ErrorKind kind, const std::string& words, const std::function<void()>& action) {
  try {
    action();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(FolderLock, OneAtATime) {
  const TemporaryDirectory folder;
  {
    FolderLock lock(folder.path());
    expect_error(ErrorKind::kInvalidArgument, "is in use: process", [&] { FolderLock{folder.path()}; });
    lock.check_folder();
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "lock"));
  FolderLock{folder.path()};
}

TEST(FolderLock, ADeletedLockIsMadeAgain) {
  const TemporaryDirectory folder;
  FolderLock lock(folder.path());
  const std::string content = read_text(folder / "lock");
  std::filesystem::remove(folder / "lock");
  lock.check_folder();
  EXPECT_EQ(read_text(folder / "lock"), content);
  expect_error(ErrorKind::kInvalidArgument, "is in use", [&] { FolderLock{folder.path()}; });
}

TEST(FolderLock, WhoeverTookTheFolderMeanwhileHasIt) {
  const TemporaryDirectory folder;
  FolderLock lock(folder.path());
  std::filesystem::remove(folder / "lock");
  std::optional<FolderLock> other(std::in_place, folder.path());
  expect_error(ErrorKind::kInvalidArgument, "is in use", [&] { lock.check_folder(); });
  EXPECT_TRUE(std::filesystem::exists(folder / "lock"));
  other.reset();
  lock.check_folder();
  EXPECT_TRUE(std::filesystem::exists(folder / "lock"));
}

TEST(FolderLock, AFolderThatHasGoneIsAnError) {
  const TemporaryDirectory folder;
  std::filesystem::create_directory(folder / "run");
  FolderLock lock(folder / "run");
  std::filesystem::rename(folder / "run", folder / "away");
  expect_error(ErrorKind::kIo, "was deleted, moved or replaced", [&] { lock.check_folder(); });
  std::filesystem::create_directory(folder / "run");
  expect_error(ErrorKind::kIo, "was deleted, moved or replaced", [&] { lock.check_folder(); });
  EXPECT_FALSE(std::filesystem::exists(folder / "run/lock"));
}

}  // namespace
}  // namespace spikegpt::test
