#include "spikegpt/kernels/float_product.h"

#include "spikegpt/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "spikegpt/kernels/float_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "spikegpt/core/inline.h"
#include "spikegpt/core/parallel.h"
#include "spikegpt/kernels/tiles.h"

#ifndef SPIKEGPT_KERNELS_FLOAT_PRODUCT_ONCE
#define SPIKEGPT_KERNELS_FLOAT_PRODUCT_ONCE
namespace spikegpt {

constexpr std::int64_t kPanelColumns = 16;
constexpr std::int64_t kBlockK = 256;     // a panel of so many rows fills half of a first-level cache
constexpr std::int64_t kBlockRows = 192;  // of the left operand: with kBlockK they stay in the second level
constexpr std::int64_t kRowUnit = 48;     // whole tiles of every instruction set
constexpr std::int64_t kMostTileColumns = 2 * kPanelColumns;
constexpr std::int64_t kTaskSide = 512;  // most rows and columns of a gradient that one task computes

// What becomes of a finished block of sums.
enum class Store : std::uint8_t {
  kSet,  // c = sums
  kAdd,  // c += sums
};

// A part of c: `rows` and `columns` from the first element on, for one block of k.
struct FloatBlock {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;         // at most kBlockK
  const float* a = nullptr;       // packed: [tiles, depth, rows of a tile]
  const float* panels = nullptr;  // first panel
  std::int64_t panel_stride = 0;  // floats from panel to panel
  float* c = nullptr;
  std::int64_t c_stride = 0;  // floats from row to row
  Store store = Store::kSet;
  Epilogue epilogue = Epilogue::kNone;
};

inline float finish(float sum, Epilogue epilogue) {
  if (epilogue == Epilogue::kNone) return sum;
  const float positive = std::max(sum, 0.0f);
  return positive * positive;
}

}  // namespace spikegpt
#endif

HWY_BEFORE_NAMESPACE();
namespace spikegpt::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Vectors of floats. Highway's smallest set for x86 has none, though every such CPU has vectors of four.
#if HWY_TARGET == HWY_SCALAR
using FloatVector = float __attribute__((vector_size(16)));
constexpr std::int64_t kLanes = 4;
SPIKEGPT_INLINE FloatVector broadcast(float x) { return FloatVector{x, x, x, x}; }
SPIKEGPT_INLINE FloatVector load(const float* from) {
  FloatVector x;
  std::memcpy(&x, from, sizeof(x));
  return x;
}
SPIKEGPT_INLINE void store(FloatVector x, float* to) { std::memcpy(to, &x, sizeof(x)); }
SPIKEGPT_INLINE FloatVector add(FloatVector a, FloatVector b) { return a + b; }
SPIKEGPT_INLINE FloatVector multiply_add(FloatVector a, FloatVector b, FloatVector sum) { return a * b + sum; }
SPIKEGPT_INLINE FloatVector squared_relu(FloatVector x) {
  const FloatVector positive = x > 0.0f ? x : broadcast(0.0f);
  return positive * positive;
}
#else
using Floats = hn::ScalableTag<float>;
using FloatVector = hn::Vec<Floats>;
constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(Floats()));
SPIKEGPT_INLINE FloatVector broadcast(float x) { return hn::Set(Floats(), x); }
SPIKEGPT_INLINE FloatVector load(const float* from) { return hn::LoadU(Floats(), from); }
SPIKEGPT_INLINE void store(FloatVector x, float* to) { hn::StoreU(x, Floats(), to); }
SPIKEGPT_INLINE FloatVector add(FloatVector a, FloatVector b) { return hn::Add(a, b); }
SPIKEGPT_INLINE FloatVector multiply_add(FloatVector a, FloatVector b, FloatVector sum) {
  return hn::MulAdd(a, b, sum);
}
SPIKEGPT_INLINE FloatVector squared_relu(FloatVector x) {
  const FloatVector positive = hn::Max(x, hn::Zero(Floats()));
  return hn::Mul(positive, positive);
}
#endif

// A tile of c stays in registers while a block of k passes: as many rows as leave room for the operands.
#if HWY_TARGET == HWY_AVX3
constexpr std::int64_t kTileRows = 12;
constexpr std::int64_t kTilePanels = 2;
#elif HWY_TARGET == HWY_AVX2
constexpr std::int64_t kTileRows = 6;
constexpr std::int64_t kTilePanels = 1;
#else
constexpr std::int64_t kTileRows = 3;
constexpr std::int64_t kTilePanels = 1;
#endif
constexpr std::int64_t kTileColumns = kTilePanels * kPanelColumns;
constexpr std::int64_t kVectorsPerPanel = kPanelColumns / kLanes;
constexpr std::int64_t kVectors = kTilePanels * kVectorsPerPanel;  // of a row
static_assert(kTileColumns <= kMostTileColumns && kRowUnit % kTileRows == 0 && kBlockRows % kRowUnit == 0);

