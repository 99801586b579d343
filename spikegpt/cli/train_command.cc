#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/run_setup.h"
#include "spikegpt/cli/train_display.h"
#include "spikegpt/cli/train_estimate.h"
#include "spikegpt/cli/train_settings.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/host_name.h"
#include "spikegpt/train/mpi_communicator.h"

namespace spikegpt::cli {
namespace {

void refuse_existing_model(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "train.json", "checkpoints"}) {
    if (!std::filesystem::exists(folder / name)) continue;
    throw Error(ErrorKind::kInvalidArgument,
                "{} already holds a model; choose another --out, or go on with --resume", folder.string());
  }
}

// The processes of this run, when mpirun started it; null when it is alone.
std::unique_ptr<MpiCommunicator> join_job() {
  if (!is_mpi_job()) return nullptr;
  const auto lost = [](const std::string& message) { fmt::print(stderr, "spikegpt: {}\n", message); };
  return std::make_unique<MpiCommunicator>(lost);
}

// Every rank but 0.
int follow(RunSetup setup, Communicator& job) {
  const auto windows = make_windows(setup);
  return Trainer(setup.model, setup.train, *windows, &job).follow();
}

int train(const TrainFlags& flags, Communicator* job) {
  const bool leads = job == nullptr || job->rank() == 0;
  TrainSettings settings = flags.settings();
  // From now on the micro-batches of all processes, so that a run may go on with another number of them.
  if (job != nullptr && !flags.resume()) settings.train.accumulate *= job->size();
  if (flags.dry_run() && flags.resume()) {
    throw Error(ErrorKind::kInvalidArgument, "--dry-run is for new runs; leave --resume away");
  }
  if (leads && !flags.resume() && !flags.dry_run()) refuse_existing_model(flags.out());
  RunSetup setup = make_run_setup(flags.out(), settings, flags.resume());
  const TextCorpus corpus = setup.corpus;
  if (flags.dry_run()) {
    if (leads) print_estimate(setup);
    return 0;
  }
  install_stop_handler();
  if (!leads) return follow(std::move(setup), *job);
  TrainDisplay display(settings.model, settings.train, *corpus.tokenizer, flags.sample_prompt());
  TrainingRun run(std::move(setup), flags.resume(), job);
  save_description(flags.out(), settings, *corpus.tokenizer, flags.resume());
  display.print_start(run.trainer(), corpus);
  const RunOutcome outcome = run.run(stop_requested(), display);
  display.print_end(outcome, flags.out());
  const int status = outcome.finished ? 0 : 130;
  run.trainer().dismiss(status);
  return status;
}

// With several processes one that fails ends all, after it has said why.
int train(const TrainFlags& flags) {
  const std::unique_ptr<MpiCommunicator> job = join_job();
  if (job == nullptr || job->size() == 1) return train(flags, nullptr);
  try {
    return train(flags, job.get());
  } catch (const std::exception& error) {
    const std::string who = job->rank() == 0 ? "" : fmt::format("rank {} on {}: ", job->rank(), host_name());
    fmt::print(stderr, "spikegpt: {}{}\n", who, error.what());
    std::fflush(stdout);
    job->abort(1);
  }
}

}  // namespace

std::function<int()> add_train(CLI::App& app) {
  app.footer(
      "Flags win over --config, which wins over --preset. Examples:\n"
      "  spikegpt train --data book.txt --out my-model --preset tiny --minutes 3\n"
      "  spikegpt train --data book.txt --out my-model --arch event --preset 45m --batch-size 4 --accumulate 3\n"
      "  spikegpt train --data letters.txt --out mine --from my-model --lr 1e-4 --steps 500\n"
      "  spikegpt train --out my-model --resume\n"
      "  mpirun -n 4 --hostfile hosts spikegpt train --data book.txt --out my-model     (docs/scaling.md)");
  auto flags = std::make_shared<TrainFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return train(*flags);
  };
}

}  // namespace spikegpt::cli
