// Learns the merges of a byte-level BPE from text and writes them as tokenizer.json.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "spikegpt/text/bpe_merges.h"

namespace spikegpt {

struct BpeTrainerOptions {
  std::int64_t vocab_size = 8192;  // special tokens, the 256 bytes, and as many merges as fit
  std::int64_t min_frequency = 2;  // a pair that occurs less often is not merged
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // ids 0, 1, ...
};

// The result depends on the texts and options alone, not on how the texts are cut into calls at
// places between words, nor on the machine.
class BpeTrainer {
 public:
  // Throws Error (kInvalidArgument) for sizes that leave no room and special tokens that are empty
  // or given twice.
  explicit BpeTrainer(BpeTrainerOptions options);

  // Counts the words of a text, split as GPT-2 does, after NFC. Words beyond 256 bytes are counted
  // in parts of at most that: they are noise to learn from, and cost time.
  void add(std::string_view text);

  // Called now and then with the merges done and wanted.
  using Progress = std::function<void(std::int64_t done, std::int64_t wanted)>;

  // The content of a tokenizer.json. Throws Error (kInvalidArgument) when no text was added.
  std::string train(const Progress& progress = {}) const;

  std::size_t distinct_words() const noexcept { return counts_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
  };
  void count_word(std::string_view word);

  BpeTrainerOptions options_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> counts_;
  std::string normalized_;
};

}  // namespace spikegpt
