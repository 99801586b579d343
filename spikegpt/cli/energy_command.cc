#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "spikegpt/cli/command.h"
#include "spikegpt/cli/progress.h"
#include "spikegpt/cli/token_ids.h"
#include "spikegpt/core/error.h"
#include "spikegpt/core/json_fields.h"
#include "spikegpt/energy/accounting.h"
#include "spikegpt/energy/elementwise.h"
#include "spikegpt/energy/quantised.h"
#include "spikegpt/model/model_files.h"

namespace spikegpt::cli {
namespace {

constexpr std::int64_t kContexts[] = {128, 1024, 8192, 32768};

struct EnergyFlags {
  explicit EnergyFlags(Flags& app) {
    app.add("model", folder, "folder of the model").required();
    app.add("--data", data, "text to run it on").required();
    app.add("--max-tokens", max_tokens, "only the first of the text; 0 = all")
        .show_default()
        .between(std::int64_t{0}, std::int64_t{1} << 50);
    app.add("--table", table, "prices: 45nm, 7nm, fpga, or a JSON file (docs/energy.md)").show_default();
    app.add_switch("--layers", layers, "also every layer and place where neurons fire");
    app.add_switch("--json", json, "print one JSON object");
  }

  std::filesystem::path folder;
  std::filesystem::path data;
  std::int64_t max_tokens = 20000;
  std::string table = "45nm";
  bool layers = false;
  bool json = false;
};

struct Row {
  const char* key;
  const char* title;
  Accounting accounting;
};
constexpr Row kRows[] = {
    {"twin", "(a) non-spiking twin", Accounting::kTwin},
    {"paper", "(b) the paper's way", Accounting::kPaper},
    {"needed", "(c) what it needs", Accounting::kNeeded},
};

// The counters of all processor packages [J], where the kernel lets us read them.
std::optional<double> measured_joules() {
  double joules = 0.0;
  bool any = false;
  for (int package = 0; package < 64; ++package) {
    std::ifstream file(fmt::format("/sys/class/powercap/intel-rapl:{}/energy_uj", package));
    double microjoules = 0.0;
    if (!(file >> microjoules)) break;
    joules += 1e-6 * microjoules;
    any = true;
  }
  return any ? std::optional(joules) : std::nullopt;
}

std::string joules(double value) {
  if (value >= 1e-3) return fmt::format("{:.3g} mJ", 1e3 * value);
  if (value >= 1e-6) return fmt::format("{:.3g} uJ", 1e6 * value);
  return fmt::format("{:.3g} nJ", 1e9 * value);
}

Json to_json(const Operations& o, const PriceTable& prices, double tokens) {
  Json json;
  json["macs"] = static_cast<double>(o.macs) / tokens;
  json["accumulates"] = static_cast<double>(o.accumulates) / tokens;
  json["multiplies"] = static_cast<double>(o.multiplies) / tokens;
  json["exponentials"] = static_cast<double>(o.exponentials) / tokens;
  json["divisions"] = static_cast<double>(o.divisions) / tokens;
  json["joules"] = energy(o, prices) / tokens;
  return json;
}

Json to_json(const Cost& cost, const PriceTable& prices, double tokens) {
  Json json;
  json["products"] = to_json(cost.products, prices, tokens);
  json["elementwise"] = to_json(cost.elementwise, prices, tokens);
  json["weight_bytes_f32"] = 4.0 * static_cast<double>(cost.weights) / tokens;
  json["weight_traffic_joules"] = weight_traffic(cost, prices) / tokens;
  return json;
}

// A run over a text and what it was priced with.
struct Measurement {
  EnergyAccount account;
  PriceTable prices;
  std::string unit;
  double characters = 0.0;  // Unicode characters of the text per token
  std::optional<double> joules_per_token;
  std::int64_t footprint = 0;  // bytes of the parameters

