// Speed of decoding, for dense and event-driven products and every weight type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "spikegpt/core/json_fields.h"
#include "spikegpt/infer/session.h"
#include "spikegpt/model/config.h"
#include "spikegpt/plot/line_chart.h"

namespace spikegpt::cli {

// What decode_model makes a model of.
struct DecodeSource {
  std::filesystem::path folder;  // empty = random weights of the configuration
  std::filesystem::path data;    // text to read; empty = tokens at random
  double rate = 0.15;            // with random weights: the mean firing rate that the threshold is set for
};

inline constexpr std::int64_t kLeastDecodeText = 320;  // tokens

// The model to measure: its parameters, and tokens that make it fire as it does on text.
struct DecodeModel {
  ModelConfig config;
  AlignedBuffer<float> parameters;
  std::vector<std::int32_t> text;
};
DecodeModel decode_model(const ModelConfig& config, const DecodeSource& source);

// Bytes per second that all threads together read from a buffer of that size, over and over.
double read_bandwidth(std::size_t bytes);
// The same for writing.
double write_bandwidth(std::size_t bytes);

// Rows {type, path, token_shift, tokens_per_second, weight_bytes_per_token,
// share_of_read_bandwidth, firing_rate, ...}: dense in both layouts of the token shift, and events.
Json bench_decode(const DecodeModel& model, const std::vector<WeightType>& types);
// Microseconds per token near the given positions of one endless stream.
Json bench_stream(const DecodeModel& model, WeightType type, std::int64_t tokens);
// Of every type {type, curve: [{density, speedup, share_of_all_rows}], break_even, dense_bytes_per_second,
// all_rows_bytes_per_second}: one matrix shape, many copies, too large for the caches. Dense products in panels, events
// in rows.
Json bench_events(const ModelConfig& config, const std::vector<WeightType>& types);

void print_decode(const Json& rows);
void print_stream(const Json& json);
void print_events(const Json& json);
// Speed-up against density, a curve for every type.
LineChart events_chart(const Json& json);

}  // namespace spikegpt::cli
