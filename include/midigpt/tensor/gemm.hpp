// tensor/gemm.hpp - the one door to the matrix product, C (+)= op(A) op(B) + bias, all row-major.
//   Two engines with the same face: PackedProduct, our own kernel (two vectors wide, as many rows as registers hold, B
//   in column panels or where it lies, A broadcast from where it lies), and EigenProduct, its oracle and the choice for
//   anything unusual. No sum over k is ever split between threads or depends on M: a row's result does not depend on
//   the rows beside it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <string>
#include <utility>

#include <midigpt/tensor/simd.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

/// The right factor op(B), (K,N). `data` is B as it lies in memory: (K,N), or (N,K) when transposed. One that is not
/// transposed and serves one product may go without pack(): it is read where it lies.
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

inline constexpr std::size_t k_block = 512;  // most rows of a panel used at a time: a strip of A stays in L1
inline constexpr std::size_t n_block = 384;  // most columns at a time: their panels, and the next ones, stay in L2

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

/// What a tile calls into L2 for a later one: a row of two vectors, `ldb` further each time, where k & mask is 0.
template <class T>
struct Fetch {
  const T* next;
  std::size_t mask;
};

/// MR rows by NV vectors of C. A(i,k) = a[i lda + k], or a[k lda + i] when AT; B(k,j) = b[k ldb + j].
template <class S, std::size_t MR, std::size_t NV, bool AT, class T>
[[gnu::always_inline]] inline void tile(std::size_t K, const T* a, std::size_t lda, const T* b, std::size_t ldb,
                                        Fetch<T> fetch, T* c, std::size_t ldc, bool accumulate, const T* bias) {
  using V = typename S::vec;
  constexpr std::size_t W = S::width, line = 64 / sizeof(T), ahead = 8;
  constexpr std::size_t groups = AT ? 1 : (MR + 2) / 3;  // a pointer for every three rows
  const T *from[groups], *next_a = a + ahead * lda, *next_b = b + ahead * ldb;
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
    for (std::size_t x = 0; x < NV * W; x += line) __builtin_prefetch(next_b + x);
    if ((k & fetch.mask) == 0) {
#pragma GCC unroll 2
      for (std::size_t x = 0; x < NV * W; x += line) __builtin_prefetch(fetch.next + x, 0, 2);
      fetch.next += ldb;
    }
    if constexpr (AT) {
      __builtin_prefetch(next_a);
      __builtin_prefetch(next_a + MR - 1);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < MR; ++i) {
      const V left = (AT ? a[i] : from[i / 3][i % 3 * lda + k]) - V{};
#pragma GCC unroll 2
      for (std::size_t x = 0; x < NV; ++x) sum[i][x] += left * right[x];
    }
    if constexpr (AT) {
      a += lda;
      next_a += lda;
    }
    b += ldb;
    next_b += ldb;
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
                                            std::size_t ldb, Fetch<T> fetch, T* c, std::size_t ldc, bool accumulate,
                                            const T* bias) {
  if (rows == S::tile_rows) return tile<S, S::tile_rows, NV, AT>(K, a, lda, b, ldb, fetch, c, ldc, accumulate, bias);
  if constexpr (S::tile_rows > 8) {
    if (rows == 8) return tile<S, 8, NV, AT>(K, a, lda, b, ldb, fetch, c, ldc, accumulate, bias);
  }
  tile<S, 4, NV, AT>(K, a, lda, b, ldb, fetch, c, ldc, accumulate, bias);
}

/// The next number of rows for tile_any() when `left` remain, such that fewer than 4 remain in the end as rarely as can
/// be. A tile of 4 rows costs no more than one of fewer.
template <class S>
[[gnu::always_inline]] inline std::size_t tile_height(std::size_t left) {
  constexpr std::size_t R = S::tile_rows;
  if (left >= 2 * R || (left >= R && left % 4 != 0)) return R;
  return left >= 8 && R > 8 ? 8 : 4;
}

/// The part of a right factor that strips use: K rows, from row `first_row` of the panels or of the matrix on.
template <class T>
struct Right {
  const T* panels = nullptr;  // none: B is read where it lies
  std::size_t panel_K = 0, first_row = 0;
  const T *rows = nullptr, *last = nullptr;  // B, and its last columns as a panel where they fill no vector
  std::size_t ld = 0;
};

/// Where a strip's tiles find what they fetch for later ones: so far in B from what they read themselves.
struct Ahead {
  std::ptrdiff_t rows = 0, columns = 0;
  std::size_t mask = ~std::size_t{0};  // of Fetch
};

