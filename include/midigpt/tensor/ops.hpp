// tensor/ops.hpp - the operations of the tape. Shapes: (M,C) means the last dimension against all others together.
//   Each computes with the kernels that the models use, and is checked against finite differences in tests/tensor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

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

/// The right factor b (K,N), or the transpose of b (N,K), which is packed in the tape's memory.
template <class T>
[[nodiscard]] Rhs<T> right_factor(Tape<T>& tape, const T* b, bool transposed, std::size_t K, std::size_t N) {
  Rhs<T> right{.data = b, .ld = transposed ? K : N, .transposed = transposed, .K = K, .N = N};
  const Isa isa = best_isa();
  if (transposed) PackedProduct::pack(isa, right, tape.template take<T>(PackedProduct::panel_size<T>(isa, K, N)));
  return right;
}

/// c (M,N) := a b + bias with a (M,K).
template <class T>
void product(const T* a, std::size_t M, const Rhs<T>& b, T* c, const T* bias = nullptr) {
  PackedProduct::multiply(best_isa(), ProductArgs<T>{.a = a, .lda = b.K, .M = M, .c = c, .ldc = b.N, .bias = bias}, b);
}

/// c (M,N) += a b with a (M,K), or with the transpose of a (K,M).
template <class T>
void add_product(const T* a, bool transpose_a, std::size_t M, const Rhs<T>& b, T* c) {
  PackedProduct::multiply(best_isa(),
                          ProductArgs<T>{.a = a,
                                         .lda = transpose_a ? M : b.K,
                                         .transposed = transpose_a,
                                         .M = M,
                                         .c = c,
                                         .ldc = b.N,
                                         .accumulate = true},
                          b);
}

template <class T>
void add_to(Tensor<T>& sum, const Tensor<T>& x, T scale = T(1)) {
  call<T, kernels::AddScaled>(x.size(), scale, x.data(), sum.data());
}

/// v := tanh v.
template <class S>
[[gnu::always_inline]] inline void tanh(typename S::vec& v) {
  v = v + v;
  kernels::sigmoid<S>(v);
  v = v + v - typename S::scalar(1);
}

