// The reader of .npz files that other tests compare against.
#include "tests/support/npz.h"

#include <gtest/gtest.h>

#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

std::string npy(const std::string& type, const std::string& shape, const std::string& data,
                const std::string& fortran = "False") {
  std::string header = "{'descr': '" + type + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
  header.resize(118, ' ');  // numpy pads to a multiple of 64
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + data;
}

template <class T>
std::string stored(std::vector<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

void write_zip(const std::filesystem::path& path, const std::map<std::string, std::string>& entries, bool deflate) {
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  ASSERT_NE(zip, nullptr);
  for (const auto& [name, bytes] : entries) {
    zip_source_t* source = zip_source_buffer(zip, bytes.data(), bytes.size(), 0);
    const zip_int64_t index = zip_file_add(zip, name.c_str(), source, 0);
    ASSERT_GE(index, 0);
    zip_set_file_compression(zip, static_cast<zip_uint64_t>(index), deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  }
  ASSERT_EQ(zip_close(zip), 0);
}

TEST(Npz, EveryTypeStoredAndCompressed) {
  const TemporaryDirectory folder;
  const std::map<std::string, std::string> entries = {
      {"f4.npy", npy("<f4", "(2, 2)", stored<float>({1.5f, -2.0f, 0.0f, 4.0f}))},
      {"grad.f8.npy", npy("<f8", "(1,)", stored<double>({0.1}))},
      {"i4.npy", npy("<i4", "(3,)", stored<std::int32_t>({-1, 0, 7}))},
      {"i8.npy", npy("<i8", "()", stored<std::int64_t>({1LL << 40}))},
      {"u1.npy", npy("|u1", "(2, 0)", "")},
      {"b1.npy", npy("|b1", "(2,)", stored<std::uint8_t>({1, 0}))}};
  for (const bool deflate : {false, true}) {
    write_zip(folder / "a.npz", entries, deflate);
    const auto arrays = read_npz(folder / "a.npz");
    ASSERT_EQ(arrays.size(), entries.size());
    EXPECT_EQ(arrays.at("f4").as<float>(), (std::vector<float>{1.5f, -2.0f, 0.0f, 4.0f}));
    EXPECT_EQ(arrays.at("f4").shape, (std::vector<std::int64_t>{2, 2}));
    EXPECT_EQ(arrays.at("grad.f8").as<double>(), std::vector<double>{0.1});
    EXPECT_EQ(arrays.at("i4").as<std::int32_t>(), (std::vector<std::int32_t>{-1, 0, 7}));
    EXPECT_EQ(arrays.at("i8").as<std::int64_t>(), std::vector<std::int64_t>{1LL << 40});
    EXPECT_TRUE(arrays.at("i8").shape.empty());
    EXPECT_TRUE(arrays.at("u1").as<std::uint8_t>().empty());
    EXPECT_EQ(arrays.at("b1").as<int>(), (std::vector<int>{1, 0}));
  }
}

TEST(Npz, RefusesWhatItWouldMisread) {
  EXPECT_THROW(parse_npy("not an array at all"), std::runtime_error);
  EXPECT_THROW(parse_npy(npy("<f4", "(1,)", "1234", "True")), std::runtime_error);
  EXPECT_THROW(parse_npy(npy("<f4", "(1,)", "1234").substr(0, 60)), std::runtime_error);
  EXPECT_THROW(parse_npy(npy("<f4", "(2,)", "1234")).as<float>(), std::runtime_error);
  EXPECT_THROW(parse_npy(npy(">f4", "(1,)", "1234")).as<float>(), std::runtime_error);
  EXPECT_THROW(parse_npy(npy("<c8", "(1,)", "12345678")).as<float>(), std::runtime_error);
  EXPECT_THROW(read_npz("/none.npz"), std::runtime_error);
}

TEST(Npz, TheOfficialExpectations) {
  const auto path = shared_path("official/a/expected.npz");
  if (!path) GTEST_SKIP() << "shared data official/a is absent";
  const auto arrays = read_npz(*path);
  const NpyArray& logits = arrays.at("logits");
  ASSERT_EQ(logits.shape.size(), 3u);
  EXPECT_EQ(logits.shape[2], 77);
  EXPECT_EQ(arrays.at("idx").as<std::int32_t>().size() * 77, logits.as<float>().size());
}

}  // namespace
}  // namespace spikegpt::test
