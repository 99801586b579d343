#include "spikegpt/kernels/packed_product.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/packed_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "spikegpt/core/inline.h"
#include "spikegpt/kernels/packed_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The next group of inputs in a list: entries [begin, end) lie in `group`.
struct Group {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t group = 0;
};
template <class W>
SPIKEGPT_INLINE Group next_group(const std::int32_t* index, std::int64_t count, std::int64_t begin) {
  if constexpr (W::kGroup == 0) return {begin, count, 0};
  const std::int64_t group = index[begin] / W::kGroup;
  std::int64_t end = begin + 1;
  while (end < count && index[end] < (group + 1) * W::kGroup) ++end;
  return {begin, end, group};
}

// Rows fetched before they are needed, from a list and one after the other.
constexpr std::int64_t kAhead = 12;
constexpr std::int64_t kAheadDense = 16;

template <class W>
SPIKEGPT_INLINE void prefetch_row(const Panel& panel, std::int64_t input) {
  const std::uint8_t* row = panel.rows + input * panel.stride;
  const std::int64_t end = panel.end * W::kRowBytes / kPanelWidth;
  for (std::int64_t byte = panel.begin * W::kRowBytes / kPanelWidth; byte < end; byte += 64) hwy::Prefetch(row + byte);
}

// y [kPanelWidth], between the panel's begin and end: the sum of the active rows, times their coefficients if graded.
template <class W, bool kGraded>
SPIKEGPT_INLINE void gather_float(const Panel& panel, const ActiveInputs& active, float* HWY_RESTRICT y) {
  constexpr std::int64_t kVectors = 8;  // outputs at a time
  const Float df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const std::int32_t* HWY_RESTRICT index = active.index();
  const float* HWY_RESTRICT coefficient = active.coefficient();
  const std::int64_t count = active.count();
  for (std::int64_t j = panel.begin; j < panel.end; j += kVectors * lanes) {
    FloatVector total[kVectors];
    for (auto& v : total) v = hn::Zero(df);
    for (std::int64_t next = 0; next < count;) {
      const Group group = next_group<W>(index, count, next);
      FloatVector sum[kVectors];
      for (auto& v : sum) v = hn::Zero(df);
      for (std::int64_t n = group.begin; n < group.end; ++n) {
        if (j == panel.begin && n + kAhead < count) prefetch_row<W>(panel, index[n + kAhead]);
        const std::uint8_t* row = panel.rows + index[n] * panel.stride;
        const auto x = kGraded ? hn::Set(df, coefficient[n]) : hn::Zero(df);
        for (std::int64_t v = 0; v < kVectors; ++v) {
          const FloatVector weight = W::as_float(row, j + v * lanes);
          sum[v] = kGraded ? hn::MulAdd(weight, x, sum[v]) : hn::Add(sum[v], weight);
        }
      }
      for (std::int64_t v = 0; v < kVectors; ++v) {
        total[v] = W::finish(total[v], sum[v], panel.scales, group.group, j + v * lanes);
      }
      next = group.end;
    }
    for (std::int64_t v = 0; v < kVectors; ++v) hn::StoreU(total[v], df, y + j + v * lanes);
  }
}

// Adds 16-bit sums to the 32-bit ones of the same outputs.
SPIKEGPT_INLINE void widen(ShortVector sum, std::int32_t* HWY_RESTRICT out) {
  const Short ds;
  alignas(64) std::int16_t narrow[HWY_MAX_BYTES / sizeof(std::int16_t)];
  hn::Store(sum, ds, narrow);
  for (std::size_t i = 0; i < hn::Lanes(ds); ++i) out[i] += narrow[i];
}

