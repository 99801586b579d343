#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/field_flags.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/infer/log_probabilities.h"
#include "spikegpt/infer/open_model.h"
#include "spikegpt/infer/writer.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"

namespace spikegpt::cli {
namespace {

struct GenerateFlags {
  explicit GenerateFlags(CLI::App& app) : sampler(app, "Choice of tokens") {
    app.add_option("model", folder, "folder of the model")->required();
    prompt_option = app.add_option("--prompt", prompt, "what the text begins with");
    app.add_option("--prompt-file", prompt_file, "read the prompt from a file; - = standard input");
    app.add_option("--tokens", tokens, "how many tokens to write")
        ->capture_default_str()
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
    app.add_option("--stop", stop, "end before this text; may be given several times");
    app.add_option("--type", type, "weights in memory: f32, bf16, int8 or int4; without it as stored");
    app.add_option("--load-state", load_state, "go on behind what this state has read");
    app.add_option("--save-state", save_state, "keep what was read and written, for --load-state");
    app.add_flag("--published-rescale", published_rescale,
                 "as the published inference script: halve the stream every 6 blocks, for comparison");
    app.add_option(
           "--logprobs", logprobs,
           "print tokens as JSON lines instead of text, with their log-probabilities and those of so many likeliest")
        ->check(CLI::Range(0, 1000));
    add_force_flag(app, force);
    app.add_flag("--no-echo", no_echo, "do not repeat the prompt");
    app.add_flag("--quiet", quiet, "no line about speed and firing rate at the end");
  }

  bool prompt_given() const { return prompt_option->count() > 0; }

