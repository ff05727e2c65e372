// tensor/attention.hpp - causal scaled dot-product attention, forward and backward, in blocks of queries cut at the
// diagonal.
//   A block of queries is as wide as a panel of the product, and its scores are kept transposed, (keys, queries): the
//   softmax runs down the columns, a lane for each query, and the weights are a packed right factor as they lie.
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
  T *y = nullptr, *log_sums = nullptr;  // y and (time) numbers: written by forward, read by backward
  T dropout = T(0);
  std::uint32_t dropout_key = 0;
  T* scratch = nullptr;  // attention_scratch() numbers
  // backward only; dq, dk, dv are overwritten and lie `ld` apart
  const T* dy = nullptr;
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;
};

namespace detail::attention {

[[nodiscard]] constexpr std::size_t round_up(std::size_t n) noexcept { return (n + 31) / 32 * 32; }

inline constexpr std::size_t most_queries = 32;  // of a block, on any instruction set

/// A right factor of K rows: packed, or (with `ld`) as it lies.
template <class T>
struct Factor {
  const T* data;
  std::size_t ld = 0;
};

/// c (M,N) := a (M,K) b, or c += a b.
template <class S, class T>
[[gnu::always_inline]] inline void product(std::size_t M, std::size_t N, std::size_t K, const T* a, std::size_t lda,
                                           const Factor<T>& b, T* c, std::size_t ldc, bool add = false) {
  ProductArgs<T> left;
  left.a = a;
  left.lda = lda;
  left.M = M;
  left.c = c;
  left.ldc = ldc;
  left.accumulate = add;
  Rhs<T> right;
  right.K = right.panel_rows = K;
  right.N = N;
  right.data = b.data;
  right.ld = b.ld;
  if (b.ld == 0) right.panels = b.data;
  simd::call_same<S, gemm::Multiply>(static_cast<const ProductArgs<T>*>(&left), static_cast<const Rhs<T>*>(&right));
}

template <class S, class T>
[[gnu::always_inline]] inline void pack_transposed(const T* b, std::size_t ld, std::size_t K, std::size_t N, T* out) {
  simd::call_same<S, gemm::Pack>(b, ld, true, K, N, out);
}

/// to[c to_ld + r] := from[r ld + c]: whole vectors of rows, so to_ld is a multiple of 32.
struct Transpose {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t rows, std::size_t cols, const T* from, std::size_t ld, T* to,
                                         std::size_t to_ld) {
    for (std::size_t r = 0; r < rows; r += S::width)
      gemm::transpose_columns<S>(from + r * ld, ld, (std::min)(S::width, rows - r), cols, to + r, to_ld);
  }
};

/// The same, and not one number more is written.
struct TransposeExact {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t rows, std::size_t cols, const T* from, std::size_t ld, T* to,
                                         std::size_t to_ld) {
    std::size_t r = 0;
    for (; r + S::width <= rows; r += S::width)
      gemm::transpose_columns<S>(from + r * ld, ld, S::width, cols, to + r, to_ld);
    for (; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) to[c * to_ld + r] = from[r * ld + c];
    }
  }
};

/// One block of scores, (keys, w): queries first..., of which query x sees the keys up to first + x.
template <class S>
struct Block {
  using T = typename S::scalar;
  using V = typename S::vec;
  std::size_t first = 0, queries = 0, keys = 0, w = 0;  // w: one or two vectors

  /// Queries [first, first + as many as there are).
  [[gnu::always_inline]] Block(std::size_t first_query, std::size_t time)
      : first(first_query),
        queries((std::min)(2 * S::width, time - first_query)),
        keys(first_query + queries),
        w(queries > S::width ? 2 * S::width : S::width) {}

  /// Scores of keys that a query does not see become very small.
  [[gnu::always_inline]] void mask(T* scores) const {
    typename S::ivec lane{};
    for (std::size_t i = 0; i < S::width; ++i) lane[i] = static_cast<typename S::integer>(i);
    for (std::size_t d = 1; d < queries; ++d) {
      for (std::size_t x = 0; x < w; x += S::width) {
        V& v = *reinterpret_cast<V*>(scores + (first + d) * w + x);
        v = lane < static_cast<typename S::integer>(d) - static_cast<typename S::integer>(x) ? V{} - T(1e30) : v;
      }
    }
  }

  /// v, the weights of key t for the queries from x on, loses some.
  [[gnu::always_inline]] void drop(V& v, std::size_t x, std::size_t t, const AttentionArgs<T>& p) const {
    kernels::drop<S>(v, p.dropout_key, static_cast<std::uint32_t>((first + x) * p.time + t),
                     static_cast<std::uint32_t>(p.time), p.dropout);
  }
};

