// tensor/ops.hpp - the operations of the tape. Shapes: (M,C) means the last dimension against all others together.
//   Each computes with the kernels that the models use, and is checked against finite differences in tests/tensor.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/tensor/attention.hpp>
#include <midigpt/tensor/gemm.hpp>
#include <midigpt/tensor/kernels.hpp>
#include <midigpt/tensor/tape.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::ops {

template <class T, class Kernel, class... Args>
void call(Args... args) {
  simd_call<Kernel, T>(best_isa(), args...);
}

inline void need(bool ok, const char* op, const Shape& a, const Shape& b) {
  if (!ok) throw ShapeError(std::string(op) + ": " + to_string(a) + " x " + to_string(b));
}

/// c (M,N) (+)= op(a) op(b) + bias.
template <class T>
void product(const T* a, std::size_t lda, bool transpose_a, std::size_t M, const T* b, std::size_t ldb,
             bool transpose_b, std::size_t K, std::size_t N, T* c, std::size_t ldc, bool accumulate,
             const T* bias = nullptr) {
  const Isa isa = best_isa();
  Rhs<T> right{.data = b, .ld = ldb, .transposed = transpose_b, .K = K, .N = N};
  AlignedBuffer<T> panels(transpose_b ? PackedProduct::panel_size<T>(isa, K, N) : 0);
  if (transpose_b) PackedProduct::pack(isa, right, panels.data());
  PackedProduct::multiply(isa,
                          ProductArgs<T>{.a = a,
                                         .lda = lda,
                                         .transposed = transpose_a,
                                         .M = M,
                                         .c = c,
                                         .ldc = ldc,
                                         .accumulate = accumulate,
                                         .bias = bias},
                          right);
}

template <class T>
void add_to(Tensor<T>& sum, const Tensor<T>& x, T scale = T(1)) {
  call<T, kernels::AddScaled>(x.size(), scale, x.data(), sum.data());
}

/// The gates of one step of an LSTM over B rows, in place: (B,4H) in the order input, forget, candidate, output.
struct LstmForward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t B, std::size_t H, T* gates, const T* c_before, T* c, T* h) {
    for (std::size_t b = 0; b < B; ++b, gates += 4 * H, c_before += H, c += H, h += H) {
      simd::sweep<S>(
          H, [&](std::size_t x, std::size_t n) __attribute__((always_inline)) {
            typename S::vec i, f, g, o, cell;
            const auto sigmoid = [&](typename S::vec & v) __attribute__((always_inline)) {
              v = -v;
              simd::exp<S>(v);
              v = T(1) / (T(1) + v);
            };
            const auto tanh = [&](typename S::vec & v) __attribute__((always_inline)) {
              v = v + v;
              sigmoid(v);
              v = v + v - T(1);
            };
            simd::load<S>(i, gates + x, n);
            simd::load<S>(f, gates + H + x, n);
            simd::load<S>(g, gates + 2 * H + x, n);
            simd::load<S>(o, gates + 3 * H + x, n);
            simd::load<S>(cell, c_before + x, n);
            sigmoid(i);
            sigmoid(f);
            tanh(g);
            sigmoid(o);
            cell = f * cell + i * g;
            simd::store<S>(gates + x, i, n);
            simd::store<S>(gates + H + x, f, n);
            simd::store<S>(gates + 2 * H + x, g, n);
            simd::store<S>(gates + 3 * H + x, o, n);
            simd::store<S>(c + x, cell, n);
            tanh(cell);
            cell *= o;
            simd::store<S>(h + x, cell, n);
          });
    }
  }
};

/// gates: activated by LstmForward, become slopes before activation; dc: the slope of c, becomes that of c_before.
struct LstmBackward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t B, std::size_t H, T* gates, const T* c_before, const T* c,
                                         const T* dh, T* dc) {
    for (std::size_t b = 0; b < B; ++b, gates += 4 * H, c_before += H, c += H, dh += H, dc += H) {
      for (std::size_t x = 0; x < H; ++x) {
        const T i = gates[x], f = gates[H + x], g = gates[2 * H + x], o = gates[3 * H + x], t = std::tanh(c[x]);
        const T d = dc[x] + dh[x] * o * (T(1) - t * t);
        gates[x] = d * g * i * (T(1) - i);
        gates[H + x] = d * c_before[x] * f * (T(1) - f);
        gates[2 * H + x] = d * i * (T(1) - g * g);
        gates[3 * H + x] = dh[x] * t * o * (T(1) - o);
        dc[x] = d * f;
      }
    }
  }
};

}  // namespace detail::ops

