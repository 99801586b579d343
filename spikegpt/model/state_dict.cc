#include "spikegpt/model/state_dict.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <unordered_set>

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kEmbedding = "emb.weight";

bool is_embedding(std::string_view name) {
  if (!name.ends_with(kEmbedding)) return false;
  name.remove_suffix(kEmbedding.size());
  return name.empty() || name.ends_with('.');
}

// What programs call the model in a checkpoint, the surest first.
constexpr std::array<std::string_view, 10> kModelKeys = {
    "model_state_dict", "state_dict",     "model",   "model_state", "module", "net",
    "network",          "net_state_dict", "weights", "params"};

// Walks through dictionaries, lists and tuples, each once: they may refer to each other in circles.
class Search {
 public:
  Search(const PickleValue& object, const std::filesystem::path& path) : path_(path) {
    visit(object, 0, nullptr);
    for (std::size_t i = 0; i < places_.size(); ++i) open(i);
  }

  const PickleValue& model() const {
    if (candidates_.empty()) fail_without_tensors();
    std::vector<Candidate> models;
    std::ranges::copy_if(candidates_, std::back_inserter(models), &Candidate::has_embedding);
    const std::vector<Candidate>& pool = models.empty() ? candidates_ : models;
    const auto rank = [&](const Candidate& candidate) { return rank_of(candidate); };
    const std::size_t best = std::ranges::min(pool, {}, rank).place;
    const std::size_t best_rank = rank_of({best});
    const auto equals = std::ranges::count(pool, best_rank, rank);
    if (equals == 1 && (pool.size() == 1 || best_rank < kModelKeys.size() + 1)) return *places_[best].value;
    if (!models.empty()) fail_with_several(models);
    return *places_[std::ranges::max(pool, {}, &Candidate::tensors).place].value;
  }

 private:
  // A value and the key that leads to it.
  struct Place {
    const PickleValue* value = nullptr;
    std::size_t parent = 0;
    const PickleValue* key = nullptr;  // null in a list
  };
  struct Candidate {
    std::size_t place = 0;
    std::size_t tensors = 0;
    bool has_embedding = false;
  };

  void visit(const PickleValue& value, std::size_t parent, const PickleValue* key) {
    const bool holds = value.kind == Kind::kDict || value.kind == Kind::kList || value.kind == Kind::kTuple;
    if (holds && seen_.insert(&value).second) places_.push_back({&value, parent, key});
  }

  void open(std::size_t place) {
    const PickleValue& value = *places_[place].value;  // values stay where they are
    if (value.kind != Kind::kDict) {
      for (const PickleRef item : value.items) visit(*item, place, nullptr);
      return;
    }
    Candidate candidate{place};
    for (std::size_t i = 0; i < value.items.size(); i += 2) {
      const PickleValue& key = *value.items[i];
      visit(*value.items[i + 1], place, &key);
      if (value.items[i + 1]->kind != Kind::kTensor) continue;
      ++candidate.tensors;
      candidate.has_embedding =
          candidate.has_embedding || (key.kind == Kind::kString && is_embedding(key.text));
    }
    if (candidate.tensors > 0) candidates_.push_back(candidate);
  }

  // The object itself, then the keys above in order, then all others.
  std::size_t rank_of(const Candidate& candidate) const {
    if (candidate.place == 0) return 0;
    const PickleValue* key = places_[candidate.place].key;
    const std::string_view name = key != nullptr && key->kind == Kind::kString ? key->text : "";
    return 1 + static_cast<std::size_t>(std::ranges::find(kModelKeys, name) - kModelKeys.begin());
  }

  // "checkpoint.model"; the innermost keys of a deep nest.
  std::string name_of(const Candidate& candidate) const {
    constexpr int kShown = 4;
    std::string name;
    int shown = 0;
    for (std::size_t at = candidate.place; at != 0 && shown < kShown; at = places_[at].parent, ++shown) {
      const PickleValue* key = places_[at].key;
      const std::string step = key == nullptr               ? "[]"
                               : key->kind == Kind::kString ? printable(key->text)
                                                            : std::to_string(key->number);
      name = name.empty() ? step : step + "." + name;
    }
    return name;
  }