using TileSums = FloatVector[kTileRows][kVectors];

// sums = the tile `a` [depth, kTileRows] times the panels at `b`.
SPIKEGPT_INLINE void sum_tile(std::int64_t depth, const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                              std::int64_t panel_stride, TileSums& sums) {
#pragma GCC unroll 16
  for (auto& row : sums) {
#pragma GCC unroll 16
    for (FloatVector& sum : row) sum = broadcast(0.0f);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    FloatVector columns[kVectors];
#pragma GCC unroll 16
    for (std::int64_t v = 0; v < kVectors; ++v) {
      columns[v] = load(b + v / kVectorsPerPanel * panel_stride + v % kVectorsPerPanel * kLanes);
    }
#pragma GCC unroll 16
    for (std::int64_t row = 0; row < kTileRows; ++row) {
      const FloatVector value = broadcast(a[row]);
#pragma GCC unroll 16
      for (std::int64_t v = 0; v < kVectors; ++v) sums[row][v] = multiply_add(value, columns[v], sums[row][v]);
    }
    a += kTileRows;
    b += kPanelColumns;
  }
}

SPIKEGPT_INLINE FloatVector finished(FloatVector sum, Epilogue epilogue) {
  return epilogue == Epilogue::kNone ? sum : squared_relu(sum);
}

// A whole tile, straight to its place.
SPIKEGPT_INLINE void store_tile(const FloatBlock& block, float* c, const TileSums& sums) {
#pragma GCC unroll 16
  for (std::int64_t row = 0; row < kTileRows; ++row) {
#pragma GCC unroll 16
    for (std::int64_t v = 0; v < kVectors; ++v) {
      float* const to = c + row * block.c_stride + v * kLanes;
      const FloatVector sum = block.store == Store::kAdd ? add(load(to), sums[row][v]) : sums[row][v];
      store(finished(sum, block.epilogue), to);
    }
  }
}

// The part of a tile that lies inside the block.
static void store_part(const FloatBlock& block, std::int64_t rows, std::int64_t columns, const float* sums, float* c) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      float& to = c[row * block.c_stride + column];
      const float sum = sums[row * kTileColumns + column];
      to = finish(block.store == Store::kAdd ? to + sum : sum, block.epilogue);
    }
  }
}

SPIKEGPT_INLINE void multiply_tile(const FloatBlock& block, std::int64_t row, std::int64_t column) {
  const float* const a = block.a + row * block.depth;
  const float* const b = block.panels + column / kPanelColumns * block.panel_stride;
  float* const c = block.c + row * block.c_stride + column;
  const std::int64_t rows = std::min(kTileRows, block.rows - row);
  const std::int64_t columns = std::min(kTileColumns, block.columns - column);
  for (std::int64_t r = 0; r < rows; ++r) __builtin_prefetch(c + r * block.c_stride, 1);
  TileSums sums;
  sum_tile(block.depth, a, b, block.panel_stride, sums);
  if (rows == kTileRows && columns == kTileColumns) return store_tile(block, c, sums);
  alignas(64) float part[kTileRows * kTileColumns];
#pragma GCC unroll 16
  for (std::int64_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 16
    for (std::int64_t v = 0; v < kVectors; ++v) store(sums[r][v], part + r * kTileColumns + v * kLanes);
  }
  store_part(block, rows, columns, part, c);
}

static void multiply_block(const FloatBlock& block) {
  for (std::int64_t column = 0; column < block.columns; column += kTileColumns) {
    for (std::int64_t row = 0; row < block.rows; row += kTileRows) multiply_tile(block, row, column);
  }
}

// Rows of an operand that are packed together: their pieces stay in the first-level cache meanwhile.
constexpr std::int64_t kPackedTogether = 8;

// Cuts rows [depth, width], `stride` apart, into strips of kWidth columns: out [strips, depth, kWidth], the columns
// behind the last zero.
template <std::int64_t kWidth>
SPIKEGPT_INLINE void pack_strips(std::int64_t depth, std::int64_t width, const float* HWY_RESTRICT values,
                                 std::int64_t stride, float* HWY_RESTRICT out) {
  for (std::int64_t first_k = 0; first_k < depth; first_k += kPackedTogether) {
    const std::int64_t end = std::min(depth, first_k + kPackedTogether);
    for (std::int64_t first = 0; first < width; first += kWidth) {
      const std::int64_t inside = std::min(kWidth, width - first);
      for (std::int64_t k = first_k; k < end; ++k) {
        const float* const from = values + k * stride + first;
        __builtin_prefetch(from + kPackedTogether * stride);
        float* const to = out + first * depth + k * kWidth;
        if (inside == kWidth) {
          std::memcpy(to, from, kWidth * sizeof(float));
        } else {
          for (std::int64_t i = 0; i < kWidth; ++i) to[i] = i < inside ? from[i] : 0.0f;
        }
      }
    }
  }
}

