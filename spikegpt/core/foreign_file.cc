#include "spikegpt/core/foreign_file.h"

#include <algorithm>
#include <array>
#include <string>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

enum class Kind { kPointer, kPage, kMessage, kArchive, kModel };

struct Foreign {
  std::string_view start;  // in lower case
  Kind kind;
  std::string_view what;
};
constexpr std::string_view kPage =
    "an HTML page, not the file itself: the download met a page of the web site; fetch the file by its "
    "direct address";
constexpr std::array kForeign = {
    Foreign{
        "version https://git-lfs.github.com/spec/", Kind::kPointer,
        "a git-lfs pointer, not the file itself: run git lfs pull in its repository, or download the file"},
    Foreign{"<!doctype html", Kind::kPage, kPage},
    Foreign{"<html", Kind::kPage, kPage},
    Foreign{"<head", Kind::kPage, kPage},
    Foreign{"<body", Kind::kPage, kPage},
    Foreign{"<title", Kind::kPage, kPage},
    Foreign{"<meta ", Kind::kPage, kPage},
    Foreign{"<script", Kind::kPage, kPage},
    Foreign{"<?xml", Kind::kMessage,
            "an XML page, not the file itself: the download met a message of the server; fetch it again"},
    Foreign{"\x1f\x8b", Kind::kArchive, "compressed with gzip: unpack it first (gzip -d, or tar -xzf)"},
    Foreign{"\xfd"
            "7zxz",
            Kind::kArchive, "compressed with xz: unpack it first (xz -d, or tar -xJf)"},
    Foreign{"\x28\xb5\x2f\xfd", Kind::kArchive, "compressed with zstd: unpack it first (zstd -d)"},
    Foreign{"gguf", Kind::kModel,
            "a GGUF file of llama.cpp, which this program does not read: convert from .pth or .safetensors"},
    Foreign{"\x89hdf\r\n", Kind::kModel,
            "an HDF5 file, which this program does not read: convert from .pth or .safetensors"},
};
constexpr std::size_t kLongestComment = 4096;  // bytes looked through
// A checkpoint of PyTorch is one, a text is not.
constexpr Foreign kZip = {"pk\x03\x04", Kind::kArchive, "a zip archive: unpack it first (unzip)"};

// For ASCII; `start` is in lower case.
bool begins_with(std::string_view bytes, std::string_view start) noexcept {
  if (bytes.size() < start.size()) return false;
  for (std::size_t i = 0; i < start.size(); ++i) {
    const char c = bytes[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != start[i]) return false;
  }
  return true;
}

// Without a byte-order mark, white space and comments of a page.
std::string_view start_of(std::string_view bytes) noexcept {
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.remove_prefix(3);
  for (;;) {
    const std::size_t first = bytes.find_first_not_of(" \t\r\n");
    if (first != bytes.npos) bytes.remove_prefix(first);
    if (!bytes.starts_with("<!--")) return bytes;
    const std::size_t end = bytes.substr(0, kLongestComment).find("-->");
    if (end == bytes.npos) return bytes;
    bytes.remove_prefix(end + 3);
  }
}

const Foreign* find_foreign(std::string_view start) noexcept {
  for (const Foreign& foreign : kForeign) {
    if (begins_with(start, foreign.start)) return &foreign;
  }
  return nullptr;
}

bool is_called_a_page(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 5> kEndings = {".html", ".htm", ".xhtml", ".xml", ".svg"};
  const std::string ending = path.extension().string();
  return std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view page) {
    return ending.size() == page.size() && begins_with(ending, page);
  });
}

// Many texts are XML; what a server says when it has no such file is an XML of its own.
bool is_message(std::string_view start) noexcept {
  const std::string_view first = start.substr(0, 300);
  return first.find("<Error>") != first.npos;
}

}  // namespace

std::string_view describe_foreign(std::string_view bytes) noexcept {
  const Foreign* foreign = find_foreign(start_of(bytes));
  return foreign == nullptr ? std::string_view() : foreign->what;
}

void refuse_foreign(std::string_view bytes, const std::filesystem::path& path) {
  const std::string_view what = describe_foreign(bytes);
  if (!what.empty()) throw Error(ErrorKind::kCorruptFile, "{}: this is {}", path.string(), what);
}

void refuse_foreign_data(std::string_view bytes, const std::filesystem::path& path, ForeignData where) {
  const std::string_view start = start_of(bytes);
  const Foreign* foreign = find_foreign(start);
  if (begins_with(start, kZip.start)) foreign = &kZip;
  if (foreign == nullptr || foreign->kind == Kind::kModel) return;
  if (foreign->kind == Kind::kPage && is_called_a_page(path)) return;
  if (foreign->kind == Kind::kMessage && !is_message(start)) return;
  if (foreign->kind == Kind::kArchive && where == ForeignData::kInBytes) return;
  throw Error(ErrorKind::kCorruptFile, "{}: this is {}", path.string(), foreign->what);
}

}  // namespace spikegpt
