// The two scans over time that PyTorch has no operator for, as a shared library with a C interface: WKV and the
// default LIF neuron (tau 2, threshold 1, hard reset to 0, ATan alpha 2), forward and backward. bench_pytorch.py
// compiles and calls it. [B, T, C] arrays, float or bfloat16; a task is one sequence and kTile channels,
// vectorised over channels.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int kTile = 32;  // C is a multiple of it
constexpr float kNothingYet = -1e38f;

struct Bf16 {
  std::uint16_t bits;
};

struct Shape {
  long B, T, C;
};

template <class Task>
void for_each_tile(const Shape& shape, Task&& task) {
  const long tiles = shape.C / kTile;
#pragma omp parallel for schedule(static)
  for (long i = 0; i < shape.B * tiles; ++i) task(i / tiles, (i % tiles) * kTile);
}

inline float to_float(float x) { return x; }
inline float to_float(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

inline void assign(float& to, float x) { to = x; }
inline void assign(Bf16& to, float x) {  // to nearest, ties to even
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  to.bits = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class A>
void load(const A* from, float* to) {
#pragma omp simd
  for (int c = 0; c < kTile; ++c) to[c] = to_float(from[c]);
}

template <class A>
void store(const float* from, A* to) {
#pragma omp simd
  for (int c = 0; c < kTile; ++c) assign(to[c], from[c]);
}

template <class A>
void lif_forward_tile(const A* x, A* spikes, long T, long C) {
  float v[kTile] = {}, current[kTile], fired[kTile];
  for (long t = 0; t < T; ++t) {
    load(x + t * C, current);
#pragma omp simd
    for (int c = 0; c < kTile; ++c) {
      const float h = 0.5f * (v[c] + current[c]);
      fired[c] = h >= 1.0f ? 1.0f : 0.0f;
      v[c] = h >= 1.0f ? 0.0f : h;
    }
    store(fired, spikes + t * C);
  }
}

// Recomputes the potentials from x, then runs back through time. `potentials` holds T * kTile floats.
template <class A>
void lif_backward_tile(const A* x, const A* d_spikes, A* d_x, long T, long C, float* potentials) {
  float v[kTile] = {}, current[kTile], d_v[kTile] = {};
  for (long t = 0; t < T; ++t) {
    load(x + t * C, current);
    float* h = potentials + t * kTile;
#pragma omp simd
    for (int c = 0; c < kTile; ++c) {
      h[c] = 0.5f * (v[c] + current[c]);
      v[c] = h[c] >= 1.0f ? 0.0f : h[c];
    }
  }
  for (long t = T - 1; t >= 0; --t) {
    load(d_spikes + t * C, current);
    const float* h = potentials + t * kTile;
#pragma omp simd
    for (int c = 0; c < kTile; ++c) {
      const float z = 3.14159265f * (h[c] - 1.0f);
      const float g = 1.0f / (1.0f + z * z);
      const float kept = h[c] >= 1.0f ? 0.0f : 1.0f;
      const float d_h = current[c] * g + d_v[c] * (kept - h[c] * g);
      d_v[c] = 0.5f * d_h;
    }
    store(d_v, d_x + t * C);  // with tau 2 the input and the membrane have the same derivative
  }
}

template <class A>
struct WkvTile {
  const float *w, *u;  // [kTile] time_decay, time_first
  const A *k, *v, *d_y;
  A *y, *d_k, *d_v;
  float *d_w, *d_u;  // [kTile]
  long T, C;
};

template <class A>
void wkv_forward_tile(const WkvTile<A>& tile) {
  float decay[kTile], p[kTile] = {}, q[kTile] = {}, o[kTile], k[kTile], v[kTile], y[kTile];
  for (int c = 0; c < kTile; ++c) decay[c] = std::exp(tile.w[c]), o[c] = kNothingYet;
  for (long t = 0; t < tile.T; ++t) {
    load(tile.k + t * tile.C, k);
    load(tile.v + t * tile.C, v);
#pragma omp simd
    for (int c = 0; c < kTile; ++c) {
      const float bonus = tile.u[c] + k[c];
      const float n = std::max(o[c], bonus);
      const float old = std::exp(o[c] - n), now = std::exp(bonus - n);
      y[c] = (old * p[c] + now * v[c]) / (old * q[c] + now);
      const float kept = o[c] - decay[c];
      const float m = std::max(kept, k[c]);
      const float fade = std::exp(kept - m), fresh = std::exp(k[c] - m);
      p[c] = fade * p[c] + fresh * v[c];
      q[c] = fade * q[c] + fresh;
      o[c] = m;
    }
    store(y, tile.y + t * tile.C);
  }
}

// Forward once more, keeping y, 1/denominator and its exponent n per token; also the derivative of the state
// with respect to the decay rate, so that the state itself need not be kept.
template <class A>
void wkv_backward_first_pass(const WkvTile<A>& tile, float* kept_y, float* kept_scale, float* kept_n) {
  float decay[kTile], p[kTile] = {}, q[kTile] = {}, dp[kTile] = {}, dq[kTile] = {}, o[kTile];
  float k[kTile], v[kTile], d_y[kTile], d_rate[kTile] = {}, d_u[kTile] = {};
  for (int c = 0; c < kTile; ++c) decay[c] = std::exp(tile.w[c]), o[c] = kNothingYet;
  for (long t = 0; t < tile.T; ++t) {
    load(tile.k + t * tile.C, k);
    load(tile.v + t * tile.C, v);
    load(tile.d_y + t * tile.C, d_y);
    float *ys = kept_y + t * kTile, *scales = kept_scale + t * kTile, *ns = kept_n + t * kTile;
#pragma omp simd
    for (int c = 0; c < kTile; ++c) {
      const float bonus = tile.u[c] + k[c];
      const float n = std::max(o[c], bonus);
      const float old = std::exp(o[c] - n), now = std::exp(bonus - n);
      const float inverse = 1.0f / (old * q[c] + now);
      const float y = (old * p[c] + now * v[c]) * inverse;
      const float scale = d_y[c] * inverse;
      d_rate[c] += scale * old * (dp[c] - dq[c] * y);
      d_u[c] += scale * now * (v[c] - y);
      ys[c] = y, scales[c] = scale, ns[c] = n;
      const float aged = o[c] - decay[c];
      const float m = std::max(aged, k[c]);
      const float fade = std::exp(aged - m), fresh = std::exp(k[c] - m);
      dp[c] = fade * (dp[c] - p[c]);
      dq[c] = fade * (dq[c] - q[c]);
      p[c] = fade * p[c] + fresh * v[c];
      q[c] = fade * q[c] + fresh;
      o[c] = m;
    }
  }
  for (int c = 0; c < kTile; ++c) tile.d_w[c] = d_rate[c] * decay[c], tile.d_u[c] = d_u[c];
}

template <class A>
void wkv_backward_tile(const WkvTile<A>& tile, float* scratch) {
  float *kept_y = scratch, *kept_scale = scratch + tile.T * kTile, *kept_n = scratch + 2 * tile.T * kTile;
  wkv_backward_first_pass(tile, kept_y, kept_scale, kept_n);
  // Adjoints of numerator and denominator, stored divided by e^m.
  float decay[kTile], gp[kTile] = {}, gq[kTile] = {}, m[kTile], k[kTile], v[kTile], d_k[kTile], d_v[kTile];
  for (int c = 0; c < kTile; ++c) decay[c] = std::exp(tile.w[c]), m[c] = kNothingYet;
  for (long t = tile.T - 1; t >= 0; --t) {
    load(tile.k + t * tile.C, k);
    load(tile.v + t * tile.C, v);
    const float *ys = kept_y + t * kTile, *scales = kept_scale + t * kTile, *ns = kept_n + t * kTile;
#pragma omp simd
    for (int c = 0; c < kTile; ++c) {
      const float now = scales[c] * std::exp(tile.u[c] + k[c] - ns[c]);
      const float later = std::exp(k[c] + m[c]);
      d_v[c] = now + later * gp[c];
      d_k[c] = now * (v[c] - ys[c]) + later * (gp[c] * v[c] + gq[c]);
      const float aged = m[c] - decay[c];
      const float next = std::max(aged, -ns[c]);
      const float fade = std::exp(aged - next), fresh = scales[c] * std::exp(-ns[c] - next);
      gp[c] = fade * gp[c] + fresh;
      gq[c] = fade * gq[c] - fresh * ys[c];
      m[c] = next;
    }
    store(d_k, tile.d_k + t * tile.C);
    store(d_v, tile.d_v + t * tile.C);
  }
}

template <class A>
void lif_forward(const Shape& shape, const A* x, A* spikes) {
  for_each_tile(shape, [&](long b, long c) {
    const long at = b * shape.T * shape.C + c;
    lif_forward_tile(x + at, spikes + at, shape.T, shape.C);
  });
}

template <class A>
void lif_backward(const Shape& shape, const A* x, const A* d_spikes, A* d_x) {
  for_each_tile(shape, [&](long b, long c) {
    static thread_local std::vector<float> scratch;
    scratch.resize(shape.T * kTile);
    const long at = b * shape.T * shape.C + c;
    lif_backward_tile(x + at, d_spikes + at, d_x + at, shape.T, shape.C, scratch.data());
  });
}

// The arrays of `all` as the tile of sequence b and channels from c on sees them. d_w, d_u are [B, C].
template <class A>
WkvTile<A> tile_of(const WkvTile<A>& all, long b, long c) {
  const long at = b * all.T * all.C + c, row = b * all.C + c;
  const auto moved = [](auto* array, long by) { return array == nullptr ? array : array + by; };
  return {all.w + c,          all.u + c,          all.k + at,          all.v + at,          moved(all.d_y, at),
          moved(all.y, at),   moved(all.d_k, at), moved(all.d_v, at),  moved(all.d_w, row), moved(all.d_u, row),
          all.T,              all.C};
}

template <class A>
void wkv_forward(const Shape& shape, const WkvTile<A>& all) {
  for_each_tile(shape, [&](long b, long c) { wkv_forward_tile(tile_of(all, b, c)); });
}

template <class A>
void wkv_backward(const Shape& shape, const WkvTile<A>& all) {
  for_each_tile(shape, [&](long b, long c) {
    static thread_local std::vector<float> scratch;
    scratch.resize(3 * shape.T * kTile);
    wkv_backward_tile(tile_of(all, b, c), scratch.data());
  });
}

}  // namespace

#define EXPORT_FOR(suffix, A)                                                                            \
  void lif_forward_##suffix(long B, long T, long C, const A* x, A* spikes) {                             \
    lif_forward(Shape{B, T, C}, x, spikes);                                                              \
  }                                                                                                      \
  void lif_backward_##suffix(long B, long T, long C, const A* x, const A* d_spikes, A* d_x) {            \
    lif_backward(Shape{B, T, C}, x, d_spikes, d_x);                                                      \
  }                                                                                                      \
  void wkv_forward_##suffix(long B, long T, long C, const float* w, const float* u, const A* k,          \
                            const A* v, A* y) {                                                          \
    wkv_forward(Shape{B, T, C},                                                                          \
                WkvTile<A>{w, u, k, v, nullptr, y, nullptr, nullptr, nullptr, nullptr, T, C});           \
  }                                                                                                      \
  void wkv_backward_##suffix(long B, long T, long C, const float* w, const float* u, const A* k,         \
                             const A* v, const A* d_y, float* d_w, float* d_u, A* d_k, A* d_v) {         \
    wkv_backward(Shape{B, T, C}, WkvTile<A>{w, u, k, v, d_y, nullptr, d_k, d_v, d_w, d_u, T, C});        \
  }

extern "C" {
EXPORT_FOR(f32, float)
EXPORT_FOR(bf16, Bf16)
}
