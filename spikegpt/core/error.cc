#include "spikegpt/core/error.h"

namespace spikegpt {

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument: return "invalid argument";
    case ErrorKind::kNotFound: return "not found";
    case ErrorKind::kCorruptFile: return "corrupt file";
    case ErrorKind::kUnsupported: return "unsupported";
    case ErrorKind::kIo: return "input/output error";
    case ErrorKind::kMemory: return "out of memory";
    case ErrorKind::kDiverged: return "training diverged";
    case ErrorKind::kCancelled: return "cancelled";
  }
  return "unknown error";
}

Bug::Bug(std::string_view what, SourcePlace where)
    : std::logic_error(fmt::format("internal error: {} ({}:{}); please report this", what, where.file, where.line)) {}

}  // namespace spikegpt
