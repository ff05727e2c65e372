// tensor/kernels.hpp - forward and backward of everything that is not a matrix product: rows of (M,C) numbers.
//   Plain functions over pointers; the tape (tape.hpp, ops.hpp) and the models (nn/) both stand on them. Backward
//   functions ADD to the gradients they are given unless they say otherwise. Nothing here allocates or throws.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <midigpt/tensor/simd.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::kernels {

struct LayerNormForward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t M, std::size_t C, const T* x, const T* weight, const T* bias, T* y,
                                         T* stats) {
    using V = typename S::vec;
    const T inverse = T(1) / static_cast<T>(C);
    for (std::size_t i = 0; i < M; ++i, x += C, y += C) {
      V sum{};
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v;
            simd::load<S>(v, x + c, n);
            sum += v;
          });
      const T mean = simd::sum<S>(sum) * inverse;
      V squares{};
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v;
            simd::load<S>(v, x + c, n);
            v -= mean;
            if (n < S::width) simd::clear_behind<S>(v, n);
            squares += v * v;
          });
      const T rstd = T(1) / std::sqrt(simd::sum<S>(squares) * inverse + T(1e-5));
      if (stats != nullptr) {
        stats[2 * i] = mean;
        stats[2 * i + 1] = rstd;
      }
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v, w, b;
            simd::load<S>(v, x + c, n);
            simd::load<S>(w, weight + c, n);
            simd::load<S>(b, bias + c, n);
            v = (v - mean) * rstd * w + b;
            simd::store<S>(y + c, v, n);
          });
    }
  }
};

/// With `y` it also leaves what the forward pass gave, so that nobody has to keep it.
struct LayerNormBackward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t M, std::size_t C, const T* x, const T* weight, const T* bias,
                                         const T* stats, const T* dy, T* dx, T* dweight, T* dbias, T* y) {
    using V = typename S::vec;
    const T inverse = T(1) / static_cast<T>(C);
    for (std::size_t i = 0; i < M; ++i, x += C, dy += C, dx += C) {
      const T mean = stats[2 * i], rstd = stats[2 * i + 1];
      V sum{}, dot{};
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v, d, w, dw, db;
            simd::load<S>(v, x + c, n);
            simd::load<S>(d, dy + c, n);  // zero behind the end, hence no clearing of v
            simd::load<S>(w, weight + c, n);
            simd::load<S>(dw, dweight + c, n);
            simd::load<S>(db, dbias + c, n);
            v = (v - mean) * rstd;
            dw += d * v;
            db += d;
            simd::store<S>(dweight + c, dw, n);
            simd::store<S>(dbias + c, db, n);
            d *= w;
            sum += d;
            dot += d * v;
          });
      const T mean_d = simd::sum<S>(sum) * inverse, mean_dot = simd::sum<S>(dot) * inverse;
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v, d, w, out;
            simd::load<S>(v, x + c, n);
            simd::load<S>(d, dy + c, n);
            simd::load<S>(w, weight + c, n);
            simd::load<S>(out, dx + c, n);
            v = (v - mean) * rstd;
            out += (d * w - mean_d - v * mean_dot) * rstd;
            simd::store<S>(dx + c, out, n);
            if (y != nullptr) {
              V b;
              simd::load<S>(b, bias + c, n);
              v = v * w + b;
              simd::store<S>(y + c, v, n);
            }
          });
      if (y != nullptr) y += C;
    }
  }
};

/// v := 1 / (1 + e^-v).
template <class S>
[[gnu::always_inline]] inline void sigmoid(typename S::vec& v) {
  using T = typename S::scalar;
  v = -v;
  simd::exp<S>(v);
  v = T(1) / (T(1) + v);
}

/// s := sigmoid(2 sqrt(2/pi) (z + 0.044715 z^3)): the tanh form of GELU is gelu(z) = z s.
template <class S>
[[gnu::always_inline]] inline void gelu_sigmoid(typename S::vec& s, const typename S::vec& z) {
  using T = typename S::scalar;
  constexpr T a = T(1.5957691216057308), b = T(1.5957691216057308 * 0.044715);
  s = z * (a + b * (z * z));
  sigmoid<S>(s);
}