  [[noreturn]] void fail_without_tensors() const {
    if (places_.empty() || places_[0].value->kind != Kind::kDict) {
      throw Error(ErrorKind::kCorruptFile, "{}: holds no dictionary of tensors; expected a state_dict",
                  path_.string());
    }
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < places_[0].value->items.size(); i += 2) {
      const PickleValue& key = *places_[0].value->items[i];
      keys.push_back(key.kind == Kind::kString ? std::string(key.text) : std::to_string(key.number));
    }
    throw Error(ErrorKind::kCorruptFile, "{}: no tensors; expected a state_dict, found {}", path_.string(),
                listed_names(keys, "keys"));
  }

  [[noreturn]] void fail_with_several(const std::vector<Candidate>& models) const {
    std::vector<std::string> names;
    for (const Candidate& candidate : models) names.push_back(name_of(candidate));
    throw Error(ErrorKind::kUnsupported,
                "{}: holds several models: {}; save the one you want alone, with torch.save of that entry",
                path_.string(), listed_names(names, "models"));
  }

  const std::filesystem::path& path_;
  std::vector<Place> places_;
  std::unordered_set<const PickleValue*> seen_;
  std::vector<Candidate> candidates_;
};

// Modules that stand for the one inside them, wherever they are put.
constexpr std::array<std::string_view, 3> kWrappers = {"_orig_mod.", "_fsdp_wrapped_module.",
                                                       "_checkpoint_wrapped_module."};
// What models are called inside others.
constexpr std::array<std::string_view, 3> kPrefixes = {"module.", "model.", "net."};

void drop_wrappers(std::string& name) {
  for (const std::string_view wrapper : kWrappers) {
    std::size_t at = 0;
    while ((at = name.find(wrapper, at)) != name.npos) {
      if (at == 0 || name[at - 1] == '.') {
        name.erase(at, wrapper.size());
      } else {
        at += wrapper.size();
      }
    }
  }
}

// What stands in front of "emb.weight", if there is one of it; else a prefix of the list above, if any.
std::string prefix_of(const std::vector<TensorView>& tensors) {
  std::vector<std::string> prefixes;
  for (const TensorView& tensor : tensors) {
    if (is_embedding(tensor.name))
      prefixes.push_back(tensor.name.substr(0, tensor.name.size() - kEmbedding.size()));
  }
  if (!prefixes.empty()) return prefixes.size() == 1 ? prefixes[0] : "";
  std::string prefix;
  std::string_view rest = tensors.empty() ? std::string_view() : tensors[0].name;
  const auto begins_rest = [&](std::string_view known) { return rest.starts_with(known); };
  for (auto known = std::ranges::find_if(kPrefixes, begins_rest); known != kPrefixes.end();
       known = std::ranges::find_if(kPrefixes, begins_rest)) {
    prefix += *known;
    rest.remove_prefix(known->size());
  }
  return prefix;
}

}  // namespace

const PickleValue& find_state_dict(const PickleValue& object, const std::filesystem::path& path) {
  return Search(object, path).model();
}

void plain_names(std::vector<TensorView>& tensors, const std::filesystem::path& path) {
  for (TensorView& tensor : tensors) drop_wrappers(tensor.name);
  const std::string prefix = prefix_of(tensors);
  const bool everywhere =
      std::ranges::all_of(tensors, [&](const TensorView& tensor) { return tensor.name.starts_with(prefix); });
  std::set<std::string_view> names;
  for (TensorView& tensor : tensors) {
    if (everywhere) tensor.name.erase(0, prefix.size());
    if (names.insert(tensor.name).second) continue;
    throw Error(ErrorKind::kCorruptFile, "{}: the name \"{}\" occurs twice", path.string(),
                printable(tensor.name));
  }
}

}  // namespace spikegpt
