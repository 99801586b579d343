// Reading and writing .safetensors: what is right comes back, what is wrong is named.
#include "spikegpt/model/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <cmath>
#include <nlohmann/json.hpp>

#include "spikegpt/core/aligned_buffer.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "tests/fuzz/well_formed.h"
#include "tests/support/shared_data.h"

namespace spikegpt::test {
namespace {

constexpr DType kAll[] = {DType::kF32, DType::kBf16, DType::kF16, DType::kF64, DType::kI8,  DType::kU8,
                          DType::kI16, DType::kU16,  DType::kI32, DType::kI64, DType::kBool};

std::string file_of(std::string_view header, std::size_t data_size = 0) {
  const auto length = static_cast<std::uint64_t>(header.size());
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + std::string(header) + std::string(data_size, '\x3f');
}

// Reads bytes that begin at a multiple of 64, as a mapped file does.
WeightFile parse(std::string_view bytes) {
  const auto memory = std::make_shared<AlignedBytes>(bytes.size() + 1);
  if (!bytes.empty()) std::memcpy(memory->data(), bytes.data(), bytes.size());
  return parse_safetensors({memory->data(), bytes.size()}, "x.safetensors", memory);
}

void expect_refused(std::string_view bytes, const std::vector<std::string_view>& words,
                    ErrorKind kind = ErrorKind::kCorruptFile) {
  try {
    parse(bytes);
    ADD_FAILURE() << "accepted: " << bytes.substr(0, 300);
  } catch (const Error& error) {
    const std::string_view message = error.what();
    EXPECT_EQ(error.kind(), kind) << message;
    EXPECT_NE(message.find("x.safetensors: "), message.npos) << message;
    EXPECT_LT(message.size(), 2000u);
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c < 0x7f; })) << message;
    for (const std::string_view word : words) EXPECT_NE(message.find(word), message.npos) << message;
  }
}

struct Sample {
  std::vector<std::vector<std::byte>> storage;
  std::vector<TensorView> views;
};

// One tensor of every format, of odd sizes, a scalar and empty ones between them.
Sample make_sample() {
  Sample sample;
  const auto add = [&](std::string name, DType dtype, std::vector<std::int64_t> shape) {
    TensorView view{std::move(name), dtype, std::move(shape), {}};
    auto& bytes = sample.storage.emplace_back(static_cast<std::size_t>(element_count(view)) * size_of(dtype));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(i * 7 + sample.storage.size());
    }
    sample.views.push_back(std::move(view));
  };
  add("flag", DType::kBool, {1});
  for (const DType dtype : kAll) add("t." + std::string(name_of(dtype)), dtype, {3, 1, 5});
  add("scalar", DType::kF64, {});
  add("empty", DType::kI64, {0});
  add("empty.wide", DType::kF32, {1000, 0, 1'000'000});
  add("na\"me \\ \xc3\xa9", DType::kU8, {7});
  for (std::size_t i = 0; i < sample.views.size(); ++i) sample.views[i].data = sample.storage[i];
  return sample;
}

TEST(Safetensors, RoundTripOfEveryFormat) {
  const TemporaryDirectory folder;
  const Sample sample = make_sample();
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"", "{\"a\": \"\\n\"}"}, {"\xc3\xa9", ""}};
  write_safetensors(folder / "a.safetensors", metadata, sample.views);
  const WeightFile file = read_safetensors(folder / "a.safetensors");
  check_well_formed(file);
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.path(), folder / "a.safetensors");
  ASSERT_EQ(file.tensors().size(), sample.views.size());
  for (std::size_t i = 0; i < sample.views.size(); ++i) {
    const TensorView& expected = sample.views[i];
    const TensorView& found = file.tensors()[i];
    EXPECT_EQ(found.name, expected.name);
    EXPECT_EQ(found.dtype, expected.dtype);
    EXPECT_EQ(found.shape, expected.shape);
    EXPECT_TRUE(std::ranges::equal(found.data, expected.data)) << found.name;
  }
  EXPECT_EQ(file.find("t.F3"), nullptr);
  EXPECT_EQ(file.find(""), nullptr);
}

TEST(Safetensors, WrittenDataIsAligned) {
  const TemporaryDirectory folder;
  for (std::size_t length = 0; length < 70; ++length) {
    const float value = 1.5f;
    const TensorView view{std::string(length + 1, 'n'), DType::kF32, {1}, std::as_bytes(std::span(&value, 1))};
    write_safetensors(folder / "a", {}, std::span(&view, 1));
    const std::string text = read_text(folder / "a");
    std::uint64_t header = 0;
    std::memcpy(&header, text.data(), sizeof header);
    ASSERT_EQ((8 + header) % 64, 0u) << length;
    ASSERT_EQ(text.size(), 8 + header + 4);
    ASSERT_EQ(text[8], '{');
  }
}

