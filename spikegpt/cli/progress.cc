#include "spikegpt/cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace spikegpt::cli {
int StatusLine::width() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

StatusLine::StatusLine() : terminal_(isatty(STDERR_FILENO) == 1) {}
StatusLine::~StatusLine() { clear(); }

void StatusLine::update(const std::string& line) {
  using namespace std::chrono_literals;
  const auto now = Time::now();
  if (now - last_ < (terminal_ ? 100ms : 10000ms)) return;
  last_ = now;
  if (terminal_) {
    // Cut to the width: a line that wraps cannot be drawn over.
    fmt::print(stderr, "\r\x1b[K{}", line.substr(0, static_cast<std::size_t>(width() - 1)));
    shown_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

void StatusLine::clear() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
  std::fflush(stderr);
}

std::string bar(double fraction, int width) {
  const int filled = std::clamp(static_cast<int>(fraction * width), 0, width);
  return fmt::format("[{:#>{}}{:.>{}}] {:3.0f}%", "", filled, "", width - filled, 100.0 * fraction);
}

std::string duration(double seconds) {
  const auto whole = static_cast<long>(std::max(0.0, std::round(seconds)));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string quantity(double value) {
  if (value >= 1e9) return fmt::format("{:.2f}G", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f}M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.1f}k", value / 1e3);
  return fmt::format("{:.0f}", value);
}

}  // namespace spikegpt::cli
