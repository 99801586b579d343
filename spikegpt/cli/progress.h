// A line at the bottom of the terminal that is drawn again and again; plain lines when the output is piped.
#pragma once

#include <chrono>
#include <string>

namespace spikegpt::cli {

class StatusLine {
 public:
  StatusLine();
  ~StatusLine();

  bool is_terminal() const noexcept { return terminal_; }
  // Columns of the terminal.
  static int width();
  // On a terminal: replaces the line, at most ten times a second. Piped: prints it at most every ten seconds.
  void update(const std::string& line);
  // Takes the line away, so that other text may be printed; ends by flushing.
  void clear();

 private:
  using Time = std::chrono::steady_clock;
  bool terminal_;
  bool shown_ = false;
  Time::time_point last_{};
};

// "[######....]  60%" with `width` places.
std::string bar(double fraction, int width);
// "2:05" or "1:02:05".
std::string duration(double seconds);
// "12.3k", "4.1M"
std::string quantity(double value);

}  // namespace spikegpt::cli
