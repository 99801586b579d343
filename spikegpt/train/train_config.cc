#include "spikegpt/train/train_config.h"

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

template <class T>
void expect(bool holds, const char* key, const T& value, const char* expected) {
  if (holds) return;
  throw Error(ErrorKind::kInvalidArgument, "{} = {}: expected {}", key, value, expected);
}

}  // namespace

void validate(const TrainConfig& c) {
  expect(c.steps >= 1 || c.minutes > 0.0, "steps", c.steps, "at least 1");
  expect(c.minutes >= 0.0 && c.minutes <= 1e7, "minutes", c.minutes, "0 to 10000000");
  expect(c.batch_size >= 1 && c.batch_size <= 65536, "batch_size", c.batch_size, "1 to 65536");
  expect(c.accumulate >= 1 && c.accumulate <= 65536, "accumulate", c.accumulate, "1 to 65536");
  expect(c.windows == "random" || c.windows == "consecutive", "windows", c.windows,
         "random or consecutive");
  expect(c.lr > 0.0 && c.lr < 10.0, "lr", c.lr, "a positive number below 10");
  expect(c.lr_final >= 0.0 && c.lr_final <= c.lr, "lr_final", c.lr_final, "0 to lr");
  expect(c.warmup_steps >= 0, "warmup_steps", c.warmup_steps, "0 or more");
  expect(c.beta1 >= 0.0 && c.beta1 < 1.0, "beta1", c.beta1, "0 to 1, without 1");
  expect(c.beta2 >= 0.0 && c.beta2 < 1.0, "beta2", c.beta2, "0 to 1, without 1");
  expect(c.eps > 0.0, "eps", c.eps, "a positive number");
  expect(c.grad_clip >= 0.0, "grad_clip", c.grad_clip, "0 or more");
  expect(c.valid_fraction >= 0.0 && c.valid_fraction < 1.0, "valid_fraction", c.valid_fraction,
         "0 to 1, without 1");
  expect(c.eval_every >= 0, "eval_every", c.eval_every, "0 or more");
  expect(c.eval_tokens >= 0, "eval_tokens", c.eval_tokens, "0 or more");
  expect(c.save_every >= 0, "save_every", c.save_every, "0 or more");
  expect(c.keep >= 1, "keep", c.keep, "at least 1");
  expect(c.sample_tokens >= 0, "sample_tokens", c.sample_tokens, "0 or more");
  expect(c.log_every >= 1, "log_every", c.log_every, "at least 1");
}

}  // namespace spikegpt
