// The restricted pickle reader: what a state_dict needs is read, everything else is refused by name
// and nothing is ever run. All pickles are put together by hand.
#include "spikegpt/model/pickle_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "spikegpt/core/error.h"
#include "spikegpt/model/weight_file.h"
#include "tests/fuzz/pickle_assembler.h"

namespace spikegpt::test {
namespace {

using Kind = PickleValue::Kind;
using Words = std::vector<std::string_view>;

void expect_refused(const PickleAssembler& pickle, const Words& words, ErrorKind kind = ErrorKind::kCorruptFile) {
  try {
    const Pickle read(pickle.span(), "x.pth: data.pkl");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    const std::string_view message = error.what();
    EXPECT_EQ(error.kind(), kind) << message;
    EXPECT_TRUE(message.starts_with("x.pth: data.pkl: byte ")) << message;
    EXPECT_LT(message.size(), 1000u);
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c < 0x7f; })) << message;
    for (const std::string_view word : words) EXPECT_NE(message.find(word), message.npos) << message;
  }
}
void expect_unsupported(const PickleAssembler& pickle, const Words& words) {
  expect_refused(pickle, words, ErrorKind::kUnsupported);
}

PickleAssembler begin() { return PickleAssembler().proto(); }

// {"a": tensor, "n": None, "b": Parameter(the same tensor), ...} with the state of an OrderedDict.
PickleAssembler whole_state_dict() {
  PickleAssembler pickle = begin();
  pickle.global("collections", "OrderedDict").put(0).raw(")R").put(1).raw("(").text("a");
  add_tensor(pickle, {}).put(2);
  pickle.text("n").raw("N").text("b").global("torch._utils", "_rebuild_parameter").raw("(").get(2).raw("\x88");
  pickle.get(0).raw(")RtR").text("epochs").raw("](").integer(3).integer(-70000).integer(1LL << 40).raw("e");
  pickle.raw("u}").text("_metadata").get(0).raw(")R(").text("").raw("}").text("version").raw("K\x01su");
  return pickle.raw("sb").stop();
}

