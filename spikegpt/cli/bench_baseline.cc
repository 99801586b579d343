#include "spikegpt/cli/bench_baseline.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/core/signals.h"

namespace spikegpt::cli {
namespace {

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

// Debian's python3-torch belongs to this one, not to whatever python3 comes first in PATH.
std::string python() {
  const char* const chosen = std::getenv("PYTHON");
  return chosen != nullptr ? chosen : "/usr/bin/python3";
}

struct Outcome {
  std::string out;
  int status = 0;
};
Outcome output_of(const std::string& command) {
  std::FILE* const pipe = [&] {
    const AllowedSignals allowed;
    return popen(command.c_str(), "r");
  }();
  if (pipe == nullptr) throw Error(ErrorKind::kIo, "no process could be started for: {}", command);
  Outcome outcome;
  std::array<char, 4096> piece;
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), pipe))
    outcome.out.append(piece.data(), size);
  outcome.status = pclose(pipe);
  return outcome;
}

void check_pytorch(const std::filesystem::path& script) {
  if (!std::filesystem::exists(script)) {
    throw Error(ErrorKind::kNotFound,
                "the baseline's script {} does not exist; run from the source folder or give --baseline its path",
                script.string());
  }
  if (output_of(quoted(python()) + " -c 'import torch' 2>&1").status != 0) {
    throw Error(ErrorKind::kNotFound,
                "the baseline needs PyTorch, which {} cannot import; on Debian: apt install python3-torch, elsewhere "
                "name another Python in the environment variable PYTHON",
                python());
  }
}

// The setting of our own OpenMP threads (main.cc) is none for those of PyTorch.
std::string command_line(const std::filesystem::path& script, const std::string& arguments) {
  return fmt::format("env -u GOMP_SPINCOUNT {} {} {}", quoted(python()), quoted(script.string()), arguments);
}

// What it prints, which must be an object with `key`.
Json object_of(const std::string& command, const char* key) {
  const Outcome outcome = output_of(command);
  Json json = Json::parse(outcome.out, nullptr, false);
  if (outcome.status != 0 || !json.is_object() || !json.contains(key)) {
    throw Error(ErrorKind::kIo, "the baseline failed; its messages are above; it was run as: {}", command);
  }
  return json;
}

}  // namespace

Json run_pytorch(const std::filesystem::path& script, const std::string& arguments) {
  check_pytorch(script);
  return object_of(command_line(script, arguments), "torch");
}

PytorchBaseline::PytorchBaseline(const std::filesystem::path& script, const ModelConfig& model, int batch,
                                 GemmPrecision precision) {
  if (model.arch != "spikegpt") {
    throw Error(ErrorKind::kUnsupported, "the baseline trains arch spikegpt only, not {}; leave out --baseline",
                model.arch);
  }
  check_pytorch(script);
  command_ = command_line(script, fmt::format("--dtype {} --layers {} --channels {} --vocab {} --tokens {} --batch {} "
                                              "--dropout {} --threads {}",
                                              name_of(precision), model.n_layer, model.n_embd, model.vocab_size,
                                              model.ctx_len, batch, model.dropout, thread_count()));
}

PytorchBaseline::Result PytorchBaseline::run(int steps) const {
  const Json json = object_of(fmt::format("{} --steps {}", command_, steps), "step_seconds");
  return {json.at("step_seconds").get<std::vector<double>>(), json.at("peak_memory_mb").get<double>(),
          json.at("torch").get<std::string>()};
}

}  // namespace spikegpt::cli