TEST(Safetensors, EveryTensorIsWrittenAligned) {
  const TemporaryDirectory folder;
  const std::vector<std::byte> bytes(8);
  const std::span<const std::byte> all(bytes);
  const std::vector<TensorView> views = {{"one", DType::kU8, {1}, all.first(1)},
                                         {"wide", DType::kF64, {1}, all},
                                         {"half", DType::kF16, {1}, all.first(2)},
                                         {"float", DType::kF32, {1}, all.first(4)}};
  write_safetensors(folder / "a", {}, views);
  const std::string text = read_text(folder / "a");
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof length);
  const auto header = nlohmann::json::parse(text.substr(8, length));
  for (const TensorView& view : views) {
    const auto begin = header.at(view.name).at("data_offsets").at(0).get<std::size_t>();
    EXPECT_EQ(begin % size_of(view.dtype), 0u) << view.name;
  }
  EXPECT_EQ(read_safetensors(folder / "a").tensors()[0].name, "one");
}

TEST(Safetensors, NothingAtAllCanBeWritten) {
  const TemporaryDirectory folder;
  write_safetensors(folder / "a", {}, {});
  EXPECT_TRUE(read_safetensors(folder / "a").tensors().empty());
}

// Spelled by hand, so that reader and writer cannot be wrong together.
TEST(Safetensors, ReadsAFileWrittenByHand) {
  std::string bytes = file_of(
      " {\"b\":{\"data_offsets\":[4,12],\"shape\":[2,1],\"dtype\":\"F32\"},"
      "\"__metadata__\":{\"k\":\"v\"}, "
      "\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}\n  ");
  bytes += std::string("\x80\x3f\x00\xc0", 4) + std::string("\x00\x00\x20\x41\x00\x00\x00\xbf", 8);
  const WeightFile file = parse(bytes);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "b");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(file.metadata().at("k"), "v");
  std::vector<float> values(2);
  copy_as_float(*file.find("a"), values);
  EXPECT_EQ(values, (std::vector<float>{1.0f, -2.0f}));
  copy_as_float(*file.find("b"), values);
  EXPECT_EQ(values, (std::vector<float>{10.0f, -0.5f}));
}

TEST(Safetensors, MisalignedDataIsCopied) {
  for (std::size_t pad = 0; pad < 8; ++pad) {
    std::string header = R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[1,17]},)"
                         R"("b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    std::string bytes = file_of(header + std::string(pad, ' ')) + "\x01";
    const double stored[2] = {0.25, -3.0};
    bytes.append(reinterpret_cast<const char*>(stored), sizeof stored);
    const WeightFile file = parse(bytes);
    check_well_formed(file);
    std::vector<float> values(2);
    copy_as_float(*file.find("a"), values);
    EXPECT_EQ(values, (std::vector<float>{0.25f, -3.0f}));
  }
}

TEST(Safetensors, FloatsOfEveryFormatAndRefusalOfIntegers) {
  const std::uint16_t half[] = {0x3c00, 0xc100, 0x0001, 0x7c00};
  std::vector<float> values(4);
  copy_as_float({"h", DType::kF16, {4}, std::as_bytes(std::span(half))}, values);
  EXPECT_EQ(values, (std::vector<float>{1.0f, -2.5f, 0x1p-24f, INFINITY}));
  const double wide[] = {1e300, -0.5, 1.0 / 3.0, 0.0};
  copy_as_float({"d", DType::kF64, {2, 2}, std::as_bytes(std::span(wide))}, values);
  EXPECT_EQ(values, (std::vector<float>{INFINITY, -0.5f, 1.0f / 3.0f, 0.0f}));
  for (const DType dtype : kAll) {
    if (is_float_format(dtype)) continue;
    const std::vector<std::byte> bytes(4 * size_of(dtype));
    try {
      copy_as_float({"n", dtype, {4}, bytes}, values);
      ADD_FAILURE() << name_of(dtype);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_NE(std::string_view(error.what()).find(name_of(dtype)), std::string_view::npos);
    }
  }
  EXPECT_THROW(copy_as_float({"short", DType::kF64, {4}, std::as_bytes(std::span(half))}, values), Bug);
}

