// A subcommand of the program.
#pragma once

#include <atomic>
#include <functional>

#include "spikegpt/cli/flags.h"

namespace spikegpt::cli {

// Exit statuses other than 0.
inline constexpr int kFailure = 1;
inline constexpr int kUsageError = 2;
inline constexpr int kInterrupted = 130;  // as a shell reports a program that Ctrl-C ended

// Adds its flags to `app` and returns what runs when the command was given. The result is the exit status.
using Registrar = std::function<int()> (*)(Flags& app);

struct Command {
  const char* name;
  const char* about;
  Registrar add;
};

// Becomes true at Ctrl-C, SIGTERM, SIGUSR1 (which mpirun passes on) or when the terminal is closed, after
// install_stop_handler(). A second signal, a second or more later, ends the process at once.
const std::atomic<bool>& stop_requested();
void install_stop_handler();
// A file that is cut short while it is mapped ends the process with a message.
void install_lost_file_handler();

// Writing beyond the limit on file sizes (ulimit -f) fails like any other writing, instead of ending the process.
void ignore_file_size_signal();
// From now on what is printed to a pipe that nobody reads any more is dropped, instead of ending the process: for
// work whose result is in files (train | head).
void keep_working_when_output_closes();

// Adds --threads to a command. Call the result before work starts: with the number to use where the user leaves it
// open, 0 = all processors.
std::function<void(int)> add_threads_flag(Flags& app);

std::function<int()> add_train(Flags& app);
std::function<int()> add_generate(Flags& app);
std::function<int()> add_eval(Flags& app);
std::function<int()> add_classify(Flags& app);
std::function<int()> add_check(Flags& app);
std::function<int()> add_energy(Flags& app);
std::function<int()> add_inspect(Flags& app);
std::function<int()> add_convert(Flags& app);
std::function<int()> add_quantize(Flags& app);
std::function<int()> add_trace(Flags& app);
std::function<int()> add_tokenize(Flags& app);
std::function<int()> add_detokenize(Flags& app);
std::function<int()> add_tokenizer(Flags& app);
std::function<int()> add_bench(Flags& app);
std::function<int()> add_report(Flags& app);
std::function<int()> add_spikes(Flags& app);
std::function<int()> add_compare(Flags& app);
std::function<int()> add_neuron(Flags& app);

}  // namespace spikegpt::cli
