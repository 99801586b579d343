// Checkpoints of torch.save.
#include "spikegpt/model/pth_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "tests/fuzz/well_formed.h"
#include "tests/support/shared_data.h"
#include "tests/support/torch_files.h"

namespace spikegpt::test {
namespace {

using Shape = std::vector<std::int64_t>;
using Words = std::vector<std::string_view>;

template <class T>
std::string stored(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
const std::string kSix = stored<float>({0, 1, 2, 3, 4, 5});

class PthReader : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_ / "m.pth"; }

  void write(const NamedBytes& entries, int compression = ZIP_CM_STORE) const {
    write_zip(path(), entries, compression);
  }
  // With the storage "0" of six floats unless others are given.
  void write_checkpoint(const std::string& pickle, const NamedBytes& storages = {{"0", kSix}}) const {
    write_torch_archive(path(), pickle, storages);
  }
  WeightFile read() const {
    WeightFile file = read_pth(path());
    check_well_formed(file);
    return file;
  }
  void expect_refused(const Words& words, ErrorKind kind = ErrorKind::kCorruptFile) const {
    try {
      read_pth(path());
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      const std::string_view message = error.what();
      EXPECT_EQ(error.kind(), kind) << message;
      EXPECT_NE(message.find("m.pth: "), message.npos) << message;
      EXPECT_EQ(message.find('\n'), message.npos) << message;
      for (const std::string_view word : words) EXPECT_NE(message.find(word), message.npos) << message;
    }
  }

  TemporaryDirectory folder_;
};

std::vector<float> floats(const WeightFile& file, std::string_view name) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr) {
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  std::vector<float> values(static_cast<std::size_t>(element_count(*tensor)));
  copy_as_float(*tensor, values);
  return values;
}
using Floats = std::vector<float>;

