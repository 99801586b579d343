#include "spikegpt/train/start_from.h"

#include <algorithm>
#include <unordered_map>

#include "spikegpt/core/error.h"
#include "spikegpt/model/model_files.h"
#include "spikegpt/train/name_patterns.h"

namespace spikegpt {
namespace {

bool has_row_per_token(std::string_view name) { return name == "emb.weight" || name == "head.weight"; }

// For every token of `to`, the token of `from` that stands for the same bytes, or -1.
std::vector<TokenId> token_map(const Tokenizer& from, const Tokenizer& to) {
  std::unordered_map<std::string_view, TokenId> known;
  for (TokenId id = 0; id < from.vocab_size(); ++id) known.try_emplace(from.token_bytes(id), id);
  std::vector<TokenId> map(static_cast<std::size_t>(to.vocab_size()), -1);
  for (std::size_t id = 0; id < map.size(); ++id) {
    const auto found = known.find(to.token_bytes(static_cast<TokenId>(id)));
    if (found != known.end()) map[id] = found->second;
  }
  return map;
}

bool is_same(const Tokenizer& a, const Tokenizer& b) {
  if (a.vocab_size() != b.vocab_size()) return false;
  for (TokenId id = 0; id < a.vocab_size(); ++id) {
    if (a.token_bytes(id) != b.token_bytes(id)) return false;
  }
  return true;
}

class Starter {
 public:
  Starter(const std::filesystem::path& folder, const Tokenizer& tokenizer, Trainer& trainer)
      : folder_(folder), source_(load_model(folder)), source_layout_(source_.config), trainer_(trainer) {
    const auto theirs = load_tokenizer(folder, source_.config.vocab_size);
    if (!is_same(*theirs, tokenizer)) map_ = token_map(*theirs, tokenizer);
  }

  void take(const ParameterInfo& info) {
    const ParameterInfo* found = source_layout_.find(info.name);
    const bool by_token = !map_.empty() && has_row_per_token(info.name);
    if (found == nullptr && info.name.starts_with("spikes.")) return;  // what neurons learn: as at the start
    // Mixes of inputs say nothing about mixes of outputs.
    if (source_.config.token_shift != trainer_.model().token_shift && info.name.find(".time_mix_") != std::string::npos)
      return;
    if (found == nullptr && info.name.ends_with(".gain")) {
      lacks_gains_ = true;
      return;
    }
    const bool fits = found != nullptr && (by_token ? found->shape[1] == info.shape[1] : found->shape == info.shape);
    if (!fits) {
      throw Error(ErrorKind::kInvalidArgument,
                  "{} has {} {}; this model has [{}]: leave away the flags that change its shape, or let it start anew "
                  "with --reinit \"{}\"",
                  folder_.string(), found == nullptr ? "no" : fmt::format("[{}] for", fmt::join(found->shape, ", ")),
                  info.name, fmt::join(info.shape, ", "), info.name);
    }
    const float* from = source_.parameters.data() + found->offset;
    float* to = trainer_.parameters().data() + info.offset;
    if (by_token) {
      take_rows(from, to, info.shape[1]);
    } else {
      std::copy_n(from, info.size, to);
    }
    ++taken_;
  }

  std::string finish() {
    if (lacks_gains_) trainer_.calibrate();
    trainer_.start_anew();
    std::string text =
        fmt::format("{} of {} parameters taken from {}", taken_, trainer_.layout().infos().size(), folder_.string());
    if (!map_.empty()) {
      text += fmt::format("; {} of {} tokens known to it", map_.size() - count_unknown(), map_.size());
    }
    return text;
  }

 private:
  void take_rows(const float* from, float* to, std::int64_t width) const {
    for (std::size_t id = 0; id < map_.size(); ++id) {
      if (map_[id] < 0) continue;
      std::copy_n(from + map_[id] * width, width, to + static_cast<std::int64_t>(id) * width);
    }
  }
  std::size_t count_unknown() const { return static_cast<std::size_t>(std::count(map_.begin(), map_.end(), -1)); }

  const std::filesystem::path& folder_;
  StoredModel source_;
  ParameterLayout source_layout_;
  Trainer& trainer_;
  std::vector<TokenId> map_;  // empty: the same tokens
  std::size_t taken_ = 0;
  bool lacks_gains_ = false;
};

}  // namespace

std::string start_from(const std::filesystem::path& folder, const Tokenizer& tokenizer,
                       std::span<const std::string> reinit, Trainer& trainer) {
  Starter starter(folder, tokenizer, trainer);
  const std::vector<bool> fresh = matching_parameters(trainer.layout(), reinit, "reinit");
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    if (!fresh[i]) starter.take(trainer.layout().infos()[i]);
  }
  return starter.finish();
}

}  // namespace spikegpt
