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
#include "spikegpt/text/tokenizer.h"

namespace spikegpt {

// Sees every token of prompt and text with the logits [V] that foretold it, before the sampler; none for the first.
using TokenObserver = std::function<void(TokenId token, std::span<const float> logits)>;

struct WritingOptions {
  std::string prompt;
  std::int64_t tokens = 200;
  SamplerConfig sampler;
  std::vector<std::string> stop;  // ends before the first of these
  TokenObserver on_token;         // may be empty
};

struct WritingReport {
  std::int64_t prompt_tokens = 0;
  std::int64_t new_tokens = 0;
  double prompt_seconds = 0.0;
  double seconds = 0.0;  // of the new tokens
  std::int64_t unknown = 0;
  std::vector<std::string> unknown_examples;
};

// What is read for a prompt: the end-of-text token or a line break stand for an empty one.
Encoding prompt_tokens(const Tokenizer& tokenizer, const std::string& prompt);

// Reads the prompt (the end-of-text token or a line break when it is empty) and writes on. `emit` receives pieces of
// whole characters; what might be the start of a stop string is held back.
WritingReport write_text(Session& session, const Tokenizer& tokenizer, const WritingOptions& options,
                         const std::atomic<bool>& stop, const std::function<void(const std::string&)>& emit);

}  // namespace spikegpt
