// tokenizer.json of the Hugging Face world, as far as it describes a byte-level BPE.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spikegpt/text/added_tokens.h"
#include "spikegpt/text/bpe_merges.h"
#include "spikegpt/text/normalizer.h"

namespace spikegpt {

// Everything that decides which ids a text gets. Checked: ids are 0 ... n-1 without gaps, merges
// speak of tokens that exist, every token can be reached.
struct BpeDefinition {
  std::vector<std::string> tokens;  // the bytes of every id, added tokens included
  std::vector<Merge> merges;
  std::vector<AddedToken> added;
  std::vector<bool> beside_merging;  // by id: an added token, or one not spelled in bytes
  std::optional<TokenId> unk_token;
  NormalForm normal_form = NormalForm::kNone;
  bool add_prefix_space = false;
  bool ignore_merges = false;  // a word that is a token is taken whole
  // Patterns that cut the text one after the other; gpt2_words stands for the one of GPT-2, last.
  std::vector<std::string> patterns;
  bool gpt2_words = true;
};

// Throws Error: kCorruptFile for what contradicts itself, kUnsupported for another kind of
// tokenizer; both with the place in the file.
BpeDefinition read_bpe(const nlohmann::json& root, const std::string& file);

}  // namespace spikegpt
