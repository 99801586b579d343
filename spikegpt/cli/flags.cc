#include "spikegpt/cli/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <limits>

namespace spikegpt::cli {
namespace {

// The parser's own conversion would take -1 for a large seed, cut what is too large, and take nan.
template <class Number>
std::string read_number(const std::string& word, Number& value) {
  constexpr bool kWhole = std::is_integral_v<Number>;
  using Limits = std::numeric_limits<Number>;
  Number read{};
  const char* const end = word.data() + word.size();
  const auto [stop, failure] = std::from_chars(word.data(), end, read);
  bool good = failure == std::errc() && stop == end;
  if constexpr (!kWhole) good = good && std::isfinite(read);
  if (good) {
    value = read;
    return "";
  }
  if (kWhole) {
    return fmt::format("expected a whole number from {} to {}, found \"{}\"", Limits::min(), Limits::max(), word);
  }
  const bool number = failure == std::errc() && stop == end;
  return fmt::format("expected a {}number, found \"{}\"", number ? "finite " : "", word);
}

// `read` puts a word into the variable and returns what is wrong with it, or "".
template <class Read>
CLI::Option* add_read(CLI::App& app, const std::string& name, const std::string& help, const char* type,
                      const std::function<std::string()>& shown, const Read& read) {
  const auto take = [name, read](const CLI::results_t& words) {
    for (const std::string& word : words) {
      const std::string fault = read(word);
      if (!fault.empty()) throw CLI::ValidationError(name, fault);
    }
    return true;
  };
  CLI::Option* const option = app.add_option(name, take, help);
  option->type_name(type);
  option->default_function(shown);
  return option;
}

template <class Number>
Flag add_number(CLI::App& app, const std::string& name, Number& value, const std::string& help) {
  return Flag(add_read(
      app, name, help, std::is_integral_v<Number> ? "INT" : "NUMBER", [&value] { return fmt::format("{}", value); },
      [&value](const std::string& word) { return read_number(word, value); }));
}

template <class Number>
Flag add_numbers(CLI::App& app, const std::string& name, std::vector<Number>& values, const std::string& help) {
  CLI::Option* const option = app.add_option(
      name,
      [name, &values](const CLI::results_t& words) {
        values.clear();
        for (const std::string& word : words) {
          const std::string fault = read_number(word, values.emplace_back());
          if (!fault.empty()) throw CLI::ValidationError(name, fault);
        }
        return true;
      },
      help);
  option->type_name("INT")->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
  option->default_function([&values] { return fmt::format("{}", fmt::join(values, ",")); });
  return Flag(option);
}

}  // namespace

Flag& Flag::required() {
  option_->required();
  return *this;
}
Flag& Flag::show_default() {
  option_->capture_default_str();
  return *this;
}
Flag& Flag::between_integers(std::int64_t least, std::int64_t most) {
  option_->check([least, most](const std::string& word) -> std::string {
    std::int64_t value = 0;
    if (read_number(word, value).empty() && value >= least && value <= most) return "";
    return fmt::format("expected a whole number from {} to {}, found \"{}\"", least, most, word);
  });
  return *this;
}
Flag& Flag::between_numbers(double least, double most) {
  option_->check([least, most](const std::string& word) -> std::string {
    double value = 0.0;
    if (read_number(word, value).empty() && value >= least && value <= most) return "";
    return fmt::format("expected a number from {} to {}, found \"{}\"", least, most, word);
  });
  return *this;
}
Flag& Flag::one_of(const std::vector<std::string>& words) {
  option_->check(CLI::IsMember(words));
  return *this;
}
Flag& Flag::separated_by(char delimiter) {
  option_->delimiter(delimiter);
  return *this;
}
Flag& Flag::optional_value(const std::string& without_value) {
  option_->expected(0, 1)->default_str(without_value);
  return *this;
}
Flag& Flag::group(const std::string& title) {
  option_->group(title);
  return *this;
}
bool Flag::given() const { return option_->count() > 0; }

Flag Flags::add(const std::string& name, std::string& value, const std::string& help) {
  return Flag(app_->add_option(name, value, help));
}
Flag Flags::add(const std::string& name, std::filesystem::path& value, const std::string& help) {
  return Flag(app_->add_option(name, value, help));
}
Flag Flags::add(const std::string& name, int& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}
Flag Flags::add(const std::string& name, std::int64_t& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}
Flag Flags::add(const std::string& name, std::uint64_t& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}
Flag Flags::add(const std::string& name, double& value, const std::string& help) {
  return add_number(*app_, name, value, help);
}
Flag Flags::add_limit(const std::string& name, double& value, const std::string& help) {
  return Flag(add_read(
      *app_, name, help, "NUMBER", [&value] { return fmt::format("{}", value); },
      [&value](const std::string& word) { return read_number(word == "inf" ? "0" : word, value); }));
}
Flag Flags::add(const std::string& name, std::optional<double>& value, const std::string& help) {
  return Flag(add_read(
      *app_, name, help, "NUMBER|none", [&value] { return value ? fmt::format("{}", *value) : "none"; },
      [&value](const std::string& word) -> std::string {
        value.reset();
        if (word == "none") return "";
        if (read_number(word, value.emplace()).empty()) return "";
        return fmt::format("expected a number or none, found \"{}\"", word);
      }));
}
Flag Flags::add(const std::string& name, bool& value, const std::string& help) {
  return Flag(app_->add_option(name, value, help)->type_name("true|false"));
}
Flag Flags::add(const std::string& name, std::vector<std::string>& value, const std::string& help) {
  return Flag(app_->add_option(name, value, help));
}
Flag Flags::add(const std::string& name, std::vector<std::filesystem::path>& value, const std::string& help) {
  return Flag(app_->add_option(name, value, help));
}
Flag Flags::add(const std::string& name, std::vector<int>& value, const std::string& help) {
  return add_numbers(*app_, name, value, help);
}
Flag Flags::add(const std::string& name, std::vector<std::uint64_t>& value, const std::string& help) {
  return add_numbers(*app_, name, value, help);
}
Flag Flags::add_switch(const std::string& name, bool& value, const std::string& help) {
  return Flag(app_->add_flag(name, value, help));
}

void Flags::footer(const std::string& text) { app_->footer(text); }
Flags Flags::group_with_one_of(const std::string& title, const std::string& about) {
  CLI::App* const group = app_->add_option_group(title, about);
  group->require_option(1, 0);
  return Flags(*group);
}
Flags Flags::subcommand(const std::string& name, const std::string& about) {
  app_->require_subcommand(1);
  return Flags(*app_->add_subcommand(name, about));
}

}  // namespace spikegpt::cli