// The same for integer weights and whole coefficients, in integers: exact. 16-bit sums are emptied before they can
// overflow.
template <class W, bool kCounts>
SPIKEGPT_INLINE void gather_whole(const Panel& panel, const ActiveInputs& active, float* HWY_RESTRICT y) {
  constexpr std::int64_t kVectors = 4;                 // outputs at a time
  constexpr std::int64_t kRoom = 32767 / W::kLargest;  // events that a 16-bit sum can take
  const Short ds;
  const Float df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(ds));
  const auto float_lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const std::int32_t* HWY_RESTRICT index = active.index();
  const float* HWY_RESTRICT coefficient = active.coefficient();
  const std::int64_t count = active.count();
  for (std::int64_t j = panel.begin; j < panel.end; j += kVectors * lanes) {
    for (std::int64_t k = j; k < j + kVectors * lanes; ++k) y[k] = 0.0f;
    for (std::int64_t next = 0; next < count;) {
      const Group group = next_group<W>(index, count, next);
      alignas(64) std::int32_t wide[kPanelWidth] = {};
      for (std::int64_t n = group.begin; n < group.end;) {
        ShortVector sum[kVectors];
        for (auto& v : sum) v = hn::Zero(ds);
        for (std::int64_t room = kRoom; n < group.end; ++n) {
          const auto events = kCounts ? static_cast<std::int16_t>(coefficient[n]) : std::int16_t{1};
          room -= events < 0 ? -events : events;
          if (room < 0) break;
          if (j == panel.begin && n + kAhead < count) prefetch_row<W>(panel, index[n + kAhead]);
          const std::uint8_t* row = panel.rows + index[n] * panel.stride;
          for (std::int64_t v = 0; v < kVectors; ++v) {
            const ShortVector weight = W::as_short(row, j + v * lanes);
            sum[v] = hn::Add(sum[v], kCounts ? hn::Mul(weight, hn::Set(ds, events)) : weight);
          }
        }
        for (std::int64_t v = 0; v < kVectors; ++v) widen(sum[v], wide + v * lanes);
      }
      for (std::int64_t k = 0; k < kVectors * lanes; k += float_lanes) {
        const auto sum = hn::ConvertTo(df, hn::LoadU(hn::RebindToSigned<Float>(), wide + k));
        const auto total = W::finish(hn::LoadU(df, y + j + k), sum, panel.scales, group.group, j + k);
        hn::StoreU(total, df, y + j + k);
      }
      next = group.end;
    }
  }
}

// y [kPanelWidth] of one panel and one row.
template <class W>
SPIKEGPT_INLINE void gather_panel(const Panel& panel, const ActiveInputs& active, float* y) {
  if constexpr (W::kWhole) {
    if (active.kind() == ActivityKind::kSpikes) return gather_whole<W, false>(panel, active, y);
    if (active.kind() == ActivityKind::kCounts) return gather_whole<W, true>(panel, active, y);
  } else {
    if (active.kind() == ActivityKind::kSpikes) return gather_float<W, false>(panel, active, y);
  }
  gather_float<W, true>(panel, active, y);
}

// kRows rows of x [kRows, inputs] times kVectors vectors of outputs from j on, into y + r * kPanelWidth.
template <class W, int kRows, int kVectors>
SPIKEGPT_INLINE void dense_tile(const Panel& panel, const float* HWY_RESTRICT x, std::int64_t j,
                                float* HWY_RESTRICT y) {
  const Float df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const std::int64_t group_size = W::kGroup == 0 ? panel.inputs : W::kGroup;
  for (std::int64_t first = 0; first < panel.inputs; first += group_size) {
    const std::int64_t end = std::min(panel.inputs, first + group_size);
    FloatVector sum[kRows][kVectors];
    for (auto& row : sum) {
      for (auto& v : row) v = hn::Zero(df);
    }
    for (std::int64_t i = first; i < end; ++i) {
      if (kRows == 1 && j == panel.begin && i + kAheadDense < panel.inputs) prefetch_row<W>(panel, i + kAheadDense);
      const std::uint8_t* row = panel.rows + i * panel.stride;
      FloatVector weight[kVectors];
      for (std::int64_t v = 0; v < kVectors; ++v) weight[v] = W::as_float(row, j + v * lanes);
      for (std::int64_t r = 0; r < kRows; ++r) {
        const auto value = hn::Set(df, x[r * panel.inputs + i]);
        for (std::int64_t v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(weight[v], value, sum[r][v]);
      }
    }
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t v = 0; v < kVectors; ++v) {
        float* out = y + r * kPanelWidth + j + v * lanes;
        const auto before = first == 0 ? hn::Zero(df) : hn::LoadU(df, out);
        hn::StoreU(W::finish(before, sum[r][v], panel.scales, first / group_size, j + v * lanes), df, out);
      }
    }
  }
}

