// tensor/gemm.hpp - the one door to the matrix product, C (+)= op(A) op(B) + bias, all row-major.
//   Two engines with the same face: PackedProduct, our own kernel (two vectors wide, as many rows as registers hold, B
//   in column panels, A broadcast from where it lies), and EigenProduct, its oracle and the choice for anything
//   unusual. No sum over k is ever split between threads or depends on M: a row's result does not depend on the rows
//   beside it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include <midigpt/tensor/simd.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

/// The right factor op(B), (K,N). `data` is B as it lies in memory: (K,N), or (N,K) when transposed.
template <class T>
struct Rhs {
  const T* data = nullptr;
  std::size_t ld = 0;
  bool transposed = false;
  std::size_t K = 0, N = 0;
  const T* panels = nullptr;                  // what Product::pack() made of it
  std::size_t panel_rows = 0, first_row = 0;  // the panels' K, and where ours begins

  /// Rows [first, first + n) of op(B) as a factor of their own.
  [[nodiscard]] Rhs rows(std::size_t first, std::size_t n) const noexcept {
    Rhs part = *this;
    part.data += transposed ? first : first * ld;
    part.K = n;
    part.first_row += first;
    return part;
  }
  /// Columns [first, first + n). Requires: `first` is a multiple of 32, so that a panel begins there.
  [[nodiscard]] Rhs columns(std::size_t first, std::size_t n) const noexcept {
    Rhs part = *this;
    part.data += transposed ? first * ld : first;
    part.N = n;
    if (panels != nullptr) part.panels += first * panel_rows;
    return part;
  }
};

/// The left factor and the destination.
template <class T>
struct ProductArgs {
  const T* a = nullptr;  // (M,K), or (K,M) when transposed
  std::size_t lda = 0;
  bool transposed = false;
  std::size_t M = 0;
  T* c = nullptr;  // (M,N)
  std::size_t ldc = 0;
  bool accumulate = false;  // C += instead of C =
  const T* bias = nullptr;  // (N), added to each row
};

namespace detail::gemm {

inline constexpr std::size_t k_block = 384;  // rows of a panel used at a time: a strip of A stays in L1
inline constexpr std::size_t n_block = 512;  // columns at a time: their panels stay in L2

/// One stage of a butterfly: swaps element `lane ^ D` between vectors that are D apart.
template <class S, std::size_t D, std::size_t... lane>
[[gnu::always_inline]] inline void exchange(typename S::vec& a, typename S::vec& b, std::index_sequence<lane...>) {
  constexpr std::size_t W = S::width;
  const typename S::vec x = a, y = b;
  a = __builtin_shufflevector(x, y, ((lane & D) == 0 ? lane : W + lane - D)...);
  b = __builtin_shufflevector(x, y, ((lane & D) == 0 ? lane + D : W + lane)...);
}

template <class S, std::size_t D>
[[gnu::always_inline]] inline void transpose_stage(typename S::vec* rows) {
  if constexpr (D < S::width) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < S::width; ++i) {
      if ((i & D) == 0) exchange<S, D>(rows[i], rows[i + D], std::make_index_sequence<S::width>());
    }
    transpose_stage<S, 2 * D>(rows);
  }
}

/// to[k to_ld + x] := from[x from_ld + k] for k < K, x < n <= width; 0 for the x from n to width.
template <class S, class T>
[[gnu::always_inline]] inline void transpose_columns(const T* from, std::size_t from_ld, std::size_t n, std::size_t K,
                                                     T* to, std::size_t to_ld) {
  constexpr std::size_t W = S::width;
  std::size_t k = 0;
  for (; n == W && k + W <= K; k += W) {
    typename S::vec rows[W];
#pragma GCC unroll 16
    for (std::size_t x = 0; x < W; ++x) rows[x] = *reinterpret_cast<const typename S::vec*>(from + x * from_ld + k);
    transpose_stage<S, 1>(rows);
#pragma GCC unroll 16
    for (std::size_t x = 0; x < W; ++x) *reinterpret_cast<typename S::vec*>(to + (k + x) * to_ld) = rows[x];
  }
  for (; k < K; ++k) {
    for (std::size_t x = 0; x < W; ++x) to[k * to_ld + x] = x < n ? from[x * from_ld + k] : T(0);
  }
}

