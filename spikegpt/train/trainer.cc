#include "spikegpt/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "spikegpt/core/error.h"
#include "spikegpt/core/finite.h"
#include "spikegpt/core/random.h"
#include "spikegpt/kernels/adam.h"
#include "spikegpt/model/init.h"
#include "spikegpt/train/calibration.h"

namespace spikegpt {
namespace {

constexpr float kL2Wrap = 1e-4f;  // SPEC.md 6

NetworkOptions network_options(const ModelConfig& model, const TrainConfig& config) {
  NetworkOptions options;
  options.precision = gemm_precision(config.precision);
  options.plan = {config.batch_size, model.ctx_len, true, config.recompute};
  return options;
}

std::unique_ptr<Team> make_team(Communicator* communicator, const ModelConfig& model, const ParameterLayout& layout) {
  if (communicator == nullptr || communicator->size() == 1) return nullptr;
  return std::make_unique<Team>(*communicator, model, layout);
}

}  // namespace

double StepReport::bits() const { return loss / std::numbers::ln2; }

std::int64_t micro_batches_per_rank(const TrainConfig& config, int ranks) {
  if (config.accumulate % ranks == 0) return config.accumulate / ranks;
  throw Error(ErrorKind::kInvalidArgument,
              "a step has {} micro-batches (--accumulate times the processes the run began with), which {} processes "
              "cannot share evenly",
              config.accumulate, ranks);
}

struct Trainer::Gathered {
  AlignedBuffer<float> first_moment;
  AlignedBuffer<float> second_moment;
  std::vector<RecurrentState> carried;
};

Trainer::Trainer(const ModelConfig& model, const TrainConfig& config, const WindowSource& windows,
                 Communicator* communicator)
    : model_(model),
      config_(config),
      windows_(windows),
      layout_(model),
      parameters_(static_cast<std::size_t>(layout_.flat_size())),
      gradients_(static_cast<std::size_t>(layout_.flat_size())),
      team_(make_team(communicator, model, layout_)),
      own_micro_batches_(micro_batches_per_rank(config, is_team() ? team_->size() : 1)),
      optimizer_(layout_, config, is_team() ? std::span(team_->own()) : std::span<const FlatRange>()),
      network_(make_network(model, network_options(model, config))),
      activity_(model),
      tokens_(static_cast<std::size_t>(config.batch_size) * static_cast<std::size_t>(model.ctx_len)),
      targets_(tokens_.size()),
      fresh_(static_cast<std::size_t>(config.batch_size)) {
  if (config.ema_decay > 0.0 && leads()) average_ = AlignedBuffer<float>(parameters_.size());
  if (config.windows != "consecutive") return;
  for (std::int64_t i = 0; i < own_micro_batches_; ++i) carried_.emplace_back(model, config.batch_size);
  next_ = RecurrentState(model, config.batch_size);
}

Trainer::~Trainer() = default;

void Trainer::initialise_parameters() {
  initialise(model_, init_kind(config_.init), config_.seed, parameters_.data(), config_.initial_gain);
  calibrate();
  start_anew();
}

void Trainer::calibrate() {
  sample(0);
  const std::span<const TokenId> first_window(tokens_.data(), static_cast<std::size_t>(model_.ctx_len));
  calibrate_gains(model_, first_window, parameters_.data(), config_.initial_gain);
}

void Trainer::start_anew() {
  std::copy_n(parameters_.data(), average_.size(), average_.data());
  const TrainingMemory memory = memory_to_fill();
  std::fill(memory.first_moment.begin(), memory.first_moment.end(), 0.0f);
  std::fill(memory.second_moment.begin(), memory.second_moment.end(), 0.0f);
  optimizer_.set_step(0);
  adopt();
  forget();
}

void Trainer::skip_steps(std::int64_t steps) {
  skipped_steps_ += steps;
  forget();
}

void Trainer::forget() {
  tell(Order::Kind::kForget);
  for (RecurrentState& memory : carried_) memory.reset();
}

void Trainer::with_model_parameters(const std::function<void()>& use) {
  if (average_.span().empty()) return use();
  network_->set_parameters(average_.data());
  try {
    use();
  } catch (...) {
    parameters_changed();
    throw;
  }
  parameters_changed();
}

std::int64_t Trainer::micro_batch(std::int64_t i) const noexcept {
  return is_team() ? i * team_->size() + team_->rank() : i;
}

void Trainer::sample(std::int64_t micro) {
  windows_.fill(batch_index(), micro * config_.batch_size,
                {config_.batch_size, model_.ctx_len, tokens_, targets_, fresh_});
}

// Sequences that start anew have no memory.
void Trainer::forget_fresh(RecurrentState& memory) {
  for (std::int64_t b = 0; b < config_.batch_size; ++b) {
    if (fresh_[static_cast<std::size_t>(b)] != 0) memory.reset(b);
  }
}

// Returns the sum of the losses of this rank's i-th micro-batch; adds its share of the gradient.
double Trainer::forward_backward(std::int64_t i) {
  const auto tokens = static_cast<double>(tokens_.size());
  RunOptions run;
  run.spike_counts = activity_.counts();
  run.dropout.probability = static_cast<float>(model_.dropout);
  run.dropout.seed = config_.seed;
  run.dropout.stream =
      stream_of(RandomPurpose::kDropout,
                static_cast<std::uint64_t>((batch_index() * config_.accumulate + micro_batch(i)) * model_.n_layer));
  RecurrentState* const memory = carried_.empty() ? nullptr : &carried_[static_cast<std::size_t>(i)];
  if (memory != nullptr) {
    forget_fresh(*memory);
    run.state_in = memory;
    run.state_out = &next_;
  }
  network_->forward({tokens_, config_.batch_size}, run);
  LossOptions options = {targets_,
                         1.0 / (tokens * config_.accumulate),
                         config_.l2wrap ? kL2Wrap : 0.0f,
                         firing_cost(config_, found_weight_),
                         {}};
  if (is_team() && i + 1 == own_micro_batches_) {
    options.on_stage = [this](int stage) { team_->exchange().stage_done(stage); };
  }
  const std::span<const float> losses = network_->losses_and_gradients(options, gradients_.data());
  const double mean = mean_loss(losses);
  if (!std::isfinite(mean) && bad_loss_.empty()) bad_loss_ = bad_loss();
  if (memory != nullptr && bad_loss_.empty()) std::swap(*memory, next_);
  return mean * tokens;
}

StepReport Trainer::step(double lr) {
  gathered_.reset();
  tell(Order::Kind::kStep, lr);
  return run_step(lr);
}

StepReport Trainer::run_step(double lr) {
  activity_.reset();
  bad_loss_.clear();
  std::fill(gradients_.span().begin(), gradients_.span().end(), 0.0f);
  if (is_team()) team_->exchange().begin(gradients_.data());
  StepReport report;
  double loss = 0.0;
  for (std::int64_t i = 0; i < own_micro_batches_; ++i) {
    sample(micro_batch(i));
    loss += forward_backward(i);
    report.tokens += static_cast<std::int64_t>(tokens_.size());
    if (!is_team() && !bad_loss_.empty()) report_divergence(report, bad_loss_);
  }
  if (is_team()) team_->exchange().finish();
  double squared_gradient = optimizer_.squared_gradient(gradients_.data());
  if (is_team()) add_up(report, loss, squared_gradient);
  report.gradient_norm = std::sqrt(squared_gradient);
  report.loss = loss / static_cast<double>(report.tokens);
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    std::string where = std::isfinite(report.loss) ? bad_gradient() : bad_loss_;
    if (is_team()) where = team_->first_text(where);
    if (!leads()) return report;  // the leader decides what happens now
    report_divergence(report, where);
  }
  optimizer_.update(lr, report.gradient_norm, parameters_.data(), gradients_.data());
  if (is_team()) {
    team_->exchange().share(parameters_.data());
    report.waited = team_->exchange().waited();
  }
  if (!average_.span().empty()) {
    moving_average(layout_.flat_size(), 1.0 - config_.ema_decay, parameters_.data(), average_.data());
  }
  parameters_changed();
  report.step = steps_done();
  report.lr = lr;
  report.activity = activity_.densities(report.tokens);
  if (finds_weight(config_)) {
    report.found_weight = found_weight_;
    found_weight_ = next_weight(config_, report.activity, found_weight_);
  }
  return report;
}