/// The gates of one step of an LSTM over B rows, in place: (B,4H) in the order input, forget, candidate, output.
struct LstmForward {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t B, std::size_t H, T* gates, const T* c_before, T* c, T* h) {
    for (std::size_t b = 0; b < B; ++b, gates += 4 * H, c_before += H, c += H, h += H) {
      simd::sweep<S>(
          H, [&](std::size_t x, std::size_t n) __attribute__((always_inline)) {
            typename S::vec i, f, g, o, cell;
            simd::load<S>(i, gates + x, n);
            simd::load<S>(f, gates + H + x, n);
            simd::load<S>(g, gates + 2 * H + x, n);
            simd::load<S>(o, gates + 3 * H + x, n);
            simd::load<S>(cell, c_before + x, n);
            kernels::sigmoid<S>(i);
            kernels::sigmoid<S>(f);
            tanh<S>(g);
            kernels::sigmoid<S>(o);
            cell = f * cell + i * g;
            simd::store<S>(gates + x, i, n);
            simd::store<S>(gates + H + x, f, n);
            simd::store<S>(gates + 2 * H + x, g, n);
            simd::store<S>(gates + 3 * H + x, o, n);
            simd::store<S>(c + x, cell, n);
            tanh<S>(cell);
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
      simd::sweep<S>(
          H, [&](std::size_t x, std::size_t n) __attribute__((always_inline)) {
            typename S::vec i, f, g, o, t, d, before, slope;
            simd::load<S>(i, gates + x, n);
            simd::load<S>(f, gates + H + x, n);
            simd::load<S>(g, gates + 2 * H + x, n);
            simd::load<S>(o, gates + 3 * H + x, n);
            simd::load<S>(t, c + x, n);
            simd::load<S>(before, c_before + x, n);
            simd::load<S>(slope, dh + x, n);
            simd::load<S>(d, dc + x, n);
            tanh<S>(t);
            d += slope * o * (T(1) - t * t);
            simd::store<S>(gates + x, d * g * i * (T(1) - i), n);
            simd::store<S>(gates + H + x, d * before * f * (T(1) - f), n);
            simd::store<S>(gates + 2 * H + x, d * i * (T(1) - g * g), n);
            simd::store<S>(gates + 3 * H + x, slope * t * o * (T(1) - o), n);
            simd::store<S>(dc + x, d * f, n);
          });
    }
  }
};

/// The backward pass of linear(): from the slope of the result (M,N) to those of x, w and bias.
template <class T>
void linear_backward(Var<T> x, Var<T> w, Var<T> bias, const T* dy) {
  const std::size_t M = x.value().rows(), K = w.value().rows(), N = w.value().cols();
  add_product(dy, false, M, right_factor(x.tape(), w.value().data(), true, N, K), x.grad().data());
  add_product(x.value().data(), true, K, right_factor(x.tape(), dy, false, M, N), w.grad().data());
  call<T, kernels::ColumnSums>(M, N, dy, bias.grad().data());
}

/// x w + bias in the tape's memory. Throws ShapeError where they do not fit.
template <class T>
[[nodiscard]] Tensor<T> linear_value(const char* op, Var<T> x, Var<T> w, Var<T> bias) {
  const std::size_t M = x.value().rows(), K = w.value().rows(), N = w.value().cols();
  need(x.value().cols() == K && bias.value().size() == N, op, x.shape(), w.shape());
  Tensor<T> y = x.tape().tensor(Shape{M, N});
  product(x.value().data(), M, right_factor(x.tape(), w.value().data(), false, K, N), y.data(), bias.value().data());
  return y;
}

/// Softmax and cross-entropy over rows of logits: the forward pass leaves e^(x - shift) and the mean of the losses, the
/// backward pass makes slopes of what is left.
template <class T>
class SoftmaxLoss {
 public:
  /// Throws ShapeError for another number of targets than M rows, or one outside -1..V-1.
  SoftmaxLoss(const char* op, Tape<T>& tape, std::size_t M, std::size_t V, std::span<const std::int32_t> targets)
      : cols_(V),
        targets_(tape.keep(targets)),
        max_(tape.template take<T>(M)),
        sum_(tape.template take<T>(M)),
        shift_(tape.template take<T>(M)),
        target_logit_(tape.template take<T>(M)),
        factor_(tape.template take<T>(M)) {
    if (targets.size() != M)
      throw ShapeError(std::string(op) + ": " + to_string(Shape{M, V}) + " with " + std::to_string(targets.size()) +
                       " targets");
    std::size_t count = 0;
    for (const std::int32_t t : targets) {
      if (t < -1 || t >= static_cast<std::int32_t>(V))
        throw ShapeError(std::string(op) + ": target " + std::to_string(t) + " outside " + std::to_string(V));
      count += t >= 0 ? 1 : 0;
    }
    inverse_ = T(1) / static_cast<T>((std::max<std::size_t>)(count, 1));
  }

  /// x: rows [first, first + n) of the logits. Returns their part of the mean loss.
  T forward(std::size_t first, std::size_t n, T* x) {
    std::fill_n(max_ + first, n, (std::numeric_limits<T>::lowest)());
    std::fill_n(sum_ + first, n, T(0));
    const kernels::SoftmaxBlock<T> block = rows(first, n, x);
    call<T, kernels::SoftmaxForward>(&block);
    T nats = T(0);
    for (std::size_t i = first; i < first + n; ++i) {
      factor_[i] = targets_[i] < 0 ? T(0) : inverse_ / sum_[i];
      if (targets_[i] >= 0) nats += std::log(sum_[i]) + max_[i] - target_logit_[i];
    }
    return nats * inverse_;
  }

  /// x: what forward() has just left of the same rows, becomes the slopes of the mean loss times `scale`.
  void backward(std::size_t first, std::size_t n, T* x, T scale = T(1)) {
    const kernels::SoftmaxBlock<T> block = rows(first, n, x);
    for (std::size_t i = first; i < first + n; ++i) factor_[i] *= scale;
    call<T, kernels::SoftmaxBackward>(&block, static_cast<const T*>(factor_ + first), inverse_ * scale);
  }

 private:
  [[nodiscard]] kernels::SoftmaxBlock<T> rows(std::size_t first, std::size_t n, T* x) const noexcept {
    return {.rows = n,
            .cols = cols_,
            .ld = cols_,
            .x = x,
            .first = 0,
            .targets = targets_.data() + first,
            .max = max_ + first,
            .sum = sum_ + first,
            .shift = shift_ + first,
            .target_logit = target_logit_ + first};
  }
  std::size_t cols_;
  std::span<const std::int32_t> targets_;
  T *max_, *sum_, *shift_, *target_logit_, *factor_;
  T inverse_;
};

}  // namespace detail::ops