// The left operand of a block, [tiles, depth, kTileRows], rows behind the last zero: of rows that lie `stride` apart.
static void pack_rows(std::int64_t rows, std::int64_t depth, const float* HWY_RESTRICT values, std::int64_t stride,
                      float* HWY_RESTRICT out) {
  for (std::int64_t first = 0; first < rows; first += kTileRows, out += depth * kTileRows) {
    const float* const from = values + first * stride;
    if (rows - first >= kTileRows) {
      for (std::int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 16
        for (std::int64_t row = 0; row < kTileRows; ++row) {
          if (k % 16 == 0) __builtin_prefetch(from + (kTileRows + row) * stride + k);
          out[k * kTileRows + row] = from[row * stride + k];
        }
      }
    } else {
      for (std::int64_t k = 0; k < depth; ++k) {
        for (std::int64_t row = 0; row < kTileRows; ++row) {
          out[k * kTileRows + row] = first + row < rows ? from[row * stride + k] : 0.0f;
        }
      }
    }
  }
}

// The same of an operand that is stored [k, rows].
static void pack_left(std::int64_t depth, std::int64_t rows, const float* values, std::int64_t stride, float* out) {
  pack_strips<kTileRows>(depth, rows, values, stride, out);
}

// The right operand of a block: panels [panel, depth, 16] of rows that lie `stride` apart.
static void pack_panels(std::int64_t depth, std::int64_t columns, const float* values, std::int64_t stride,
                        float* panels) {
  pack_strips<kPanelColumns>(depth, columns, values, stride, panels);
}

// The same where a column's values lie together and columns `stride` apart.
static void pack_transposed_panel(std::int64_t depth, std::int64_t columns, const float* HWY_RESTRICT values,
                                  std::int64_t stride, float* HWY_RESTRICT panel) {
  for (std::int64_t column = 0; column < kPanelColumns; ++column) {
    if (column < columns) {
      for (std::int64_t k = 0; k < depth; ++k) panel[k * kPanelColumns + column] = values[column * stride + k];
    } else {
      for (std::int64_t k = 0; k < depth; ++k) panel[k * kPanelColumns + column] = 0.0f;
    }
  }
}

}  // namespace spikegpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include "spikegpt/core/aligned_buffer.h"

