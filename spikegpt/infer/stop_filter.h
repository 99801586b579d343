// Ends a text before the first stop string.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace spikegpt {

// Receives pieces of a text as they come.
using TextSink = std::function<void(const std::string& piece)>;

// Passes text on, except that a stop string ends it and what could become one waits.
class StopFilter {
 public:
  // `held`: what another filter held back.
  explicit StopFilter(std::vector<std::string> stops, std::string held = {});

  // Returns false when a stop string was met: it and what follows stay held.
  bool push(const std::string& text, const TextSink& emit);
  // Passes on what waits, but nothing from a stop string on.
  void flush(const TextSink& emit);

  const std::string& held() const noexcept { return held_; }
  const std::vector<std::string>& stops() const noexcept { return stops_; }

 private:
  std::size_t find_stop() const;
  std::size_t waiting() const;

  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace spikegpt