namespace ops {

/// a + b, same shape.
template <class T>
Var<T> add(Var<T> a, Var<T> b) {
  detail::ops::need(a.shape() == b.shape(), "add", a.shape(), b.shape());
  Tensor<T> y = a.tape().tensor(a.shape());
  detail::ops::call<T, detail::kernels::Add>(y.size(), a.value().data(), b.value().data(), y.data());
  return a.tape().record(std::move(y), [a, b](const Tensor<T>& dy) {
    detail::ops::add_to(a.grad(), dy);
    detail::ops::add_to(b.grad(), dy);
  });
}

/// factor a.
template <class T>
Var<T> scale(Var<T> a, T factor) {
  Tensor<T> y = a.tape().tensor(a.shape());
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
  Tensor<T> y = table.tape().tensor(Shape{ids.size(), C});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::copy_n(table.value().data() + static_cast<std::size_t>(ids[i]) * C, C, y.data() + i * C);
  }
  return table.tape().record(std::move(y), [table, C, kept = table.tape().keep(ids)](const Tensor<T>& dy) {
    T* d = table.grad().data();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      detail::ops::call<T, detail::kernels::AddScaled>(C, T(1), dy.data() + i * C,
                                                       d + static_cast<std::size_t>(kept[i]) * C);
    }
  });
}

/// x w + bias: (M,K) x (K,N) + (N).
template <class T>
Var<T> linear(Var<T> x, Var<T> w, Var<T> bias) {
  return x.tape().record(detail::ops::linear_value("linear", x, w, bias), [x, w, bias](const Tensor<T>& dy) {
    detail::ops::linear_backward(x, w, bias, dy.data());
  });
}

/// gelu(x) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)): GPT-2's tanh form.
template <class T>
Var<T> gelu(Var<T> x) {
  Tensor<T> y = x.tape().tensor(x.shape());
  detail::ops::call<T, detail::kernels::GeluForward>(y.size(), x.value().data(), y.data());
  return x.tape().record(std::move(y), [x](const Tensor<T>& dy) {
    Tensor<T> d = x.tape().copy(dy);
    detail::ops::call<T, detail::kernels::GeluBackward>(d.size(), x.value().data(), d.data(), static_cast<T*>(nullptr));
    detail::ops::add_to(x.grad(), d);
  });
}

/// gelu(x w + bias).
template <class T>
Var<T> linear_gelu(Var<T> x, Var<T> w, Var<T> bias) {
  Tensor<T> u = detail::ops::linear_value("linear_gelu", x, w, bias), y = x.tape().tensor(u.shape());
  detail::ops::call<T, detail::kernels::GeluForward>(y.size(), static_cast<const T*>(u.data()), y.data());
  return x.tape().record(std::move(y), [x, w, bias, u = std::move(u)](const Tensor<T>& dy) {
    Tensor<T> d = x.tape().copy(dy);
    detail::ops::call<T, detail::kernels::GeluBackward>(d.size(), u.data(), d.data(), static_cast<T*>(nullptr));
    detail::ops::linear_backward(x, w, bias, static_cast<const T*>(d.data()));
  });
}

/// Each row of x (M,C) to mean 0 and variance 1 (eps 1e-5), times weight plus bias.
template <class T>
Var<T> layer_norm(Var<T> x, Var<T> weight, Var<T> bias) {
  const std::size_t M = x.value().rows(), C = x.value().cols();
  detail::ops::need(weight.value().size() == C && bias.value().size() == C, "layer_norm", x.shape(), weight.shape());
  Tensor<T> y = x.tape().tensor(x.shape()), stats = x.tape().tensor(Shape{M, 2});
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
  Tape<T>* tape = &qkv.tape();
  Tensor<T> y = tape->tensor(Shape{B, time, C});
  T* log_sums = tape->template take<T>(B * n_head * time);
  const auto each_head = [=](const T* in, auto&& f) {
    AttentionArgs<T> args{.time = time, .hs = hs, .ld = 3 * C, .y_ld = C};
    args.scratch = tape->template take<T>(attention_scratch(time, hs));
    for (std::size_t i = 0; i < B * n_head; ++i) {
      const std::size_t at = i / n_head * time * 3 * C + i % n_head * hs,
                        y_at = i / n_head * time * C + i % n_head * hs;
      args.q = in + at;
      args.k = args.q + C;
      args.v = args.k + C;
      args.log_sums = log_sums + i * time;
      f(args, at, y_at);
    }
  };
  T* out = y.data();  // the numbers stay where they are when the tape takes y
  each_head(qkv.value().data(), [&](AttentionArgs<T>& args, std::size_t, std::size_t y_at) {
    args.y = out + y_at;
    attention_forward(args);
  });
  return tape->record(std::move(y), [qkv, each_head, C, out](const Tensor<T>& dy) {
    Tensor<T> d = qkv.tape().tensor(qkv.shape());
    each_head(qkv.value().data(), [&](AttentionArgs<T>& args, std::size_t at, std::size_t y_at) {
      args.y = out + y_at;
      args.dy = dy.data() + y_at;
      args.dq = d.data() + at;
      args.dk = args.dq + C;
      args.dv = args.dk + C;
      attention_backward(args);
    });
    detail::ops::add_to(qkv.grad(), d);
  });
}

