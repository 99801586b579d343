#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/field_flags.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/cli/whole_input.h"
#include "spikegpt/infer/log_probabilities.h"
#include "spikegpt/infer/open_model.h"
#include "spikegpt/infer/state_file.h"
#include "spikegpt/infer/writer.h"
#include "spikegpt/core/error.h"

namespace spikegpt::cli {
namespace {

struct GenerateFlags {
  explicit GenerateFlags(CLI::App& app) : sampler(app, "Choice of tokens") {
    app.add_option("model", folder, "folder of the model")->required();
    prompt_option = app.add_option("--prompt", prompt, "what the text begins with");
    app.add_option("--prompt-file", prompt_file, "read the prompt from a file or pipe; - = standard input");
    app.add_option("--tokens", tokens, "how many tokens to write")
        ->capture_default_str()
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
    app.add_option("--stop", stop, "end before this text; may be given several times");
    app.add_option("--type", type, "weights in memory: f32, bf16, int8 or int4; without it as stored");
    app.add_option(
        "--load-state", load_state,
        "go on exactly where this text stopped, behind a prompt if one is given, with its settings but for "
        "those given anew");
    app.add_option(
        "--save-state", save_state,
        "keep where the text stands, for --load-state; what is not yet a whole character, or may begin a "
        "stop text, is written when it goes on");
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

// A file's text as a model of text learns it: a byte order mark is no part of it, and lines end in a line
// feed.
std::string without_mark(std::string text, const Tokenizer& tokenizer) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (tokenizer.kind() == "bytes") return text;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  }
  return plain;
}

std::string read_prompt(const GenerateFlags& flags, const Tokenizer& tokenizer) {
  if (!flags.prompt_file.empty() && flags.prompt_given()) {
    throw Error(ErrorKind::kInvalidArgument, "give --prompt or --prompt-file, not both");
  }
  if (flags.prompt_given()) return flags.prompt;
  if (flags.prompt_file.empty() && isatty(STDIN_FILENO) != 0) return {};
  return without_mark(read_whole_input(flags.prompt_file.empty() ? "-" : flags.prompt_file), tokenizer);
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

// The text that --load-state names, or a new one.
SavedText saved_text(const GenerateFlags& flags, const PackedModel& model) {
  if (!flags.load_state.empty()) return load_state(flags.load_state, model);
  return {{RecurrentState(model.config(), 1)}, {}};
}

// Settings of the command line; those that were not given are the saved text's.
WritingOptions writing_options(const GenerateFlags& flags, const WritingState& saved,
                               const Tokenizer& tokenizer) {
  WritingOptions options;
  options.sampler = saved.sampler;
  flags.sampler.apply(options.sampler);
  options.stop = flags.stop.empty() ? saved.stop : flags.stop;
  if (flags.logprobs < 0) return options;
  options.on_token = [&flags, &tokenizer](TokenId token, std::span<const float> logits, bool given) {
    if (!given || !flags.no_echo) print_token(tokenizer, token, logits, given, flags.logprobs);
  };
  return options;
}

// What may surprise in a text that goes on from a state.
void warn_of_state(const GenerateFlags& flags, const SavedText& saved, const WritingReport& report,
                   bool prompted) {
  const std::string name = flags.load_state.string();
  if (report.had_ended) {
    fmt::print(stderr,
               "spikegpt: the text in {} has ended; give a prompt to go on behind it, or another --stop\n",
               name);
  }
  if (saved.session.tokens_read > 0 && saved.writing.pending.empty() && !prompted) {
    fmt::print(
        stderr,
        "spikegpt: {} is of an earlier version, which did not keep the last token: the text goes on behind a "
        "line break in its place\n",
        name);
  }
}

// Writes the text to standard output.
WritingReport write(const GenerateFlags& flags, const std::string& prompt, TextWriter& writer,
                    const Tokenizer& tokenizer) {
  const bool as_text = flags.logprobs < 0;
  const auto print = [&](const std::string& piece) {
    if (!as_text) return;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  };
  const Unknowns unknowns = writer.give(prompt, stop_requested(), print);
  if (!flags.no_echo) print(prompt);
  const WritingReport report = writer.write(flags.tokens, stop_requested(), print);
  if (flags.save_state.empty()) writer.finish(print);
  print("\n");
  warn_of_unknown("the prompt", unknowns, tokenizer);
  return report;
}

int generate(const GenerateFlags& flags, const std::function<void(int)>& set_threads) {
  SamplerConfig chosen;
  flags.sampler.apply(chosen);
  validate(chosen);
  if (!flags.save_state.empty()) refuse_other_file(flags.save_state, "spikegpt-state", flags.force);
  install_stop_handler();
  const PackedModel model = open_model(flags.folder, {flags.type, flags.published_rescale});
  const auto tokenizer = load_tokenizer(flags.folder, model.config().vocab_size);
  const std::string prompt = read_prompt(flags, *tokenizer);
  set_threads(useful_threads(model));
  const SavedText saved = saved_text(flags, model);
  Session session(model);
  session.set_state(saved.session);
  TextWriter writer(session, *tokenizer, writing_options(flags, saved.writing, *tokenizer), saved.writing);
  const WritingReport report = write(flags, prompt, writer, *tokenizer);
  warn_of_state(flags, saved, report, !prompt.empty());
  if (!flags.save_state.empty()) save_state(flags.save_state, model, session.state(), writer.state());
  if (!flags.quiet) print_report(report, session, *tokenizer);
  return stop_requested() ? kInterrupted : 0;
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
