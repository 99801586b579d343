// What can go wrong, in two types: `Error` (the user's input or machine) and `Bug` (ours).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace spikegpt {

enum class ErrorKind {
  kInvalidArgument,  // a flag, key or value that cannot be used
  kNotFound,         // a file or name that does not exist
  kCorruptFile,      // a file whose content contradicts its format
  kUnsupported,      // well formed, but not something this program does
  kIo,               // the operating system refused: permission, disk full
  kMemory,           // more memory than there is
  kDiverged,         // training produced NaN or infinity
  kCancelled,        // the user interrupted
};

std::string_view name_of(ErrorKind kind);

// Something the user can mend. The message says what was being done, where, what was expected and found.
class Error : public std::runtime_error {
 public:
  template <class... Args>
  Error(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)), kind_(kind) {}

  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

// For settings: throws Error (kInvalidArgument) "key = value: expected ..." unless the value will do.
template <class T>
void check_setting(bool holds, std::string_view key, const T& value, std::string_view expected) {
  if (!holds) throw Error(ErrorKind::kInvalidArgument, "{} = {}: expected {}", key, value, expected);
}

// A place in the source: as a default argument, the place of the call. (clang 14 lacks std::source_location.)
struct SourcePlace {
  const char* file;
  int line;
  constexpr SourcePlace(const char* at_file = __builtin_FILE(), int at_line = __builtin_LINE())
      : file(at_file), line(at_line) {}
};

// A broken promise inside this program. Carries the place.
class Bug : public std::logic_error {
 public:
  explicit Bug(std::string_view what, SourcePlace where = SourcePlace());
};

// Throws `Bug` when a condition that this program guarantees does not hold.
inline void ensure(bool condition, std::string_view what, SourcePlace where = SourcePlace()) {
  if (!condition) throw Bug(what, where);
}

}  // namespace spikegpt
