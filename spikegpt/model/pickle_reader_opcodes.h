// The names that pickles are made of.
#pragma once

#include <string_view>

#include "spikegpt/core/dtype.h"

namespace spikegpt {

// The opcodes of protocol 2 that torch.save writes, by their byte.
enum PickleOpcode : unsigned char {
  kOpMark = '(',
  kOpStop = '.',
  kOpBinGet = 'h',
  kOpLongBinGet = 'j',
  kOpBinPut = 'q',
  kOpLongBinPut = 'r',
  kOpBinInt = 'J',
  kOpBinInt1 = 'K',
  kOpBinInt2 = 'M',
  kOpLong1 = 0x8a,
  kOpBinFloat = 'G',
  kOpNone = 'N',
  kOpNewTrue = 0x88,
  kOpNewFalse = 0x89,
  kOpBinUnicode = 'X',
  kOpEmptyTuple = ')',
  kOpTuple = 't',
  kOpTuple1 = 0x85,
  kOpTuple2 = 0x86,
  kOpTuple3 = 0x87,
  kOpEmptyList = ']',
  kOpAppend = 'a',
  kOpAppends = 'e',
  kOpEmptyDict = '}',
  kOpSetItem = 's',
  kOpSetItems = 'u',
  kOpGlobal = 'c',
  kOpReduce = 'R',
  kOpBuild = 'b',
  kOpBinPersId = 'Q',
  kOpProto = 0x80
};

// What Python calls an opcode that is not one of these: "STACK_GLOBAL", "INST"; "?" for no opcode.
std::string_view name_of_refused_opcode(unsigned char opcode);

// Globals, as GLOBAL spells them.
inline constexpr std::string_view kOrderedDictGlobal = "collections\nOrderedDict";
inline constexpr std::string_view kRebuildTensorGlobal = "torch._utils\n_rebuild_tensor_v2";
inline constexpr std::string_view kFirstRebuildTensorGlobal = "torch._utils\n_rebuild_tensor";
inline constexpr std::string_view kRebuildParameterGlobal = "torch._utils\n_rebuild_parameter";

// The format of "torch\nFloatStorage" and the like; nullptr for anything else.
const DType* find_storage_dtype(std::string_view global);
// Whether a state_dict may ask for it.
bool is_allowed_global(std::string_view global);

}  // namespace spikegpt
