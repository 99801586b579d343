#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/mpi_job.h"
#include "spikegpt/cli/train_display.h"
#include "spikegpt/cli/train_estimate.h"
#include "spikegpt/cli/train_settings.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/checksum.h"
#include "spikegpt/train/collectives.h"

namespace spikegpt::cli {
namespace {

constexpr int kFailure = 1;
constexpr int kInterrupted = 130;

void refuse_existing_model(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "train.json", "checkpoints"}) {
    if (!std::filesystem::exists(folder / name)) continue;
    throw Error(ErrorKind::kInvalidArgument,
                "{} already holds a model; choose another --out, or go on with --resume", folder.string());
  }
}

TextCorpus load_data(const TrainSettings& settings, const TrainFlags& flags) {
  CorpusOptions options;
  options.data = settings.run.data;
  for (const std::string& source : settings.run.more) options.more.push_back(parse_source(source));
  options.valid = settings.run.valid;
  options.valid_fraction = settings.train.valid_fraction;
  options.tokenizer = settings.run.tokenizer;
  options.ctx_len = settings.model.ctx_len;
  if (!flags.resume()) return load_text_corpus(options);
  return load_text_corpus(options, load_tokenizer(flags.out()));
}

void check_vocabulary(const TrainSettings& settings, const Tokenizer& tokenizer) {
  if (settings.model.vocab_size >= tokenizer.vocab_size()) return;
  throw Error(ErrorKind::kInvalidArgument, "the tokenizer has {} tokens, the model's vocabulary {}",
              tokenizer.vocab_size(), settings.model.vocab_size);
}

// Called once the run was made: settings that it refuses must not take the place of those of an earlier run, and
// must not keep the folder from being used by the next try.
void save_description(const TrainFlags& flags, const TrainSettings& settings, const Tokenizer& tokenizer) {
  if (!flags.resume()) tokenizer.save(flags.out());
  save_settings(flags.out(), settings);
}

struct Input {
  TrainSettings settings;
  TextCorpus corpus;
};

// With several processes, settings.train.accumulate becomes the micro-batches of all of them, so that a run may go on
// with another number.
Input read_input(const TrainFlags& flags, int ranks, bool leads) {
  Input input = {flags.settings(), {}};
  TrainSettings& settings = input.settings;
  if (flags.dry_run() && flags.resume()) {
    throw Error(ErrorKind::kInvalidArgument, "--dry-run is for new runs; leave --resume away");
  }
  if (leads && !flags.resume() && !flags.dry_run()) refuse_existing_model(flags.out());
  validate(settings.train);
  if (!flags.resume()) settings.train.accumulate *= ranks;
  micro_batches_per_rank(settings.train, ranks);
  ModelConfig shape = settings.model;  // all of it can be checked but the vocabulary, which the data decide
  shape.vocab_size = std::max(shape.vocab_size, 1);
  validate(shape);
  input.corpus = load_data(settings, flags);
  if (settings.model.vocab_size == 0) {
    settings.model.vocab_size = static_cast<int>(input.corpus.tokenizer->vocab_size());
  }
  check_vocabulary(settings, *input.corpus.tokenizer);
  return input;
}

// Empty, or in what this rank's input is not the leader's.
std::string difference(const Input& input, Communicator& job) {
  ContentHash hash;
  hash.add(fields_to_json(input.settings.model).dump());
  hash.add(fields_to_json(input.settings.train).dump());
  const std::string own = fmt::format("{} {}", hash.text(), input.corpus.train->size());
  std::array<char, 64> leaders = {};
  own.copy(leaders.data(), leaders.size() - 1);
  job.broadcast(std::as_writable_bytes(std::span(leaders)));
  if (own == leaders.data()) return "";
  return fmt::format("{}settings or data are not those of rank 0 (settings and tokens to learn from: {}; rank 0: {})",
                     said_by(job), own, leaders.data());
}

// The same on all ranks. What one of them cannot read or use, none goes on with: nothing is returned then, and the leader
// has said why.
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

int lead(const TrainFlags& flags, const Input& input, RunSetup setup, Communicator* job) {
  const Tokenizer& tokenizer = *input.corpus.tokenizer;
  TrainDisplay display(setup.model, setup.train, tokenizer, flags.sample_prompt());
  TrainingRun run(std::move(setup), flags.resume(), job);
  save_description(flags, input.settings, tokenizer);
  display.print_start(run.trainer(), input.corpus);
  const RunOutcome outcome = run.run(stop_requested(), display);
  display.print_end(outcome, flags.out());
  const int status = outcome.finished ? 0 : kInterrupted;
  run.trainer().dismiss(status);
  return status;
}

int train(const TrainFlags& flags, const Input& input, Communicator* job) {
  const TrainSettings& settings = input.settings;
  RunSetup setup = {flags.out(), settings.model, settings.train, input.corpus, settings.run.from};
  install_stop_handler();
  if (job != nullptr && job->rank() > 0) return follow(setup, *job);
  if (!flags.dry_run()) return lead(flags, input, std::move(setup), job);
  print_estimate(setup, job);
  return 0;
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

std::function<int()> add_train(CLI::App& app) {
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
    return train(*flags);
  };
}

}  // namespace spikegpt::cli