namespace ops {

/// a + b, same shape.
template <class T>
Var<T> add(Var<T> a, Var<T> b) {
  detail::ops::need(a.shape() == b.shape(), "add", a.shape(), b.shape());
  Tensor<T> y(a.shape());
  detail::ops::call<T, detail::kernels::Add>(y.size(), a.value().data(), b.value().data(), y.data());
  return a.tape().record(std::move(y), [a, b](const Tensor<T>& dy) {
    detail::ops::add_to(a.grad(), dy);
    detail::ops::add_to(b.grad(), dy);
  });
}

/// factor a.
template <class T>
Var<T> scale(Var<T> a, T factor) {
  Tensor<T> y(a.shape());
  detail::ops::add_to(y, a.value(), factor);
  return a.tape().record(std::move(y), [a, factor](const Tensor<T>& dy) { detail::ops::add_to(a.grad(), dy, factor); });
}

/// Rows of `table` (V,C): (ids.size(), C). Throws ShapeError for an id outside V.
template <class T>
Var<T> embedding(Var<T> table, std::span<const std::int32_t> ids) {
  const std::size_t C = table.value().cols();
  for (const std::int32_t id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= table.value().rows()) {
      throw ShapeError("embedding: id " + std::to_string(id) + " in a table " + to_string(table.shape()));
    }
  }
  Tensor<T> y(Shape{ids.size(), C});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::copy_n(table.value().data() + static_cast<std::size_t>(ids[i]) * C, C, y.data() + i * C);
  }
  return table.tape().record(std::move(y),
                             [table, C, kept = std::vector<std::int32_t>(ids.begin(), ids.end())](const Tensor<T>& dy) {
                               T* d = table.grad().data();
                               for (std::size_t i = 0; i < kept.size(); ++i) {
                                 detail::ops::call<T, detail::kernels::AddScaled>(
                                     C, T(1), dy.data() + i * C, d + static_cast<std::size_t>(kept[i]) * C);
                               }
                             });
}

/// x w + bias: (M,K) x (K,N) + (N).
template <class T>
Var<T> linear(Var<T> x, Var<T> w, Var<T> bias) {
  const std::size_t M = x.value().rows(), K = w.value().rows(), N = w.value().cols();
  detail::ops::need(x.value().cols() == K && bias.value().size() == N, "linear", x.shape(), w.shape());
  Tensor<T> y(Shape{M, N});
  detail::ops::product(x.value().data(), K, false, M, w.value().data(), N, false, K, N, y.data(), N, false,
                       bias.value().data());
  return x.tape().record(std::move(y), [=](const Tensor<T>& dy) {
    detail::ops::product(dy.data(), N, false, M, w.value().data(), N, true, N, K, x.grad().data(), K, true);
    detail::ops::product(x.value().data(), K, true, K, dy.data(), N, false, M, N, w.grad().data(), N, true);
    detail::ops::call<T, detail::kernels::ColumnSums>(M, N, dy.data(), bias.grad().data());
  });
}

/// gelu(x) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)): GPT-2's tanh form.
template <class T>
Var<T> gelu(Var<T> x) {
  Tensor<T> y(x.shape());
  detail::ops::call<T, detail::kernels::GeluForward>(y.size(), x.value().data(), y.data());
  return x.tape().record(std::move(y), [x](const Tensor<T>& dy) {
    Tensor<T> d = dy;
    detail::ops::call<T, detail::kernels::GeluBackward>(d.size(), x.value().data(), d.data(), static_cast<T*>(nullptr));
    detail::ops::add_to(x.grad(), d);
  });
}

/// gelu(x w + bias).
template <class T>
Var<T> linear_gelu(Var<T> x, Var<T> w, Var<T> bias) {
  return gelu(linear(x, w, bias));
}