/// Columns [0, N) in panels of two vectors, [K][2 width]; a last panel of at most one vector is [K][width].
struct Pack {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const T* b, std::size_t ld, bool transposed, std::size_t K, std::size_t N,
                                         T* out) {
    constexpr std::size_t W = S::width, NR = 2 * W;
    for (std::size_t j = 0; j < N; j += NR) {
      const std::size_t n = (std::min)(NR, N - j), w = n > W ? NR : W;
      T* panel = out + j * K;
      for (std::size_t x = 0; x < w; x += W) {
        const std::size_t used = (std::min)(W, n - x);
        if (transposed) {
          transpose_columns<S>(b + (j + x) * ld, ld, used, K, panel + x, w);
          continue;
        }
        for (std::size_t k = 0; k < K; ++k) {
          typename S::vec v;
          simd::load<S>(v, b + k * ld + j + x, used);
          simd::store<S>(panel + k * w + x, v, W);
        }
      }
    }
  }
};

/// MR rows by NV vectors of C. A(i,k) = a[i lda + k], or a[k lda + i] when AT; B(k,j) = b[k NV width + j].
template <class S, std::size_t MR, std::size_t NV, bool AT, class T>
[[gnu::always_inline]] inline void tile(std::size_t K, const T* a, std::size_t lda, const T* b, T* c, std::size_t ldc,
                                        bool accumulate, const T* bias) {
  using V = typename S::vec;
  constexpr std::size_t W = S::width, line = 64 / sizeof(T), ahead = 8 * NV * W;
  constexpr std::size_t groups = AT ? 1 : (MR + 2) / 3;  // a pointer for every three rows
  const T* from[groups];
#pragma GCC unroll 8
  for (std::size_t g = 0; g < groups; ++g) {
    from[g] = a + 3 * g * lda;
    asm("" : "+r"(from[g]));  // the compiler would make offsets of them, more than registers hold
  }
  V sum[MR][NV];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (std::size_t x = 0; x < NV; ++x) {
      sum[i][x] = V{};
      __builtin_prefetch(c + i * ldc + x * W, 1);
    }
  }
  for (std::size_t k = 0; k < K; ++k) {
    V right[NV];
#pragma GCC unroll 2
    for (std::size_t x = 0; x < NV; ++x) right[x] = *reinterpret_cast<const V*>(b + x * W);
#pragma GCC unroll 2
    for (std::size_t x = 0; x < NV * W; x += line) __builtin_prefetch(b + ahead + x);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < MR; ++i) {
      const V left = (AT ? a[i] : from[i / 3][i % 3 * lda + k]) - V{};
#pragma GCC unroll 2
      for (std::size_t x = 0; x < NV; ++x) sum[i][x] += left * right[x];
    }
    if constexpr (AT) a += lda;
    b += NV * W;
  }
  if (bias != nullptr) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < MR; ++i) {
#pragma GCC unroll 2
      for (std::size_t x = 0; x < NV; ++x) sum[i][x] += *reinterpret_cast<const V*>(bias + x * W);
    }
  }
#pragma GCC unroll 16
  for (std::size_t i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (std::size_t x = 0; x < NV; ++x) {
      V* out = reinterpret_cast<V*>(c + i * ldc + x * W);
      *out = accumulate ? *out + sum[i][x] : sum[i][x];
    }
  }
}

/// As tile(), for a number of rows known at run time: S::tile_rows, 8 or 4.
template <class S, std::size_t NV, bool AT, class T>
[[gnu::always_inline]] inline void tile_any(std::size_t rows, std::size_t K, const T* a, std::size_t lda, const T* b,
                                            T* c, std::size_t ldc, bool accumulate, const T* bias) {
  if (rows == S::tile_rows) return tile<S, S::tile_rows, NV, AT>(K, a, lda, b, c, ldc, accumulate, bias);
  if constexpr (S::tile_rows > 8) {
    if (rows == 8) return tile<S, 8, NV, AT>(K, a, lda, b, c, ldc, accumulate, bias);
  }
  tile<S, 4, NV, AT>(K, a, lda, b, c, ldc, accumulate, bias);
}

/// The next number of rows for tile_any() when `left` remain. A tile of 4 rows costs no more than one of fewer.
template <class S>
[[gnu::always_inline]] inline std::size_t tile_height(std::size_t left) {
  if (left >= S::tile_rows) return S::tile_rows;
  return left >= 8 && S::tile_rows > 8 ? 8 : 4;
}

