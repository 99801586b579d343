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

// Two layers, otherwise the defaults of the architecture, which may be one of new_architectures.h.
inline ModelConfig small_config(const std::string& arch, const SmallSize& size) {
  add_new_architectures();
  ModelConfig config = default_config(arch);
  config.n_layer = 2;
  config.n_embd = size.n_embd;
  config.vocab_size = size.vocab_size;
  config.ctx_len = size.ctx_len;
  return config;
}

}  // namespace spikegpt::test
