// What a tokenizer.json does to a text before and after merging: normalizer, pre-tokenizer,
// decoder.
#pragma once

#include <string>

#include "spikegpt/text/bpe_file.h"
#include "spikegpt/text/json_place.h"

namespace spikegpt {

// Fills the fields of `bpe` that these parts decide. Throws Error (kUnsupported) for parts that a
// byte-level BPE does not have.
void read_pipeline(const JsonPlace& root, const std::string& file, BpeDefinition& bpe);

}  // namespace spikegpt
