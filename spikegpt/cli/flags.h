// The flags of a command. CLI11 reads them; only flags.cc and main.cc include it, as it takes seconds to compile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace spikegpt::cli {

// One flag, to say more about it: flags.add("--steps", steps, "how many").show_default().between(1, 100).
class Flag {
 public:
  Flag() = default;
  explicit Flag(CLI::Option* option) : option_(option) {}

  Flag& required();
  Flag& show_default();  // in the help
  template <class Number>
  Flag& between(Number least, Number most) {
    if constexpr (std::is_floating_point_v<Number>) {
      return between_numbers(least, most);
    } else {
      return between_integers(static_cast<std::int64_t>(least), static_cast<std::int64_t>(most));
    }
  }
  Flag& one_of(const std::vector<std::string>& words);
  Flag& separated_by(char delimiter);                      // several values in one word
  Flag& optional_value(const std::string& without_value);  // what the flag means when no value follows
  Flag& group(const std::string& title);
  // Whether it was given.
  bool given() const;

 private:
  Flag& between_integers(std::int64_t least, std::int64_t most);
  Flag& between_numbers(double least, double most);

  CLI::Option* option_ = nullptr;
};

// `name` is "--flag", or "word" for a value without a flag. Numbers are read strictly: whole, in range, finite.
// The variables must live as long as the command.
class Flags {
 public:
  explicit Flags(CLI::App& app) : app_(&app) {}

  Flag add(const std::string& name, std::string& value, const std::string& help);
  Flag add(const std::string& name, std::filesystem::path& value, const std::string& help);
  Flag add(const std::string& name, int& value, const std::string& help);
  Flag add(const std::string& name, std::int64_t& value, const std::string& help);
  Flag add(const std::string& name, std::uint64_t& value, const std::string& help);
  Flag add(const std::string& name, double& value, const std::string& help);
  Flag add_limit(const std::string& name, double& value, const std::string& help);  // inf is another word for 0: none
  Flag add(const std::string& name, std::optional<double>& value, const std::string& help);  // a number or none
  Flag add(const std::string& name, bool& value, const std::string& help);                   // true or false
  Flag add(const std::string& name, std::vector<std::string>& value, const std::string& help);
  Flag add(const std::string& name, std::vector<std::filesystem::path>& value, const std::string& help);
  Flag add(const std::string& name, std::vector<int>& value, const std::string& help);
  Flag add(const std::string& name, std::vector<std::uint64_t>& value, const std::string& help);
  // Becomes true when given; takes no value.
  Flag add_switch(const std::string& name, bool& value, const std::string& help);

  // Shown below the flags.
  void footer(const std::string& text);
  // Flags of which at least one must be given.
  Flags group_with_one_of(const std::string& title, const std::string& about);
  // A command below this one, of which one must be given.
  Flags subcommand(const std::string& name, const std::string& about);

 private:
  CLI::App* app_;
};

}  // namespace spikegpt::cli
