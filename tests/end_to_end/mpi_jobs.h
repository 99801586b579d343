// Runs of several processes that mpirun starts, on this machine.
#pragma once

#include <chrono>
#include <cstdlib>
#include <thread>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {

// Skips its tests where there is no mpirun.
class MpiJobs : public SmallRuns {
 protected:
  void SetUp() override {
    // For tests run as root, and with fewer processors than ranks.
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
    setenv("OMPI_MCA_btl", "self,vader", 1);
    if (run_program({"--version"}, mpirun()).status != 0) GTEST_SKIP() << "no mpirun";
  }

  ProgramOptions mpirun() const {
    ProgramOptions options = here();
    options.program = "mpirun";
    return options;
  }
  static Args on(int ranks, const Args& args) {
    Args words = {"-n", std::to_string(ranks), program_file()};
    words.insert(words.end(), args.begin(), args.end());
    return words;
  }
  ProgramResult run_on(int ranks, const Args& args) const { return run_program(on(ranks, args), mpirun()); }

  // To a rank of the job that runs in this test's folder.
  void send(int rank, int signal) const {
    const pid_t process = process_of(rank);
    ASSERT_GT(process, 0) << "no rank " << rank;
    kill(process, signal);
  }
  // Once the run has saved a checkpoint; false when it ended before.
  bool wait_for_checkpoint(const std::string& out, RunningProgram& job) const {
    const auto folder = at(out) / "checkpoints";
    while (!job.has_ended()) {
      std::error_code none;
      for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
        if (entry.path().extension() == ".safetensors") return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  // The loss of every step; the last one where a step was done twice.
  std::map<std::int64_t, double> losses(const std::string& out) const {
    std::map<std::int64_t, double> all;
    for (const Json& line : metrics(out)) {
      if (line.contains("loss")) all[line.at("step").get<std::int64_t>()] = line.at("loss").get<double>();
    }
    return all;
  }
  void expect_same_losses(const std::string& one, const std::string& many) const {
    const auto expected = losses(one);
    const auto found = losses(many);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [step, loss] : expected) EXPECT_NEAR(found.at(step), loss, 1e-5) << many << ", step " << step;
  }

 private:
  pid_t process_of(int rank) const {
    const std::string mark = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
    const auto place = std::filesystem::canonical(folder());
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path() / "cwd", gone) != place) continue;
      const std::string environment = read_file(entry.path() / "environ");
      if (environment.find(mark + '\0') == std::string::npos) continue;
      return static_cast<pid_t>(std::stol(entry.path().filename().string()));
    }
    return 0;
  }
};

}  // namespace spikegpt::test
