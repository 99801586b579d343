// Text from a model, token by token.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "spikegpt/infer/sampler.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/infer/stop_filter.h"
#include "spikegpt/text/streaming_decoder.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// Sees every token of a text once, with the logits [V] that foretold it, before the sampler; none for the
// first of all. `given`: of a prompt, not chosen.
using TokenObserver = std::function<void(TokenId token, std::span<const float> logits, bool given)>;

struct WritingOptions {
  SamplerConfig sampler;
  std::vector<std::string> stop;  // ends before the first of these
  TokenObserver on_token;         // may be empty
};

// Where a text stands, beside what its session remembers: all that going on needs.
struct WritingState {
  // Tokens that the session has not read. The observer has seen the first; the others are given, and it has
  // not.
  std::vector<TokenId> pending;
  bool ended = false;  // with the end-of-text token, which is pending
  SamplerConfig sampler;
  SamplerState drawn;
  std::vector<std::string> stop;
  std::string held;  // chosen, but shown to nobody: the start of a stop string, or one
  UnfinishedCharacter unfinished;
};

struct WritingReport {
  std::int64_t prompt_tokens = 0;  // read before the first new one
  std::int64_t new_tokens = 0;
  double prompt_seconds = 0.0;
  double seconds = 0.0;    // of the new tokens
  bool had_ended = false;  // before: nothing was written
};

// One text being written. The last token of all is read when the next is wanted, so that a text goes on
// exactly where it stopped, whether after a prompt, a number of tokens, or an interruption.
class TextWriter {
 public:
  // Goes on from `state` with these options. `session` and `tokenizer` must outlive the writer, and nobody
  // else feeds the session.
  TextWriter(Session& session, const Tokenizer& tokenizer, WritingOptions options,
             const WritingState& state = {});

  // Puts a text behind all that stands there; write() reads it. `emit` receives what was written before it
  // and not yet shown. Throws Error (kCancelled), with nothing changed, when `stop` becomes true.
  Unknowns give(const std::string& text, const std::atomic<bool>& stop, const TextSink& emit);

  // Reads what was given (the end-of-text token or a line break when there never was anything) and writes on,
  // until there are so many new tokens, the text ends, or `stop` becomes true. `emit` receives pieces of
  // whole characters; what might be the start of a stop string is held back.
  WritingReport write(std::int64_t tokens, const std::atomic<bool>& stop, const TextSink& emit);

  // Shows the rest, when the text will not go on: U+FFFD for an unfinished character.
  void finish(const TextSink& emit);

  WritingState state() const;

 private:
  void append(std::span<const TokenId> tokens);
  void read_all_but_last(const std::atomic<bool>& stop);
  std::int64_t unread() const { return static_cast<std::int64_t>(pending_.size() - next_); }

  Session* session_;
  const Tokenizer* tokenizer_;
  TokenObserver on_token_;
  Sampler sampler_;
  StreamingDecoder decoder_;
  StopFilter filter_;
  std::vector<TokenId> pending_;  // the session has read those before next_
  std::size_t next_ = 0;
  bool ended_ = false;
};

}  // namespace spikegpt
