// The help of every command: it fits a terminal, and what is to be copied can be.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "tests/end_to_end/small_runs.h"

namespace spikegpt::test {
namespace {

class HelpTest : public SmallRuns {
 protected:
  std::string help_of(Args command) const {
    command.push_back("--help");
    const ProgramResult result = run(command);
    expect_success(result);
    EXPECT_EQ(result.err, "");
    return result.out;
  }
};

std::size_t characters(const std::string& line) {
  return static_cast<std::size_t>(std::count_if(
      line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// The commands of a help text: what stands below "Subcommands:".
std::vector<std::string> commands_in(const std::string& help) {
  std::vector<std::string> commands;
  std::istringstream lines(help.substr(std::min(help.find("Subcommands:"), help.size())));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.empty()) {
    if (line.starts_with("  ") && line[2] != ' ') commands.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return commands;
}

TEST_F(HelpTest, OfEveryCommandFitsATerminal) {
  std::vector<Args> waiting = {{}};
  std::set<std::string> seen;
  while (!waiting.empty()) {
    const Args command = waiting.back();
    waiting.pop_back();
    const std::string help = help_of(command);
    std::string name;
    for (const std::string& word : command) name += word + " ";
    seen.insert(name);
    for (const std::string& line : lines_of(help)) EXPECT_LE(characters(line), 80u) << name << ": " << line;
    for (const std::string& sub : commands_in(help)) {
      Args below = command;
      below.push_back(sub);
      waiting.push_back(below);
    }
  }
  EXPECT_GE(seen.size(), 19u) << "the walk looked in the wrong place";
  for (const char* name : {"train ", "generate ", "compare ", "bench ", "tokenizer train "}) {
    EXPECT_TRUE(seen.contains(name)) << name;
  }
}

TEST_F(HelpTest, WrappedExplanationsLoseNoWordAndStayInTheirColumn) {
  const std::string help = help_of({"train"});
  std::string flat;
  std::istringstream words(help);
  for (std::string word; words >> word;) flat += word + " ";
  expect_words(
      flat,
      {"--more TEXT ... further data as PATH or PATH:WEIGHT; windows are drawn by weight (--data has 1)",
       "--resume go on with the run in --out as if it had never stopped"});
  bool column_found = false;
  for (const std::string& line : lines_of(help)) {
    const std::size_t margin = std::min(line.find_first_not_of(' '), line.size());
    if (margin > 2 && margin < line.size()) {
      EXPECT_EQ(margin % 32, margin == 6 ? 6u : 0u) << line;  // 6: a command goes on
      column_found = column_found || margin == 32;
    }
  }
  EXPECT_TRUE(column_found);
}

// A command that takes two lines is one when it is copied.
TEST_F(HelpTest, CommandsOfTwoLinesEndWithABackslash) {
  for (const char* command : {"train", "classify", "compare", "generate"}) {
    const auto lines = lines_of(help_of({command}));
    for (std::size_t i = 1; i < lines.size(); ++i) {
      if (!lines[i].starts_with("      ") || lines[i][6] == ' ') continue;
      EXPECT_TRUE(lines[i - 1].ends_with(" \\")) << lines[i];
    }
  }
}

}  // namespace
}  // namespace spikegpt::test
