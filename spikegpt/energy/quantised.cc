#include "spikegpt/energy/quantised.h"

#include "spikegpt/core/error.h"

namespace spikegpt {
namespace {

constexpr double kEventBytes = 3.0;
constexpr double kSumBytes = 4.0;
constexpr double kStateBytes = 4.0;

}  // namespace

QuantisedEnergy quantised_energy(const EnergyAccount& account, Accounting accounting, const PriceTable& floats,
                                 std::int64_t vocabulary, const QuantisedPrices& prices) {
  ensure(accounting != Accounting::kPaper, "the paper counts no such thing");
  const auto tokens = static_cast<double>(account.tokens());
  const ModelConfig& config = account.config();
  QuantisedEnergy sum;
  double moved = 2.0 * kStateBytes * static_cast<double>(account.state_floats(accounting));
  for (const Product& product : account.products()) {
    const bool is_head = product.layer == config.n_layer;
    const double share = is_head ? static_cast<double>(vocabulary) / config.vocab_size : 1.0;
    const Cost cost = account.cost(accounting, product);
    const auto macs = share * static_cast<double>(cost.products.macs) / tokens;
    const auto accumulates = share * static_cast<double>(cost.products.accumulates) / tokens;
    const auto weights = share * static_cast<double>(cost.weights) / tokens;
    sum.computing += macs * (prices.multiply + prices.add) + accumulates * prices.add;
    sum.weights_from_sram += weights * prices.large_sram;
    sum.weights_from_dram += weights * prices.dram;
    const double active = account.active_inputs(accounting, product) / tokens;
    const bool lists = active < static_cast<double>(product.inputs);
    moved += lists ? kEventBytes * active : static_cast<double>(product.inputs);
    moved += share * kSumBytes * static_cast<double>(product.outputs);
  }
  sum.local = moved * prices.small_sram;
  for (double* picojoules : {&sum.computing, &sum.local, &sum.weights_from_sram, &sum.weights_from_dram}) {
    *picojoules *= 1e-12;
  }
  sum.computing += energy(account.total(accounting).elementwise, floats) / tokens;
  return sum;
}

}  // namespace spikegpt