/// Each row of x (M,C) to mean 0 and variance 1 (eps 1e-5), times weight plus bias.
template <class T>
Var<T> layer_norm(Var<T> x, Var<T> weight, Var<T> bias) {
  const std::size_t M = x.value().rows(), C = x.value().cols();
  detail::ops::need(weight.value().size() == C && bias.value().size() == C, "layer_norm", x.shape(), weight.shape());
  Tensor<T> y(x.shape()), stats(Shape{M, 2});
  detail::ops::call<T, detail::kernels::LayerNormForward>(M, C, x.value().data(), weight.value().data(),
                                                          bias.value().data(), y.data(), stats.data());
  return x.tape().record(std::move(y), [x, weight, bias, M, C, stats = std::move(stats)](const Tensor<T>& dy) {
    detail::ops::call<T, detail::kernels::LayerNormBackward>(
        M, C, x.value().data(), weight.value().data(), bias.value().data(), stats.data(), dy.data(), x.grad().data(),
        weight.grad().data(), bias.grad().data(), static_cast<T*>(nullptr));
  });
}

/// Causal self-attention of qkv (B,T,3C), q, k, v side by side, head h the h-th slice of C / n_head: (B,T,C).
/// Row t attends to 0..t. Keeps one number per row, never the (T,T) weights.
template <class T>
Var<T> causal_attention(Var<T> qkv, std::size_t n_head) {
  const Shape shape = qkv.shape();
  const std::size_t C = shape.rank() == 3 ? shape[2] / 3 : 0;
  if (C == 0 || shape[2] % 3 != 0 || n_head == 0 || C % n_head != 0) {
    throw ShapeError("causal_attention: " + to_string(shape) + " with " + std::to_string(n_head) +
                     " heads, expected (B,T,3C)");
  }
  const std::size_t B = shape[0], time = shape[1], hs = C / n_head;
  Tensor<T> y(Shape{B, time, C}), log_sums(Shape{B, n_head, time});
  const auto each_head = [=](const T* in, T* sums, auto&& f) {
    AttentionArgs<T> args{.time = time, .hs = hs, .ld = 3 * C, .y_ld = C};
    detail::AlignedBuffer<T> scratch(attention_scratch(time, hs));
    args.scratch = scratch.data();
    for (std::size_t i = 0; i < B * n_head; ++i) {
      const std::size_t at = i / n_head * time * 3 * C + i % n_head * hs,
                        y_at = i / n_head * time * C + i % n_head * hs;
      args.q = in + at;
      args.k = args.q + C;
      args.v = args.k + C;
      args.log_sums = sums + i * time;
      f(args, at, y_at);
    }
  };
  T* out = y.data();  // the numbers stay where they are when the tape takes y
  each_head(qkv.value().data(), log_sums.data(), [&](AttentionArgs<T>& args, std::size_t, std::size_t y_at) {
    args.y = out + y_at;
    attention_forward(args);
  });
  auto backward = [qkv, each_head, C, out, sums = std::move(log_sums)](const Tensor<T>& dy) mutable {
    Tensor<T> d(qkv.shape());
    each_head(qkv.value().data(), sums.data(), [&](AttentionArgs<T>& args, std::size_t at, std::size_t y_at) {
      args.y = out + y_at;
      args.dy = dy.data() + y_at;
      args.dq = d.data() + at;
      args.dk = args.dq + C;
      args.dv = args.dk + C;
      attention_backward(args);
    });
    detail::ops::add_to(qkv.grad(), d);
  };
  return qkv.tape().record(std::move(y), std::move(backward));
}

/// Zeroes each element with probability p and scales the others by 1 / (1 - p); which ones follows from `key` alone.
template <class T>
Var<T> dropout(Var<T> x, T p, std::uint32_t key) {
  Tensor<T> y = x.value();
  detail::ops::call<T, detail::kernels::Dropout>(y.size(), key, std::uint32_t{0}, p, y.data());
  return x.tape().record(std::move(y), [=](const Tensor<T>& dy) {
    Tensor<T> d = dy;
    detail::ops::call<T, detail::kernels::Dropout>(d.size(), key, std::uint32_t{0}, p, d.data());
    detail::ops::add_to(x.grad(), d);
  });
}