struct GeluForward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, const T* x, T* y) {
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec z, s;
          simd::load<S>(z, x + c, n);
          gelu_sigmoid<S>(s, z);
          z *= s;
          simd::store<S>(y + c, z, n);
        });
  }
};

/// d := d * gelu'(x), in place; with `y` also y := gelu(x).
struct GeluBackward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, const T* x, T* d, T* y) {
    constexpr T a = T(1.5957691216057308), b3 = T(3 * 1.5957691216057308 * 0.044715);
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec z, s, g;
          simd::load<S>(z, x + c, n);
          simd::load<S>(g, d + c, n);
          gelu_sigmoid<S>(s, z);
          const typename S::vec value = z * s;
          g *= s + value * (T(1) - s) * (a + b3 * (z * z));
          simd::store<S>(d + c, g, n);
          if (y != nullptr) simd::store<S>(y + c, value, n);
        });
  }
};

/// sums[c] += sum over rows of x(i,c). Four rows at a time: the sums stay in L1.
struct ColumnSums {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t M, std::size_t C, const T* x, T* sums) {
    using V = typename S::vec;
    std::size_t i = 0;
    for (; i + 4 <= M; i += 4, x += 4 * C) {
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V total, v;
            simd::load<S>(total, sums + c, n);
            for (std::size_t r = 0; r < 4; ++r) {
              simd::load<S>(v, x + r * C + c, n);
              total += v;
            }
            simd::store<S>(sums + c, total, n);
          });
    }
    for (; i < M; ++i, x += C) {
      simd::sweep<S>(
          C, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V total, v;
            simd::load<S>(total, sums + c, n);
            simd::load<S>(v, x + c, n);
            total += v;
            simd::store<S>(sums + c, total, n);
          });
    }
  }
};

/// y += scale x.
struct AddScaled {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, T scale, const T* x, T* y) {
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec v, w;
          simd::load<S>(v, x + c, n);
          simd::load<S>(w, y + c, n);
          w += scale * v;
          simd::store<S>(y + c, w, n);
        });
  }
};

/// y += sum over i < n of scale[i] x(row[i], :), C numbers each, added in the order of i.
struct AddRows {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t C, std::size_t n, const std::int32_t* row, const float* scale,
                                         const T* x, T* y) {
    using V = typename S::vec;
    const auto at = [&](std::size_t i, std::size_t c) __attribute__((always_inline)) {
      return x + static_cast<std::size_t>(row[i]) * C + c;
    };
    std::size_t c = 0;
    for (; c + 4 * S::width <= C; c += 4 * S::width) {
      V sum[4], v;
      for (std::size_t k = 0; k < 4; ++k) simd::load<S>(sum[k], y + c + k * S::width, S::width);
      for (std::size_t i = 0; i < n; ++i) {
        const T factor = static_cast<T>(scale[i]);
        for (std::size_t k = 0; k < 4; ++k) {
          simd::load<S>(v, at(i, c + k * S::width), S::width);
          sum[k] += factor * v;
        }
      }
      for (std::size_t k = 0; k < 4; ++k) simd::store<S>(y + c + k * S::width, sum[k], S::width);
    }
    simd::sweep<S>(
        C - c, [&](std::size_t r, std::size_t m) __attribute__((always_inline)) {
          V sum, v;
          simd::load<S>(sum, y + c + r, m);
          for (std::size_t i = 0; i < n; ++i) {
            simd::load<S>(v, at(i, c + r), m);
            sum += static_cast<T>(scale[i]) * v;
          }
          simd::store<S>(y + c + r, sum, m);
        });
  }
};

/// y := a + b.
struct Add {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, const T* a, const T* b, T* y) {
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec v, w;
          simd::load<S>(v, a + c, n);
          simd::load<S>(w, b + c, n);
          v += w;
          simd::store<S>(y + c, v, n);
        });
  }
};

