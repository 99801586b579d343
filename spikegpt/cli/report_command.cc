#include <fmt/format.h>

#include <memory>
#include <vector>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/output_place.h"
#include "spikegpt/cli/train_settings.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/model/parameters.h"
#include "spikegpt/report/html.h"
#include "spikegpt/report/run_page.h"
#include "spikegpt/text/tokenizer.h"

namespace spikegpt::cli {
namespace {

struct ReportFlags {
  explicit ReportFlags(Flags& app) {
    app.add("folders", folders, "folders of training runs; several are drawn over each other").required();
    app.add("--out", out, "HTML file to write; without it FOLDER/report.html");
    add_force_flag(app, force);
  }
  std::vector<std::filesystem::path> folders;
  std::filesystem::path out;
  bool force = false;
};

Json default_settings(const std::string& arch) {
  return {{"run", fields_to_json(RunFields())},
          {"model", fields_to_json(default_config(arch))},
          {"train", fields_to_json(TrainConfig())}};
}

// A report of what is there: a run without a readable tokenizer or configuration has curves all the same.
std::string unit_of(const std::filesystem::path& folder) {
  try {
    return std::string(load_tokenizer(folder)->unit());
  } catch (const Error&) {
    return ReportedRun().unit;
  }
}

std::int64_t parameters_of(const Json& settings) {
  try {
    ModelConfig config;
    read_fields(settings.value("model", Json::object()), "train.json", config);
    validate(config);
    return ParameterLayout(config).parameter_count();
  } catch (const Error&) {
    return ReportedRun().parameters;
  }
}

int report(const ReportFlags& flags) {
  if (flags.folders.size() > 1 && flags.out.empty()) {
    throw Error(ErrorKind::kInvalidArgument, "--out FILE.html is missing: where to write the page of {} runs",
                flags.folders.size());
  }
  const std::filesystem::path out = flags.out.empty() ? flags.folders[0] / "report.html" : flags.out;
  std::vector<ReportedRun> runs;
  for (const auto& folder : flags.folders) {
    ReportedRun run;
    run.log = read_run(folder);
    const std::string arch = run.log.setting("model", "arch");
    run.defaults = default_settings(arch == "-" ? ModelConfig().arch : arch);
    run.unit = unit_of(folder);
    run.parameters = parameters_of(run.log.settings);
    runs.push_back(std::move(run));
  }
  refuse_other_file(out, kPageMark, flags.force);
  write_text_atomically(out, run_page(runs));
  fmt::print("{}\n", out.string());
  return 0;
}

}  // namespace

std::function<int()> add_report(Flags& app) {
  app.footer(
      "Writes one HTML file that loads nothing else: learning curves, firing rates of every layer, what the model "
      "wrote on the\n"
      "way, settings, notes. Also of a run that is under way: call it again for a later one. Examples:\n"
      "  spikegpt report my-model\n"
      "  spikegpt report run1 run2 run3 --out runs.html");
  auto flags = std::make_shared<ReportFlags>(app);
  return [flags] { return report(*flags); };
}

}  // namespace spikegpt::cli