TEST(Safetensors, WriterRefusesWhatCannotBeReadBack) {
  const TemporaryDirectory folder;
  const float value = 1.0f;
  const auto data = std::as_bytes(std::span(&value, 1));
  const auto path = folder / "a";
  write_text_atomically(path, "earlier");
  const auto write = [&](std::vector<TensorView> views, const std::map<std::string, std::string>& metadata) {
    write_safetensors(path, metadata, views);
  };
  EXPECT_THROW(write({{"x", DType::kF32, {1}, data}, {"x", DType::kF32, {1}, data}}, {}), Bug);
  EXPECT_THROW(write({{"x", DType::kF32, {2}, data}}, {}), Bug);
  EXPECT_THROW(write({{"__metadata__", DType::kF32, {1}, data}}, {}), Bug);
  EXPECT_THROW(write({{"\xff", DType::kF32, {1}, data}}, {}), Error);
  EXPECT_THROW(write({}, {{"k", "\xc3"}}), Error);
  EXPECT_THROW(write_safetensors(folder / "none/a", {}, {}), Error);
  EXPECT_EQ(read_text(path), "earlier");
}

TEST(Safetensors, FilesThatAreNot) {
  const TemporaryDirectory folder;
  const auto kind_of = [](const std::filesystem::path& path) {
    try {
      read_safetensors(path);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kCancelled;
  };
  EXPECT_EQ(kind_of(folder / "none"), ErrorKind::kNotFound);
  EXPECT_EQ(kind_of(folder.path()), ErrorKind::kInvalidArgument);
  write_text_atomically(folder / "empty", "");
  EXPECT_EQ(kind_of(folder / "empty"), ErrorKind::kCorruptFile);
}

TEST(Safetensors, LengthsOfTheHeader) {
  expect_refused("", {"has 0 bytes"});
  expect_refused("1234567", {"has 7 bytes", "8-byte length"});
  expect_refused(std::string(8, '\0'), {"byte 8", "not JSON"});
  for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{100'000'001}, std::uint64_t{1} << 63,
                                     ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    std::string bytes = file_of("{}");
    std::memcpy(bytes.data(), &length, sizeof length);
    expect_refused(bytes, {std::to_string(length), "the file has 10"});
  }
}

struct BadHeader {
  const char* header;
  std::size_t data;
  std::vector<std::string_view> words;
  ErrorKind kind = ErrorKind::kCorruptFile;
};

TEST(Safetensors, HeadersThatContradictThemselvesAreNamed) {
  const BadHeader cases[] = {
      {"", 0, {"byte 8", "not JSON"}},
      {"{\"a\":", 0, {"byte 13", "not JSON"}},
      {"{} x", 0, {"byte 11", "not JSON"}},
      {"{\"\xff\":1}", 0, {"byte 10", "not JSON"}},
      {"[]", 0, {"not a JSON object", "array"}},
      {"17", 0, {"not a JSON object", "17"}},
      {"null", 0, {"not a JSON object"}},
      {"{\"a\":[]}", 0, {"\"a\"", "expected an object", "array"}},
      {"{\"a\\n\\u001b[31m\":1}", 0, {"a\\x0a\\x1b[31m"}},
      {"{\"a\":{}}", 0, {"\"a\"", "dtype, shape and data_offsets"}},
      {R"({"a":{"dtype":"U8","shape":[1]}})", 1, {"\"a\"", "data_offsets"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, {"unknown field \"x\""}},
      {R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1, {"shape occurs twice"}},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1, {"dtype", "a string", "7"}},
      {R"({"a":{"dtype":["U8"],"shape":[1],"data_offsets":[0,1]}})", 1, {"dtype", "a string"}},
      {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, {"shape", "an array", "1"}},
      {R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1, {"shape", "sizes", "an array"}},
      {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, {"shape", "-1"}},
      {R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, {"shape", "1.0"}},
      {R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1, {"shape", "a string"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, {"data_offsets", "expected 2", "found 1"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})", 1, {"data_offsets", "more than 2"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,2]}})", 1, {"\"a\"", "bytes 0 to 2", "1 bytes of data"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, {"\"a\"", "bytes 1 to 0"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}})", 1, {"data_offsets"}},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", 1, {"\"a\"", "are 1 bytes", "expected 2", "[2]"}},
      {R"({"a":{"dtype":"F64","shape":[],"data_offsets":[0,4]}})", 4, {"\"a\"", "are 4 bytes", "expected 8", "F64"}},
      {R"({"a":{"dtype":"U8","shape":[0,3],"data_offsets":[0,1]}})", 1, {"expected 0"}},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, {"larger than any file"}},
      {R"({"a":{"dtype":"U8","shape":[0,9223372036854775808],"data_offsets":[0,0]}})", 0, {"larger than any file"}},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4, {"larger than any file"}},
      {R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})",
       1,
       {"\"a\"", "F8_E4M3", "expected F32"},
       ErrorKind::kUnsupported},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 3, {"2 bytes follow the last tensor"}},
      {"{}", 1, {"1 bytes follow the last tensor"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, {"\"a\"", "byte 1", "expected 0", "hole"}},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3,
       {"\"b\"", "byte 1", "expected 2", "overlap"}},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
       2,
       {"byte 0", "expected 2", "overlap"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2,
       {"\"a\" occurs twice"}},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2,
       {"\"a\" occurs twice"}},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, {"__metadata__", "twice"}},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, {"\"k\" occurs twice"}},
      {R"({"__metadata__":{"k":1}})", 0, {"__metadata__ \"k\"", "a string", "1"}},
      {R"({"__metadata__":{"k":{"x":"y"}}})", 0, {"__metadata__ \"k\"", "an object"}},
      {R"({"__metadata__":"k"})", 0, {"__metadata__", "an object"}},
  };
  for (const BadHeader& bad : cases) {
    SCOPED_TRACE(bad.header);
    expect_refused(file_of(bad.header, bad.data), bad.words, bad.kind);
  }
}

