#include "spikegpt/model/activity.h"

namespace spikegpt {

Activity::Activity(const ModelConfig& config) {
  NetworkForm form = network_form(config);
  for (const Product& product : form.products) {
    if (product.layer < config.n_layer) dense_ += static_cast<double>(product.inputs * product.outputs);
  }
  for (SpikeSite& site : form.sites) {
    neurons_ += site.neurons;
    if (site.layer == config.n_layer) site.fan_out = 0;  // the head's is no block's
  }
  sites_ = std::move(form.sites);
  counts_.resize(sites_.size());
}

Densities Activity::of_one_event(std::size_t site) const {
  const double share = dense_ > 0.0 ? static_cast<double>(sites_[site].fan_out) / dense_ : 0.0;
  return {1.0 / static_cast<double>(neurons_), share, share};
}

Densities Activity::densities(std::size_t site, std::int64_t tokens) const {
  if (tokens == 0) return {};
  const Densities one = of_one_event(site);
  const double events = static_cast<double>(counts_[site].events) / static_cast<double>(tokens);
  const double active = static_cast<double>(counts_[site].active) / static_cast<double>(tokens);
  return {events / static_cast<double>(sites_[site].neurons), events * one.synops, active * one.active_rows};
}

Densities Activity::densities(std::int64_t tokens) const {
  Densities sum;
  std::int64_t events = 0;
  for (std::size_t site = 0; site < counts_.size(); ++site) {
    const Densities own = densities(site, tokens);
    sum.synops += own.synops;
    sum.active_rows += own.active_rows;
    events += counts_[site].events;
  }
  if (neurons_ > 0 && tokens > 0) {
    sum.firing_rate = static_cast<double>(events) / (static_cast<double>(neurons_) * static_cast<double>(tokens));
  }
  return sum;
}

std::vector<Densities> Activity::by_site(std::int64_t tokens) const {
  std::vector<Densities> all;
  for (std::size_t site = 0; site < counts_.size(); ++site) all.push_back(densities(site, tokens));
  return all;
}

}  // namespace spikegpt
