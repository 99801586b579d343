// A configuration small enough for a test.
#pragma once

#include <string>

#include "spikegpt/model/config.h"
#include "tests/support/new_architectures.h"

namespace spikegpt::test {

struct SmallSize {
  int n_embd = 0;
  int vocab_size = 0;
  int ctx_len = 0;
};

// The defaults of an architecture, which may be one of new_architectures.h. "_after" behind its name: the token shift
// after the projections. "event" is the first form, with unit events and the shift before; "event_payload" the default.
inline ModelConfig default_form(std::string arch) {
  const bool has_payload = arch == "event_payload";
  const bool shifts_after = has_payload || arch.ends_with("_after");
  if (shifts_after) arch = arch.substr(0, arch.find('_'));
  ModelConfig config = default_config(arch);
  config.token_shift = shifts_after ? "after" : "before";
  if (!has_payload) config.payload_steps = 0, config.payload_places.clear();
  return config;
}

// Two layers of it.
inline ModelConfig small_config(const std::string& arch, const SmallSize& size) {
  add_new_architectures();
  ModelConfig config = default_form(arch);
  config.n_layer = 2;
  config.n_embd = size.n_embd;
  config.vocab_size = size.vocab_size;
  config.ctx_len = size.ctx_len;
  return config;
}

}  // namespace spikegpt::test
