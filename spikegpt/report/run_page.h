// The page of one training run, or of several beside each other.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "spikegpt/report/run_log.h"

namespace spikegpt {

struct ReportedRun {
  RunLog log;
  Json defaults = Json::object();  // {run, model, train}: what settings differ from
  std::string unit = "token";      // of the tokenizer: "character", "byte", "token"
  std::int64_t parameters = 0;     // 0 = unknown
};

// HTML. `runs` must not be empty.
std::string run_page(std::span<const ReportedRun> runs);

}  // namespace spikegpt