constexpr std::int64_t kTileRows = 6;

// y [rows, kPanelWidth], rows <= kTileRows.
template <class W>
SPIKEGPT_INLINE void dense_rows(const Panel& panel, std::int64_t rows, const float* x, float* y) {
  constexpr int kOfMany = kManyRegisters ? 4 : 2;  // vectors of outputs at a time, for kTileRows rows
  constexpr int kOfOne = kManyRegisters ? 16 : 8;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(Float()));
  if (rows == kTileRows) {
    for (std::int64_t j = panel.begin; j < panel.end; j += kOfMany * lanes) {
      dense_tile<W, kTileRows, kOfMany>(panel, x, j, y);
    }
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t j = panel.begin;
    for (; j + kOfOne * lanes <= panel.end; j += kOfOne * lanes) {
      dense_tile<W, 1, kOfOne>(panel, x + r * panel.inputs, j, y + r * kPanelWidth);
    }
    for (; j < panel.end; j += 8 * lanes) dense_tile<W, 1, 8>(panel, x + r * panel.inputs, j, y + r * kPanelWidth);
  }
}

template <class Function>
SPIKEGPT_INLINE void with_type(WeightType type, Function&& function) {
  switch (type) {
    case WeightType::kF32: return function(F32Weights());
    case WeightType::kBf16: return function(Bf16Weights());
    case WeightType::kInt8: return function(Int8Weights());
    case WeightType::kInt4: return function(Int4Weights());
  }
}

static void event_panel(const PackedProduct& product, const ActiveInputs& active, const PanelPart& part,
                        std::int64_t row) {
  alignas(64) float y[kPanelWidth];
  with_type(product.matrix->type(),
            [&](auto type) { gather_panel<decltype(type)>(panel_of(*product.matrix, part), active, y); });
  put(product, y + part.begin, part, row);
}

