// Speed of reading prompts, against what bare matrix products of the same shapes would take.
#pragma once

#include <vector>

#include "spikegpt/cli/bench_decode.h"

namespace spikegpt::cli {

// Rows {type, chunk, tokens_per_second, share_in_products, product_gflops, gemm_limit_tokens_per_second,
// share_of_gemm_limit}. The limit is the speed if only the blocks' products cost time, at the rate of oneDNN with the
// operands of the type (int8 for int4): the shapes the model runs, twice the inputs where the token shift is folded.
Json bench_prefill(const DecodeModel& model, const std::vector<WeightType>& types);
void print_prefill(const Json& rows);

}  // namespace spikegpt::cli
