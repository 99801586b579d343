// A reader of numpy's .npz for tests: enough for C-ordered arrays of plain numbers. Anything else
// throws std::runtime_error.
#pragma once

#include <zip.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace spikegpt::test {

struct NpyArray {
  std::string type;  // "<f4", "<f8", "<i4", "<i8", "|u1", "|b1"
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
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    if (data.size() != count * sizeof(Stored)) throw std::runtime_error("npy data of another size than the shape");
    std::vector<T> out(count);
    for (std::size_t i = 0; i < out.size(); ++i) {
      Stored value;
      std::memcpy(&value, data.data() + i * sizeof(Stored), sizeof(Stored));
      out[i] = static_cast<T>(value);
    }
    return out;
  }
};

// What stands between two marks of a header.
inline std::string between(const std::string& header, const std::string& begin, char end) {
  const std::size_t at = header.find(begin);
  const std::size_t stop = at == header.npos ? at : header.find(end, at + begin.size());
  if (stop == header.npos) throw std::runtime_error("npy header without " + begin);
  return header.substr(at + begin.size(), stop - at - begin.size());
}

inline NpyArray parse_npy(const std::string& bytes) {
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0) {
    throw std::runtime_error("not a .npy");
  }
  const bool wide = bytes[6] >= 2;
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, wide ? 4 : 2);
  const std::size_t start = wide ? 12 : 10;
  if (length > bytes.size() - start) throw std::runtime_error("npy header cut short");
  const std::string header = bytes.substr(start, length);
  if (between(header, "'fortran_order': ", ',') != "False") throw std::runtime_error("Fortran order");
  NpyArray array;
  array.type = between(header, "'descr': '", '\'');
  std::istringstream shape(between(header, "'shape': (", ')'));
  for (std::string extent; std::getline(shape, extent, ',');) {
    if (extent.find_first_not_of(' ') != extent.npos) array.shape.push_back(std::stoll(extent));
  }
  array.data = bytes.substr(start + length);
  return array;
}

inline std::map<std::string, NpyArray> read_npz(const std::filesystem::path& path) {
  int code = 0;
  const std::unique_ptr<zip_t, void (*)(zip_t*)> zip(zip_open(path.c_str(), ZIP_RDONLY, &code), zip_discard);
  if (zip == nullptr) throw std::runtime_error("cannot open " + path.string());
  std::map<std::string, NpyArray> arrays;
  for (zip_int64_t i = 0; i < zip_get_num_entries(zip.get(), 0); ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    if (zip_stat_index(zip.get(), index, 0, &stat) != 0) throw std::runtime_error("npz entry without a size");
    const std::string name = stat.name;
    if (!name.ends_with(".npy")) throw std::runtime_error("npz entry that is no .npy");
    std::string bytes(stat.size, '\0');
    zip_file_t* file = zip_fopen_index(zip.get(), index, 0);
    const zip_int64_t count = file == nullptr ? -1 : zip_fread(file, bytes.data(), bytes.size());
    if (file != nullptr) zip_fclose(file);
    if (count != static_cast<zip_int64_t>(bytes.size())) throw std::runtime_error("npz entry cut short");
    arrays[name.substr(0, name.size() - std::strlen(".npy"))] = parse_npy(bytes);
  }
  return arrays;
}

}  // namespace spikegpt::test