/// One strip of `height` rows, of which `rows` count, times columns [0, N) of panels that have `panel_K` rows, of which
/// K are used. `panels` points at the first used row of the first panel.
template <class S, bool AT, class T>
[[gnu::always_inline]] inline void strip(std::size_t height, std::size_t rows, std::size_t N, std::size_t K, const T* a,
                                         std::size_t lda, const T* panels, std::size_t panel_K, std::size_t first_row,
                                         T* c, std::size_t ldc, bool accumulate, const T* bias) {
  constexpr std::size_t W = S::width, NR = 2 * W;
  alignas(64) T edge[S::tile_rows * NR];
  alignas(64) T edge_bias[NR];
  for (std::size_t j = 0; j < N; j += NR) {
    const std::size_t n = (std::min)(NR, N - j);
    const bool wide = n > W, partial = n != (wide ? NR : W), through_edge = partial || rows < height;
    const std::size_t w = wide ? NR : W;
    const T* b = panels + j * panel_K + first_row * w;
    const T* bias_at = bias == nullptr ? nullptr : bias + j;
    if (partial && bias_at != nullptr) {
      for (std::size_t x = 0; x < w; ++x) edge_bias[x] = x < n ? bias_at[x] : T(0);
      bias_at = edge_bias;
    }
    T* out = through_edge ? edge : c + j;
    const std::size_t ld = through_edge ? NR : ldc;
    if (wide)
      tile_any<S, 2, AT>(height, K, a, lda, b, out, ld, accumulate && !through_edge, bias_at);
    else
      tile_any<S, 1, AT>(height, K, a, lda, b, out, ld, accumulate && !through_edge, bias_at);
    if (through_edge) {
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t x = 0; x < n; ++x) {
          T& to = c[i * ldc + j + x];
          to = accumulate ? to + edge[i * NR + x] : edge[i * NR + x];
        }
      }
    }
  }
}

/// Distance of the rows of a gathered strip of A.
template <class S>
inline constexpr std::size_t left_ld = (S::tile_rows + S::width - 1) / S::width* S::width;

/// Strips of tile_rows columns of the (K,M) matrix `from`, one behind the other, for tiles with AT; M columns are left.
/// Two strips at once read more of each cache line.
template <class S, class T>
[[gnu::always_inline]] inline void gather(const T* from, std::size_t ld, std::size_t M, std::size_t K,
                                          std::size_t strips, T* to) {
  constexpr std::size_t W = S::width;
  for (std::size_t k = 0; k < K; ++k, from += ld, to += left_ld<S>) {
    for (std::size_t s = 0; s < strips; ++s) {
      for (std::size_t x = 0; x < left_ld<S>; x += W) {
        typename S::vec v{};
        const std::size_t at = s * S::tile_rows + x;
        if (at < M) simd::load<S>(v, from + at, M - at);
        *reinterpret_cast<typename S::vec*>(to + s * K * left_ld<S> + x) = v;
      }
    }
  }
}

/// The same of fewer than 4 rows of a (M,K) matrix, zeros as rows up to 4.
template <class S, class T>
[[gnu::always_inline]] inline void gather_rows(const T* from, std::size_t ld, std::size_t rows, std::size_t K, T* to) {
  for (std::size_t k = 0; k < K; ++k) {
    for (std::size_t x = 0; x < 4; ++x) to[k * left_ld<S> + x] = x < rows ? from[x * ld + k] : T(0);
  }
}

struct Multiply {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const ProductArgs<T>* p, const Rhs<T>* right) {
    const std::size_t N = right->N, K = right->K;
    alignas(64) T left[2 * k_block * left_ld<S>];
    for (std::size_t j = 0; j < N; j += n_block) {
      const std::size_t n = (std::min)(n_block, N - j);
      const T* panels = right->panels + j * right->panel_rows;
      for (std::size_t k = 0; k < K || k == 0; k += k_block) {
        const std::size_t depth = (std::min)(k_block, K - k), first_row = right->first_row + k;
        const bool accumulate = p->accumulate || k > 0;
        const T* bias = p->bias != nullptr && k == 0 ? p->bias + j : nullptr;
        std::size_t gathered = 0;  // strips that lie ready in `left`, from `taken` on
        const T* taken = left;
        for (std::size_t i = 0; i < p->M;) {
          const std::size_t height = tile_height<S>(p->M - i), rows = (std::min)(height, p->M - i);
          T* c = p->c + i * p->ldc + j;
          if (!p->transposed && rows == height) {
            strip<S, false>(height, rows, n, depth, p->a + i * p->lda + k, p->lda, panels, right->panel_rows, first_row,
                            c, p->ldc, accumulate, bias);
          } else {
            if (!p->transposed) {
              taken = left;
              gather_rows<S>(p->a + i * p->lda + k, p->lda, rows, depth, left);
            } else if (gathered == 0) {
              gathered = p->M - i >= 2 * S::tile_rows ? 2 : 1;
              gather<S>(p->a + k * p->lda + i, p->lda, p->M - i, depth, gathered, left);
              taken = left;
            }
            strip<S, true>(height, rows, n, depth, taken, left_ld<S>, panels, right->panel_rows, first_row, c, p->ldc,
                           accumulate, bias);
            if (gathered > 0) --gathered;
            taken += depth * left_ld<S>;
          }
          i += rows;
        }
      }
    }
  }
};

}  // namespace detail::gemm