struct Forward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const AttentionArgs<T>* p) {
    using V = typename S::vec;
    const std::size_t time = p->time, hs = p->hs, ld = round_up(time);
    const T scale = T(1) / std::sqrt(static_cast<T>(hs));
    T* scores = p->scratch;
    T* values = scores + time * most_queries;  // (hs, time)
    T* queries = values + hs * ld;
    T* out = queries + hs * most_queries;  // (hs, queries)
    simd::call_same<S, Transpose>(time, hs, p->v, p->ld, values, ld);
    for (std::size_t i = 0; i < time; i += 2 * S::width) {
      const Block<S> block(i, time);
      pack_transposed<S>(p->q + i * p->ld, p->ld, hs, block.queries, queries);
      product<S>(block.keys, block.w, hs, p->k, p->ld, Factor<T>{queries}, scores, block.w);
      block.mask(scores);
      for (std::size_t x = 0; x < block.w; x += S::width) {
        V top = *reinterpret_cast<const V*>(scores + x);
        for (std::size_t t = 1; t < block.keys; ++t) {
          const V v = *reinterpret_cast<const V*>(scores + t * block.w + x);
          top = v > top ? v : top;
        }
        V sum{};
        for (std::size_t t = 0; t < block.keys; ++t) {
          V v = (*reinterpret_cast<const V*>(scores + t * block.w + x) - top) * scale;
          simd::exp<S>(v);
          sum += v;
          if (p->dropout > T(0)) block.drop(v, x, t, *p);
          *reinterpret_cast<V*>(scores + t * block.w + x) = v;
        }
        for (std::size_t r = x; r < (std::min)(x + S::width, block.queries); ++r)
          p->log_sums[i + r] = top[r - x] * scale + std::log(sum[r - x]);
        *reinterpret_cast<V*>(queries + x) = T(1) / sum;
      }
      product<S>(hs, block.w, block.keys, static_cast<const T*>(values), ld, Factor<T>{scores}, out, block.w);
      for (std::size_t d = 0; d < hs; ++d) {
        for (std::size_t x = 0; x < block.w; x += S::width)
          *reinterpret_cast<V*>(out + d * block.w + x) *= *reinterpret_cast<const V*>(queries + x);
      }
      simd::call_same<S, TransposeExact>(hs, block.queries, static_cast<const T*>(out), block.w, p->y + i * p->y_ld,
                                         p->y_ld);
    }
  }
};

struct Backward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const AttentionArgs<T>* p) {
    using V = typename S::vec;
    const std::size_t time = p->time, hs = p->hs, ld = round_up(time);
    const T scale = T(1) / std::sqrt(static_cast<T>(hs));
    T* weights = p->scratch;
    T* slopes = weights + time * most_queries;
    T* keys = slopes + time * most_queries;  // (hs, time)
    T* panel = keys + hs * ld;
    T* out = panel + most_queries * round_up(hs);  // (hs, queries)
    simd::call_same<S, Transpose>(time, hs, p->k, p->ld, keys, ld);
    bool add = false;  // the last block comes first: it has all keys, the others add
    for (std::size_t i = (time - 1) / (2 * S::width) * 2 * S::width;; i -= 2 * S::width, add = true) {
      const Block<S> block(i, time);
      const std::size_t w = block.w;
      const T *q = p->q + i * p->ld, *dy = p->dy + i * p->y_ld;
      pack_transposed<S>(q, p->ld, hs, block.queries, panel);
      product<S>(block.keys, w, hs, p->k, p->ld, Factor<T>{panel}, weights, w);
      pack_transposed<S>(dy, p->y_ld, hs, block.queries, panel);
      product<S>(block.keys, w, hs, p->v, p->ld, Factor<T>{panel}, slopes, w);
      block.mask(weights);
      pack_transposed<S>(static_cast<const T*>(p->y + i * p->y_ld), p->y_ld, hs, block.queries, out);
      for (std::size_t x = 0; x < w; x += S::width) {  // weights := P (dropped), slopes := d scores
        V log_sum, dot{};                              // the sum over the keys of P dP is that of y dy over hs
        simd::load<S>(log_sum, p->log_sums + i + x, block.queries - x);
        for (std::size_t d = x; d < hs * w; d += w)
          dot += *reinterpret_cast<const V*>(out + d) * *reinterpret_cast<const V*>(panel + d);
        for (std::size_t t = 0; t < block.keys; ++t) {
          V v = *reinterpret_cast<const V*>(weights + t * w + x) * scale - log_sum;
          V d = *reinterpret_cast<const V*>(slopes + t * w + x);
          simd::exp<S>(v);
          if (p->dropout > T(0)) block.drop(d, x, t, *p);
          *reinterpret_cast<V*>(slopes + t * w + x) = v * (d - dot) * scale;
          if (p->dropout > T(0)) block.drop(v, x, t, *p);
          *reinterpret_cast<V*>(weights + t * w + x) = v;
        }
      }
      product<S>(hs, w, block.keys, static_cast<const T*>(keys), ld, Factor<T>{slopes}, out, w);
      simd::call_same<S, TransposeExact>(hs, block.queries, static_cast<const T*>(out), w, p->dq + i * p->ld, p->ld);
      product<S>(block.keys, hs, block.queries, static_cast<const T*>(weights), w, Factor<T>{dy, p->y_ld}, p->dv, p->ld,
                 add);
      product<S>(block.keys, hs, block.queries, static_cast<const T*>(slopes), w, Factor<T>{q, p->ld}, p->dk, p->ld,
                 add);
      if (i == 0) return;
    }
  }
};

}  // namespace detail::attention

/// Numbers of scratch that one call needs.
[[nodiscard]] constexpr std::size_t attention_scratch(std::size_t time, std::size_t hs) noexcept {
  const std::size_t wide = detail::attention::round_up(hs);
  return detail::attention::most_queries * (2 * time + 2 * wide) + wide * detail::attention::round_up(time);
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
