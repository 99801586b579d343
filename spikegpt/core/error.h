// What can go wrong, in two types: `Error` (the user's input or machine) and `Bug` (ours).
#pragma once

#include <fmt/format.h>

#include <source_location>
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

// A broken promise inside this program. Carries the place.
class Bug : public std::logic_error {
 public:
  explicit Bug(std::string_view what,
               std::source_location where = std::source_location::current());
};

// Throws `Bug` when a condition that this program guarantees does not hold.
inline void ensure(bool condition, std::string_view what,
                   std::source_location where = std::source_location::current()) {
  if (!condition) throw Bug(what, where);
}

}  // namespace spikegpt