/// Our own kernel.
struct PackedProduct {
  /// Numbers that the panels of a (K,N) right factor take.
  template <class T>
  [[nodiscard]] static std::size_t panel_size(Isa isa, std::size_t K, std::size_t N) noexcept {
    const std::size_t W = detail::simd_width<T>(isa);
    return K * ((N + W - 1) / W * W);
  }
  /// Fills `panels` (panel_size() numbers) and notes it in `b`.
  template <class T>
  static void pack(Isa isa, Rhs<T>& b, T* panels) {
    detail::simd_call<detail::gemm::Pack, T>(isa, b.data, b.ld, b.transposed, b.K, b.N, panels);
    b.panels = panels;
    b.panel_rows = b.K;
    b.first_row = 0;
  }
  template <class T>
  static void multiply(Isa isa, const ProductArgs<T>& left, const Rhs<T>& b) {
    detail::simd_call<detail::gemm::Multiply, T>(isa, &left, &b);
  }
};

/// Eigen's product behind the same face.
struct EigenProduct {
  template <class T>
  [[nodiscard]] static std::size_t panel_size(Isa, std::size_t, std::size_t) noexcept {
    return 0;
  }
  template <class T>
  static void pack(Isa, Rhs<T>&, T*) {}
  template <class T>
  static void multiply(Isa, const ProductArgs<T>& p, const Rhs<T>& b) {
    using Matrix = typename Tensor<T>::Matrix;
    using View = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
    const auto at = [](std::size_t n) { return static_cast<Eigen::Index>(n); };
    const auto view = [&](const T* data, std::size_t rows, std::size_t cols, std::size_t ld) {
      return View(data, at(rows), at(cols), Eigen::OuterStride<>(at(ld)));
    };
    Eigen::Map<Matrix, 0, Eigen::OuterStride<>> c(p.c, at(p.M), at(b.N), Eigen::OuterStride<>(at(p.ldc)));
    if (!p.accumulate) c.setZero();
    const View right = b.transposed ? view(b.data, b.N, b.K, b.ld) : view(b.data, b.K, b.N, b.ld);
    const View left = p.transposed ? view(p.a, b.K, p.M, p.lda) : view(p.a, p.M, b.K, p.lda);
    if (p.transposed && b.transposed)
      c.noalias() += left.transpose() * right.transpose();
    else if (p.transposed)
      c.noalias() += left.transpose() * right;
    else if (b.transposed)
      c.noalias() += left * right.transpose();
    else
      c.noalias() += left * right;
    if (p.bias != nullptr) c.rowwise() += view(p.bias, 1, b.N, b.N).row(0);
  }
};

/// c := a b for tensors seen as matrices: (M,K) x (K,N), packing b on the way. For code outside the hot loops.
template <class T, class Product = PackedProduct>
[[nodiscard]] Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, Isa isa = best_isa()) {
  if (a.cols() != b.rows()) throw ShapeError("matmul: " + to_string(a.shape()) + " x " + to_string(b.shape()));
  Tensor<T> c(Shape{a.rows(), b.cols()});
  Rhs<T> right{.data = b.data(), .ld = b.cols(), .transposed = false, .K = b.rows(), .N = b.cols()};
  detail::AlignedBuffer<T> panels(Product::template panel_size<T>(isa, right.K, right.N));
  Product::pack(isa, right, panels.data());
  Product::multiply(isa, {.a = a.data(), .lda = a.cols(), .M = a.rows(), .c = c.data(), .ldc = b.cols()}, right);
  return c;
}

}  // namespace v0
}  // namespace midigpt
