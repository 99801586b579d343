// How many operations of which kind, and what one of each costs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace spikegpt {

// Counts. Comparisons count as additions.
struct Operations {
  std::int64_t macs = 0;         // multiply and add
  std::int64_t accumulates = 0;  // additions and subtractions alone
  std::int64_t multiplies = 0;   // alone
  std::int64_t exponentials = 0;
  std::int64_t divisions = 0;  // and roots

  Operations& operator+=(const Operations& other);
  bool operator==(const Operations&) const = default;
};
Operations operator*(std::int64_t times, const Operations& operations);

// Energy of one operation [pJ], and of moving one byte of weights [pJ].
struct PriceTable {
  std::string name;
  std::string source;
  double mac = 0.0;
  double accumulate = 0.0;
  double multiply = 0.0;
  double exponential = 0.0;
  double division = 0.0;
  double byte = 0.0;  // from memory off the chip

  // As ModelConfig::visit.
  template <class Self, class Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("name", self.name, "");
    visitor("source", self.source, "where the figures are from");
    visitor("mac", self.mac, "[pJ]");
    visitor("accumulate", self.accumulate, "[pJ]");
    visitor("multiply", self.multiply, "[pJ]");
    visitor("exponential", self.exponential, "[pJ]");
    visitor("division", self.division, "[pJ]");
    visitor("byte", self.byte, "[pJ]");
  }
};

// "45nm" (the default of the literature), "7nm", "fpga", or a JSON file with the fields of PriceTable, all of them.
// Throws Error: kNotFound, kInvalidArgument, kCorruptFile.
PriceTable load_prices(const std::string& name_or_file);

// [J]
double energy(const Operations& operations, const PriceTable& prices);

}  // namespace spikegpt
