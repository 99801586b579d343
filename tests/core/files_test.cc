#include "spikegpt/core/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/support/shared_data.h"
#include "tests/text/expect_error.h"

namespace spikegpt {
namespace {

void put(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }
// Everything in the folder, to see that nothing was left behind.
std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST(MappedFile, ShowsTheBytes) {
  const TemporaryDirectory folder;
  const std::string content("a\0b\xff\n", 5);
  put(folder / "file", content);
  MappedFile file(folder / "file");
  EXPECT_EQ(file.text(), content);
  EXPECT_EQ(file.bytes().size(), 5u);
  EXPECT_EQ(file.path(), folder / "file");
  EXPECT_EQ(read_text(folder / "file"), content);
  const std::byte* memory = file.bytes().data();
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes().data(), memory);
  put(folder / "other", "xyz");
  moved = MappedFile(folder / "other");
  EXPECT_EQ(moved.text(), "xyz");
  MappedFile& itself = moved;
  moved = std::move(itself);
  EXPECT_EQ(moved.text(), "xyz");
}

TEST(MappedFile, EmptyFile) {
  const TemporaryDirectory folder;
  put(folder / "file", "");
  EXPECT_EQ(MappedFile(folder / "file").text(), "");
}

TEST(MappedFile, StaysReadableWhenTheFileIsReplaced) {
  const TemporaryDirectory folder;
  put(folder / "file", "old");
  const MappedFile file(folder / "file");
  write_text_atomically(folder / "file", "new");
  EXPECT_EQ(file.text(), "old");
  EXPECT_EQ(read_text(folder / "file"), "new");
}

TEST(MappedFile, WhatCannotBeMappedIsAnErrorThatNamesIt) {
  const TemporaryDirectory folder;
  put(folder / "file", "x");
  expect_error(ErrorKind::kNotFound, {"missing", "No such file"}, [&] { MappedFile(folder / "missing"); });
  expect_error(ErrorKind::kIo, {"file/below", "Not a directory"}, [&] { MappedFile(folder / "file/below"); });
  expect_error(ErrorKind::kInvalidArgument, {folder.path().string(), "regular file"},
               [&] { MappedFile{folder.path()}; });
  expect_error(ErrorKind::kInvalidArgument, {"/dev/null", "regular file"}, [&] { MappedFile{"/dev/null"}; });
  expect_error(ErrorKind::kNotFound, {}, [&] { read_text(""); });
}

TEST(MappedFile, ForbiddenFile) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may read everything";
  const TemporaryDirectory folder;
  put(folder / "file", "x");
  ASSERT_EQ(::chmod((folder / "file").c_str(), 0), 0);
  expect_error(ErrorKind::kIo, {"file", "Permission denied"}, [&] { MappedFile(folder / "file"); });
}

// Nobody writes into this pipe: opening it the ordinary way would wait forever.
TEST(MappedFile, PipeIsAnErrorAndNotAWait) {
  const TemporaryDirectory folder;
  const std::string pipe = (folder / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::atomic<bool> done = false;
  std::thread rescue([&] {  // lets a waiting reader go, so that the test ends either way
    for (int i = 0; i < 100 && !done; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const int fd = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::close(fd);
  });
  const auto start = std::chrono::steady_clock::now();
  expect_error(ErrorKind::kInvalidArgument, {"pipe", "regular file"}, [&] { MappedFile{pipe}; });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1)) << "waited for a writer";
  done = true;
  rescue.join();
}

TEST(WriteAtomically, WritesReplacesAndLeavesNothingElse) {
  const TemporaryDirectory folder;
  write_text_atomically(folder / "file", "first");
  EXPECT_EQ(read_text(folder / "file"), "first");
  const std::string content("second\0\xff", 8);
  write_atomically(folder / "file", [&](FileWriter& writer) {
    writer.write_text(std::string_view(content).substr(0, 3));
    writer.write({});
    writer.write_text(std::string_view(content).substr(3));
  });
  EXPECT_EQ(read_text(folder / "file"), content);
  write_text_atomically(folder / "file", "");
  EXPECT_EQ(read_text(folder / "file"), "");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(WriteAtomically, AFileNameWithoutFolderIsInTheCurrentOne) {
  const TemporaryDirectory folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_text_atomically("file", "here");
  std::filesystem::current_path(before);
  EXPECT_EQ(read_text(folder / "file"), "here");
}

TEST(WriteAtomically, NobodySeesHalfAFile) {
  const TemporaryDirectory folder;
  write_text_atomically(folder / "file", "old");
  write_atomically(folder / "file", [&](FileWriter& writer) {
    writer.write_text("ne");
    EXPECT_EQ(read_text(folder / "file"), "old");
    writer.write_text("w");
    EXPECT_EQ(read_text(folder / "file"), "old");
  });
  EXPECT_EQ(read_text(folder / "file"), "new");
}

TEST(WriteAtomically, FailureInTheContentLeavesTheOldFile) {
  const TemporaryDirectory folder;
  write_text_atomically(folder / "file", "old");
  const auto fail = [](FileWriter& writer) {
    writer.write_text("half of the new");
    throw Error(ErrorKind::kCancelled, "stopped");
  };
  expect_error(ErrorKind::kCancelled, {"stopped"}, [&] { write_atomically(folder / "file", fail); });
  EXPECT_EQ(read_text(folder / "file"), "old");
  expect_error(ErrorKind::kCancelled, {"stopped"}, [&] { write_atomically(folder / "new", fail); });
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(WriteAtomically, WhereNothingCanBeWrittenIsAnErrorThatNamesIt) {
  const TemporaryDirectory folder;
  put(folder / "file", "x");
  std::filesystem::create_directory(folder / "taken");
  expect_error(ErrorKind::kIo, {"missing/file", "No such file"},
               [&] { write_text_atomically(folder / "missing/file", "x"); });
  expect_error(ErrorKind::kIo, {"file/below", "Not a directory"},
               [&] { write_text_atomically(folder / "file/below", "x"); });
  expect_error(ErrorKind::kIo, {"taken", "directory"}, [&] { write_text_atomically(folder / "taken", "x"); });
  EXPECT_EQ(entries(folder.path()), 2u);
}

TEST(WriteAtomically, FolderWithoutPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  const TemporaryDirectory folder;
  write_text_atomically(folder / "file", "old");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0500), 0);
  expect_error(ErrorKind::kIo, {"file", "Permission denied"}, [&] { write_text_atomically(folder / "file", "new"); });
  EXPECT_EQ(read_text(folder / "file"), "old");
  ::chmod(folder.path().c_str(), 0700);
}