/// v := v * m, m being 0 with probability p and 1 / (1 - p) else; the fate of element x is a function of (key, first +
/// x step) alone.
template <class S>
[[gnu::always_inline]] inline void drop(typename S::vec& v, std::uint32_t key, std::uint32_t first, std::uint32_t step,
                                        typename S::scalar p) {
  using T = typename S::scalar;
  const T keep = T(1) / (T(1) - p);
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(p) * 4294967296.0);
  if constexpr (std::is_same_v<T, float>) {
    using U = typename S::uvec;
    U lane{};
    for (std::size_t i = 0; i < S::width; ++i) lane[i] = static_cast<std::uint32_t>(i);
    U h = (lane * step + first) * 0x9E3779B1u + key;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    h ^= h >> 16;
    v = h < threshold ? typename S::vec{} : v * keep;
  } else {
    for (std::size_t i = 0; i < S::width; ++i) {
      std::uint32_t h = (static_cast<std::uint32_t>(i) * step + first) * 0x9E3779B1u + key;
      h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
      h = (h ^ (h >> 13)) * 0xC2B2AE35u;
      h ^= h >> 16;
      v[i] = h < threshold ? T(0) : v[i] * keep;
    }
  }
}

/// drop() over x[0, size), element i being number first + i.
struct Dropout {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, std::uint32_t key, std::uint32_t first, T p, T* x) {
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec v;
          simd::load<S>(v, x + c, n);
          drop<S>(v, key, first + static_cast<std::uint32_t>(c), 1, p);
          simd::store<S>(x + c, v, n);
        });
  }
};

/// One block of columns of the logits, (rows, ld): updates each row's running maximum and sum of exponentials and
/// leaves e^(x - shift) behind, shift[i] being the maximum so far. Where the target lies in the block its logit is
/// noted.
template <class T>
struct SoftmaxBlock {
  std::size_t rows = 0, cols = 0, ld = 0;
  T* x = nullptr;
  std::int32_t first = 0;  // the id of column 0
  const std::int32_t* targets = nullptr;
  T *max = nullptr, *sum = nullptr, *shift = nullptr, *target_logit = nullptr;

  /// Rows [i, i + n) as a block of their own.
  [[nodiscard]] SoftmaxBlock part(std::size_t i, std::size_t n) const noexcept {
    return {.rows = n,
            .cols = cols,
            .ld = ld,
            .x = x + i * ld,
            .first = first,
            .targets = targets + i,
            .max = max + i,
            .sum = sum + i,
            .shift = shift + i,
            .target_logit = target_logit + i};
  }
};

struct SoftmaxForward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const SoftmaxBlock<T>* b) {
    using V = typename S::vec;
    for (std::size_t i = 0; i < b->rows; ++i) {
      T* x = b->x + i * b->ld;
      const std::int32_t target = b->targets[i] - b->first;
      if (target >= 0 && static_cast<std::size_t>(target) < b->cols) b->target_logit[i] = x[target];
      V top;
      simd::splat<S>(top, b->max[i]);
      simd::sweep<S>(
          b->cols, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v;
            simd::load<S>(v, x + c, n);
            if (n < S::width) {
              for (std::size_t k = n; k < S::width; ++k) v[k] = top[k];
            }
            top = v > top ? v : top;
          });
      const T high = simd::largest<S>(top);
      V total{};
      simd::sweep<S>(
          b->cols, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V v;
            simd::load<S>(v, x + c, n);
            v -= high;
            simd::exp<S>(v);
            if (n < S::width) simd::clear_behind<S>(v, n);
            simd::store<S>(x + c, v, n);
            total += v;
          });
      b->sum[i] = b->sum[i] * std::exp(b->max[i] - high) + simd::sum<S>(total);
      b->max[i] = high;
      b->shift[i] = high;
    }
  }
};

