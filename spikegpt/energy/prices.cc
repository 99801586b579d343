#include "spikegpt/energy/prices.h"

#include <array>

#include "spikegpt/core/bounded_json.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/files.h"
#include "spikegpt/core/json_fields.h"

namespace spikegpt {
namespace {

// An exponential is priced as the eight multiply-accumulates of a polynomial, a division as four multiplications (a
// seed and two Newton steps): our assumption, in all tables.
PriceTable table(const char* name, const char* source, double add, double multiply, double mac, double byte) {
  return {name, source, mac, add, multiply, 8.0 * mac, 4.0 * multiply, byte};
}

std::array<PriceTable, 3> tables() {
  return {table("45nm",
                "float32 at 45 nm: 4.6 pJ and 0.9 pJ as the SNN literature uses them, memory 1.3 nJ for 64 bits (M. "
                "Horowitz, ISSCC 2014)",
                0.9, 3.7, 4.6, 1300.0 / 8.0),
          table("7nm",
                "float32 at 7 nm, memory 1.3 nJ for 64 bits of DDR (N. Jouppi et al., Ten Lessons From Three "
                "Generations, ISCA 2021)",
                0.38, 1.31, 1.69, 1300.0 / 8.0),
          // Up to 135 Gop/s a watt, a multiply-accumulate counted as two: an addition costs what a multiplication does.
          table("fpga",
                "8 bits, fixed point, a whole accelerator on a Zynq XC7Z045 of 28 nm (F. Spagnolo et al., JLPEA "
                "10(1):1, 2020), memory as 45nm",
                1000.0 / 135.0, 1000.0 / 135.0, 2000.0 / 135.0, 1300.0 / 8.0)};
}

PriceTable read_table(const std::filesystem::path& path) {
  const Json json = read_json_file(path);
  if (!json.is_object()) {
    throw Error(ErrorKind::kCorruptFile, "{}: expected a JSON object with prices in pJ", path.string());
  }
  PriceTable prices;
  read_fields(json, path.string(), prices);
  PriceTable::visit(prices, [&](const char* key, const auto& value, const char*) {
    if (!json.contains(key)) throw Error(ErrorKind::kCorruptFile, "{}: \"{}\" is missing", path.string(), key);
    if constexpr (std::is_same_v<decltype(value), const double&>)
      check_setting(value >= 0.0, key, value, "0 or more [pJ]");
  });
  return prices;
}

}  // namespace

PriceTable load_prices(const std::string& name_or_file) {
  std::string names;
  for (PriceTable& prices : tables()) {
    if (prices.name == name_or_file) return std::move(prices);
    names += prices.name + ", ";
  }
  if (std::filesystem::exists(name_or_file)) return read_table(name_or_file);
  throw Error(ErrorKind::kNotFound, "no table of prices \"{}\": expected {}or a JSON file", name_or_file, names);
}

double energy(const Operations& o, const PriceTable& prices) {
  return 1e-12 * (static_cast<double>(o.macs) * prices.mac + static_cast<double>(o.accumulates) * prices.accumulate +
                  static_cast<double>(o.multiplies) * prices.multiply +
                  static_cast<double>(o.exponentials) * prices.exponential +
                  static_cast<double>(o.divisions) * prices.division);
}

}  // namespace spikegpt