/// Zeroes each element with probability p and scales the others by 1 / (1 - p); which ones follows from `key` alone.
template <class T>
Var<T> dropout(Var<T> x, T p, std::uint32_t key) {
  Tensor<T> y = x.tape().copy(x.value());
  detail::ops::call<T, detail::kernels::Dropout>(y.size(), key, std::uint32_t{0}, p, y.data());
  return x.tape().record(std::move(y), [=](const Tensor<T>& dy) {
    Tensor<T> d = x.tape().copy(dy);
    detail::ops::call<T, detail::kernels::Dropout>(d.size(), key, std::uint32_t{0}, p, d.data());
    detail::ops::add_to(x.grad(), d);
  });
}

/// Mean of -ln softmax(logits)[target] over the rows whose target is not -1: one number.
template <class T>
Var<T> cross_entropy(Var<T> logits, std::span<const std::int32_t> targets) {
  Tape<T>& tape = logits.tape();
  const std::size_t M = logits.value().rows();
  detail::ops::SoftmaxLoss<T> softmax("cross_entropy", tape, M, logits.value().cols(), targets);
  Tensor<T> slope = tape.copy(logits.value()), loss = tape.tensor(Shape{});
  loss[0] = softmax.forward(0, M, slope.data());
  softmax.backward(0, M, slope.data());
  return tape.record(std::move(loss), [logits, slope = std::move(slope)](const Tensor<T>& dy) {
    detail::ops::add_to(logits.grad(), slope, dy[0]);
  });
}

/// cross_entropy(linear(x, w, bias), targets) for many classes V: x (M,C), w (C,V). The logits are made in chunks of
/// rows, and made again for the backward pass: all (M,V) are never there.
template <class T>
Var<T> linear_cross_entropy(Var<T> x, Var<T> w, Var<T> bias, std::span<const std::int32_t> targets) {
  Tape<T>& tape = x.tape();
  const std::size_t M = x.value().rows(), C = w.value().rows(), V = w.value().cols();
  detail::ops::need(x.value().cols() == C && bias.value().size() == V, "linear_cross_entropy", x.shape(), w.shape());
  constexpr std::size_t k_numbers = std::size_t{1} << 16, k_least = 56;  // of a chunk; its rows, so that products pay
  const std::size_t most = (std::min)(M, (std::max)(k_least, k_numbers / (std::max)(V, std::size_t{1})));
  T* logits = tape.template take<T>(most * V);
  // f(first, n): rows [first, first + n), their logits in place
  const auto each_chunk = [x, w, bias, M, C, V, most, logits](auto&& f) {
    const Rhs<T> right = detail::ops::right_factor(x.tape(), w.value().data(), false, C, V);
    for (std::size_t first = 0; first < M; first += most) {
      const std::size_t n = (std::min)(most, M - first);
      detail::ops::product(x.value().data() + first * C, n, right, logits, bias.value().data());
      f(first, n);
    }
  };
  detail::ops::SoftmaxLoss<T> softmax("linear_cross_entropy", tape, M, V, targets);
  Tensor<T> loss = tape.tensor(Shape{});
  each_chunk([&](std::size_t first, std::size_t n) { loss[0] += softmax.forward(first, n, logits); });
  return tape.record(std::move(loss), [=](const Tensor<T>& dy) mutable {
    Tape<T>& memory = x.tape();
    const Rhs<T> back = detail::ops::right_factor(memory, w.value().data(), true, V, C);
    each_chunk([&](std::size_t first, std::size_t n) {
      (void)softmax.forward(first, n, logits);
      softmax.backward(first, n, logits, dy[0]);
      const T* d = logits;
      detail::ops::add_product(d, false, n, back, x.grad().data() + first * C);
      detail::ops::add_product(x.value().data() + first * C, true, C, detail::ops::right_factor(memory, d, false, n, V),
                               w.grad().data());
      detail::ops::call<T, detail::kernels::ColumnSums>(n, V, d, bias.grad().data());
    });
  });
}

