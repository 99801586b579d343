#include "spikegpt/kernels/spike_scan_tiles.h"

namespace spikegpt {

void primitive_row(const Surrogate& surrogate, const Thresholds& thresholds, const float* moving,
                   const float* z, float* spikes, std::int64_t lanes) noexcept {
  const float inverse_unit = 1.0f / thresholds.unit();
  with_surrogate(surrogate, [&](const auto& formulas) {
    Thresholds own = thresholds;
    for (std::int64_t c = 0; c < lanes; ++c) {
      if (moving != nullptr) own.first = moving[c];
      if (own.has_dead_zone()) {
        const float h = z[c] + own.first;
        spikes[c] = inverse_unit * (own.is_signed || h > 0.0f ? h : 0.0f);
        continue;
      }
      spikes[c] = formulas.primitive(z[c]);
      for (int i = 1; i < own.count(); ++i) {
        const Thresholds::Threshold further = own.at(i);
        spikes[c] += further.slope * formulas.primitive(further.offset + further.slope * z[c]);
      }
    }
  });
}

}  // namespace spikegpt