TEST(PickleReader, AWholeStateDict) {
  const PickleAssembler bytes = whole_state_dict();
  const Pickle pickle(bytes.span(), "x");
  const PickleValue& root = pickle.root();
  ASSERT_EQ(root.kind, Kind::kDict);
  ASSERT_EQ(root.items.size(), 8u);
  EXPECT_EQ(root.items[0]->text, "a");
  const PickleValue& tensor = *root.items[1];
  ASSERT_EQ(tensor.kind, Kind::kTensor);
  EXPECT_EQ(tensor.number, 0);
  EXPECT_EQ(tensor.items[0]->kind, Kind::kStorage);
  EXPECT_EQ(tensor.items[0]->text, "0");
  EXPECT_EQ(tensor.items[0]->number, 6);
  EXPECT_EQ(tensor.items[0]->dtype, DType::kF32);
  EXPECT_EQ(integers_of(*tensor.items[1]), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(integers_of(*tensor.items[2]), (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(root.items[3]->kind, Kind::kNone);
  EXPECT_EQ(root.items[5], &tensor);
  EXPECT_EQ(integers_of(*root.items[7]), (std::vector<std::int64_t>{3, -70000, 1LL << 40}));
}

TEST(PickleReader, IntegersOfAnyLength) {
  using namespace std::string_view_literals;
  const std::pair<std::string_view, std::int64_t> integers[] = {{"\x00"sv, 0},
                                                                {"\x01\x7f"sv, 127},
                                                                {"\x01\x80"sv, -128},
                                                                {"\x02\xff\x00"sv, 255},
                                                                {"\x02\x00\x80"sv, -32768},
                                                                {"\x05\x00\x00\x00\x00\x01"sv, 1LL << 32},
                                                                {"\x08\xff\xff\xff\xff\xff\xff\xff\x7f"sv, INT64_MAX},
                                                                {"\x08\x00\x00\x00\x00\x00\x00\x00\x80"sv, INT64_MIN}};
  for (const auto& [bytes, expected] : integers) {
    const PickleAssembler pickle = begin().raw("\x8a").raw(bytes).stop();
    EXPECT_EQ(Pickle(pickle.span(), "x").root().number, expected);
  }
  for (const std::int64_t expected : {0, 255, 256, 65535, 65536, -1, INT32_MAX, INT32_MIN}) {
    const PickleAssembler pickle = begin().integer(expected).stop();
    EXPECT_EQ(Pickle(pickle.span(), "x").root().number, expected);
  }
}

TEST(PickleReader, TuplesOfAnyLength) {
  PickleAssembler pickle = begin().raw("()").integer(1).raw("\x85").integer(2).integer(3).raw("\x86");
  pickle.integers({4, 5, 6}).raw("(\x88\x89tG12345678t");
  const Pickle read(pickle.stop().span(), "x");
  ASSERT_EQ(read.root().items.size(), 6u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(read.root().items[i]->items.size(), i);
  EXPECT_EQ(integers_of(*read.root().items[3]), (std::vector<std::int64_t>{4, 5, 6}));
  EXPECT_EQ(integers_of(*read.root().items[4]), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(read.root().items[5]->kind, Kind::kFloat);
}

TEST(PickleReader, ForbiddenGlobalsAreNamed) {
  const std::pair<const char*, const char*> globals[] = {{"posix", "system"},
                                                         {"os", "system"},
                                                         {"builtins", "eval"},
                                                         {"__builtin__", "exec"},
                                                         {"subprocess", "Popen"},
                                                         {"torch", "load"},
                                                         {"torch", "FloatStorageX"},
                                                         {"torch._utils", "_rebuild_tensor_v2.__globals__"},
                                                         {"collections", "deque"},
                                                         {"numpy.core.multiarray", "_reconstruct"},
                                                         {"torch._utils ", "_rebuild_tensor_v2"},
                                                         {"argparse", "Namespace"},
                                                         {"", ""}};
  for (const auto& [module, name] : globals) {
    const PickleAssembler pickle = begin().global(module, name).raw("(").text("id > /tmp/pwned").raw("tR").stop();
    expect_unsupported(pickle, {fmt::format("global {}.{} is not allowed", module, name), "byte 2"});
  }
  expect_unsupported(begin().global(std::string(5000, 'm'), "\x1b[31m").stop(), {"bytes) is not allowed"});
}

TEST(PickleReader, OtherOpcodesAreNamed) {
  const std::pair<const char*, const char*> opcodes[] = {
      {"\x93", "STACK_GLOBAL"}, {"i", "INST"},   {"o", "OBJ"},      {"\x81", "NEWOBJ"},    {"\x92", "NEWOBJ_EX"},
      {"\x82", "EXT1"},         {"P", "PERSID"}, {"B", "BINBYTES"}, {"\x8e", "BINBYTES8"}, {"2", "DUP"},
      {"\x8b", "LONG4"},        {"S", "STRING"}, {"\xff", "?"}};
  for (const auto& [opcode, name] : opcodes) {
    expect_unsupported(begin().raw("))").raw(opcode).raw("posix\nsystem\n").stop(),
                       {"byte 4", fmt::format("({}) is not allowed", name)});
  }
  // Every byte that no state_dict needs is refused, whatever follows.
  int refused = 0;
  for (int opcode = 0; opcode < 256; ++opcode) {
    PickleAssembler pickle = begin().raw("))))");
    pickle.bytes += static_cast<char>(opcode);
    try {
      const Pickle read(pickle.raw("aaaaaaaaaaaaaaaa").span(), "x");
    } catch (const Error& error) {
      refused += error.kind() == ErrorKind::kUnsupported &&
                 std::string_view(error.what()).find("byte 6: opcode") != std::string_view::npos;
    }
  }
  EXPECT_EQ(refused, 256 - 31);
}

TEST(PickleReader, OtherProtocols) {
  for (const int version : {0, 1, 3, 4, 5, 255}) {
    expect_unsupported(PickleAssembler().proto(version).raw("N").stop(),
                       {"pickle protocol " + std::to_string(version), "expected 2"});
  }
}

TEST(PickleReader, AllowedFunctionsTakeOnlyTheirArguments) {
  const auto call = [](std::string_view module, std::string_view name, std::string_view arguments) {
    return begin().global(module, name).raw(arguments).raw("R").stop();
  };
  expect_refused(call("torch", "FloatStorage", ")"), {"torch.FloatStorage", "arguments"});
  expect_refused(call("collections", "OrderedDict", "]\x85"), {"collections.OrderedDict", "arguments"});
  expect_refused(call("torch._utils", "_rebuild_parameter", ")"), {"_rebuild_parameter", "arguments"});
  expect_refused(call("torch._utils", "_rebuild_parameter", "N\x88N\x87"), {"_rebuild_parameter", "arguments"});
  expect_refused(call("torch._utils", "_rebuild_tensor_v2", ")"), {"storage, offset, shape and strides"});
  expect_refused(call("torch._utils", "_rebuild_tensor_v2", "(NNNNNNt"), {"storage, offset, shape and strides"});
  expect_refused(call("torch._utils", "_rebuild_tensor_v2", "N"), {"function and its arguments"});
  expect_refused(begin().text("os.system").text("id").raw("\x85R").stop(), {"function and its arguments"});
  expect_refused(begin().raw("NNb").stop(), {"a dictionary"});
}

TEST(PickleReader, TensorsThatAreNoTensors) {
  const auto tensor = [](auto&& shape_and_stride, std::string_view end) {
    PickleAssembler pickle = begin();
    pickle.global("torch._utils", "_rebuild_tensor_v2").raw("(").storage("HalfStorage", "7", 6).integer(0);
    shape_and_stride(pickle);
    return pickle.raw(end).stop();
  };
  const auto plain = [](PickleAssembler& pickle) { pickle.integers({6}).integers({1}); };
  for (const char* end : {"\x89NtR", "\x89N}tR"}) {
    const PickleAssembler good = tensor(plain, end);
    EXPECT_EQ(Pickle(good.span(), "x").root().kind, Kind::kTensor);
  }
  expect_refused(tensor(plain, "tR"), {"shape and strides"});
  const auto uneven = [](PickleAssembler& pickle) { pickle.integers({2, 3}).integers({1}); };
  expect_refused(tensor(uneven, "\x89NtR"), {"shape and strides"});
  const auto words = [](PickleAssembler& pickle) { pickle.raw("(").text("6").raw("t").integers({1}); };
  expect_refused(tensor(words, "\x89NtR"), {"whole numbers"});
  const auto deep = [](PickleAssembler& pickle) {
    for (int i = 0; i < 2; ++i) pickle.raw("(" + std::string(2 * 65, 'K') + "t");
  };
  expect_unsupported(tensor(deep, "\x89NtR"), {"65 dimensions", "at most 64"});
}

TEST(PickleReader, ConjugateAndNegativeViewsAreRefused) {
  PickleAssembler pickle = begin();
  pickle.global("torch._utils", "_rebuild_tensor_v2").raw("(").storage("FloatStorage", "0", 6).integer(0);
  pickle.integers({6}).integers({1}).raw("\x89N}").text("neg").raw("\x88stR").stop();
  expect_unsupported(pickle, {"negative view", "clone()"});
}

TEST(PickleReader, WrongPersistentIds) {
  const Words words = {"persistent id"};
  expect_refused(begin().text("0").raw("Q").stop(), words);
  expect_refused(begin().raw(")Q").stop(), words);
  expect_refused(begin().raw("(").text("storage").text("0").text("0").text("cpu").integer(1).raw("tQ").stop(), words);
  expect_refused(
      begin().raw("(").text("module").global("torch", "FloatStorage").text("0").text("cpu").raw("K\1tQ").stop(), words);
  expect_refused(
      begin().raw("](").text("storage").global("torch", "FloatStorage").text("0").text("cpu").raw("K\1eQ").stop(),
      words);
  expect_refused(
      begin().raw("(").text("storage").global("torch", "FloatStorage").text("0").text("cpu").raw("Nt").raw("Q").stop(),
      words);
  expect_refused(
      begin().raw("(").text("storage").global("collections", "OrderedDict").text("0").text("cpu").raw("K\1tQ").stop(),
      {"collections.OrderedDict is not a kind of storage"});
}

TEST(PickleReader, EveryStorageHasItsFormat) {
  const std::pair<const char*, DType> types[] = {{"FloatStorage", DType::kF32},     {"HalfStorage", DType::kF16},
                                                 {"BFloat16Storage", DType::kBf16}, {"DoubleStorage", DType::kF64},
                                                 {"LongStorage", DType::kI64},      {"IntStorage", DType::kI32},
                                                 {"ShortStorage", DType::kI16},     {"CharStorage", DType::kI8},
                                                 {"ByteStorage", DType::kU8},       {"BoolStorage", DType::kBool}};
  for (const auto& [name, dtype] : types) {
    const PickleAssembler pickle = begin().storage(name, "k", 300).stop();
    const Pickle read(pickle.span(), "x");
    EXPECT_EQ(read.root().dtype, dtype) << name;
    EXPECT_EQ(read.root().number, 300);
  }
  expect_unsupported(begin().storage("ComplexFloatStorage", "k", 3).stop(), {"torch.ComplexFloatStorage"});
}

TEST(PickleReader, AStackThatIsEmpty) {
  for (const char* bytes : {"", "t", "\x85", "a", "s", "u", "R", "b", "Q", "q\1", "(.", "e", "Na", "}Ns", "}(Nu"}) {
    expect_refused(begin().raw(bytes).stop(), {});
  }
  expect_refused(begin().raw("h\x07").stop(), {"memo 7 was never set"});
  expect_refused(begin().raw("N(\x85").stop(), {"nothing on the stack"});
  expect_refused(begin().raw("NNa").stop(), {"a list"});
}

TEST(PickleReader, LengthsBeyondTheEnd) {
  const Words words = {"ends in the middle", "bytes needed"};
  expect_refused(begin().raw("X\xff\xff\xff\xff").stop(), words);
  expect_refused(begin().raw(std::string_view("X\x05\0\0\0abcd", 9)), words);
  expect_refused(begin().raw("G123"), words);
  expect_refused(begin().raw("\x8a\xff").stop(), words);
  expect_refused(begin().raw(std::string("\x8a\x09") + std::string(9, '\1')).stop(), {"integer of 9 bytes"});
  expect_refused(begin().raw("cposix\nsystem"), {"a name without an end"});
  expect_refused(begin().raw("N"), words);
  expect_refused({}, words);
}

// Deep, wide and circular pickles: bounded memory, and nothing that walks them recursively.
TEST(PickleReader, Bombs) {
  const auto start = std::chrono::steady_clock::now();
  expect_unsupported(begin().raw(")" + std::string(10'000'000, '\x85')).stop(), {"more than 250000 values"});
  expect_unsupported(begin().raw(std::string(10'000'000, ']')).stop(), {"more than 250000 values"});
  expect_unsupported(begin().raw(std::string(10'000'000, '(')).stop(), {"more than 250000 marks"});
  std::string gets = "Nq\1";
  for (int i = 0; i < 1'000'000; ++i) gets += "h\1";
  expect_unsupported(begin().raw(gets).stop(), {"more than 250000 values on the stack"});
  PickleAssembler puts = begin().raw("N");
  for (std::uint32_t i = 0; i < 500'000; ++i) puts.raw("r").value(i * 65537);
  expect_unsupported(puts.stop(), {"more than 250000 memos"});
  expect_unsupported(begin().raw(std::string(kMaxPickleBytes, 'N')).stop(), {"at most 16777216"});

  const PickleAssembler deep = begin().raw(")" + std::string(200'000, '\x85')).stop();
  EXPECT_EQ(Pickle(deep.span(), "x").root().items.size(), 1u);
  const PickleAssembler circle = begin().raw("]q\1h\1a").stop();
  const Pickle round(circle.span(), "x");
  EXPECT_EQ(round.root().items[0], &round.root());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

// Billion laughs: each list holds the one before twice. Linear to read, since values are shared.
TEST(PickleReader, MemoBombsShareTheirValues) {
  PickleAssembler pickle = begin().raw("]").put(0);
  for (int i = 1; i < 200; ++i) pickle.raw("](").get(i - 1).get(i - 1).raw("e").put(i);
  const Pickle read(pickle.stop().span(), "x");
  EXPECT_EQ(read.root().items.size(), 2u);
  EXPECT_EQ(read.root().items[0], read.root().items[1]);
}

// One long shape, used by many tensors: reading must not cost their product.
TEST(PickleReader, ASharedShapeIsNotCopied) {
  PickleAssembler pickle = begin();
  add_tensor(pickle, {}).put(0);
  pickle.raw("(" + std::string(400'000, 'K') + "t").put(1).global("torch._utils", "_rebuild_tensor_v2").put(2);
  pickle.raw("(").storage("FloatStorage", "0", 6).integer(0).get(1).get(1).raw("\x89Nt").put(3).raw("N");
  for (int i = 0; i < 100'000; ++i) pickle.get(2).get(3).raw("R");
  expect_unsupported(pickle.stop(), {"200000 dimensions"});
}

TEST(PickleReader, CutShortAnywhere) {
  const PickleAssembler whole = whole_state_dict();
  for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
    PickleAssembler part;
    part.raw(std::string_view(whole.bytes).substr(0, size));
    try {
      const Pickle read(part.span(), "x");
      ADD_FAILURE() << "accepted " << size << " bytes";
    } catch (const Error&) {
    }
  }
}

TEST(PickleReader, CorruptedAnywhere) {
  PickleAssembler pickle = whole_state_dict();
  int accepted = 0;
  int refused = 0;
  for (char& byte : pickle.bytes) {
    const char original = byte;
    for (int value = 0; value < 256; ++value) {
      byte = static_cast<char>(value);
      try {
        const Pickle read(pickle.span(), "x");
        if (read.root().kind == Kind::kDict) ensure(read.root().items.size() % 2 == 0, "a key without a value");
        ++accepted;
      } catch (const Error&) {
        ++refused;
      }
    }
    byte = original;
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace spikegpt::test
