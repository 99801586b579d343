// Files of torch.save, made without Python: archives through libzip, the older format by hand.
#pragma once

#include <zip.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/core/error.h"
#include "tests/fuzz/pickle_assembler.h"

namespace spikegpt::test {

using NamedBytes = std::map<std::string, std::string>;

// A zip archive with these entries.
inline void write_zip(const std::filesystem::path& path, const NamedBytes& entries,
                      int compression = ZIP_CM_STORE) {
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  ensure(zip != nullptr, "no archive");
  for (const auto& [name, bytes] : entries) {
    zip_source_t* source = zip_source_buffer(zip, bytes.data(), bytes.size(), 0);
    const zip_int64_t index = zip_file_add(zip, name.c_str(), source, 0);
    ensure(index >= 0, "an entry that cannot be added");
    zip_set_file_compression(zip, static_cast<zip_uint64_t>(index), compression, 0);
  }
  ensure(zip_close(zip) == 0, "an archive that cannot be written");
}

// What torch.save writes: the pickle of an object, and storages by their keys.
inline void write_torch_archive(const std::filesystem::path& path, const std::string& pickle,
                                const NamedBytes& storages) {
  NamedBytes entries = {{"m/data.pkl", pickle}, {"m/version", "3\n"}};
  for (const auto& [key, bytes] : storages) entries["m/data/" + key] = bytes;
  write_zip(path, entries);
}

struct LegacyStorage {
  std::string key;
  std::size_t element = 4;  // bytes
  std::string bytes;
};

// What torch.save wrote before 1.6: pickles of a magic number, a version, the machine, the object and the
// keys of the storages one behind the other, then the number of elements and the bytes of each storage.
inline std::string legacy_torch_file(const std::string& pickle, const std::vector<LegacyStorage>& storages,
                                     bool little_endian = true) {
  std::string file("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  file += PickleAssembler().proto().integer(1001).stop().bytes;
  PickleAssembler machine = PickleAssembler().proto().raw("}").put(0).raw("(");
  machine.text("protocol_version").integer(1001).text("little_endian").raw(little_endian ? "\x88" : "\x89");
  machine.text("type_sizes")
      .raw("}(")
      .text("short")
      .integer(2)
      .text("int")
      .integer(4)
      .text("long")
      .integer(4);
  file += machine.raw("uu").stop().bytes;
  file += pickle;
  PickleAssembler keys = PickleAssembler().proto().raw("](");
  for (const LegacyStorage& storage : storages) keys.text(storage.key);
  file += keys.raw("e").stop().bytes;
  for (const LegacyStorage& storage : storages) {
    const auto elements = static_cast<std::int64_t>(storage.bytes.size() / storage.element);
    file.append(reinterpret_cast<const char*>(&elements), sizeof elements);
    file += storage.bytes;
  }
  return file;
}

}  // namespace spikegpt::test