/// One number from x and constants y of the same size: the mean of f(x[i], y[i]), whose slope in x[i] is df(x[i],
/// y[i]).
template <class T, class F, class D>
Var<T> mean_of(Var<T> x, std::span<const T> y, F f, D df) {
  if (y.size() != x.value().size())
    throw ShapeError("mean_of: " + to_string(x.shape()) + " with " + std::to_string(y.size()) + " numbers");
  const T inverse = T(1) / static_cast<T>(y.size());
  Tensor<T> loss = x.tape().tensor(Shape{});
  for (std::size_t i = 0; i < y.size(); ++i) loss[0] += f(x.value()[i], y[i]);
  loss[0] *= inverse;
  return x.tape().record(std::move(loss), [x, inverse, df, kept = x.tape().keep(y)](const Tensor<T>& dy) {
    Tensor<T>& d = x.grad();
    for (std::size_t i = 0; i < kept.size(); ++i) d[i] += dy[0] * inverse * df(x.value()[i], kept[i]);
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
  Tape<T>* tape = &x.tape();
  const std::size_t rows = time * B, cell = B * H;
  // by time: (T,B,I), (T,B,4H), (T+1,B,H) twice, the first of which is 0
  T *in = tape->template take<T>(rows * I), *gates = tape->template take<T>(rows * 4 * H),
    *c = tape->template take<T>((time + 1) * cell), *h = tape->template take<T>((time + 1) * cell);
  std::fill_n(c, cell, T(0));
  std::fill_n(h, cell, T(0));
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t t = 0; t < time; ++t)
      std::copy_n(x.value().data() + (b * time + t) * I, I, in + (t * B + b) * I);
  }
  detail::ops::product(in, rows, detail::ops::right_factor(*tape, w.value().data(), false, I, 4 * H), gates,
                       bias.value().data());
  const Rhs<T> recurrent = detail::ops::right_factor(*tape, u.value().data(), false, H, 4 * H);
  for (std::size_t t = 0; t < time; ++t) {
    T* gate = gates + t * B * 4 * H;
    detail::ops::add_product(static_cast<const T*>(h + t * cell), false, B, recurrent, gate);
    detail::ops::call<T, detail::ops::LstmForward>(B, H, gate, static_cast<const T*>(c + t * cell), c + (t + 1) * cell,
                                                   h + (t + 1) * cell);
  }
  Tensor<T> y = tape->tensor(Shape{B, H});
  std::copy_n(h + time * cell, cell, y.data());
  return tape->record(std::move(y), [=](const Tensor<T>& dy) {
    T* d = tape->template take<T>(rows * 4 * H);
    std::copy_n(gates, rows * 4 * H, d);
    Tensor<T> dh = tape->copy(dy), dc = tape->tensor(dy.shape());
    const Rhs<T> back = detail::ops::right_factor(*tape, u.value().data(), true, 4 * H, H);
    for (std::size_t t = time; t-- > 0;) {
      T* gate = d + t * B * 4 * H;
      detail::ops::call<T, detail::ops::LstmBackward>(B, H, gate, static_cast<const T*>(c + t * cell),
                                                      static_cast<const T*>(c + (t + 1) * cell),
                                                      static_cast<const T*>(dh.data()), dc.data());
      detail::ops::product(static_cast<const T*>(gate), B, back, dh.data());
    }
    const T* slopes = d;
    const Rhs<T> right = detail::ops::right_factor(*tape, slopes, false, rows, 4 * H);
    detail::ops::add_product(static_cast<const T*>(h), true, H, right, u.grad().data());
    detail::ops::add_product(static_cast<const T*>(in), true, I, right, w.grad().data());
    detail::ops::call<T, detail::kernels::ColumnSums>(rows, 4 * H, slopes, bias.grad().data());
    T* dx = tape->template take<T>(rows * I);
    detail::ops::product(slopes, rows, detail::ops::right_factor(*tape, w.value().data(), true, 4 * H, I), dx);
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