/// Mean of -ln softmax(logits)[target] over the rows whose target is not -1: one number.
template <class T>
Var<T> cross_entropy(Var<T> logits, std::span<const std::int32_t> targets) {
  const std::size_t M = logits.value().rows(), V = logits.value().cols();
  if (targets.size() != M)
    throw ShapeError("cross_entropy: " + to_string(logits.shape()) + " with " + std::to_string(targets.size()) +
                     " targets");
  std::size_t count = 0;
  for (const std::int32_t t : targets) {
    if (t < -1 || t >= static_cast<std::int32_t>(V))
      throw ShapeError("cross_entropy: target " + std::to_string(t) + " outside " + std::to_string(V));
    count += t >= 0 ? 1 : 0;
  }
  const T inverse = T(1) / static_cast<T>((std::max<std::size_t>)(count, 1));
  Tensor<T> slope = logits.value(), high(Shape{M}), sum(Shape{M}), shift(Shape{M}), target_logit(Shape{M}),
            factor(Shape{M});
  high.fill((std::numeric_limits<T>::lowest)());
  const detail::kernels::SoftmaxBlock<T> block{.rows = M,
                                               .cols = V,
                                               .ld = V,
                                               .x = slope.data(),
                                               .first = 0,
                                               .targets = targets.data(),
                                               .max = high.data(),
                                               .sum = sum.data(),
                                               .shift = shift.data(),
                                               .target_logit = target_logit.data()};
  detail::ops::call<T, detail::kernels::SoftmaxForward>(&block);
  T nats = T(0);
  for (std::size_t i = 0; i < M; ++i) {
    if (targets[i] < 0) continue;
    nats += std::log(sum[i]) + high[i] - target_logit[i];
    factor[i] = inverse / sum[i];
  }
  detail::ops::call<T, detail::kernels::SoftmaxBackward>(&block, static_cast<const T*>(factor.data()), inverse);
  Tensor<T> loss{Shape{}};
  loss[0] = nats * inverse;
  return logits.tape().record(std::move(loss), [logits, slope = std::move(slope)](const Tensor<T>& dy) {
    detail::ops::add_to(logits.grad(), slope, dy[0]);
  });
}

/// One number from x and constants y of the same size: the mean of f(x[i], y[i]), whose slope in x[i] is df(x[i],
/// y[i]).
template <class T, class F, class D>
Var<T> mean_of(Var<T> x, std::span<const T> y, F f, D df) {
  if (y.size() != x.value().size())
    throw ShapeError("mean_of: " + to_string(x.shape()) + " with " + std::to_string(y.size()) + " numbers");
  const T inverse = T(1) / static_cast<T>(y.size());
  Tensor<T> loss{Shape{}};
  for (std::size_t i = 0; i < y.size(); ++i) loss[0] += f(x.value()[i], y[i]);
  loss[0] *= inverse;
  return x.tape().record(std::move(loss),
                         [x, inverse, df, kept = std::vector<T>(y.begin(), y.end())](const Tensor<T>& dy) {
                           Tensor<T>& d = x.grad();
                           for (std::size_t i = 0; i < kept.size(); ++i)
                             d[i] += dy[0] * inverse * df(x.value()[i], kept[i]);
                         });
}

/// Mean of (x - y)^2.
template <class T>
Var<T> mean_squared_error(Var<T> x, std::span<const T> y) {
  return mean_of(
      x, y, [](T a, T b) { return (a - b) * (a - b); }, [](T a, T b) { return 2 * (a - b); });
}

/// Mean of (ln(1 + max(x, 1e-7)) - ln(1 + max(y, 1e-7)))^2, as Keras: no slope below 1e-7.
template <class T>
Var<T> mean_squared_log_error(Var<T> x, std::span<const T> y) {
  const auto log1 = [](T a) { return std::log1p((std::max)(a, T(1e-7))); };
  return mean_of(
      x, y, [log1](T a, T b) { return (log1(a) - log1(b)) * (log1(a) - log1(b)); },
      [log1](T a, T b) { return a < T(1e-7) ? T(0) : 2 * (log1(a) - log1(b)) / (T(1) + a); });
}

