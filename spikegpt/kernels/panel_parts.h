// How the work of products with packed weights is cut into tasks.
#pragma once

#include <cstdint>
#include <span>

#include "spikegpt/kernels/packed_product.h"

namespace spikegpt {

// The panels of all products, one behind the other, whole or in halves where they are few.
class PanelParts {
 public:
  explicit PanelParts(std::span<const PackedProduct> products) : products_(products) {
    for (const PackedProduct& product : products) panels_ += product.matrix->panels();
    parts_per_panel_ = panels_ < kFewPanels ? 2 : 1;
  }
  std::int64_t count() const { return panels_ * parts_per_panel_; }

  struct Part {
    const PackedProduct& product;
    std::size_t index;  // of the product
    PanelPart place;
  };
  Part at(std::int64_t part) const {
    std::int64_t panel = part / parts_per_panel_;
    std::size_t i = 0;
    while (panel >= products_[i].matrix->panels()) panel -= products_[i++].matrix->panels();
    const std::int64_t width = kPanelWidth / parts_per_panel_;
    const std::int64_t begin = part % parts_per_panel_ * width;
    return {products_[i], i, {panel, begin, begin + width}};
  }

 private:
  static constexpr std::int64_t kFewPanels = 6;

  std::span<const PackedProduct> products_;
  std::int64_t panels_ = 0;
  std::int64_t parts_per_panel_ = 1;
};

}  // namespace spikegpt
