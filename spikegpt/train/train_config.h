// How a model is trained: the values of SPEC.md 9 and of the program around them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/model/init.h"
#include "spikegpt/model/network.h"

namespace spikegpt {

struct TrainConfig {
  std::int64_t steps = 1000;
  double minutes = 0;
  int batch_size = 12;
  int accumulate = 1;
  std::string windows = "random";
  double lr = 6e-4;
  double lr_final = 1e-5;
  std::int64_t warmup_steps = 0;
  std::string schedule = "cosine";
  double decay_fraction = 0.2;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 4e-9;
  double grad_clip = 1.0;
  double weight_decay = 0.0;
  double ema_decay = 0.0;
  std::vector<std::string> freeze;
  std::vector<std::string> reinit;
  std::string init = "default";
  double initial_gain = kEventGain;
  std::uint64_t seed = 1;
  std::string precision = "auto";
  bool recompute = false;
  bool l2wrap = true;
  double rate_weight = 0.0;
  double rate_target = 0.15;
  double synop_weight = 0.0;
  double synop_target = 0.0;
  double row_weight = 0.0;
  double row_target = 0.0;
  double valid_fraction = 0.05;
  std::int64_t eval_every = 200;
  std::int64_t eval_tokens = 65536;
  std::int64_t save_every = 500;
  int keep = 2;
  bool keep_best = true;
  int retries = 3;
  double loss_spike = 2.0;
  int sample_tokens = 120;
  std::int64_t log_every = 1;
  bool operator==(const TrainConfig&) const = default;

  // As ModelConfig::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("steps", self.steps, "optimiser steps of the whole run");
    visitor("minutes", self.minutes, "stop by the clock instead: the learning rate follows it; 0 = by steps");
    visitor("batch_size", self.batch_size, "windows per forward pass B");
    visitor("accumulate", self.accumulate, "forward passes per step; a step sees batch_size * accumulate windows");
    visitor("windows", self.windows,
            "random, or consecutive: each window continues the one before with its memory (truncated BPTT)");
    visitor("lr", self.lr, "learning rate at the start (after warm-up)");
    visitor("lr_final", self.lr_final, "learning rate at the end");
    visitor("schedule", self.schedule,
            "from lr to lr_final: cosine, linear, constant (stays at lr), or wsd: stays, then falls linearly");
    visitor("decay_fraction", self.decay_fraction, "wsd: share of the run, at its end, in which the rate falls");
    visitor("warmup_steps", self.warmup_steps, "linear warm-up from lr_final");
    visitor("beta1", self.beta1, "Adam: decay of the first moment");
    visitor("beta2", self.beta2, "Adam: decay of the second moment");
    visitor("eps", self.eps, "Adam: added to the root of the second moment");
    visitor("grad_clip", self.grad_clip, "largest norm of the gradient; 0 = no clipping");
    visitor("weight_decay", self.weight_decay, "of the matrices, apart from the gradient (AdamW); 0 = none");
    visitor("ema_decay", self.ema_decay,
            "the model is a moving average of the weights, 0.999 for one over 1000 steps; 0 = the weights themselves");
    visitor("freeze", self.freeze, "parameters that do not learn, by name: emb.* 'blocks.[0-5].*'");
    visitor("reinit", self.reinit, "with --from: parameters that start anew instead, by name: head.*");
    visitor("init", self.init, "first weights: default (as PyTorch), rwkv (orthogonal and zeros)");
    visitor("initial_gain", self.initial_gain,
            "arch event: standard deviation of the currents that neurons get at first");
    visitor("seed", self.seed, "of weights, windows and dropout");
    visitor("precision", self.precision, "matrix products in f32, bf16, or auto: bf16 where the CPU has it");
    visitor("recompute", self.recompute, "recompute activations in the backward pass: less memory, slower");
    visitor("l2wrap", self.l2wrap, "add the gradient-only term that keeps logits small (SPEC.md 6)");
    visitor("rate_weight", self.rate_weight, "cost of firing: nats per token for a mean rate of 1; 0 = free");
    visitor("rate_target", self.rate_target, "mean firing rate below which firing is free");
    visitor("synop_weight", self.synop_weight,
            "cost of synaptic operations: nats per token for as many as the dense products have; 0 = free");
    visitor("synop_target", self.synop_target,
            "synop density below which they are free; with synop_weight 0 the one to hold: the weight is found");
    visitor("row_weight", self.row_weight,
            "cost of fetched rows of weights: nats per token for as many as there are; 0 = free");
    visitor("row_target", self.row_target,
            "active-row density below which they are free; with row_weight 0 the one to hold: the weight is found");
    visitor("valid_fraction", self.valid_fraction, "share of the data's end held out, unless --valid names a file");
    visitor("eval_every", self.eval_every, "steps between evaluations on held-out data; 0 = only at the end");
    visitor("eval_tokens", self.eval_tokens, "held-out tokens per evaluation; 0 = all");
    visitor("save_every", self.save_every, "steps between checkpoints; 0 = only at the end");
    visitor("keep", self.keep, "newest checkpoints kept");
    visitor("keep_best", self.keep_best, "keep the model with the lowest held-out loss in OUT/best");
    visitor("retries", self.retries,
            "times to go back to the last checkpoint when the loss runs away, with half the learning rate and other "
            "batches");
    visitor("loss_spike", self.loss_spike,
            "the loss runs away when its recent mean is so many times that of the last 100 steps; 0 = only when not "
            "finite");
    visitor("sample_tokens", self.sample_tokens, "tokens of sample text after an evaluation; 0 = none");
    visitor("log_every", self.log_every, "steps between lines of metrics.jsonl");
  }
};

// Throws Error (kInvalidArgument) that names the key, its value and what is expected.
void validate(const TrainConfig& config);

// The prices of its *_weight and *_target. A target without a weight (but rate_target) has the weight `found_weight`.
FiringCost firing_cost(const TrainConfig& config, double found_weight = 1.0);
// Whether there is such a target.
bool finds_weight(const TrainConfig& config);
// The weight of the next step, from the densities of this one: 0.7 % more where they are twice the target, as much less
// where they are half of it, and at most 2 % a step.
double next_weight(const TrainConfig& config, const Densities& activity, double weight);

}  // namespace spikegpt
