#include "spikegpt/core/foreign_file.h"

#include <array>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

struct Foreign {
  std::string_view start;  // in lower case
  std::string_view what;
};
constexpr std::string_view kPage =
    "an HTML page, not the file itself: the download met a page of the web site; fetch the file by its "
    "direct address";
constexpr std::array kForeign = {
    Foreign{
        "version https://git-lfs.github.com/spec/",
        "a git-lfs pointer, not the file itself: run git lfs pull in its repository, or download the file"},
    Foreign{"<!doctype html", kPage},
    Foreign{"<html", kPage},
    Foreign{"<head", kPage},
    Foreign{"<?xml",
            "an XML page, not the file itself: the download met a message of the server; fetch it again"},
    Foreign{"\x1f\x8b", "compressed with gzip: unpack it first (gzip -d, or tar -xzf)"},
    Foreign{"\xfd"
            "7zxz",
            "compressed with xz: unpack it first (xz -d, or tar -xJf)"},
    Foreign{"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first (zstd -d)"},
    Foreign{"gguf",
            "a GGUF file of llama.cpp, which this program does not read: convert from .pth or .safetensors"},
    Foreign{"\x89hdf\r\n",
            "an HDF5 file, which this program does not read: convert from .pth or .safetensors"},
};

// For ASCII; `start` is in lower case.
bool begins_with(std::string_view bytes, std::string_view start) noexcept {
  if (bytes.size() < start.size()) return false;
  for (std::size_t i = 0; i < start.size(); ++i) {
    const char c = bytes[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != start[i]) return false;
  }
  return true;
}

}  // namespace

std::string_view describe_foreign(std::string_view bytes) noexcept {
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.remove_prefix(3);
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  if (first != bytes.npos) bytes.remove_prefix(first);
  for (const Foreign& foreign : kForeign) {
    if (begins_with(bytes, foreign.start)) return foreign.what;
  }
  return {};
}

void refuse_foreign(std::string_view bytes, const std::filesystem::path& path) {
  const std::string_view what = describe_foreign(bytes);
  if (!what.empty()) throw Error(ErrorKind::kCorruptFile, "{}: this is {}", path.string(), what);
}

}  // namespace spikegpt
