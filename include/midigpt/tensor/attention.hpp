// tensor/attention.hpp - causal scaled dot-product attention, forward and backward, in blocks of rows cut at the
// diagonal.
//   The (T,T) weights are never kept: the forward pass leaves one number per row (the logarithm of its sum of
//   exponentials), the backward pass makes a block's weights anew from it (Dao et al. 2022, on a CPU's caches).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <midigpt/tensor/gemm.hpp>
#include <midigpt/tensor/kernels.hpp>

namespace midigpt {
inline namespace v0 {

/// One head of one sequence: rows 0..T of q, k, v lie `ld` numbers apart, rows of y and dy `y_ld`; each hs wide.
template <class T>
struct AttentionArgs {
  std::size_t time = 0, hs = 0, ld = 0, y_ld = 0;
  const T *q = nullptr, *k = nullptr, *v = nullptr;
  T* y = nullptr;
  T* log_sums = nullptr;  // (time): written by forward, read by backward
  T dropout = T(0);
  std::uint32_t dropout_key = 0;
  T* scratch = nullptr;  // attention_scratch() numbers
  // backward only; dq, dk, dv are overwritten and lie `ld` apart
  const T* dy = nullptr;
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;
};

namespace detail::attention {

template <class S>
inline constexpr std::size_t block_rows = S::tile_rows > 8 ? 2 * S::tile_rows : 4 * S::tile_rows;

inline constexpr std::size_t max_block_rows = 28;

[[nodiscard]] constexpr std::size_t round_up(std::size_t n) noexcept { return (n + 31) / 32 * 32; }

/// Elements [n, the end of its vector) become very small, so that whole vectors can be worked on: their weights are 0.
/// Rows are padded to whole vectors. Returns that end.
template <class S, class T>
[[gnu::always_inline]] inline std::size_t cut_row(T* x, std::size_t n) {
  const std::size_t end = (n + S::width - 1) / S::width * S::width;
  for (std::size_t c = n; c < end; ++c) x[c] = T(-1e30);
  return end;
}

/// s := e^(s - the row's maximum) for one block of scores (rows i0..., of which row i uses 0..i), zero behind, up to
/// column n: the softmax but for the factor inverses[row].
template <class S, class T>
[[gnu::always_inline]] inline void softmax_rows(std::size_t i0, std::size_t rows, std::size_t n, std::size_t ld,
                                                T scale, T* s, T* log_sums, T* inverses) {
  using V = typename S::vec;
  for (std::size_t r = 0; r < rows; ++r) {
    T* x = s + r * ld;
    const std::size_t end = cut_row<S>(x, i0 + r + 1);
    V top = *reinterpret_cast<const V*>(x);
    for (std::size_t c = S::width; c < end; c += S::width) {
      const V v = *reinterpret_cast<const V*>(x + c);
      top = v > top ? v : top;
    }
    const T high = simd::largest<S>(top);
    V total{};
    for (std::size_t c = 0; c < end; c += S::width) {
      V v = (*reinterpret_cast<const V*>(x + c) - high) * scale;
      simd::exp<S>(v);
      *reinterpret_cast<V*>(x + c) = v;
      total += v;
    }
    const T sum = simd::sum<S>(total);
    inverses[r] = T(1) / sum;
    log_sums[i0 + r] = high * scale + std::log(sum);
    for (std::size_t c = end; c < n; ++c) x[c] = T(0);
  }
}

/// c (M,N) := a (M,K) b, or c += a^T b with a (K,M); b packed with panel_K rows.
template <class S, class T>
[[gnu::always_inline]] inline void product(std::size_t M, std::size_t N, std::size_t K, const T* a, std::size_t lda,
                                           const T* panels, std::size_t panel_K, T* c, std::size_t ldc,
                                           bool add_transposed = false) {
  ProductArgs<T> left;
  left.a = a;
  left.lda = lda;
  left.transposed = left.accumulate = add_transposed;
  left.M = M;
  left.c = c;
  left.ldc = ldc;
  Rhs<T> right;
  right.K = K;
  right.N = N;
  right.panels = panels;
  right.panel_rows = panel_K;
  simd::call_same<S, gemm::Multiply>(static_cast<const ProductArgs<T>*>(&left), static_cast<const Rhs<T>*>(&right));
}

template <class S, class T>
[[gnu::always_inline]] inline void pack(const T* b, std::size_t ld, bool transposed, std::size_t K, std::size_t N,
                                        T* out) {
  simd::call_same<S, gemm::Pack>(b, ld, transposed, K, N, out);
}

struct Forward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const AttentionArgs<T>* p) {
    constexpr std::size_t R = block_rows<S>;
    const std::size_t time = p->time, hs = p->hs, ld = round_up(time);
    const T scale = T(1) / std::sqrt(static_cast<T>(hs));
    T inverses[max_block_rows];
    T* scores = p->scratch;
    T* keys = scores + max_block_rows * ld;
    T* values = keys + ld * hs;
    pack<S>(p->k, p->ld, true, hs, time, keys);
    pack<S>(p->v, p->ld, false, time, hs, values);
    for (std::size_t i = 0; i < time; i += R) {
      const std::size_t rows = (std::min)(R, time - i), used = i + rows;
      const std::size_t n = (std::min)((used + 2 * S::width - 1) / (2 * S::width) * 2 * S::width,
                                       (time + S::width - 1) / S::width * S::width);
      product<S>(rows, n, hs, p->q + i * p->ld, p->ld, keys, hs, scores, ld);
      softmax_rows<S>(i, rows, used, ld, scale, scores, p->log_sums, inverses);
      if (p->dropout > T(0)) {
        for (std::size_t r = 0; r < rows; ++r) {
          kernels::Dropout::run<S>(i + r + 1, p->dropout_key, static_cast<std::uint32_t>((i + r) * time), p->dropout,
                                   scores + r * ld);
        }
      }
      T* y = p->y + i * p->y_ld;
      product<S>(rows, hs, used, scores, ld, values, time, y, p->y_ld);
      for (std::size_t r = 0; r < rows; ++r, y += p->y_ld) {
        simd::sweep<S>(
            hs, [&](std::size_t c, std::size_t n_here) __attribute__((always_inline)) {
              typename S::vec v;
              simd::load<S>(v, y + c, n_here);
              v *= inverses[r];
              simd::store<S>(y + c, v, n_here);
            });
      }
    }
  }
};

struct Backward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const AttentionArgs<T>* p) {
    using V = typename S::vec;
    constexpr std::size_t R = block_rows<S>;
    const std::size_t time = p->time, hs = p->hs, ld = round_up(time), wide_hs = round_up(hs);
    const T scale = T(1) / std::sqrt(static_cast<T>(hs));
    T* weights = p->scratch;
    T* slopes = weights + max_block_rows * ld;
    T* keys_t = slopes + max_block_rows * ld;
    T* values_t = keys_t + ld * hs;
    T* keys = values_t + ld * hs;
    T* block = keys + ld * wide_hs;
    pack<S>(p->k, p->ld, true, hs, time, keys_t);
    pack<S>(p->v, p->ld, true, hs, time, values_t);
    pack<S>(p->k, p->ld, false, time, hs, keys);
    for (std::size_t t = 0; t < time; ++t) {
      std::fill_n(p->dk + t * p->ld, hs, T(0));
      std::fill_n(p->dv + t * p->ld, hs, T(0));
    }
    for (std::size_t i = 0; i < time; i += R) {
      const std::size_t rows = (std::min)(R, time - i), used = i + rows;
      const std::size_t n = (std::min)((used + 2 * S::width - 1) / (2 * S::width) * 2 * S::width,
                                       (time + S::width - 1) / S::width * S::width);
      const T *q = p->q + i * p->ld, *dy = p->dy + i * p->y_ld;
      product<S>(rows, n, hs, q, p->ld, keys_t, hs, weights, ld);
      product<S>(rows, n, hs, dy, p->y_ld, values_t, hs, slopes, ld);
      for (std::size_t r = 0; r < rows; ++r) {  // weights := P (dropped), slopes := d scores
        T *w = weights + r * ld, *d = slopes + r * ld;
        const std::size_t live = i + r + 1;
        const T log_sum = p->log_sums[i + r];
        const auto first = static_cast<std::uint32_t>((i + r) * time);
        if (p->dropout > T(0)) kernels::Dropout::run<S>(live, p->dropout_key, first, p->dropout, d);
        const std::size_t end = cut_row<S>(w, live);
        V dots{};
        for (std::size_t c = 0; c < end; c += S::width) {
          V v = *reinterpret_cast<const V*>(w + c) * scale - log_sum;
          simd::exp<S>(v);
          *reinterpret_cast<V*>(w + c) = v;
          dots += v * *reinterpret_cast<const V*>(d + c);
        }
        const T dot = simd::sum<S>(dots);
        for (std::size_t c = 0; c < end; c += S::width) {
          V& slope = *reinterpret_cast<V*>(d + c);
          slope = *reinterpret_cast<const V*>(w + c) * (slope - dot) * scale;
        }
        if (p->dropout > T(0)) kernels::Dropout::run<S>(live, p->dropout_key, first, p->dropout, w);
        for (std::size_t c = end; c < used; ++c) w[c] = d[c] = T(0);
      }
      product<S>(rows, hs, used, slopes, ld, keys, time, p->dq + i * p->ld, p->ld);
      pack<S>(q, p->ld, false, rows, hs, block);
      product<S>(used, hs, rows, slopes, ld, block, rows, p->dk, p->ld, true);
      pack<S>(dy, p->y_ld, false, rows, hs, block);
      product<S>(used, hs, rows, weights, ld, block, rows, p->dv, p->ld, true);
    }
  }
};

}  // namespace detail::attention

/// Numbers of scratch that one call needs.
[[nodiscard]] constexpr std::size_t attention_scratch(std::size_t time, std::size_t hs) noexcept {
  const std::size_t ld = detail::attention::round_up(time), wide = detail::attention::round_up(hs);
  return detail::attention::max_block_rows * (2 * ld + wide) + 3 * ld * wide;
}

/// y := softmax(q k^T / sqrt(hs), causal) v. Row t attends to 0..t. Cost O(T^2 hs), memory O(T hs).
/// Source: Vaswani et al. 2017, eq. 1.
template <class T>
void attention_forward(const AttentionArgs<T>& args, Isa isa = best_isa()) noexcept {
  detail::simd_call<detail::attention::Forward, T>(isa, &args);
}

/// dq, dk, dv from dy, after a forward call with the same inputs.
template <class T>
void attention_backward(const AttentionArgs<T>& args, Isa isa = best_isa()) noexcept {
  detail::simd_call<detail::attention::Backward, T>(isa, &args);
}

}  // namespace v0
}  // namespace midigpt