// A limit on file sizes stands for the full disk: the system refuses in the midst of a write.
TEST(WriteAtomically, FullDiskLeavesTheOldFile) {
  const TemporaryDirectory folder;
  write_text_atomically(folder / "file", "old");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {100000, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string large(150000, 'x');
  expect_error(ErrorKind::kIo, {"file", "File too large", "unchanged"},
               [&] { write_text_atomically(folder / "file", large); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text(folder / "file"), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

// Never a real device: it would be gone if this failed.
TEST(WriteAtomically, WhatIsNoRegularFileIsNotReplaced) {
  const TemporaryDirectory folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("pipe", folder / "link");
  std::filesystem::create_symlink("circle", folder / "circle");
  for (const char* name : {"pipe", "link"}) {
    expect_error(ErrorKind::kIo, {name, "named pipe", "not a regular file"},
                 [&] { write_text_atomically(folder / name, "x"); });
    expect_error(ErrorKind::kIo, {name, "named pipe"}, [&] { GrowingFile{folder / name}; });
  }
  expect_error(ErrorKind::kIo, {"circle", "lead nowhere"}, [&] { write_text_atomically(folder / "circle", "x"); });
  if (::mknod((folder / "device").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    expect_error(ErrorKind::kIo, {"device"}, [&] { write_text_atomically(folder / "device", "x"); });
    EXPECT_TRUE(std::filesystem::is_character_file(folder / "device"));
  }
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
}

TEST(WriteAtomically, LinksAreFollowedAndStay) {
  const TemporaryDirectory folder;
  std::filesystem::create_directory(folder / "there");
  put(folder / "there/file", "old");
  ASSERT_EQ(::chmod((folder / "there/file").c_str(), 0600), 0);
  std::filesystem::create_symlink("there/file", folder / "link");
  std::filesystem::create_symlink(folder / "link", folder / "second");
  std::filesystem::create_symlink("there/new", folder / "dangling");
  write_text_atomically(folder / "second", "new");
  write_text_atomically(folder / "dangling", "made");
  EXPECT_EQ(read_text(folder / "there/file"), "new");
  EXPECT_EQ(read_text(folder / "there/new"), "made");
  for (const char* name : {"link", "second", "dangling"}) {
    EXPECT_TRUE(std::filesystem::is_symlink(folder / name)) << name;
  }
  EXPECT_EQ(std::filesystem::status(folder / "there/file").permissions(), std::filesystem::perms(0600));
  EXPECT_EQ(entries(folder / "there"), 2u);
}

TEST(GrowingFile, GrowsByWholeRecords) {
  const TemporaryDirectory folder;
  put(folder / "log", "before\n");
  GrowingFile file(folder / "log");
  file.append("one\n");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1000, before.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::kIo, {"log", "File too large", "record before"},
               [&] { file.append(std::string(2000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text(folder / "log"), "before\none\n");
  file.append("two\n");
  EXPECT_EQ(read_text(folder / "log"), "before\none\ntwo\n");
}

TEST(GrowingFile, WhatWasDeletedOrMovedIsWrittenAgain) {
  const TemporaryDirectory folder;
  put(folder / "log", "before\n");
  GrowingFile file(folder / "log");
  file.append("one\n");
  std::filesystem::remove(folder / "log");
  file.append("two\n");
  EXPECT_EQ(read_text(folder / "log"), "before\none\ntwo\n");
  std::filesystem::rename(folder / "log", folder / "away");
  file.append("three\n");
  EXPECT_EQ(read_text(folder / "log"), "before\none\ntwo\nthree\n");
  EXPECT_EQ(read_text(folder / "away"), "before\none\ntwo\n");
  put(folder / "log", "another\n");  // as editors do: a new file under the old name
  file.append("four\n");
  EXPECT_EQ(read_text(folder / "log"), "another\nfour\n");
  std::filesystem::remove(folder / "log");
  std::filesystem::create_directory(folder / "log");
  expect_error(ErrorKind::kIo, {"log", "a folder"}, [&] { file.append("five\n"); });
}

TEST(MakeFolder, MakesParentsAndIsContentWithWhatIsThere) {
  const TemporaryDirectory folder;
  make_folder(folder / "a/b/c");
  make_folder(folder / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  put(folder / "file", "x");
  expect_error(ErrorKind::kIo, {"file/below"}, [&] { make_folder(folder / "file/below"); });
}

TEST(MakeFolder, AFileInItsPlaceIsAnError) {
  const TemporaryDirectory folder;
  put(folder / "file", "x");
  expect_error(ErrorKind::kIo, {"file"}, [&] { make_folder(folder / "file"); });
}

}  // namespace
}  // namespace spikegpt
