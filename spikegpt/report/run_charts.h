// Curves of training runs.
#pragma once

#include <span>
#include <string>

#include "spikegpt/report/run_page.h"

namespace spikegpt {

// Loss, learning rate, gradient norm, firing rate and speed over steps, the runs in different colours. HTML.
std::string run_charts(std::span<const ReportedRun> runs);

// Firing rate of every layer and site at every evaluation; empty where the run knows none.
std::string site_charts(const RunLog& log);

}  // namespace spikegpt
