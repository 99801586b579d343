// The program: a table of commands, and the one place where errors become messages.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/help_text.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/signals.h"
#include "spikegpt/kernels/simd.h"

namespace {

using spikegpt::cli::Command;
using spikegpt::cli::kFailure;
using spikegpt::cli::kInterrupted;
using spikegpt::cli::kUsageError;

constexpr std::array<Command, 18> kCommands = {{
    {"train", "train a model on a text file", spikegpt::cli::add_train},
    {"generate", "let a model write", spikegpt::cli::add_generate},
    {"eval", "measure a model on a text", spikegpt::cli::add_eval},
    {"classify", "train a classifier of texts, measure it, use it", spikegpt::cli::add_classify},
    {"check", "run a model by fast and by slow routes, and compare", spikegpt::cli::add_check},
    {"energy", "count what a model computes, and price it", spikegpt::cli::add_energy},
    {"spikes", "count what every neuron of a model does", spikegpt::cli::add_spikes},
    {"inspect", "show what a model is made of, and the named sizes", spikegpt::cli::add_inspect},
    {"convert", "make a model of a PyTorch checkpoint", spikegpt::cli::add_convert},
    {"quantize", "pack a model for decoding, in fewer bits", spikegpt::cli::add_quantize},
    {"trace", "record logits, spikes and membrane potentials, and gradients", spikegpt::cli::add_trace},
    {"tokenize", "text to token ids, or to a .bin/.idx data set", spikegpt::cli::add_tokenize},
    {"detokenize", "token ids to text", spikegpt::cli::add_detokenize},
    {"tokenizer", "train a tokenizer", spikegpt::cli::add_tokenizer},
    {"compare", "train rwkv, spikegpt and event alike, and measure quality, energy and speed",
     spikegpt::cli::add_compare},
    {"report", "make a web page of training runs: curves, firing rates, samples", spikegpt::cli::add_report},
    {"neuron", "show what a neuron of any kind does with an input current", spikegpt::cli::add_neuron},
    {"bench", "measure the speed of this machine", spikegpt::cli::add_bench},
}};

constexpr const char* kAbout =
    "spikegpt: train and run spiking language models on an ordinary CPU.\n\n"
    "A first run:\n"
    "  spikegpt train --data book.txt --out my-model --preset tiny --minutes 3\n"
    "  spikegpt generate my-model --prompt \"Once upon a time\"\n";

int report(const std::string& message, int status) {
  std::fputs(fmt::format("spikegpt: {}\n", message).c_str(), stderr);  // fmt::print would throw where none reads
  return status;
}

// The parser finds a missing command before it finds a misspelt one.
std::string usage_message(const std::string& fault, std::string_view first) {
  std::string names;
  for (const Command& command : kCommands) {
    if (first == command.name) return fmt::format("{} (see spikegpt {} --help)", fault, first);
    names += names.empty() ? command.name : std::string(", ") + command.name;
  }
  if (first.empty()) return fmt::format("expected a command: {} (see spikegpt --help)", names);
  return fmt::format("unknown command \"{}\"; expected {} (see spikegpt --help)", first, names);
}

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return spikegpt::cli::wrapped(CLI::Formatter::make_help(app, std::move(name), mode));
  }
};

int report_lost_output() { return report("cannot write to standard output: is the disk full?", kFailure); }

int run(int argc, char** argv) {
  CLI::App app(kAbout, "spikegpt");
  app.require_subcommand(1);
  const auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(spikegpt::cli::kHelpColumn);
  app.formatter(formatter);
  app.set_version_flag("--version", "spikegpt 0.1.0");
  std::function<int()> chosen;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.about);
    spikegpt::cli::Flags flags(*sub);
    auto action = command.add(flags);
    sub->callback([&chosen, action] { chosen = action; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return report(usage_message(error.what(), argc > 1 ? argv[1] : ""), kUsageError);
  }
  spikegpt::apply_simd_environment();
  spikegpt::cli::install_lost_file_handler();
  const int status = chosen();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    return report_lost_output();
  }
  return status;
}

// OpenMP threads wait for each other by spinning, by default for milliseconds. When another program has taken one
// of the processors, that is time stolen from the very thread that is waited for: training was seen to slow down
// a hundredfold. The runtime reads its settings before main, so the program starts itself again with a short spin.
void limit_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "2000", 1);
  // A handler that a preloaded library installed is gone until that library is loaded again; its timer goes on.
  const spikegpt::BlockedSignals none_meanwhile;
  execv("/proc/self/exe", argv);  // returns only if it failed; all works without
}

}  // namespace

int main(int argc, char** argv) {
  limit_spinning(argv);
  spikegpt::take_signals_on_a_thread_of_their_own();
  spikegpt::cli::ignore_file_size_signal();
  try {
    return run(argc, argv);
  } catch (const spikegpt::Error& error) {
    return report(error.what(), error.kind() == spikegpt::ErrorKind::kCancelled ? kInterrupted : kFailure);
  } catch (const std::bad_alloc&) {
    return report("out of memory; try a smaller model, batch or context", kFailure);
  } catch (const std::exception& error) {
    return std::ferror(stdout) != 0 ? report_lost_output() : report(error.what(), kFailure);
  }
}