namespace spikegpt {
namespace {

HWY_EXPORT(multiply_block);
HWY_EXPORT(pack_rows);
HWY_EXPORT(pack_left);
HWY_EXPORT(pack_panels);
HWY_EXPORT(pack_transposed_panel);

// Memory of one thread for its packed operands; kept, so that only its first product allocates.
struct Scratch {
  AlignedBuffer<float> left{static_cast<std::size_t>(kBlockRows * kBlockK)};
  AlignedBuffer<float> panels{static_cast<std::size_t>(kTaskSide * kBlockK)};
};
Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

// n elements cut into `pieces` alike pieces of whole `unit`s, or fewer.
struct Cut {
  std::int64_t n = 0;
  std::int64_t size = 0;
  std::int64_t pieces() const { return (n + size - 1) / size; }
  Piece at(std::int64_t index) const { return {index * size, std::min(size, n - index * size)}; }
};
Cut cut(std::int64_t n, std::int64_t pieces, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit;
  return {n, std::max<std::int64_t>(1, (units + pieces - 1) / pieces) * unit};
}

// How c is shared out. No cut changes a bit, so that it may follow the number of threads.
struct Cuts {
  Cut rows;
  Cut columns;
};
std::int64_t pieces_of(std::int64_t size, std::int64_t most) { return (size + most - 1) / most; }

// Of a product: rows first, since all of them read the same panels.
Cuts share_product(std::int64_t m, std::int64_t n) {
  const std::int64_t threads = thread_count();
  std::int64_t rows = pieces_of(m, kBlockRows);
  std::int64_t columns = 1;
  while (rows < 4 * threads && rows < pieces_of(m, kRowUnit)) ++rows;
  while (rows * columns < threads && columns < pieces_of(n, kMostTileColumns)) ++columns;
  return {cut(m, rows, kRowUnit), cut(n, columns, kMostTileColumns)};
}

// Of a gradient: columns first, so that every thread packs panels of its own.
Cuts share_gradient(std::int64_t m, std::int64_t n) {
  const std::int64_t threads = thread_count();
  std::int64_t rows = pieces_of(m, kTaskSide);
  std::int64_t columns = pieces_of(n, kTaskSide);
  while (rows * columns < threads && columns < pieces_of(n, 2 * kMostTileColumns)) ++columns;
  while (rows * columns < threads && rows < pieces_of(m, kRowUnit)) ++rows;
  return {cut(m, rows, kRowUnit), cut(n, columns, kMostTileColumns)};
}

// In elements of parallel_for, of which a thread does about one in a nanosecond.
std::int64_t work(std::int64_t m, std::int64_t n, std::int64_t k) { return m * n * k / 32; }

Store store_of(std::int64_t k, bool accumulate) { return k > 0 || accumulate ? Store::kAdd : Store::kSet; }

}  // namespace

std::int64_t float_panels_size(std::int64_t k, std::int64_t n) noexcept {
  return (n + kMostTileColumns - 1) / kMostTileColumns * kMostTileColumns * k;
}

void pack_float_panels(std::int64_t k, std::int64_t n, OperandOrder order, const float* values,
                       float* panels) noexcept {
  const std::int64_t count = float_panels_size(1, n) / kPanelColumns;
  parallel_for(count, k * n, [&](std::int64_t index) {
    const std::int64_t first = std::min(n, index * kPanelColumns);
    const std::int64_t columns = std::min(kPanelColumns, n - first);
    float* const panel = panels + index * kPanelColumns * k;
    if (order == OperandOrder::kRows) {
      HWY_DYNAMIC_DISPATCH(pack_panels)(k, columns, values + first, n, panel);
    } else {
      HWY_DYNAMIC_DISPATCH(pack_transposed_panel)(k, columns, values + first * k, k, panel);
    }
  });
}

void multiply_floats(const FloatProduct& product) {
  const Cuts cuts = share_product(product.m, product.n);
  const auto task = [&](std::int64_t index) {
    const Piece rows = cuts.rows.at(index / cuts.columns.pieces());
    const Piece columns = cuts.columns.at(index % cuts.columns.pieces());
    float* const left = scratch().left.data();
    for (std::int64_t k = 0; k < product.k; k += kBlockK) {
      const std::int64_t depth = std::min(kBlockK, product.k - k);
      HWY_DYNAMIC_DISPATCH(pack_rows)(rows.size, depth, product.a + rows.first * product.k + k, product.k, left);
      HWY_DYNAMIC_DISPATCH(multiply_block)
      ({.rows = rows.size,
        .columns = columns.size,
        .depth = depth,
        .a = left,
        .panels = product.panels + columns.first * product.k + k * kPanelColumns,
        .panel_stride = product.k * kPanelColumns,
        .c = product.c + rows.first * product.n + columns.first,
        .c_stride = product.n,
        .store = store_of(k, false),
        .epilogue = k + depth == product.k ? product.epilogue : Epilogue::kNone});
    }
  };
  parallel_for(cuts.rows.pieces() * cuts.columns.pieces(), work(product.m, product.n, product.k), task);
}

void multiply_transposed_floats(const FloatGradient& product) {
  const Cuts cuts = share_gradient(product.m, product.n);
  const auto task = [&](std::int64_t index) {
    const Piece all_rows = cuts.rows.at(index / cuts.columns.pieces());
    const Piece columns = cuts.columns.at(index % cuts.columns.pieces());
    float* const left = scratch().left.data();
    float* const panels = scratch().panels.data();
    for (std::int64_t k = 0; k < product.k; k += kBlockK) {
      const std::int64_t depth = std::min(kBlockK, product.k - k);
      HWY_DYNAMIC_DISPATCH(pack_panels)
      (depth, columns.size, product.b + k * product.n + columns.first, product.n, panels);
      for (std::int64_t first = 0; first < all_rows.size; first += kBlockRows) {
        const Piece rows{all_rows.first + first, std::min(kBlockRows, all_rows.size - first)};
        HWY_DYNAMIC_DISPATCH(pack_left)(depth, rows.size, product.a + k * product.m + rows.first, product.m, left);
        HWY_DYNAMIC_DISPATCH(multiply_block)
        ({.rows = rows.size,
          .columns = columns.size,
          .depth = depth,
          .a = left,
          .panels = panels,
          .panel_stride = depth * kPanelColumns,
          .c = product.c + rows.first * product.n + columns.first,
          .c_stride = product.n,
          .store = store_of(k, product.accumulate)});
      }
    }
  };
  parallel_for(cuts.rows.pieces() * cuts.columns.pieces(), work(product.m, product.n, product.k), task);
}

}  // namespace spikegpt
#endif
