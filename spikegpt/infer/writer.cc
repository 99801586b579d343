#include "spikegpt/infer/writer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr std::int64_t kChunk = 256;  // bounds the logits held at once, and how long a request to stop waits

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What an empty text begins with: it is not the user's, so what the vocabulary lacks of it is not reported.
std::vector<TokenId> stand_in(const Tokenizer& tokenizer) {
  if (const auto end = tokenizer.end_of_text()) return {*end};
  std::vector<TokenId> line_feed = tokenizer.encode("\n").ids;
  return line_feed.empty() ? std::vector<TokenId>{0} : line_feed;
}

}  // namespace

TextWriter::TextWriter(Session& session, const Tokenizer& tokenizer, WritingOptions options,
                       const WritingState& state)
    : session_(&session),
      tokenizer_(&tokenizer),
      on_token_(std::move(options.on_token)),
      sampler_(options.sampler, state.drawn),
      decoder_(tokenizer, state.unfinished),
      filter_(std::move(options.stop), state.held),
      pending_(state.pending),
      ended_(state.ended) {}

Unknowns TextWriter::give(const std::string& text, const std::atomic<bool>& stop, const TextSink& emit) {
  std::vector<TokenId> tokens;
  const Unknowns unknowns = tokenizer_->encode_into(text, [&](std::span<const TokenId> ids) {
    if (stop) throw Error(ErrorKind::kCancelled, "interrupted while the prompt was turned into tokens");
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  });
  if (tokens.empty()) return unknowns;
  filter_.flush(emit);
  const std::string before = decoder_.pass(text);
  if (!before.empty()) emit(before);
  append(tokens);
  ended_ = false;
  return unknowns;
}

void TextWriter::append(std::span<const TokenId> tokens) {
  if (unread() == 0 && on_token_) on_token_(tokens.front(), {}, true);
  pending_.insert(pending_.end(), tokens.begin(), tokens.end());
  for (const TokenId token : tokens) sampler_.observe(token);
}

void TextWriter::read_all_but_last(const std::atomic<bool>& stop) {
  while (unread() > 1 && !stop) {
    const auto count = static_cast<std::size_t>(std::min(unread() - 1, kChunk));
    const auto chunk = std::span<const TokenId>(pending_).subspan(next_, count);
    if (on_token_) {
      const std::vector<float> logits = session_->feed_all(chunk);
      const std::size_t V = logits.size() / count;
      for (std::size_t i = 0; i < count; ++i)
        on_token_(pending_[next_ + i + 1], {logits.data() + i * V, V}, true);
    } else {
      session_->feed(chunk);
    }
    next_ += count;
  }
}

WritingReport TextWriter::write(std::int64_t tokens, const std::atomic<bool>& stop, const TextSink& emit) {
  WritingReport report;
  const double start = now();
  if (unread() == 0) append(stand_in(*tokenizer_));
  report.had_ended = ended_ || !filter_.push("", emit);
  bool going = !report.had_ended;
  const std::int64_t first = unread();
  if (going) read_all_but_last(stop);
  report.prompt_tokens = first - unread();
  report.prompt_seconds = now() - start;
  // A vocabulary may be larger than the tokenizer's, for round sizes: what has no text is never chosen.
  const auto speakable = static_cast<std::size_t>(tokenizer_->vocab_size());
  while (going && report.new_tokens < tokens && !stop) {
    const std::span<const float> logits = session_->feed({pending_.data() + next_, 1});
    if (report.new_tokens == 0) {
      ++report.prompt_tokens;
      report.prompt_seconds = now() - start;
    }
    const TokenId token = sampler_.sample(logits.first(std::min(logits.size(), speakable)));
    if (on_token_) on_token_(token, logits, false);
    pending_.assign(1, token);
    next_ = 0;
    ended_ = token == tokenizer_->end_of_text();
    if (ended_) {
      finish(emit);
      break;
    }
    ++report.new_tokens;
    going = filter_.push(decoder_.push(token), emit);
  }
  report.seconds = now() - start - report.prompt_seconds;
  return report;
}

void TextWriter::finish(const TextSink& emit) {
  if (filter_.push("", emit)) filter_.push(decoder_.finish(), emit);
  filter_.flush(emit);
}

WritingState TextWriter::state() const {
  WritingState state;
  state.pending.assign(pending_.begin() + static_cast<std::ptrdiff_t>(next_), pending_.end());
  state.ended = ended_;
  state.sampler = sampler_.config();
  state.drawn = sampler_.state();
  state.stop = filter_.stops();
  state.held = filter_.held();
  state.unfinished = decoder_.unfinished();
  return state;
}

}  // namespace spikegpt