// Over all ranks.
void Trainer::add_up(StepReport& report, double& loss, double& squared_gradient) {
  sums_ = {loss, squared_gradient, static_cast<double>(report.tokens)};
  for (const SiteCount& count : activity_.counts()) {
    sums_.push_back(static_cast<double>(count.events));
    sums_.push_back(static_cast<double>(count.active));
  }
  team_->sum(sums_);
  loss = sums_[0];
  squared_gradient = sums_[1];
  report.tokens = static_cast<std::int64_t>(sums_[2]);
  for (std::size_t site = 0; site < activity_.counts().size(); ++site) {
    activity_.counts()[site] = {static_cast<std::int64_t>(sums_[3 + 2 * site]),
                                static_cast<std::int64_t>(sums_[4 + 2 * site])};
  }
}

void Trainer::tell(Order::Kind kind, double lr, std::int64_t status) {
  if (is_team() && leads()) team_->tell({kind, lr, skipped_steps_, found_weight_, status});
}

void Trainer::dismiss(int status) { tell(Order::Kind::kEnd, 0.0, status); }

int Trainer::follow() {
  ensure(is_team() && !leads(), "only the other ranks follow");
  for (;;) {
    const Order order = team_->listen();
    switch (order.kind) {
      case Order::Kind::kStep:
        skipped_steps_ = order.skipped_steps;
        found_weight_ = order.found_weight;
        run_step(order.lr);
        break;
      case Order::Kind::kForget: forget(); break;
      case Order::Kind::kGather: exchange_memory(true); break;
      case Order::Kind::kAdopt: adopt(); break;
      case Order::Kind::kEnd: return static_cast<int>(order.status);
    }
  }
}