/// An LSTM over x (B,T,I) from a zero state: its last hidden state (B,H). w (I,4H), u (H,4H), bias (4H), gates in the
/// order input, forget, candidate, output (Keras). Backward through all T steps.
template <class T>
Var<T> lstm(Var<T> x, Var<T> w, Var<T> u, Var<T> bias) {
  const Shape shape = x.shape();
  const std::size_t H = u.value().rows();
  detail::ops::need(shape.rank() == 3 && w.value().rows() == shape[2] && w.value().cols() == 4 * H &&
                        u.value().cols() == 4 * H && bias.value().size() == 4 * H,
                    "lstm", shape, w.shape());
  const std::size_t B = shape[0], time = shape[1], I = shape[2];
  struct Kept {
    Tensor<T> x, gates, c, h;  // by time: (T,B,I), (T,B,4H), (T+1,B,H) twice
  };
  auto kept = std::make_shared<Kept>(Kept{Tensor<T>(Shape{time, B, I}), Tensor<T>(Shape{time, B, 4 * H}),
                                          Tensor<T>(Shape{time + 1, B, H}), Tensor<T>(Shape{time + 1, B, H})});
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t t = 0; t < time; ++t)
      std::copy_n(x.value().data() + (b * time + t) * I, I, kept->x.data() + (t * B + b) * I);
  }
  T *gates = kept->gates.data(), *c = kept->c.data(), *h = kept->h.data();
  detail::ops::product(kept->x.data(), I, false, time * B, w.value().data(), 4 * H, false, I, 4 * H, gates, 4 * H,
                       false, bias.value().data());
  for (std::size_t t = 0; t < time; ++t) {
    detail::ops::product(h + t * B * H, H, false, B, u.value().data(), 4 * H, false, H, 4 * H, gates + t * B * 4 * H,
                         4 * H, true);
    detail::ops::call<T, detail::ops::LstmForward>(B, H, gates + t * B * 4 * H, static_cast<const T*>(c + t * B * H),
                                                   c + (t + 1) * B * H, h + (t + 1) * B * H);
  }
  Tensor<T> y(Shape{B, H});
  std::copy_n(h + time * B * H, B * H, y.data());
  return x.tape().record(std::move(y), [=](const Tensor<T>& dy) {
    Tensor<T> dgates = kept->gates, dh = dy, dc(Shape{B, H}), dx(Shape{time, B, I});
    T* d = dgates.data();
    const T *cells = kept->c.data(), *states = kept->h.data();
    for (std::size_t t = time; t-- > 0;) {
      detail::ops::call<T, detail::ops::LstmBackward>(B, H, d + t * B * 4 * H, cells + t * B * H,
                                                      cells + (t + 1) * B * H, static_cast<const T*>(dh.data()),
                                                      dc.data());
      detail::ops::product(d + t * B * 4 * H, 4 * H, false, B, u.value().data(), 4 * H, true, 4 * H, H, dh.data(), H,
                           false);
    }
    detail::ops::product(states, H, true, H, d, 4 * H, false, time * B, 4 * H, u.grad().data(), 4 * H, true);
    detail::ops::product(kept->x.data(), I, true, I, d, 4 * H, false, time * B, 4 * H, w.grad().data(), 4 * H, true);
    detail::ops::call<T, detail::kernels::ColumnSums>(time * B, 4 * H, static_cast<const T*>(d), bias.grad().data());
    detail::ops::product(d, 4 * H, false, time * B, w.value().data(), 4 * H, true, 4 * H, I, dx.data(), I, false);
    T* out = x.grad().data();
    for (std::size_t b = 0; b < B; ++b) {
      for (std::size_t t = 0; t < time; ++t) {
        for (std::size_t i = 0; i < I; ++i) out[(b * time + t) * I + i] += dx[(t * B + b) * I + i];
      }
    }
  });
}

}  // namespace ops

}  // namespace v0
}  // namespace midigpt
