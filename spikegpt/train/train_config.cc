#include "spikegpt/train/train_config.h"

#include <algorithm>
#include <cmath>

#include "spikegpt/core/error.h"

namespace spikegpt {
void validate(const TrainConfig& c) {
  check_setting(c.steps >= 1 || c.minutes > 0.0, "steps", c.steps, "at least 1");
  check_setting(c.minutes >= 0.0 && c.minutes <= 1e7, "minutes", c.minutes, "0 to 10000000");
  check_setting(c.batch_size >= 1 && c.batch_size <= 65536, "batch_size", c.batch_size, "1 to 65536");
  check_setting(c.accumulate >= 1 && c.accumulate <= 65536, "accumulate", c.accumulate, "1 to 65536");
  check_setting(c.windows == "random" || c.windows == "consecutive", "windows", c.windows, "random or consecutive");
  check_setting(c.lr > 0.0 && c.lr < 10.0, "lr", c.lr, "a positive number below 10");
  check_setting(c.lr_final >= 0.0 && c.lr_final <= c.lr, "lr_final", c.lr_final, "0 to lr");
  check_setting(c.warmup_steps >= 0, "warmup_steps", c.warmup_steps, "0 or more");
  check_setting(c.schedule == "cosine" || c.schedule == "linear" || c.schedule == "constant" || c.schedule == "wsd",
                "schedule", c.schedule, "cosine, linear, constant or wsd");
  check_setting(c.decay_fraction > 0.0 && c.decay_fraction <= 1.0, "decay_fraction", c.decay_fraction,
                "above 0, up to 1");
  check_setting(c.weight_decay >= 0.0 && c.weight_decay * c.lr < 1.0, "weight_decay", c.weight_decay,
                "0 or more, below 1 / lr");
  check_setting(c.ema_decay >= 0.0 && c.ema_decay < 1.0, "ema_decay", c.ema_decay, "0 to 1, without 1");
  check_setting(c.retries >= 0, "retries", c.retries, "0 or more");
  check_setting(c.loss_spike == 0.0 || c.loss_spike > 1.0, "loss_spike", c.loss_spike, "0, or above 1");
  check_setting(c.beta1 >= 0.0 && c.beta1 < 1.0, "beta1", c.beta1, "0 to 1, without 1");
  check_setting(c.beta2 >= 0.0 && c.beta2 < 1.0, "beta2", c.beta2, "0 to 1, without 1");
  check_setting(c.eps > 0.0, "eps", c.eps, "a positive number");
  check_setting(c.initial_gain > 0.0, "initial_gain", c.initial_gain, "a positive number");
  check_setting(c.rate_weight >= 0.0, "rate_weight", c.rate_weight, "0 or more");
  check_setting(c.rate_target >= 0.0, "rate_target", c.rate_target, "0 or more");
  check_setting(c.synop_weight >= 0.0, "synop_weight", c.synop_weight, "0 or more");
  check_setting(c.synop_target >= 0.0, "synop_target", c.synop_target, "0 or more");
  check_setting(c.row_weight >= 0.0, "row_weight", c.row_weight, "0 or more");
  check_setting(c.row_target >= 0.0, "row_target", c.row_target, "0 or more");
  check_setting(c.grad_clip >= 0.0, "grad_clip", c.grad_clip, "0 or more");
  check_setting(c.valid_fraction >= 0.0 && c.valid_fraction < 1.0, "valid_fraction", c.valid_fraction,
                "0 to 1, without 1");
  check_setting(c.eval_every >= 0, "eval_every", c.eval_every, "0 or more");
  check_setting(c.eval_tokens >= 0, "eval_tokens", c.eval_tokens, "0 or more");
  check_setting(c.save_every >= 0, "save_every", c.save_every, "0 or more");
  check_setting(c.keep >= 1, "keep", c.keep, "at least 1");
  check_setting(c.sample_tokens >= 0, "sample_tokens", c.sample_tokens, "0 or more");
  check_setting(c.log_every >= 1, "log_every", c.log_every, "at least 1");
}

namespace {

// Whether the weight of a price is to be found.
bool is_sought(double weight, double target) { return weight == 0.0 && target > 0.0; }

}  // namespace

FiringCost firing_cost(const TrainConfig& c, double found_weight) {
  const auto price = [&](double weight, double target) -> Price {
    return {is_sought(weight, target) ? found_weight : weight, target};
  };
  return {{c.rate_weight, c.rate_target}, price(c.synop_weight, c.synop_target), price(c.row_weight, c.row_target)};
}

bool finds_weight(const TrainConfig& c) {
  return is_sought(c.synop_weight, c.synop_target) || is_sought(c.row_weight, c.row_target);
}

double next_weight(const TrainConfig& c, const Densities& activity, double weight) {
  constexpr double kSpeed = 0.01;
  constexpr double kMost = 0.02;
  double error = -1e9;  // the larger of the two, as a logarithm
  const auto look = [&](double own_weight, double target, double density) {
    if (is_sought(own_weight, target)) error = std::max(error, std::log(std::max(density, 1e-6) / target));
  };
  look(c.synop_weight, c.synop_target, activity.synops);
  look(c.row_weight, c.row_target, activity.active_rows);
  return std::clamp(weight * std::exp(std::clamp(kSpeed * error, -kMost, kMost)), 1e-3, 1e3);
}

}  // namespace spikegpt