TrainingMemory Trainer::memory_to_fill() {
  TrainingMemory memory;
  if (!is_team()) {
    memory = {optimizer_.first_moment().span(), optimizer_.second_moment().span(), {}};
    for (const RecurrentState& state : carried_) memory.carried.push_back(state.values());
    return memory;
  }
  gathered_ = std::make_unique<Gathered>();
  gathered_->first_moment = AlignedBuffer<float>(parameters_.size());
  gathered_->second_moment = AlignedBuffer<float>(parameters_.size());
  memory = {gathered_->first_moment.span(), gathered_->second_moment.span(), {}};
  if (!carried_.empty()) {
    for (int micro = 0; micro < config_.accumulate; ++micro)
      gathered_->carried.emplace_back(model_, config_.batch_size);
  }
  for (const RecurrentState& state : gathered_->carried) memory.carried.push_back(state.values());
  return memory;
}

TrainingMemory Trainer::memory() {
  TrainingMemory memory = memory_to_fill();
  if (!is_team()) return memory;
  tell(Order::Kind::kGather);
  exchange_memory(true);
  return memory;
}

void Trainer::adopt() {
  if (is_team()) {
    tell(Order::Kind::kAdopt);
    team_->broadcast(parameters_.span());
    std::int64_t step = steps_done();
    team_->broadcast(step);
    optimizer_.set_step(step);
    exchange_memory(false);
    gathered_.reset();
  }
  parameters_changed();
}

// Moments and memory of all ranks, to the leader or from it.
void Trainer::exchange_memory(bool to_leader) {
  const std::span<float> first = gathered_ ? gathered_->first_moment.span() : std::span<float>();
  const std::span<float> second = gathered_ ? gathered_->second_moment.span() : std::span<float>();
  if (to_leader) {
    team_->gather(optimizer_.first_moment().span(), first);
    team_->gather(optimizer_.second_moment().span(), second);
  } else {
    team_->scatter(first, optimizer_.first_moment().span());
    team_->scatter(second, optimizer_.second_moment().span());
  }
  for (std::size_t i = 0; i < carried_.size(); ++i) {
    const std::span<float> own = carried_[i].values();
    if (!leads()) {
      to_leader ? team_->send_to_leader(own) : team_->receive(0, own);
      continue;
    }
    for (int rank = 0; rank < team_->size(); ++rank) {
      const std::size_t micro = i * static_cast<std::size_t>(team_->size()) + static_cast<std::size_t>(rank);
      const std::span<float> full = gathered_->carried[micro].values();
      if (rank == 0) {
        to_leader ? std::copy(own.begin(), own.end(), full.begin()) : std::copy(full.begin(), full.end(), own.begin());
      } else {
        to_leader ? team_->receive(rank, full) : team_->send(rank, full);
      }
    }
  }
}

std::string Trainer::bad_loss() const {
  return fmt::format(
      "the loss is not a finite number; the first value that is none came out of {}; try a smaller --lr "
      "or --grad-clip",
      network_->first_non_finite());
}

// The backward pass runs from the head to the embedding: the last parameter that is bad met it first. Of what this rank
// owns, where there are several.
std::string Trainer::bad_gradient() const {
  const auto& infos = layout_.infos();
  std::string name = is_team() ? "" : "no single parameter (their norm overflows)";
  for (auto info = infos.rbegin(); info != infos.rend(); ++info) {
    bool is_bad = false;
    for (const FlatRange& range : is_team() ? team_->own() : std::vector<FlatRange>{{0, layout_.flat_size()}}) {
      const std::int64_t first = std::max(range.first, info->offset);
      const std::int64_t end = std::min(range.first + range.size, info->offset + info->size);
      is_bad |= first < end && !all_finite({gradients_.data() + first, static_cast<std::size_t>(end - first)});
    }
    if (!is_bad) continue;
    name = info->name;
    break;
  }
  if (name.empty()) return name;
  return fmt::format(
      "the gradient is not finite; going backwards it first appeared in {}; try a smaller --lr or "
      "another --surrogate",
      name);
}

void Trainer::report_divergence(const StepReport& report, const std::string& where) {
  const std::string what = where.empty() ? fmt::format("the norm of the gradient is {}", report.gradient_norm) : where;
  throw Error(ErrorKind::kDiverged, "step {}: {}", steps_done() + 1, what);
}

std::size_t Trainer::memory_needed(const ModelConfig& model, const TrainConfig& config, int ranks) {
  const auto parameters = static_cast<std::size_t>(ParameterLayout(model).flat_size());
  const std::size_t moments = parameters / static_cast<std::size_t>(ranks);
  const std::size_t average = config.ema_decay > 0.0 ? parameters : 0;
  return network_memory_in_bytes(model, network_options(model, config)) +
         (2 * parameters + 2 * moments + average) * sizeof(float);
}

std::size_t Trainer::memory_in_bytes() const {
  return network_->memory_in_bytes() +
         (2 * parameters_.size() + 2 * optimizer_.moments() + average_.size()) * sizeof(float);
}

}  // namespace spikegpt
