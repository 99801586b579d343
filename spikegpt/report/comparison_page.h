// The page of several models that learned the same text: quality against energy against speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spikegpt/report/html.h"
#include "spikegpt/report/run_page.h"

namespace spikegpt {

struct ComparedModel {
  std::string arch;
  std::uint64_t seed = 0;
  std::int64_t parameters = 0;
  double bits = 0.0;         // held-out, per token
  double firing_rate = 0.0;  // 0 without neurons
  double joules_twin = 0.0;  // per token: the three accounts of docs/energy.md
  double joules_paper = 0.0;
  double joules_needed = 0.0;
  double dense_speed = 0.0;  // tokens per second, decoding one by one
  double event_speed = 0.0;
  RunLog log;  // of its training

  std::string name() const { return arch + ", seed " + std::to_string(seed); }
};

struct Comparison {
  std::string title;
  std::string about;  // what was done, a sentence
  std::string unit;   // of a token
  std::vector<ComparedModel> models;
};

// A row a model, and the mean of every architecture that has several. Energy in uJ.
HtmlTable comparison_table(const Comparison& comparison);

// The same as Markdown, with title and sentence.
std::string comparison_markdown(const Comparison& comparison);

// HTML. There must be a model.
std::string comparison_page(const Comparison& comparison);

}  // namespace spikegpt