/// x(i, :) *= factor[i]; then x(i, target) -= scale where the target lies in the block.
struct SoftmaxBackward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(const SoftmaxBlock<T>* b, const T* factor, T scale) {
    for (std::size_t i = 0; i < b->rows; ++i) {
      T* x = b->x + i * b->ld;
      const T f = factor[i];
      simd::sweep<S>(
          b->cols, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            typename S::vec v;
            simd::load<S>(v, x + c, n);
            v *= f;
            simd::store<S>(x + c, v, n);
          });
      const std::int32_t target = b->targets[i] - b->first;
      if (target >= 0 && static_cast<std::size_t>(target) < b->cols) x[target] -= scale;
    }
  }
};

/// y[j] := sum_k x[k] w(k,j) + bias[j]: one row times a (K,N) matrix.
struct VectorMatrix {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t K, std::size_t N, const T* x, const T* w, const T* bias, T* y) {
    using V = typename S::vec;
    constexpr std::size_t W = S::width;
    std::size_t j = 0;
    for (; j + 8 * W <= N; j += 8 * W) {
      V sum[8];
      for (std::size_t i = 0; i < 8; ++i) simd::load<S>(sum[i], bias + j + i * W, W);
      for (std::size_t k = 0; k < K; ++k) {
        const T* row = w + k * N + j;
        const T left = x[k];
#pragma GCC unroll 8
        for (std::size_t i = 0; i < 8; ++i) sum[i] += left * *reinterpret_cast<const V*>(row + i * W);
      }
      for (std::size_t i = 0; i < 8; ++i) simd::store<S>(y + j + i * W, sum[i], W);
    }
    for (; j < N; j += W) {
      const std::size_t n = N - j;
      V sum, v;
      simd::load<S>(sum, bias + j, n);
      for (std::size_t k = 0; k < K; ++k) {
        simd::load<S>(v, w + k * N + j, n);
        sum += x[k] * v;
      }
      simd::store<S>(y + j, sum, n);
    }
  }
};

/// y[i] := sum_k w(i,k) x[k]: a (N,K) matrix times a column.
struct MatrixVector {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t N, std::size_t K, const T* w, const T* x, T* y) {
    using V = typename S::vec;
    std::size_t i = 0;
    for (; i + 4 <= N; i += 4, w += 4 * K) {  // four rows at once: four streams for the prefetcher
      V sum[4] = {};
      simd::sweep<S>(
          K, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V right, v;
            simd::load<S>(right, x + c, n);
            for (std::size_t r = 0; r < 4; ++r) {
              simd::load<S>(v, w + r * K + c, n);
              sum[r] += v * right;
            }
          });
      for (std::size_t r = 0; r < 4; ++r) y[i + r] = simd::sum<S>(sum[r]);
    }
    for (; i < N; ++i, w += K) {
      V sum{};
      simd::sweep<S>(
          K, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V right, v;
            simd::load<S>(right, x + c, n);
            simd::load<S>(v, w + c, n);
            sum += v * right;
          });
      y[i] = simd::sum<S>(sum);
    }
  }
};

/// One position's attention for one head over the t cached rows of k and v (stride apart); p is scratch for t numbers.
struct AttendOne {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t t, std::size_t hs, std::size_t stride, T scale, const T* q,
                                         const T* k, const T* v, T* p, T* y) {
    using V = typename S::vec;
    T high = T(0);
    for (std::size_t j = 0; j < t; ++j) {
      V sum{};
      simd::sweep<S>(
          hs, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            V a, b;
            simd::load<S>(a, q + c, n);
            simd::load<S>(b, k + j * stride + c, n);
            sum += a * b;
          });
      p[j] = simd::sum<S>(sum) * scale;
      high = j == 0 || p[j] > high ? p[j] : high;
    }
    V total{};
    simd::sweep<S>(
        t, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          V e;
          simd::load<S>(e, p + c, n);
          e -= high;
          simd::exp<S>(e);
          if (n < S::width) simd::clear_behind<S>(e, n);
          simd::store<S>(p + c, e, n);
          total += e;
        });
    const T inverse = T(1) / simd::sum<S>(total);
    simd::sweep<S>(
        hs, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          V sum{}, b;
          for (std::size_t j = 0; j < t; ++j) {
            simd::load<S>(b, v + j * stride + c, n);
            sum += p[j] * b;
          }
          sum *= inverse;
          simd::store<S>(y + c, sum, n);
        });
  }
};

