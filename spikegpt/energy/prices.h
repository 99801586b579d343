// What an operation costs.
#pragma once

#include <filesystem>
#include <string>

#include "spikegpt/core/operations.h"

namespace spikegpt {

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