// Rows [first, first + rows) of one panel.
static void dense_panel(const PackedProduct& product, const PanelPart& part, std::int64_t first, std::int64_t rows) {
  alignas(64) float y[kTileRows * kPanelWidth];
  const Panel weights = panel_of(*product.matrix, part);
  for (std::int64_t row = first; row < first + rows; row += kTileRows) {
    const std::int64_t count = std::min(kTileRows, first + rows - row);
    with_type(product.matrix->type(),
              [&](auto type) { dense_rows<decltype(type)>(weights, count, product.x + row * weights.inputs, y); });
    for (std::int64_t r = 0; r < count; ++r) put(product, y + r * kPanelWidth + part.begin, part, row + r);
  }
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include "spikegpt/core/error.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/gather_bytes.h"
#include "spikegpt/kernels/panel_parts.h"

namespace spikegpt {
namespace {

HWY_EXPORT(event_panel);
HWY_EXPORT(dense_panel);

constexpr std::int64_t kWholeRows = 4;     // below, laying the weights out for dot products costs what it saves
constexpr std::int64_t kRowsPerTask = 48;  // a panel stays in the second-level cache for these

void multiply_dense(std::int64_t rows, std::span<const PackedProduct> products) {
  const std::int64_t blocks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  const PanelParts parts(products);
  parallel_for(parts.count() * blocks, [&](std::int64_t task) {
    const PanelParts::Part part = parts.at(task / blocks);
    const std::int64_t first = task % blocks * kRowsPerTask;
    HWY_DYNAMIC_DISPATCH(dense_panel)(part.product, part.place, first, std::min(kRowsPerTask, rows - first));
  });
}

std::int64_t bytes_per_input(const PackedMatrix& matrix) { return matrix.panels() * matrix.row_bytes(); }

}  // namespace

PackedRunner::PackedRunner(std::size_t products, std::int64_t inputs) : list_of_(products) {
  for (std::size_t i = 0; i < products * static_cast<std::size_t>(kMaxEventRows); ++i) lists_.emplace_back(inputs);
}

// Returns whether few enough inputs are active for events to be the cheaper way.
bool PackedRunner::find_active(std::int64_t rows, std::span<const PackedProduct> products) {
  std::int64_t active_bytes = 0;
  std::int64_t all_bytes = 0;
  for (std::size_t p = 0; p < products.size(); ++p) {
    const PackedMatrix& matrix = *products[p].matrix;
    list_of_[p] = p;
    for (std::size_t q = 0; q < p; ++q) {
      if (products[q].x == products[p].x) list_of_[p] = list_of_[q];
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      ActiveInputs& list = active(p, r);
      if (list_of_[p] == p) list.find(matrix.inputs(), products[p].x + r * matrix.inputs());
      active_bytes += list.count() * bytes_per_input(matrix);
    }
    all_bytes += matrix.inputs() * bytes_per_input(matrix);
  }
  return static_cast<double>(active_bytes) < kBreakEvenDensity * static_cast<double>(all_bytes);
}

void PackedRunner::run(std::int64_t rows, std::span<const PackedProduct> products) {
  ensure(products.size() <= list_of_.size(), "more products than the runner was made for");
  ensure(path != ProductPath::kEvents || rows <= kMaxEventRows, "too many rows for events");
  const auto start = std::chrono::steady_clock::now();
  const bool may_gather = path != ProductPath::kDense && rows <= kMaxEventRows;
  if (may_gather && (find_active(rows, products) || path == ProductPath::kEvents)) {
    run_events(rows, products);
  } else {
    run_dense(rows, products);
  }
  seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool PackedRunner::run_bytes(std::int64_t rows, const PackedProduct& product, std::size_t index) {
  const PackedMatrix& matrix = *product.matrix;
  if (!can_gather_bytes(matrix)) return false;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (active(index, r).kind() == ActivityKind::kGraded) return false;
  }
  for (std::int64_t r = 0; r < rows; ++r) active(index, r).pair_up();
  const std::int64_t columns = matrix.panels() * kPanelWidth;
  const std::int64_t blocks = columns / kGatherColumns;
  const std::int64_t tasks =
      std::max(std::min<std::int64_t>(blocks, thread_count()), (columns + kMostGathered - 1) / kMostGathered);
  parallel_for(tasks, [&](std::int64_t task) {
    const std::int64_t begin = blocks * task / tasks * kGatherColumns;
    const std::int64_t end = blocks * (task + 1) / tasks * kGatherColumns;
    for (std::int64_t r = 0; r < rows; ++r) {
      gather_bytes(matrix, active(index, r), {product.y + r * matrix.outputs(), begin, end, product.squared_relu});
    }
  });
  return true;
}

void PackedRunner::run_events(std::int64_t rows, std::span<const PackedProduct> products) {
  if (products.size() > 1 || !run_bytes(rows, products[0], 0)) {
    const PanelParts parts(products);
    parallel_for(parts.count(), [&](std::int64_t task) {
      const PanelParts::Part part = parts.at(task);
      for (std::int64_t r = 0; r < rows; ++r) {
        HWY_DYNAMIC_DISPATCH(event_panel)(part.product, active(part.index, r), part.place, r);
      }
    });
  }
  for (std::size_t p = 0; p < products.size(); ++p) {
    const PackedMatrix& matrix = *products[p].matrix;
    for (std::int64_t r = 0; r < rows; ++r) {
      const ActiveInputs& list = active(p, r);
      if (list.kind() == ActivityKind::kGraded) {
        work.multiply_accumulates += list.count() * matrix.outputs();
      } else {
        work.accumulates += list.events() * matrix.outputs();
      }
      work.weight_bytes += list.count() * bytes_per_input(matrix) + static_cast<std::int64_t>(matrix.scales().size());
    }
  }
}

void PackedRunner::run_dense(std::int64_t rows, std::span<const PackedProduct> products) {
  const bool whole = rows >= kWholeRows && WholeRunner::fits(products) && whole_.run(rows, products);
  if (!whole) multiply_dense(rows, products);
  for (const PackedProduct& product : products) {
    work.multiply_accumulates += rows * product.matrix->inputs() * product.matrix->outputs();
    work.weight_bytes += static_cast<std::int64_t>(product.matrix->size_in_bytes());
  }
}

}  // namespace spikegpt
#endif