  double tokens() const { return static_cast<double>(account.tokens()); }
};

double transformer_joules(const Measurement& m, std::int64_t context) {
  return energy({.macs = transformer_macs(m.account.config(), context)}, m.prices);
}

// What the GPT-NeoX vocabulary of the public checkpoints makes of the head.
constexpr std::int64_t kLargeVocabulary = 50277;

std::vector<std::int64_t> vocabularies(const Measurement& m) {
  std::vector<std::int64_t> sizes = {m.account.config().vocab_size};
  if (sizes[0] != kLargeVocabulary) sizes.push_back(kLargeVocabulary);
  return sizes;
}

// Integer prices are known for 45 nm only.
bool prices_integers(const Measurement& m) { return m.prices.name == "45nm"; }

Json to_json(const QuantisedEnergy& energy) {
  return {{"computing_joules", energy.computing},
          {"with_state_joules", energy.with_local()},
          {"with_weights_from_sram_joules", energy.with_sram()},
          {"with_weights_from_dram_joules", energy.with_dram()}};
}

Json to_json(const Measurement& m) {
  const ModelConfig& config = m.account.config();
  Json json;
  json["unit"] = m.unit;
  json["tokens"] = m.account.tokens();
  json["characters_per_token"] = m.characters;
  json["prices"] = fields_to_json(m.prices);
  json["firing_rate"] = m.account.firing_rate();
  for (const Row& row : kRows)
    json["per_token"][row.key] = to_json(m.account.total(row.accounting), m.prices, m.tokens());
  for (const std::int64_t context : kContexts) {
    json["transformer_joules"][std::to_string(context)] = transformer_joules(m, context);
  }
  for (const std::int64_t vocabulary : vocabularies(m)) {
    if (!prices_integers(m)) break;
    Json& entry = json["int8_per_token"][std::to_string(vocabulary)];
    entry["twin"] = to_json(quantised_energy(m.account, Accounting::kTwin, m.prices, vocabulary));
    entry["needed"] = to_json(quantised_energy(m.account, Accounting::kNeeded, m.prices, vocabulary));
  }
  const NeuroBenchFigures neurobench = m.account.neurobench();
  json["neurobench"] = {{"footprint_bytes", m.footprint},
                        {"connection_sparsity", 0.0},
                        {"activation_sparsity", neurobench.activation_sparsity},
                        {"dense", static_cast<double>(neurobench.dense) / m.tokens()},
                        {"effective_macs", static_cast<double>(neurobench.effective_macs) / m.tokens()},
                        {"effective_acs", static_cast<double>(neurobench.effective_accumulates) / m.tokens()},
                        {"membrane_updates", static_cast<double>(neurobench.membrane_updates) / m.tokens()}};
  const auto& sites = m.account.sites();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    json["sites"].push_back({{"name", sites[i].name}, {"firing_rate", m.account.firing_rate(static_cast<int>(i))}});
  }
  for (int layer = 0; layer <= config.n_layer; ++layer) {
    Json entry;
    for (const Row& row : kRows) entry[row.key] = to_json(m.account.layer(row.accounting, layer), m.prices, m.tokens());
    json["layers"].push_back(std::move(entry));
  }
  json["state_bytes"] = 4 * m.account.state_floats();
  json["measured_joules_per_token"] = m.joules_per_token ? Json(*m.joules_per_token) : Json(nullptr);
  return json;
}

void print_layers(const Measurement& m) {
  const auto& sites = m.account.sites();
  fmt::print("\n{:<26} {:>9}\n", "neurons", "firing");
  for (std::size_t i = 0; i < sites.size(); ++i) {
    fmt::print("{:<26} {:>7.2f} %\n", sites[i].name, 100.0 * m.account.firing_rate(static_cast<int>(i)));
  }
  fmt::print("\n{:<10} {:>12} {:>12} {:>12}\n", "layer", "(a)", "(b)", "(c)");
  for (int layer = 0; layer <= m.account.config().n_layer; ++layer) {
    fmt::print("{:<10}", layer < m.account.config().n_layer ? std::to_string(layer) : "head");
    for (const Row& row : kRows) {
      fmt::print(" {:>12}", joules(energy(m.account.layer(row.accounting, layer), m.prices) / m.tokens()));
    }
    fmt::print("\n");
  }
}

void print_table(const Measurement& m) {
  const ModelConfig& config = m.account.config();
  fmt::print("{} {} x {}, {} {}s, firing rate {:.1f} %; prices: {}\n  ({})\n\n", config.arch, config.n_layer,
             config.n_embd, m.account.tokens(), m.unit, 100.0 * m.account.firing_rate(), m.prices.name,
             m.prices.source);
  fmt::print("{:<22} {:>9} {:>11} {:>11} {:>11} {:>11} {:>8} {:>12}\n", "per " + m.unit, "MAC", "accumulate",
             "products", "beside", "together", "(a)/", "weights f32");
  double twin = 0.0;
  for (const Row& row : kRows) {
    const Cost cost = m.account.total(row.accounting);
    const double products = energy(cost.products, m.prices) / m.tokens();
    const double beside = energy(cost.elementwise, m.prices) / m.tokens();
    if (row.accounting == Accounting::kTwin) twin = products + beside;
    fmt::print("{:<22} {:>9} {:>11} {:>11} {:>11} {:>11} {:>8.2f} {:>9.2f} MB\n", row.title,
               quantity(static_cast<double>(cost.products.macs) / m.tokens()),
               quantity(static_cast<double>(cost.products.accumulates) / m.tokens()), joules(products),
               row.accounting == Accounting::kPaper ? "left out" : joules(beside), joules(products + beside),
               twin / (products + beside), 4e-6 * static_cast<double>(cost.weights) / m.tokens());
  }
  fmt::print("\nmoving those weights from memory off the chip would add");
  for (const Row& row : kRows) {
    fmt::print(" {} ({})", joules(weight_traffic(m.account.total(row.accounting), m.prices) / m.tokens()), row.key);
  }
  fmt::print("; the state is {:.1f} KB\n", 4e-3 * static_cast<double>(m.account.state_floats()));
  if (m.unit != "character") {
    fmt::print("per character (c) is {}: {:.2f} characters a {}\n",
               joules(energy(m.account.total(Accounting::kNeeded), m.prices) / m.tokens() / m.characters), m.characters,
               m.unit);
  }
  fmt::print("a Transformer of that size, products only:");
  for (const std::int64_t context : kContexts) {
    fmt::print(" {} behind {}", joules(transformer_joules(m, context)), context);
    fmt::print("{}", context == kContexts[std::size(kContexts) - 1] ? "\n" : ",");
  }
  if (m.joules_per_token) {
    fmt::print("measured on this processor (RAPL, dense float32, all that runs on it): {} per {}\n",
               joules(*m.joules_per_token), m.unit);
  } else {
    fmt::print("measured: this machine shows no RAPL counters (/sys/class/powercap)\n");
  }
}

// Against a twin of as few bits.
void print_quantised(const Measurement& m) {
  fmt::print("\nwith weights and activations of 8 bits, products in integers\n");
  fmt::print("{:<22} {:>12} {:>12} {:>14} {:>12}\n", "per " + m.unit, "computing", "and state", "weights, SRAM",
             "or DRAM");
  for (const std::int64_t vocabulary : vocabularies(m)) {
    const auto print = [&](const std::string& name, const QuantisedEnergy& e, const auto& show) {
      fmt::print("{:<22} {:>12} {:>12} {:>14} {:>12}\n", name, show(e.computing, 0), show(e.with_local(), 1),
                 show(e.with_sram(), 2), show(e.with_dram(), 3));
    };
    const QuantisedEnergy twin = quantised_energy(m.account, Accounting::kTwin, m.prices, vocabulary);
    const QuantisedEnergy needed = quantised_energy(m.account, Accounting::kNeeded, m.prices, vocabulary);
    const double of_twin[] = {twin.computing, twin.with_local(), twin.with_sram(), twin.with_dram()};
    const auto as_joules = [](double value, int) { return joules(value); };
    print(fmt::format("(a), V = {}", vocabulary), twin, as_joules);
    print(fmt::format("(c), V = {}", vocabulary), needed, as_joules);
    print("times less", needed, [&](double value, int i) { return fmt::format("{:.2f}", of_twin[i] / value); });
  }
}

void print_neurobench(const Measurement& m) {
  const NeuroBenchFigures f = m.account.neurobench();
  const auto per_token = [&](std::int64_t count) { return quantity(static_cast<double>(count) / m.tokens()); };
  fmt::print("\nby NeuroBench's definitions (sizes other than 1 are multiplied), per {}:\n", m.unit);
  fmt::print("footprint {} bytes, connection sparsity 0, activation sparsity {:.3f}\n",
             quantity(static_cast<double>(m.footprint)), f.activation_sparsity);
  fmt::print("synaptic operations: dense {}, effective MACs {}, effective ACs {};\nmembrane updates {}\n",
             per_token(f.dense), per_token(f.effective_macs), per_token(f.effective_accumulates),
             per_token(f.membrane_updates));
}

double characters_per_token(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
  std::int64_t characters = 0;
  for (const TokenId token : tokens) {
    for (const char c : tokenizer.token_bytes(token)) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }
  return static_cast<double>(characters) / static_cast<double>(tokens.size());
}

int run(const EnergyFlags& flags) {
  PriceTable prices = load_prices(flags.table);
  const StoredModel model = load_model(flags.folder);
  const auto tokenizer = load_tokenizer(flags.folder, model.config.vocab_size);
  const std::vector<TokenId> tokens = read_first_tokens(flags.data, *tokenizer, flags.max_tokens);
  const std::int64_t size = std::ssize(tokens);
  install_stop_handler();
  StatusLine status;
  const auto before = measured_joules();
  EnergyAccount account(model.config, model.parameters.data(), tokens, [&](std::int64_t done) {
    if (stop_requested()) throw Error(ErrorKind::kCancelled, "interrupted");
    status.update(
        fmt::format("{} {} of {} tokens", bar(static_cast<double>(done) / static_cast<double>(size), 20), done, size));
  });
  const auto after = measured_joules();
  status.clear();
  std::optional<double> measured;
  if (before && after && *after > *before) measured = (*after - *before) / static_cast<double>(size);
  const Measurement m = {std::move(account),
                         std::move(prices),
                         std::string(tokenizer->unit()),
                         characters_per_token(*tokenizer, tokens),
                         measured,
                         4 * ParameterLayout(model.config).parameter_count()};
  if (flags.json) {
    fmt::print("{}\n", json_text(to_json(m), 2));
    return 0;
  }
  print_table(m);
  if (prices_integers(m)) print_quantised(m);
  print_neurobench(m);
  if (flags.layers) print_layers(m);
  return 0;
}

}  // namespace

std::function<int()> add_energy(Flags& app) {
  app.footer(
      "Runs the model and counts. Three accounts, never one alone: (a) the non-spiking twin, every product in\n"
      "multiply-accumulates; (b) the paper's, rate times accumulates as if every input were spikes; (c) what\n"
      "this network needs. docs/energy.md explains each. Example:\n"
      "  spikegpt energy my-model --data test.txt --layers");
  auto flags = std::make_shared<EnergyFlags>(app);
  auto set_threads = add_threads_flag(app);
  return [flags, set_threads] {
    set_threads(0);
    return run(*flags);
  };
}

}  // namespace spikegpt::cli