  std::filesystem::path folder;
  CLI::Option* prompt_option = nullptr;
  std::string prompt;
  std::string prompt_file;
  std::int64_t tokens = 200;
  std::vector<std::string> stop;
  std::string type;
  std::filesystem::path load_state;
  std::filesystem::path save_state;
  int logprobs = -1;
  bool published_rescale = false;
  bool force = false;
  bool no_echo = false;
  bool quiet = false;
  FieldFlags<SamplerConfig> sampler;
};

std::string read_prompt(const GenerateFlags& flags) {
  if (!flags.prompt_file.empty() && flags.prompt_given()) {
    throw Error(ErrorKind::kInvalidArgument, "give --prompt or --prompt-file, not both");
  }
  const bool piped = !flags.prompt_given() && flags.prompt_file.empty() && isatty(STDIN_FILENO) == 0;
  if (flags.prompt_file == "-" || piped) {
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  }
  return flags.prompt_file.empty() ? flags.prompt : read_text(flags.prompt_file);
}

void print_report(const WritingReport& report, const Session& session, const Tokenizer& tokenizer) {
  const auto rate = [](std::int64_t count, double seconds) {
    return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
  };
  fmt::print(stderr, "[{} {}s read at {:.0f}/s, {} written at {:.0f}/s", report.prompt_tokens, tokenizer.unit(),
             rate(report.prompt_tokens, report.prompt_seconds), report.new_tokens,
             rate(report.new_tokens, report.seconds));
  if (session.firing_rate() > 0.0) {
    fmt::print(stderr, ", {:.1f} % of the neurons firing", 100.0 * session.firing_rate());
  }
  fmt::print(stderr, "]\n");
}

void warn_of_unknown(const WritingReport& report, const Tokenizer& tokenizer) {
  if (report.unknown == 0) return;
  Unknowns unknowns;
  unknowns.count = report.unknown;
  for (const std::string& example : report.unknown_examples) unknowns.examples.push_back(example);
  fmt::print(stderr, "spikegpt: the prompt has {}, replaced by \"{}\"\n", unknowns.describe(),
             tokenizer.decode(std::vector<TokenId>{tokenizer.encode(" ").ids.at(0)}));
}

// Bytes that are no whole character stand as U+FFFD; the id says which.
Json token_to_json(const Tokenizer& tokenizer, TokenId token) {
  Json json;
  json["token"] = token;
  json["text"] = token < tokenizer.vocab_size() ? std::string(tokenizer.token_bytes(token)) : "";
  return json;
}

// One line a token: {"token", "text", "prompt", "logprob", "top": [{"token", "text", "logprob"}]}; the first token of
// the prompt has no log-probability.
void print_token(const Tokenizer& tokenizer, TokenId token, std::span<const float> logits, bool is_prompt, int top) {
  Json line = token_to_json(tokenizer, token);
  line["prompt"] = is_prompt;
  line["logprob"] = logits.empty() ? Json(nullptr) : Json(log_probability(logits, token));
  if (!logits.empty() && top > 0) {
    line["top"] = Json::array();
    for (const TokenProbability& likely : likeliest(logits, top)) {
      Json entry = token_to_json(tokenizer, likely.token);
      entry["logprob"] = likely.log_probability;
      line["top"].push_back(std::move(entry));
    }
  }
  fmt::print("{}\n", line.dump(-1, ' ', false, Json::error_handler_t::replace));
  std::fflush(stdout);
}

// A small model lies in the cache: sharing its steps between processors costs more than it gains.
int useful_threads(const PackedModel& model) {
  constexpr std::size_t kSmallModel = std::size_t{8} << 20;  // bytes
  return model.size_in_bytes() < kSmallModel ? 1 : 0;
}

int generate(const GenerateFlags& flags, const std::function<void(int)>& set_threads) {
  WritingOptions options;
  options.prompt = read_prompt(flags);
  options.tokens = flags.tokens;
  options.stop = flags.stop;
  flags.sampler.apply(options.sampler);
  validate(options.sampler);
  if (!flags.save_state.empty()) refuse_other_file(flags.save_state, "spikegpt-state", flags.force);
  const PackedModel model = open_model(flags.folder, {flags.type, flags.published_rescale});
  const auto tokenizer = load_tokenizer(flags.folder);
  if (tokenizer->vocab_size() > model.config().vocab_size) {
    throw Error(ErrorKind::kCorruptFile, "{}: the tokenizer has {} tokens, the model's vocabulary {}",
                flags.folder.string(), tokenizer->vocab_size(), model.config().vocab_size);
  }
  set_threads(useful_threads(model));
  install_stop_handler();
  Session session(model);
  if (!flags.load_state.empty()) session.set_state(load_state(flags.load_state, model));
  const bool as_text = flags.logprobs < 0;
  if (!as_text) {
    options.on_token = [&, left = static_cast<std::int64_t>(prompt_tokens(*tokenizer, options.prompt).ids.size())](
                           TokenId token, std::span<const float> logits) mutable {
      const bool is_prompt = left-- > 0;
      if (is_prompt && flags.no_echo) return;
      print_token(*tokenizer, token, logits, is_prompt, flags.logprobs);
    };
  }
  if (as_text && !flags.no_echo) fmt::print("{}", options.prompt);
  std::fflush(stdout);
  const WritingReport report =
      write_text(session, *tokenizer, options, stop_requested(), [&](const std::string& piece) {
        if (!as_text) return;
        std::fwrite(piece.data(), 1, piece.size(), stdout);
        std::fflush(stdout);
      });
  if (as_text) fmt::print("\n");
  std::fflush(stdout);
  warn_of_unknown(report, *tokenizer);
  if (!flags.save_state.empty()) save_state(flags.save_state, model, session.state());
  if (!flags.quiet) print_report(report, session, *tokenizer);
  return stop_requested() ? 130 : 0;
}

}  // namespace

std::function<int()> add_generate(CLI::App& app) {
  app.footer(
      "The text goes to standard output, everything else to standard error. Examples:\n"
      "  spikegpt generate my-model --prompt \"In the beginning\" --tokens 400\n"
      "  echo \"Dear Sir\" | spikegpt generate my-model --temperature 0.8 --stop \"Yours\"");
  auto flags = std::make_shared<GenerateFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] { return generate(*flags, set_threads); };
}

}  // namespace spikegpt::cli
