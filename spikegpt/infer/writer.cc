#include "spikegpt/infer/writer.h"

#include <algorithm>
#include <chrono>

#include "spikegpt/text/streaming_decoder.h"

namespace spikegpt {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Passes text on, except that a stop string ends it and what could become one waits.
class StopFilter {
 public:
  StopFilter(const std::vector<std::string>& stops, const std::function<void(const std::string&)>& emit)
      : stops_(stops), emit_(emit) {}

  // Returns false when a stop string was met.
  bool push(const std::string& text) {
    held_ += text;
    std::size_t end = std::string::npos;
    for (const std::string& stop : stops_) {
      if (!stop.empty()) end = std::min(end, held_.find(stop));
    }
    if (end != std::string::npos) {
      held_.resize(end);
      flush();
      return false;
    }
    const std::size_t safe = held_.size() - waiting();
    if (safe > 0) emit_(held_.substr(0, safe));
    held_.erase(0, safe);
    return true;
  }
  void flush() {
    if (!held_.empty()) emit_(held_);
    held_.clear();
  }

 private:
  // Length of the longest end of `held_` that begins a stop string.
  std::size_t waiting() const {
    std::size_t longest = 0;
    for (const std::string& stop : stops_) {
      for (std::size_t size = std::min(stop.size(), held_.size()); size > longest; --size) {
        if (held_.compare(held_.size() - size, size, stop, 0, size) == 0) longest = size;
      }
    }
    return longest;
  }

  const std::vector<std::string>& stops_;
  const std::function<void(const std::string&)>& emit_;
  std::string held_;
};

// Returns the logits for the token behind the prompt; valid until the session reads on.
std::span<const float> read_prompt(Session& session, std::span<const TokenId> prompt, const TokenObserver& on_token) {
  if (!on_token) return session.feed(prompt);
  constexpr std::size_t kChunk = 256;  // bounds the logits held at once
  std::span<const float> before;
  for (std::size_t first = 0; first < prompt.size(); first += kChunk) {
    const auto chunk = prompt.subspan(first, std::min(kChunk, prompt.size() - first));
    on_token(chunk[0], before);
    if (chunk.size() > 1) {
      const std::vector<float> logits = session.feed_all(chunk.first(chunk.size() - 1));
      const std::size_t V = logits.size() / (chunk.size() - 1);
      for (std::size_t i = 1; i < chunk.size(); ++i) on_token(chunk[i], {logits.data() + (i - 1) * V, V});
    }
    before = session.feed(chunk.last(1));
  }
  return before;
}

}  // namespace

Encoding prompt_tokens(const Tokenizer& tokenizer, const std::string& prompt) {
  Encoding encoding = tokenizer.encode(prompt);
  if (!encoding.ids.empty()) return encoding;
  if (const auto end = tokenizer.end_of_text()) return {{*end}, 0, {}};
  // What stands in for a prompt is not the user's: characters that it lacks are not reported.
  encoding.ids = tokenizer.encode("\n").ids;
  return encoding;
}

WritingReport write_text(Session& session, const Tokenizer& tokenizer, const WritingOptions& options,
                         const std::atomic<bool>& stop, const std::function<void(const std::string&)>& emit) {
  WritingReport report;
  Sampler sampler(options.sampler);
  const Encoding prompt = prompt_tokens(tokenizer, options.prompt);
  report.prompt_tokens = static_cast<std::int64_t>(prompt.ids.size());
  report.unknown = prompt.unknown;
  report.unknown_examples = prompt.unknown_examples;
  for (const TokenId token : prompt.ids) sampler.observe(token);
  const double start = now();
  std::span<const float> logits = read_prompt(session, prompt.ids, options.on_token);
  report.prompt_seconds = now() - start;

  // A vocabulary may be larger than the tokenizer's, for round sizes: what has no text is never chosen.
  const auto speakable = static_cast<std::size_t>(tokenizer.vocab_size());
  StreamingDecoder decoder(tokenizer);
  StopFilter filter(options.stop, emit);
  bool going = true;
  while (going && report.new_tokens < options.tokens && !stop) {
    const TokenId token = sampler.sample(logits.first(std::min(logits.size(), speakable)));
    if (options.on_token) options.on_token(token, logits);
    if (token == tokenizer.end_of_text()) break;
    ++report.new_tokens;
    going = filter.push(decoder.push(token));
    if (going && report.new_tokens < options.tokens) logits = session.feed({&token, 1});
  }
  if (going) filter.push(decoder.finish());
  filter.flush();
  report.seconds = now() - start - report.prompt_seconds;
  return report;
}

}  // namespace spikegpt