TEST_F(PthReader, EveryFormatOfNumbers) {
  StateDict dict;
  dict.add("f32", {});
  dict.add("f16", {"HalfStorage", "h", 2, 0, {2}, {1}}).add("bf16", {"BFloat16Storage", "b", 2, 0, {1, 2}, {2, 1}});
  dict.add("f64", {"DoubleStorage", "d", 1, 0, {}, {}}).add("i64", {"LongStorage", "l", 1, 0, {1}, {1}});
  write_checkpoint(dict.finish(), {{"0", kSix},
                                   {"h", stored<std::uint16_t>({0x3c00, 0xc000})},
                                   {"b", stored<std::uint16_t>({0x3f80, 0xc040})},
                                   {"d", stored<double>({0.125})},
                                   {"l", stored<std::int64_t>({7})}});
  const WeightFile file = read();
  ASSERT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(file.tensors()[0].name, "f32");
  EXPECT_EQ(file.find("f32")->shape, (Shape{2, 3}));
  EXPECT_EQ(floats(file, "f32"), (Floats{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.find("f16")->dtype, DType::kF16);
  EXPECT_EQ(floats(file, "f16"), (Floats{1, -2}));
  EXPECT_EQ(file.find("bf16")->dtype, DType::kBf16);
  EXPECT_EQ(floats(file, "bf16"), (Floats{1, -3}));
  EXPECT_EQ(file.find("f64")->dtype, DType::kF64);
  EXPECT_TRUE(file.find("f64")->shape.empty());
  EXPECT_EQ(floats(file, "f64"), Floats{0.125});
  EXPECT_EQ(file.find("i64")->dtype, DType::kI64);
}

TEST_F(PthReader, StridedSharedAndOffsetTensorsBecomeContiguous) {
  StateDict dict;
  dict.add("whole", {}).add("transposed", {"FloatStorage", "0", 6, 0, {3, 2}, {1, 3}});
  dict.add("tail", {"FloatStorage", "0", 6, 2, {4}, {1}}).add("column", {"FloatStorage", "0", 6, 1, {2}, {3}});
  dict.add("repeated", {"FloatStorage", "0", 6, 5, {2, 2}, {0, 0}});
  dict.add("single", {"FloatStorage", "0", 6, 3, {1, 1, 2}, {INT64_MAX, 77, 1}});
  dict.add("steps", {"FloatStorage", "0", 6, 1, {2, 1, 2}, {3, INT64_MAX, 1}});
  dict.add("none", {"FloatStorage", "0", 6, 6, {1000, 0, 5}, {0, 9, 1}});
  write_checkpoint(dict.finish());
  const WeightFile file = read();
  EXPECT_EQ(floats(file, "whole"), (Floats{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.find("transposed")->shape, (Shape{3, 2}));
  EXPECT_EQ(floats(file, "transposed"), (Floats{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(floats(file, "tail"), (Floats{2, 3, 4, 5}));
  EXPECT_EQ(floats(file, "column"), (Floats{1, 4}));
  EXPECT_EQ(floats(file, "repeated"), (Floats{5, 5, 5, 5}));
  EXPECT_EQ(floats(file, "single"), (Floats{3, 4}));
  EXPECT_EQ(floats(file, "steps"), (Floats{1, 2, 4, 5}));
  EXPECT_EQ(file.find("none")->shape, (Shape{1000, 0, 5}));
  EXPECT_EQ(file.find("tail")->data.data(), file.find("whole")->data.data() + 8);
}

TEST_F(PthReader, NestedDictionariesAndTheNamesOfDataParallel) {
  for (const char* key : {"model", "state_dict", "module"}) {
    PickleAssembler pickle = PickleAssembler().proto().raw("}(").text("epoch").integer(3).text(key).raw("}(");
    add_tensor(pickle.text("module.a"), {});
    add_tensor(pickle.text("module.b"), {"FloatStorage", "0", 6, 0, {6}, {1}});
    write_checkpoint(pickle.raw("uu").stop().bytes);
    const WeightFile file = read();
    ASSERT_EQ(file.tensors().size(), 2u);
    EXPECT_EQ(floats(file, "a"), (Floats{0, 1, 2, 3, 4, 5}));
    EXPECT_NE(file.find("b"), nullptr);
  }
  // Only where all names have it.
  write_checkpoint(StateDict().add("module.a", {}).add("b", {}).finish());
  EXPECT_NE(read().find("module.a"), nullptr);
}

TEST_F(PthReader, OtherFolderAndByteOrder) {
  const std::string pickle = StateDict().add("a", {}).finish();
  write({{"archive/data.pkl", pickle},
         {"archive/data/0", kSix},
         {"archive/byteorder", "little"},
         {"archive/.data/serialization_id", "123"}});
  EXPECT_EQ(floats(read(), "a"), (Floats{0, 1, 2, 3, 4, 5}));
  write({{"archive/data.pkl", pickle}, {"archive/data/0", kSix}, {"archive/byteorder", "big"}});
  expect_refused({"byte order \"big\"", "expected little"}, ErrorKind::kUnsupported);
}

TEST_F(PthReader, FilesThatAreNoCheckpoints) {
  EXPECT_THROW(read_pth(folder_ / "none.pth"), Error);
  write_text_atomically(path(), "");
  expect_refused({"0 bytes", "expected a file of torch.save"});
  write_text_atomically(path(), "{\"a\": 1}\n and so on");
  expect_refused({"not a zip archive", "19 bytes that begin with \"{\"a\": 1"});
  write_text_atomically(path(), std::string("\x80\x02\x8a\nl\xfc\x9c"
                                            "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
                                            20));
  expect_refused({"the version, from byte 15 on", "ends in the middle"});
  write_text_atomically(path(), "PK\x03\x04 and nothing more");
  expect_refused({"not a readable zip archive", "cut short"});
  write({{"m/data/0", kSix}});
  expect_refused({"data.pkl"});
  write({{"data.pkl", "x"}, {"a/b/data.pkl", "x"}, {"m/data/data.pkl", "x"}});
  expect_refused({"no folder with a data.pkl"});
  const std::string pickle = StateDict().add("a", {}).finish();
  write({{"m/data.pkl", pickle}, {"n/data.pkl", pickle}, {"m/data/0", kSix}});
  expect_refused({"two folders"});
}

TEST_F(PthReader, PicklesThatAreNoStateDict) {
  const auto pickled = [&](PickleAssembler pickle) { write_checkpoint(pickle.stop().bytes); };
  const auto begin = [] { return PickleAssembler().proto(); };
  pickled(begin().raw("N"));
  expect_refused({"holds no dictionary"});
  pickled(begin().raw("}"));
  expect_refused({"no tensors"});
  pickled(begin().raw("}(").text("epoch").integer(1).raw("u"));
  expect_refused({"no tensors"});
  PickleAssembler unnamed = begin().raw("}(").integer(1);
  pickled(add_tensor(unnamed, {}).raw("u"));
  expect_refused({"name that is not a string"});
  pickled(begin().global("posix", "system").text("touch pwned").raw("\x85R"));
  expect_refused({"data.pkl", "byte 2", "global posix.system is not allowed"}, ErrorKind::kUnsupported);
  write_checkpoint(StateDict().add("a", {}).add("b", {}).add("a", {}).finish());
  expect_refused({"\"a\" occurs twice"});
  write_checkpoint(std::string((std::size_t{16} << 20) + 1, 'N'));
  expect_refused({"data.pkl", "16777217 bytes", "at most 16777216"});
}

TEST_F(PthReader, TensorsOutsideTheirStorage) {
  const std::pair<TensorPlan, Words> cases[] = {
      {{"FloatStorage", "0", 6, 0, {7}, {1}}, {"[7]", "storage of 6"}},
      {{"FloatStorage", "0", 6, 1, {6}, {1}}, {"offset 1", "beyond"}},
      {{"FloatStorage", "0", 6, 6, {1}, {1}}, {"offset 6", "beyond"}},
      {{"FloatStorage", "0", 6, 7, {0}, {1}}, {"offset 7", "beyond"}},
      {{"FloatStorage", "0", 6, -1, {1}, {1}}, {"offset -1", "beyond"}},
      {{"FloatStorage", "0", 6, 0, {2, 3}, {4, 1}}, {"[2, 3]", "[4, 1]", "beyond"}},
      {{"FloatStorage", "0", 6, 5, {2}, {-1}}, {"[-1]", "negative"}},
      {{"FloatStorage", "0", 6, 0, {-2, 3}, {3, 1}}, {"[-2, 3]", "negative"}},
      {{"FloatStorage", "0", 6, 0, {2}, {INT64_MAX}}, {"beyond"}},
      {{"FloatStorage", "0", 6, 0, {3}, {INT64_MAX}}, {"beyond"}},  // 2 * stride wraps to -2
      {{"FloatStorage", "0", 6, INT64_MAX, {1}, {1}}, {"beyond"}},
      {{"FloatStorage", "0", 6, INT64_MIN, {1}, {1}}, {"beyond"}},
      {{"FloatStorage", "0", 6, 0, {1LL << 40, 1LL << 40}, {0, 0}}, {"larger than any file"}},
      {{"FloatStorage", "0", 6, 0, {0, 1LL << 40, 1LL << 40}, {0, 0, 0}}, {"larger than any file"}},
      {{"FloatStorage", "0", 6, 0, {1LL << 30}, {0}}, {"twice the file's"}},
      {{"FloatStorage", "0", 7, 0, {6}, {1}}, {"24 bytes", "7 values of F32"}},
      {{"FloatStorage", "0", -6, 0, {6}, {1}}, {"24 bytes", "-6 values"}},
      {{"FloatStorage", "0", 1LL << 62, 0, {6}, {1}}, {"24 bytes"}},
      {{"HalfStorage", "0", 6, 0, {6}, {1}}, {"24 bytes", "6 values of F16"}},
      {{"FloatStorage", "1", 6, 0, {6}, {1}}, {"m/data/1", "missing"}},
      {{"FloatStorage", "../0", 6, 0, {6}, {1}}, {"m/data/../0", "missing"}},
      {{"FloatStorage", "\n\x1b", 6, 0, {6}, {1}}, {"m/data/\\x0a\\x1b", "missing"}}};
  for (const auto& [plan, words] : cases) {
    write_checkpoint(StateDict().add("t", plan).finish());
    expect_refused(words);
  }
  write_checkpoint(StateDict().add("t", {}).finish(), {{"0", kSix + "x"}});
  expect_refused({"25 bytes"});
}

TEST_F(PthReader, ManyStridedTensorsOfOneStorageAreBounded) {
  const std::string storage(40'000, 'x');
  StateDict dict;
  for (int i = 0; i < 100; ++i) dict.add(std::to_string(i), {"FloatStorage", "0", 10'000, 0, {100, 100}, {1, 100}});
  write_checkpoint(dict.finish(), {{"0", storage}});
  expect_refused({"twice the file's"});
}

TEST_F(PthReader, CompressedArchivesAreRefused) {
  StateDict dict;
  dict.add("a", {"ByteStorage", "0", 50'000'000, 0, {50'000'000}, {1}});
  write({{"m/data.pkl", dict.finish()}, {"m/data/0", std::string(50'000'000, '\0')}}, ZIP_CM_DEFLATE);
  EXPECT_LT(std::filesystem::file_size(path()), 100'000u);
  expect_refused({"m/data.pkl", "compressed"});
}

// Where `what` begins in `bytes`, after `from`.
std::size_t place_of(const std::string& bytes, std::string_view what, std::size_t from = 0) {
  const std::size_t at = bytes.find(what, from);
  if (at == bytes.npos) ADD_FAILURE() << "no " << what;
  return at;
}

// The sizes in the archive's own headers, falsified consistently.
TEST_F(PthReader, EntriesThatClaimToBeLargerThanTheFile) {
  write_checkpoint(StateDict().add("a", {}).finish());
  std::string bytes = read_text(path());
  constexpr std::string_view kLocal("PK\x03\x04", 4);
  constexpr std::string_view kCentral("PK\x01\x02", 4);
  const std::uint32_t huge = 0x7fffff00;
  const std::size_t name = place_of(bytes, "m/data/0");
  const std::size_t local = bytes.rfind(kLocal, name);
  const std::size_t central = bytes.rfind(kCentral, place_of(bytes, "m/data/0", name + 1));
  for (const std::size_t at : {local + 18, local + 22, central + 20, central + 24}) {
    std::memcpy(bytes.data() + at, &huge, sizeof huge);
  }
  write_text_atomically(path(), bytes);
  expect_refused({});
}

// Without the care of write_atomically, which takes its time.
void write_plainly(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

struct Placed {
  std::string name;
  std::size_t header = 0;  // where its local header begins
  std::size_t size = 0;    // of its data, which may hold later entries
};

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::uint32_t crc_of(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

// The header of an entry in front of its data (`central` false) or in the directory.
std::string zip_header(const Placed& entry, std::string_view data, bool central) {
  std::string out(central ? "PK\x01\x02\x14\x00\x14\x00" : "PK\x03\x04\x14\x00", central ? 8 : 6);
  put(out, std::uint16_t{0});  // flags
  put(out, std::uint16_t{0});  // stored
  put(out, std::uint32_t{0x00210000});
  put(out, crc_of(data));
  put(out, static_cast<std::uint32_t>(entry.size));
  put(out, static_cast<std::uint32_t>(entry.size));
  put(out, static_cast<std::uint16_t>(entry.name.size()));
  put(out, std::uint16_t{0});
  if (central) {
    out += std::string(10, '\0');
    put(out, static_cast<std::uint32_t>(entry.header));
  }
  return out + entry.name;
}

// A zip bomb without compression: each storage holds the next with its header, so that all are
// nearly as large as the file. Checksums are right.
TEST_F(PthReader, EntriesThatOverlapAreRefused) {
  constexpr int kEntries = 20;
  const std::string kernel(100'000, 'k');
  std::vector<Placed> entries;
  StateDict dict;
  std::string nested = kernel;
  std::vector<std::string> names;
  for (int i = 0; i < kEntries; ++i) names.push_back(std::to_string(i));
  for (int i = 0; i < kEntries; ++i) {
    const auto size = static_cast<std::int64_t>(nested.size());
    dict.add(names[static_cast<std::size_t>(i)],
             {"ByteStorage", names[static_cast<std::size_t>(i)], size, 0, {size}, {1}});
    Placed entry{"m/data/" + names[static_cast<std::size_t>(i)], 0, nested.size()};
    nested = zip_header(entry, nested, false) + nested;
    entries.push_back(entry);
  }
  const std::string pickle = dict.finish();
  Placed first{"m/data.pkl", 0, pickle.size()};
  std::string bytes = zip_header(first, pickle, false) + pickle;
  std::size_t at = bytes.size();
  bytes += nested;
  for (std::size_t i = entries.size(); i-- > 0;) {
    entries[i].header = at;
    at = bytes.size() - entries[i].size;
  }
  std::string directory = zip_header(first, pickle, true);
  for (const Placed& entry : entries) {
    directory += zip_header(entry, std::string_view(bytes).substr(bytes.size() - entry.size), true);
  }
  const auto begin = static_cast<std::uint32_t>(bytes.size());
  bytes += directory + std::string("PK\x05\x06\0\0\0\0", 8);
  put(bytes, static_cast<std::uint16_t>(kEntries + 1));
  put(bytes, static_cast<std::uint16_t>(kEntries + 1));
  put(bytes, static_cast<std::uint32_t>(directory.size()));
  put(bytes, begin);
  put(bytes, std::uint16_t{0});
  write_text_atomically(path(), bytes);
  expect_refused({"belong to other entries"});
}

TEST_F(PthReader, CutShortAnywhere) {
  write_checkpoint(StateDict().add("a", {}).finish());
  const std::string whole = read_text(path());
  const auto cut = folder_ / "cut.pth";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_plainly(cut, whole.substr(0, size));
    EXPECT_THROW(read_pth(cut), Error) << size;
  }
}

// Every byte in turn, at several values: an Error, or tensors that keep their promises. A change
// within the data is caught by the checksum.
TEST_F(PthReader, CorruptedAnywhere) {
  write_checkpoint(StateDict().add("a", {}).finish());
  std::string bytes = read_text(path());
  const std::size_t data = bytes.find(kSix);
  ASSERT_NE(data, bytes.npos);
  const auto damaged = folder_ / "damaged.pth";
  int accepted = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char original = bytes[at];
    for (const int flip : {0x01, 0x20, 0x80, 0xff}) {
      bytes[at] = static_cast<char>(original ^ flip);
      write_plainly(damaged, bytes);
      try {
        check_well_formed(read_pth(damaged));
        ++accepted;  // a date, say
        EXPECT_FALSE(at >= data && at < data + kSix.size()) << at;
      } catch (const Error&) {
      }
    }
    bytes[at] = original;
  }
  EXPECT_GT(accepted, 0);
}

TEST_F(PthReader, TheOfficialCheckpoint) {
  const auto official = shared_path("official/a/model.pth");
  if (!official) GTEST_SKIP() << "shared data official/a is absent";
  const WeightFile file = read_pth(*official);
  check_well_formed(file);
  constexpr std::int64_t kC = 64;
  const auto expect = [&](const std::string& name, const Shape& shape) {
    const TensorView* tensor = file.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->shape, shape) << name;
    EXPECT_EQ(tensor->dtype, DType::kF32) << name;
  };
  std::size_t count = 0;
  const auto expect_norm = [&](const std::string& name) {
    expect(name + ".weight", {kC});
    expect(name + ".bias", {kC});
    count += 2;
  };
  for (int layer = 0; layer < 3; ++layer) {
    const std::string block = "blocks." + std::to_string(layer);
    expect_norm(block + ".ln1");
    expect_norm(block + ".ln2");
    for (const char* name : {".att.time_decay", ".att.time_first"}) expect(block + name, {kC});
    for (const char* name :
         {".att.time_mix_k", ".att.time_mix_v", ".att.time_mix_r", ".ffn.time_mix_k", ".ffn.time_mix_r"}) {
      expect(block + name, {1, 1, kC});
    }
    for (const char* name : {".att.key", ".att.value", ".att.receptance", ".att.output", ".ffn.receptance"}) {
      expect(block + name + ".weight", {kC, kC});
    }
    expect(block + ".ffn.key.weight", {4 * kC, kC});
    expect(block + ".ffn.value.weight", {kC, 4 * kC});
    count += 2 + 5 + 5 + 2;
  }
  expect_norm("blocks.0.ln0");
  expect_norm("ln_out");
  expect("emb.weight", {77, kC});
  expect("head.weight", {77, kC});
  EXPECT_EQ(file.tensors().size(), count + 2);
}

}  // namespace
}  // namespace spikegpt::test
