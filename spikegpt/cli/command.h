// A subcommand of the program.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>

namespace spikegpt::cli {

// Exit statuses other than 0.
inline constexpr int kFailure = 1;
inline constexpr int kUsageError = 2;
inline constexpr int kInterrupted = 130;  // as a shell reports a program that Ctrl-C ended

// Adds its flags to `app` and returns what runs when the command was given. The result is the exit status.
using Registrar = std::function<int()> (*)(CLI::App& app);

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
std::function<void(int)> add_threads_flag(CLI::App& app);

std::function<int()> add_train(CLI::App& app);
std::function<int()> add_generate(CLI::App& app);
std::function<int()> add_eval(CLI::App& app);
std::function<int()> add_classify(CLI::App& app);
std::function<int()> add_check(CLI::App& app);
std::function<int()> add_energy(CLI::App& app);
std::function<int()> add_inspect(CLI::App& app);
std::function<int()> add_convert(CLI::App& app);
std::function<int()> add_quantize(CLI::App& app);
std::function<int()> add_trace(CLI::App& app);
std::function<int()> add_tokenize(CLI::App& app);
std::function<int()> add_detokenize(CLI::App& app);
std::function<int()> add_tokenizer(CLI::App& app);
std::function<int()> add_bench(CLI::App& app);
std::function<int()> add_report(CLI::App& app);
std::function<int()> add_spikes(CLI::App& app);
std::function<int()> add_compare(CLI::App& app);

}  // namespace spikegpt::cli