/// One strip of `height` rows, of which `rows` count, times columns [0, N).
template <class S, bool AT, class T>
[[gnu::always_inline]] inline void strip(std::size_t height, std::size_t rows, std::size_t N, std::size_t K, const T* a,
                                         std::size_t lda, const Right<T>& right, const Ahead& ahead, T* c,
                                         std::size_t ldc, bool accumulate, const T* bias) {
  constexpr std::size_t W = S::width, NR = 2 * W;
  alignas(64) T edge[S::tile_rows * NR];
  alignas(64) T edge_bias[NR];
  for (std::size_t j = 0; j < N; j += NR) {
    const std::size_t n = (std::min)(NR, N - j);
    const bool wide = n > W, partial = n != (wide ? NR : W), through_edge = partial || rows < height;
    const std::size_t w = wide ? NR : W;
    const bool lies = right.panels == nullptr && !partial;
    const T* b = lies                      ? right.rows + right.first_row * right.ld + j
                 : right.panels == nullptr ? right.last
                                           : right.panels + j * right.panel_K + right.first_row * w;
    const T* bias_at = bias == nullptr ? nullptr : bias + j;
    if (partial && bias_at != nullptr) {
      for (std::size_t x = 0; x < w; ++x) edge_bias[x] = x < n ? bias_at[x] : T(0);
      bias_at = edge_bias;
    }
    T* out = through_edge ? edge : c + j;
    const std::size_t ld = through_edge ? NR : ldc, ldb = lies ? right.ld : w, column = lies ? 1 : right.panel_K;
    const Fetch<T> fetch{b + ahead.rows * static_cast<std::ptrdiff_t>(ldb) +
                             ahead.columns * static_cast<std::ptrdiff_t>(column),
                         ahead.mask};
    if (wide)
      tile_any<S, 2, AT>(height, K, a, lda, b, ldb, fetch, out, ld, accumulate && !through_edge, bias_at);
    else
      tile_any<S, 1, AT>(height, K, a, lda, b, ldb, fetch, out, ld, accumulate && !through_edge, bias_at);
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

struct Multiply {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const ProductArgs<T>* p, const Rhs<T>* right) {
    constexpr std::size_t NR = 2 * S::width;
    const std::size_t N = right->N, K = right->K, row = p->transposed ? 1 : p->lda, column = p->transposed ? p->lda : 1;
    alignas(64) T few[k_block * 4];  // the last rows of A, fewer than 4, as columns
    alignas(64) T last[k_block * NR];
    const auto divide_up = [](std::size_t x, std::size_t by) { return (std::max)((x + by - 1) / by, std::size_t{1}); };
    const std::size_t blocks = divide_up(K, k_block), most = (K + blocks - 1) / blocks,
                      wide = divide_up(divide_up(N, divide_up(N, n_block)), NR) * NR;  // blocks of equal size
    for (std::size_t j = 0; j < N; j += wide) {
      const std::size_t n = (std::min)(wide, N - j);
      for (std::size_t block = 0; block < blocks; ++block) {
        const std::size_t k = block * most, depth = (std::min)(most, K - k);
        Right<T> part{.panel_K = right->panel_rows, .first_row = right->first_row + k, .last = last, .ld = right->ld};
        if (right->panels != nullptr) {
          part.panels = right->panels + j * right->panel_rows;
        } else {
          part.first_row = k;
          part.rows = right->data + j;
          if (n % S::width != 0)
            Pack::run<S>(part.rows + k * part.ld + n / NR * NR, part.ld, false, depth, n % NR, last);
        }
        const bool accumulate = p->accumulate || k > 0;
        const T* bias = p->bias != nullptr && k == 0 ? p->bias + j : nullptr;
        for (std::size_t i = 0; i < p->M;) {
          const std::size_t height = tile_height<S>(p->M - i), rows = (std::min)(height, p->M - i);
          const T* a = p->a + i * row + k * column;
          T* c = p->c + i * p->ldc + j;
          Ahead ahead;  // this strip's share of the next block; of the first one, which nobody fetched, the next panel
          if (i + j + k == 0 && n > NR) {
            ahead = {.columns = NR, .mask = 0};
          } else if (block + 1 < blocks || j + n < N) {
            const auto to = static_cast<std::ptrdiff_t>(block + 1 < blocks ? k + most : 0);
            ahead.rows = to - static_cast<std::ptrdiff_t>(k) + static_cast<std::ptrdiff_t>(most * i / p->M);
            ahead.columns = to > 0 ? 0 : static_cast<std::ptrdiff_t>(n);
            ahead.mask = std::bit_floor(p->M / rows) - 1;
          }
          const bool gathered = rows < height;
          if (gathered) {
            for (std::size_t d = 0; d < depth; ++d) {
              for (std::size_t x = 0; x < 4; ++x) few[4 * d + x] = x < rows ? a[x * row + d * column] : T(0);
            }
          }
          if (gathered || p->transposed) {
            strip<S, true>(height, rows, n, depth, gathered ? few : a, gathered ? 4 : p->lda, part, ahead, c,
                           p->ldc, accumulate, bias);
          } else {
            strip<S, false>(height, rows, n, depth, a, p->lda, part, ahead, c, p->ldc, accumulate, bias);
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
  /// Requires: `b` is packed or not transposed.
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

/// c := a b for tensors seen as matrices: (M,K) x (K,N).
template <class T, class Product = PackedProduct>
[[nodiscard]] Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b, Isa isa = best_isa()) {
  if (a.cols() != b.rows()) throw ShapeError("matmul: " + to_string(a.shape()) + " x " + to_string(b.shape()));
  Tensor<T> c(Shape{a.rows(), b.cols()});
  const Rhs<T> right{.data = b.data(), .ld = b.cols(), .transposed = false, .K = b.rows(), .N = b.cols()};
  Product::multiply(isa, {.a = a.data(), .lda = a.cols(), .M = a.rows(), .c = c.data(), .ldc = b.cols()}, right);
  return c;
}

}  // namespace v0
}  // namespace midigpt
