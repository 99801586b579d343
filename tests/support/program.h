// Runs the program as a user would: arguments and standard input in, exit status and both outputs
// out.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/places.h"

namespace spikegpt::test {

using Args = std::vector<std::string>;

struct ProgramOptions {
  std::string program = program_file();  // one without a slash is looked for in PATH
  std::filesystem::path folder = ".";    // where it runs
  std::string input;                     // of standard input, a pipe; at most 60,000 bytes
  std::string output;                    // file for standard output; empty = into the result
  std::optional<rlim_t> largest_file;    // [bytes] writes beyond fail as on a full disk
  double seconds = 120.0;                // then it is killed
};

struct ProgramResult {
  int status = -1;         // of the exit; -1 when a signal ended it
  int signal = 0;          // that ended it
  bool timed_out = false;  // killed for taking too long
  std::string out;
  std::string err;
};

// A process that goes on beside the test. Ended at the latest by the destructor.
class RunningProgram {
 public:
  explicit RunningProgram(const Args& args, ProgramOptions options = {}) : options_(std::move(options)) {
    if (options_.input.size() > 60'000) throw std::invalid_argument("more input than a pipe holds");
    Pipe in;
    Pipe out;
    Pipe err;
    Args words = {options_.program};
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    setenv("OMP_WAIT_POLICY", "passive", 1);  // tests run side by side on few processors
    process_ = fork();
    if (process_ < 0) throw std::runtime_error("cannot start a process");
    if (process_ == 0) become_program(in.read_end, out.write_end, err.write_end, argv.data());
    const ssize_t written = ::write(in.write_end, options_.input.data(), options_.input.size());
    if (written != static_cast<ssize_t>(options_.input.size())) throw std::runtime_error("cannot write the input");
    output_[0] = out.take_read_end();
    output_[1] = err.take_read_end();
  }
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;
  ~RunningProgram() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    for (const int fd : output_) {
      if (fd >= 0) close(fd);
    }
  }

  // Sends a signal; of no effect once the program has ended.
  void send(int signal) { kill(process_, signal); }

  bool has_ended() {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == process_;
  }

  // Waits for the end and hands out all that was printed. Once.
  ProgramResult wait() {
    ProgramResult result;
    const auto deadline = Clock::now() + std::chrono::duration<double>(options_.seconds);
    while (output_[0] >= 0 || output_[1] >= 0) {
      const std::chrono::duration<double, std::milli> left = deadline - Clock::now();
      if (left.count() <= 0.0 && !result.timed_out) {
        result.timed_out = true;
        kill(process_, SIGKILL);
      }
      read_output(result, result.timed_out ? 1000 : static_cast<int>(left.count()) + 1);
    }
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = 0;
    if (WIFEXITED(status)) result.status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    return result;
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Pipe {
    int read_end = -1;
    int write_end = -1;
    Pipe() {
      std::array<int, 2> ends = {};
      if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
      read_end = ends[0];
      write_end = ends[1];
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
      if (read_end >= 0) close(read_end);
      if (write_end >= 0) close(write_end);
    }
    int take_read_end() { return std::exchange(read_end, -1); }
  };

  // In the child, where only system calls are safe.
  [[noreturn]] void become_program(int in, int out, int err, char** argv) const {
    if (!options_.output.empty()) out = open(options_.output.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    bool ready = dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2;
    ready = ready && chdir(options_.folder.c_str()) == 0;
    if (options_.largest_file) {
      const rlimit limit = {*options_.largest_file, *options_.largest_file};
      ready = ready && setrlimit(RLIMIT_FSIZE, &limit) == 0;
      signal(SIGXFSZ, SIG_IGN);  // inherited: a write then fails with EFBIG instead
    }
    if (ready) execvp(argv[0], argv);
    _exit(127);
  }

  void read_output(ProgramResult& result, int milliseconds) {
    std::array<pollfd, 2> waiting = {{{output_[0], POLLIN, 0}, {output_[1], POLLIN, 0}}};
    poll(waiting.data(), waiting.size(), milliseconds);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      std::array<char, 4096> block;
      const ssize_t count = read(output_[i], block.data(), block.size());
      if (count > 0) {
        (i == 0 ? result.out : result.err).append(block.data(), static_cast<std::size_t>(count));
      } else if (count == 0 || errno != EINTR) {
        close(std::exchange(output_[i], -1));
      }
    }
  }

  ProgramOptions options_;
  pid_t process_ = 0;
  std::array<int, 2> output_ = {-1, -1};
};

inline ProgramResult run_program(const Args& args, const ProgramOptions& options = {}) {
  return RunningProgram(args, options).wait();
}

inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

}  // namespace spikegpt::test
