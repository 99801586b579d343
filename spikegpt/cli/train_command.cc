#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/mpi_job.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/run_setup.h"
#include "spikegpt/cli/train_display.h"
#include "spikegpt/cli/train_estimate.h"
#include "spikegpt/cli/train_settings.h"
#include "spikegpt/core/error.h"
#include "spikegpt/model/checksum.h"
#include "spikegpt/train/collectives.h"

namespace spikegpt::cli {
namespace {

// What a run is begun in holds nothing that it would write over, and none of its texts.
void check_place(const std::filesystem::path& out, const RunFields& run) {
  refuse_used_folder(out, "choose another --out, or go on with --resume", run.tokenizer);
  std::vector<std::filesystem::path> sources = {run.data, run.valid};
  for (const std::string& source : run.more) sources.push_back(parse_source(source).path);
  refuse_output_inside(out, sources);
}

struct Input {
  TrainSettings settings;
  RunSetup setup;
};

// With several processes, settings.train.accumulate becomes the micro-batches of all of them, so that a run may go on
// with another number.
Input read_input(const TrainFlags& flags, int ranks, bool leads) {
  Input input = {flags.settings(), {}};
  TrainSettings& settings = input.settings;
  if (flags.dry_run() && flags.resume()) {
    throw Error(ErrorKind::kInvalidArgument, "--dry-run is for new runs; leave --resume away");
  }
  if (leads && !flags.resume() && !flags.dry_run()) check_place(flags.out(), settings.run);
  validate(settings.train);
  if (!flags.resume()) settings.train.accumulate *= ranks;
  micro_batches_per_rank(settings.train, ranks);
  const RunPurpose purpose = flags.resume()    ? RunPurpose::kResume
                             : flags.dry_run() ? RunPurpose::kEstimate
                                               : RunPurpose::kNew;
  input.setup = make_run_setup(flags.out(), settings, purpose);
  return input;
}

// Empty, or in what this rank's input is not the leader's.
std::string difference(const Input& input, Communicator& job) {
  ContentHash hash;
  hash.add(fields_to_json(input.settings.model).dump());
  hash.add(fields_to_json(input.settings.train).dump());
  const std::string own = fmt::format("{} {}", hash.text(), input.setup.corpus.train->size());
  std::array<char, 64> leaders = {};
  own.copy(leaders.data(), leaders.size() - 1);
  job.broadcast(std::as_writable_bytes(std::span(leaders)));
  if (own == leaders.data()) return "";
  return fmt::format("{}settings or data are not those of rank 0 (settings and tokens to learn from: {}; rank 0: {})",
                     said_by(job), own, leaders.data());
}

// The same on all ranks. What one of them cannot read or use, none goes on with: nothing is returned then, and the
// leader has said why.
std::optional<Input> read_input_together(const TrainFlags& flags, Communicator& job) {
  Input input;
  std::string failure;
  try {
    input = read_input(flags, job.size(), job.rank() == 0);
  } catch (const std::exception& error) {
    failure = said_by(job) + error.what();
  }
  failure = first_text(job, failure);
  if (failure.empty()) failure = first_text(job, difference(input, job));
  if (failure.empty()) return input;
  if (job.rank() == 0) fmt::print(stderr, "spikegpt: {}\n", failure);
  return std::nullopt;
}

// Every rank but the leader.
int follow(const RunSetup& setup, Communicator& job) {
  const auto windows = make_windows(setup);
  return Trainer(setup.model, setup.train, *windows, &job).follow();
}

int lead(const TrainFlags& flags, const Input& input, Communicator* job) {
  RunSetup setup = input.setup;
  const Tokenizer& tokenizer = *setup.corpus.tokenizer;
  setup.describe = [&] { save_description(flags.out(), input.settings, tokenizer, true); };
  TrainDisplay display(setup.model, setup.train, tokenizer, flags.sample_prompt());
  TrainingRun run(setup, flags.resume(), job);
  save_description(flags.out(), input.settings, tokenizer, flags.resume());
  display.print_start(run.trainer(), setup.corpus);
  const RunOutcome outcome = run.run(stop_requested(), display);
  display.print_end(outcome, flags.out());
  const int status = outcome.finished ? 0 : kInterrupted;
  run.trainer().dismiss(status);
  return status;
}

int train(const TrainFlags& flags, const Input& input, Communicator* job) {
  install_stop_handler();
  const bool leads = job == nullptr || job->rank() == 0;
  if (flags.dry_run()) {
    const RunSetup timed = timed_run(input.setup, job);
    if (!leads) return follow(timed, *job);
    print_estimate(input.setup, timed, job);
    return 0;
  }
  return leads ? lead(flags, input, job) : follow(input.setup, *job);
}

// One that fails ends all, after it has said why.
int train(const TrainFlags& flags, Communicator& job) {
  try {
    const std::optional<Input> input = read_input_together(flags, job);
    return input ? train(flags, *input, &job) : kFailure;
  } catch (const std::exception& error) {
    fmt::print(stderr, "spikegpt: {}{}\n", said_by(job), error.what());
    end_all_ranks(kFailure);
  }
}

int train(const TrainFlags& flags) {
  const std::unique_ptr<MpiCommunicator> job = join_mpi_job(flags.patience());
  if (job != nullptr) return train(flags, *job);
  return train(flags, read_input(flags, 1, true), nullptr);
}

}  // namespace

std::function<int()> add_train(Flags& app) {
  app.footer(
      "Flags win over --config, which wins over --preset. Examples:\n"
      "  spikegpt train --data book.txt --out my-model --preset tiny --minutes 3\n"
      "  spikegpt train --data book.txt --out my-model --arch event --preset 45m --batch-size 4 --accumulate 3\n"
      "  spikegpt train --data letters.txt --out mine --from my-model --lr 1e-4 --steps 500\n"
      "  spikegpt train --out my-model --resume\n"
      "  mpirun -n 4 spikegpt train --data book.txt --out my-model     (docs/scaling.md)");
  auto flags = std::make_shared<TrainFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    keep_working_when_output_closes();
    return train(*flags);
  };
}

}  // namespace spikegpt::cli