std::string small_file() {
  const TemporaryDirectory folder;
  const Sample sample = make_sample();
  std::vector<TensorView> views(sample.views.begin(), sample.views.begin() + 5);
  views.push_back(sample.views[13]);
  write_safetensors(folder / "a", {{"k", "v"}}, views);
  return read_text(folder / "a");
}

TEST(Safetensors, CutShortAnywhere) {
  const std::string whole = small_file();
  ASSERT_NO_THROW(parse(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) expect_refused(whole.substr(0, size), {});
  expect_refused(whole + '\0', {"1 bytes follow"});
}

// Every value in every byte of the length and the header: an Error or a well-formed file.
TEST(Safetensors, CorruptedAnywhere) {
  std::string bytes = small_file();
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  int accepted = 0;
  int refused = 0;
  for (std::size_t at = 0; at < 8 + header; ++at) {
    const char original = bytes[at];
    for (int value = 0; value < 256; ++value) {
      if (static_cast<char>(value) == original) continue;
      bytes[at] = static_cast<char>(value);
      try {
        check_well_formed(parse(bytes));
        ++accepted;  // another name, say
      } catch (const Error&) {
        ++refused;
      }
    }
    bytes[at] = original;
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 10 * accepted / 2);
}

TEST(Safetensors, HugeHeadersTakeBoundedTime) {
  const auto start = std::chrono::steady_clock::now();
  expect_refused(file_of(std::string(5'000'000, '[')), {"not a JSON object"});
  expect_refused(file_of("{\"a\":{\"shape\":[" + std::string(5'000'000, '[')), {"sizes"});
  std::string ones;
  for (int i = 0; i < 1'000'000; ++i) ones += "1,";
  expect_refused(file_of("{\"a\":{\"shape\":[" + ones), {"more than 64"});
  std::string metadata = "{\"__metadata__\":{";
  for (int i = 0; i < 100'000; ++i) metadata += "\"" + std::to_string(i) + "\":\"\",";
  expect_refused(file_of(metadata), {"metadata"});
  expect_refused(file_of("{\"" + std::string(5'000'000, 'n') + "\":1}"), {"5000000 bytes"});
  std::string many = "{";
  for (int i = 0; i < 50'000; ++i) {
    many += "\"" + std::to_string(i) + R"(":{"dtype":"U8","shape":[],"data_offsets":[)" + std::to_string(i) + "," +
            std::to_string(i + 1) + "]},";
  }
  many.back() = '}';
  const WeightFile file = parse(file_of(many, 50'000));
  for (const TensorView& tensor : file.tensors()) ASSERT_EQ(file.find(tensor.name), &tensor);
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(60));  // minutes, were it quadratic
}

TEST(Printable, KeepsMessagesOnOneShortLine) {
  EXPECT_EQ(printable("emb.weight"), "emb.weight");
  EXPECT_EQ(printable(std::string_view("a\n\0\x7f\xe9", 5)), "a\\x0a\\x00\\x7f\\xe9");
  EXPECT_EQ(printable(std::string(1000, 'x')), std::string(200, 'x') + "... (1000 bytes)");
}

}  // namespace
}  // namespace spikegpt::test
