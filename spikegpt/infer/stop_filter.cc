#include "spikegpt/infer/stop_filter.h"

#include <algorithm>
#include <utility>

namespace spikegpt {

StopFilter::StopFilter(std::vector<std::string> stops, std::string held)
    : stops_(std::move(stops)), held_(std::move(held)) {
  std::erase(stops_, std::string());
}

bool StopFilter::push(const std::string& text, const TextSink& emit) {
  held_ += text;
  const std::size_t stop = find_stop();
  const std::size_t safe = stop != std::string::npos ? stop : held_.size() - waiting();
  if (safe > 0) emit(held_.substr(0, safe));
  held_.erase(0, safe);
  return stop == std::string::npos;
}

void StopFilter::flush(const TextSink& emit) {
  if (!held_.empty() && find_stop() == std::string::npos) emit(held_);
  held_.clear();
}

// Where the first stop string begins.
std::size_t StopFilter::find_stop() const {
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  return first;
}

// Length of the longest end of `held_` that begins a stop string.
std::size_t StopFilter::waiting() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t size = std::min(stop.size(), held_.size()); size > longest; --size) {
      if (held_.compare(held_.size() - size, size, stop, 0, size) == 0) longest = size;
    }
  }
  return longest;
}

}  // namespace spikegpt
