#include "spikegpt/text/bpe_pipeline.h"

#include <array>
#include <string_view>
#include <utility>

#include "spikegpt/core/error.h"
#include "spikegpt/text/json_file.h"

namespace spikegpt {
namespace {

using nlohmann::json;

constexpr std::array kNormalForms = {
    std::pair<std::string_view, NormalForm>{"NFC", NormalForm::kNfc},
    std::pair<std::string_view, NormalForm>{"NFD", NormalForm::kNfd},
    std::pair<std::string_view, NormalForm>{"NFKC", NormalForm::kNfkc},
    std::pair<std::string_view, NormalForm>{"NFKD", NormalForm::kNfkd},
};

// Steps of a part: none for null, one, or those of a "Sequence".
std::vector<JsonPlace> steps_of(const JsonPlace& root, const char* part, const char* list, const std::string& file) {
  const json* value = root.find(part);
  if (value == nullptr || value->is_null()) return {};
  const JsonPlace place(*value, file + ": " + part);
  if (place.at("type").text() != "Sequence") return {place};
  std::vector<JsonPlace> steps;
  const JsonPlace sequence = place.at(list);
  for (std::size_t i = 0; i < sequence.array().size(); ++i) steps.push_back(sequence.element(i));
  return steps;
}

[[noreturn]] void refuse(const JsonPlace& step, std::string_view known) {
  throw Error(ErrorKind::kUnsupported, "{} is {}; this program knows {}", step.name(), show_text(step.value().dump()),
              known);
}

void read_normalizer(const JsonPlace& root, const std::string& file, BpeDefinition& bpe) {
  const std::vector<JsonPlace> steps = steps_of(root, "normalizer", "normalizers", file);
  for (const JsonPlace& step : steps) {
    const std::string& type = step.at("type").text();
    for (const auto& [name, form] : kNormalForms) {
      if (name == type) bpe.normal_form = form;
    }
    if (steps.size() > 1 || bpe.normal_form == NormalForm::kNone) {
      refuse(step, "one of NFC, NFD, NFKC, NFKD, or null");
    }
  }
}

void read_split(const JsonPlace& step, BpeDefinition& bpe) {
  const JsonPlace pattern = step.at("pattern");
  const std::string& behavior = step.at("behavior").text();
  const bool invert = step.flag("invert", false);
  // Inverted and removed: the matches are what remains, the same as isolating them where the
  // pattern matches everything.
  const bool isolates = (behavior == "Isolated" && !invert) || (behavior == "Removed" && invert);
  if (!isolates || pattern.find("Regex") == nullptr) {
    refuse(step, "Split by a Regex with the behavior Isolated");
  }
  bpe.patterns.push_back(pattern.at("Regex").text());
}

void read_pre_tokenizer(const JsonPlace& root, const std::string& file, BpeDefinition& bpe) {
  const std::vector<JsonPlace> steps = steps_of(root, "pre_tokenizer", "pretokenizers", file);
  if (steps.empty() || steps.back().at("type").text() != "ByteLevel") {
    throw Error(ErrorKind::kUnsupported,
                "{}: pre_tokenizer does not end in ByteLevel; only byte-level BPE is supported", file);
  }
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    const std::string& type = steps[i].at("type").text();
    if (type == "Split") {
      read_split(steps[i], bpe);
    } else if (type == "Digits") {
      bpe.patterns.push_back(steps[i].flag("individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else {
      refuse(steps[i], "Split, Digits and ByteLevel");
    }
  }
  bpe.gpt2_words = steps.back().flag("use_regex", true);
  bpe.add_prefix_space = steps.back().flag("add_prefix_space", true);
}

void check_decoder(const JsonPlace& root, const std::string& file) {
  for (const JsonPlace& step : steps_of(root, "decoder", "decoders", file)) {
    if (step.at("type").text() != "ByteLevel") refuse(step, "ByteLevel");
  }
}

}  // namespace

void read_pipeline(const JsonPlace& root, const std::string& file, BpeDefinition& bpe) {
  read_normalizer(root, file, bpe);
  read_pre_tokenizer(root, file, bpe);
  check_decoder(root, file);
}

}  // namespace spikegpt