struct Finite {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, const T* x, bool* finite) {
    typename S::vec sum{};
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          typename S::vec v;
          simd::load<S>(v, x + c, n);
          sum += v * T(0);  // 0 for a finite number, NaN for an infinite one or a NaN
        });
    *finite = simd::sum<S>(sum) == T(0);
  }
};

/// Blocks of 1024 in vectors of T, the blocks' sums in double.
struct SumOfSquares {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, const T* x, double* out) {
    constexpr std::size_t block = 1024;
    double total = 0;
    for (std::size_t i = 0; i < size; i += block) {
      typename S::vec sum{};
      simd::sweep<S>(
          size - i < block ? size - i : block, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
            typename S::vec v;
            simd::load<S>(v, x + i + c, n);
            sum += v * v;
          });
      total += static_cast<double>(simd::sum<S>(sum));
    }
    *out = total;
  }
};

}  // namespace detail::kernels

/// True when no number is infinite or NaN. One pass at memory speed.
template <class T>
[[nodiscard]] bool all_finite(std::span<const T> x, Isa isa = best_isa()) noexcept {
  bool finite = true;
  detail::simd_call<detail::kernels::Finite, T>(isa, x.size(), x.data(), &finite);
  return finite;
}

/// Sum of x[i]^2, added in a fixed order.
template <class T>
[[nodiscard]] double sum_of_squares(std::span<const T> x, Isa isa = best_isa()) noexcept {
  double sum = 0;
  detail::simd_call<detail::kernels::SumOfSquares, T>(isa, x.size(), x.data(), &sum);
  return sum;
}

/// What one step of AdamW needs beside the numbers (Loshchilov and Hutter 2019, as PyTorch computes it).
template <class T>
struct AdamwScale {
  T lr = T(1e-3), beta1 = T(0.9), beta2 = T(0.999), eps = T(1e-8);
  T weight_decay = T(0);                               // 0 where the parameter does not decay
  T bias_correction1 = T(1), bias_correction2 = T(1);  // 1 - beta^t
  T grad_scale = T(1);                                 // the factor of gradient clipping
};

namespace detail::kernels {

struct Adamw {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t size, const AdamwScale<T>* s, T* value, const T* grad, T* m,
                                         T* v) {
    using V = typename S::vec;
    const T keep = T(1) - s->lr * s->weight_decay, rate = s->lr / s->bias_correction1;
    const T inverse2 = T(1) / s->bias_correction2;
    simd::sweep<S>(
        size, [&](std::size_t c, std::size_t n) __attribute__((always_inline)) {
          V x, g, mean, square, root;
          simd::load<S>(x, value + c, n);
          simd::load<S>(g, grad + c, n);
          simd::load<S>(mean, m + c, n);
          simd::load<S>(square, v + c, n);
          g *= s->grad_scale;
          mean = s->beta1 * mean + (T(1) - s->beta1) * g;
          square = s->beta2 * square + (T(1) - s->beta2) * g * g;
          root = square * inverse2;
          simd::sqrt<S>(root);
          x = x * keep - rate * mean / (root + s->eps);
          simd::store<S>(value + c, x, n);
          simd::store<S>(m + c, mean, n);
          simd::store<S>(v + c, square, n);
        });
  }
};

}  // namespace detail::kernels

/// One step of AdamW over one parameter: `value`, `m` and `v` change.
template <class T>
void adamw_update(std::span<T> value, std::span<const T> grad, std::span<T> m, std::span<T> v,
                  const AdamwScale<T>& scale, Isa isa = best_isa()) noexcept {
  detail::simd_call<detail::kernels::Adamw, T>(isa, value.size(), &scale, value.data(), grad.data(), m.data(),
                                               v.data());
}

}  // namespace v0
}  // namespace midigpt
