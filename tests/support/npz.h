// A reader of numpy's .npz for tests: enough for C-ordered arrays of plain numbers.
#pragma once

#include <zip.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

namespace spikegpt::test {

struct NpyArray {
  std::string type;  // "<f4", "<i8", "|u1", ...
  std::vector<std::int64_t> shape;
  std::string data;

  // The values as T, whatever the stored type.
  template <class T>
  std::vector<T> as() const {
    if (type == "<f4") return convert<float, T>();
    if (type == "<f8") return convert<double, T>();
    if (type == "<i4") return convert<std::int32_t, T>();
    if (type == "<i8") return convert<std::int64_t, T>();
    if (type == "|u1" || type == "|b1") return convert<std::uint8_t, T>();
    throw std::runtime_error("npy type " + type);
  }

 private:
  template <class Stored, class T>
  std::vector<T> convert() const {
    std::vector<T> out(data.size() / sizeof(Stored));
    for (std::size_t i = 0; i < out.size(); ++i) {
      Stored value;
      std::memcpy(&value, data.data() + i * sizeof(Stored), sizeof(Stored));
      out[i] = static_cast<T>(value);
    }
    return out;
  }
};

inline NpyArray parse_npy(const std::string& bytes) {
  if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0) throw std::runtime_error("not a .npy");
  const bool wide = bytes[6] >= 2;
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, wide ? 4 : 2);
  const std::size_t start = wide ? 12 : 10;
  const std::string header = bytes.substr(start, length);
  std::smatch match;
  NpyArray array;
  if (header.find("'fortran_order': False") == std::string::npos) throw std::runtime_error("Fortran order");
  if (!std::regex_search(header, match, std::regex("'descr': '([^']+)'"))) throw std::runtime_error("descr");
  array.type = match[1];
  if (!std::regex_search(header, match, std::regex("'shape': \\(([^)]*)\\)"))) throw std::runtime_error("shape");
  const std::string shape = match[1];
  const std::regex number("[0-9]+");
  for (std::sregex_iterator it(shape.begin(), shape.end(), number), end; it != end; ++it) {
    array.shape.push_back(std::stoll(it->str()));
  }
  array.data = bytes.substr(start + length);
  return array;
}

inline std::map<std::string, NpyArray> read_npz(const std::filesystem::path& path) {
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (zip == nullptr) throw std::runtime_error("cannot open " + path.string());
  std::map<std::string, NpyArray> arrays;
  for (zip_int64_t i = 0; i < zip_get_num_entries(zip, 0); ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    zip_stat_index(zip, index, 0, &stat);
    std::string bytes(stat.size, '\0');
    zip_file_t* file = zip_fopen_index(zip, index, 0);
    if (file == nullptr || zip_fread(file, bytes.data(), bytes.size()) < 0) throw std::runtime_error("zip");
    zip_fclose(file);
    std::string name = stat.name;
    arrays[name.substr(0, name.size() - std::strlen(".npy"))] = parse_npy(bytes);
  }
  zip_discard(zip);
  return arrays;
}

}  // namespace spikegpt::test
