#include "spikegpt/model/pickle_reader_opcodes.h"

#include <algorithm>
#include <array>

namespace spikegpt {
namespace {

struct OpcodeName {
  unsigned char opcode;
  std::string_view name;
};
constexpr std::array<OpcodeName, 37> kRefused = {{{'0', "POP"},
                                                  {'1', "POP_MARK"},
                                                  {'2', "DUP"},
                                                  {'F', "FLOAT"},
                                                  {'I', "INT"},
                                                  {'L', "LONG"},
                                                  {'P', "PERSID"},
                                                  {'S', "STRING"},
                                                  {'T', "BINSTRING"},
                                                  {'U', "SHORT_BINSTRING"},
                                                  {'V', "UNICODE"},
                                                  {'B', "BINBYTES"},
                                                  {'C', "SHORT_BINBYTES"},
                                                  {'d', "DICT"},
                                                  {'g', "GET"},
                                                  {'i', "INST"},
                                                  {'l', "LIST"},
                                                  {'o', "OBJ"},
                                                  {'p', "PUT"},
                                                  {0x81, "NEWOBJ"},
                                                  {0x82, "EXT1"},
                                                  {0x83, "EXT2"},
                                                  {0x84, "EXT4"},
                                                  {0x8b, "LONG4"},
                                                  {0x8c, "SHORT_BINUNICODE"},
                                                  {0x8d, "BINUNICODE8"},
                                                  {0x8e, "BINBYTES8"},
                                                  {0x8f, "EMPTY_SET"},
                                                  {0x90, "ADDITEMS"},
                                                  {0x91, "FROZENSET"},
                                                  {0x92, "NEWOBJ_EX"},
                                                  {0x93, "STACK_GLOBAL"},
                                                  {0x94, "MEMOIZE"},
                                                  {0x95, "FRAME"},
                                                  {0x96, "BYTEARRAY8"},
                                                  {0x97, "NEXT_BUFFER"},
                                                  {0x98, "READONLY_BUFFER"}}};

struct StorageName {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageName, 10> kStorages = {{{"torch\nFloatStorage", DType::kF32},
                                                    {"torch\nHalfStorage", DType::kF16},
                                                    {"torch\nBFloat16Storage", DType::kBf16},
                                                    {"torch\nDoubleStorage", DType::kF64},
                                                    {"torch\nLongStorage", DType::kI64},
                                                    {"torch\nIntStorage", DType::kI32},
                                                    {"torch\nShortStorage", DType::kI16},
                                                    {"torch\nCharStorage", DType::kI8},
                                                    {"torch\nByteStorage", DType::kU8},
                                                    {"torch\nBoolStorage", DType::kBool}}};

}  // namespace

std::string_view name_of_refused_opcode(unsigned char opcode) {
  const auto found =
      std::find_if(kRefused.begin(), kRefused.end(), [&](const OpcodeName& entry) { return entry.opcode == opcode; });
  return found == kRefused.end() ? "?" : found->name;
}

const DType* find_storage_dtype(std::string_view global) {
  const auto found =
      std::find_if(kStorages.begin(), kStorages.end(), [&](const StorageName& entry) { return entry.name == global; });
  return found == kStorages.end() ? nullptr : &found->dtype;
}

bool is_allowed_global(std::string_view global) {
  return global == kOrderedDictGlobal || global == kRebuildTensorGlobal ||
         global == kFirstRebuildTensorGlobal || global == kRebuildParameterGlobal ||
         find_storage_dtype(global) != nullptr;
}

}  // namespace spikegpt
