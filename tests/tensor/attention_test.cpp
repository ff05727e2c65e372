#include <midigpt/tensor/attention.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/tensor/gradcheck.hpp>
#include <midigpt/tensor/ops.hpp>

#include <support/worst.hpp>
#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

constexpr std::uint32_t k_key = 99;

/// (time, hs) numbers whose rows lie `ld` apart, as one head's lie among others. Inputs have NaN between the rows and
/// end with the last one, results have -7 there and behind.
template <class T>
struct Rows {
  std::size_t time, hs, ld;
  std::vector<T> data;

  static Rows input(std::size_t time, std::size_t hs, std::size_t ld, Rng& rng) {
    Rows r{time, hs, ld, std::vector<T>((time - 1) * ld + hs, std::numeric_limits<T>::quiet_NaN())};
    for (std::size_t t = 0; t < time; ++t)
      for (std::size_t d = 0; d < hs; ++d) r(t, d) = static_cast<T>(rng.normal());
    return r;
  }
  static Rows result(std::size_t time, std::size_t hs, std::size_t ld) {
    return {time, hs, ld, std::vector<T>(time * ld + 32, T(-7))};
  }
  T& operator()(std::size_t t, std::size_t d) { return data[t * ld + d]; }
  T operator()(std::size_t t, std::size_t d) const { return data[t * ld + d]; }

  [[nodiscard]] bool nothing_between() const {
    for (std::size_t i = 0; i < data.size(); ++i)
      if ((i / ld >= time || i % ld >= hs) && data[i] != T(-7)) return false;
    return true;
  }
};

/// One head and all it needs; scratch begins as NaN and has a guard behind.
template <class T>
struct Head {
  std::size_t time, hs;
  Rows<T> q, k, v, dy, y, dq, dk, dv;
  std::vector<T> log_sums, scratch;
  T dropout;

  Head(std::size_t T_, std::size_t hs_, std::uint64_t seed, T dropout_)
      : Head(T_, hs_, 3 * hs_ + 1, hs_ + 3, Rng(seed, 1), dropout_) {}

  void forward(Isa isa) { attention_forward(args(), isa); }
  void backward(Isa isa) { attention_backward(args(), isa); }

  [[nodiscard]] bool guards_stand() const {
    return y.nothing_between() && dq.nothing_between() && dk.nothing_between() && dv.nothing_between() &&
           log_sums.back() == T(-7) && scratch.back() == T(-7);
  }

 private:
  Head(std::size_t T_, std::size_t hs_, std::size_t ld, std::size_t y_ld, Rng rng, T dropout_)
      : time(T_),
        hs(hs_),
        q(Rows<T>::input(T_, hs_, ld, rng)),
        k(Rows<T>::input(T_, hs_, ld, rng)),
        v(Rows<T>::input(T_, hs_, ld, rng)),
        dy(Rows<T>::input(T_, hs_, y_ld, rng)),
        y(Rows<T>::result(T_, hs_, y_ld)),
        dq(Rows<T>::result(T_, hs_, ld)),
        dk(Rows<T>::result(T_, hs_, ld)),
        dv(Rows<T>::result(T_, hs_, ld)),
        log_sums(T_ + 1, T(-7)),
        scratch(attention_scratch(T_, hs_) + 1),
        dropout(dropout_) {}

  AttentionArgs<T> args() {
    std::fill(scratch.begin(), scratch.end() - 1, std::numeric_limits<T>::quiet_NaN());
    scratch.back() = T(-7);
    return {.time = time,
            .hs = hs,
            .ld = q.ld,
            .y_ld = y.ld,
            .q = q.data.data(),
            .k = k.data.data(),
            .v = v.data.data(),
            .y = y.data.data(),
            .log_sums = log_sums.data(),
            .dropout = dropout,
            .dropout_key = k_key,
            .scratch = scratch.data(),
            .dy = dy.data.data(),
            .dq = dq.data.data(),
            .dk = dk.data.data(),
            .dv = dv.data.data()};
  }
};

/// |got - want| / (1 + |want|)
template <class T>
double difference(T got, double want) {
  return std::abs(static_cast<double>(got) - want) / (1 + std::abs(want));
}

/// The formulas in double, row by row with the whole (T,T) weights: the largest difference of all that a head wrote.
template <class T>
double worst_difference(const Head<T>& h) {
  const std::size_t time = h.time, hs = h.hs;
  std::vector<double> kept(time * time, 1), dk(time * hs), dv(time * hs);
  if (h.dropout > T(0))
    detail::simd_call<detail::kernels::Dropout, double>(Isa::portable, kept.size(), k_key, 0u,
                                                        static_cast<double>(h.dropout), kept.data());
  const auto dot = [hs](const Rows<T>& a, std::size_t i, const Rows<T>& b, std::size_t j) {
    double sum = 0;
    for (std::size_t d = 0; d < hs; ++d) sum += static_cast<double>(a(i, d)) * static_cast<double>(b(j, d));
    return sum;
  };
  Worst worst;
  const double scale = 1 / std::sqrt(static_cast<double>(hs));
  for (std::size_t i = 0; i < time; ++i) {
    std::vector<double> p(i + 1), dp(i + 1), y(hs), dq(hs);
    for (std::size_t t = 0; t <= i; ++t) p[t] = dot(h.q, i, h.k, t) * scale;
    const double top = *std::max_element(p.begin(), p.end());
    double sum = 0, mean = 0;
    for (double& x : p) sum += x = std::exp(x - top);
    worst(difference(h.log_sums[i], top + std::log(sum)));
    for (std::size_t t = 0; t <= i; ++t) {
      p[t] /= sum;
      dp[t] = dot(h.dy, i, h.v, t) * kept[i * time + t];
      mean += p[t] * dp[t];
    }
    for (std::size_t t = 0; t <= i; ++t) {
      const double w = p[t] * kept[i * time + t], ds = p[t] * (dp[t] - mean) * scale;
      for (std::size_t d = 0; d < hs; ++d) {
        y[d] += w * static_cast<double>(h.v(t, d));
        dv[t * hs + d] += w * static_cast<double>(h.dy(i, d));
        dq[d] += ds * static_cast<double>(h.k(t, d));
        dk[t * hs + d] += ds * static_cast<double>(h.q(i, d));
      }
    }
    for (std::size_t d = 0; d < hs; ++d) {
      worst(difference(h.y(i, d), y[d]));
      worst(difference(h.dq(i, d), dq[d]));
    }
  }
  for (std::size_t i = 0; i < time * hs; ++i) {
    worst(difference(h.dk(i / hs, i % hs), dk[i]));
    worst(difference(h.dv(i / hs, i % hs), dv[i]));
  }
  return worst.error;
}

template <class T>
void check_twin(Isa isa, std::size_t time, std::size_t hs, T dropout, double tolerance) {
  CAPTURE(time);
  CAPTURE(hs);
  CAPTURE(dropout);
  Head<T> head(time, hs, time * 100 + hs, dropout);
  head.forward(isa);
  head.backward(isa);
  CHECK(worst_difference(head) <= tolerance);
  CHECK(head.guards_stand());
}

template <class T>
void check_twins(Isa isa, double tolerance) {
  for (const T dropout : {T(0), T(0.25)}) {
    for (const std::size_t time : {1u, 2u, 3u, 4u, 5u, 8u, 9u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 49u, 65u})
      for (const std::size_t hs : {1u, 3u, 8u, 17u, 33u}) check_twin<T>(isa, time, hs, dropout, tolerance);
    check_twin<T>(isa, 1, 65, dropout, tolerance);
    check_twin<T>(isa, 331, 5, dropout, tolerance);  // more keys than a product takes at once
  }
}

}  // namespace

TEST_CASE(
    "attention: results and slopes are those of the formulas, with and without dropout; nothing else is touched") {
  each_isa([](Isa isa) { check_twins<float>(isa, 1e-5); });
  check_twins<double>(Isa::portable, 1e-13);
}

TEST_CASE("attention: what comes later changes no bit of a row") {
  each_isa([](Isa isa) {
    for (const std::size_t time : {17u, 33u, 65u}) {
      for (const std::size_t from : {1u, 8u, 15u, 16u}) {  // rows from here on are replaced
        Head<float> a(time, 5, time, 0.25f), b(time, 5, time, 0.25f);
        for (std::size_t t = from; t < time; ++t)
          for (std::size_t d = 0; d < 5; ++d) b.q(t, d) = b.k(t, d) = b.v(t, d) = 1e4f;
        a.forward(isa);
        b.forward(isa);
        std::size_t early = 0, late = 0;
        for (std::size_t t = 0; t < time; ++t)
          for (std::size_t d = 0; d < 5; ++d) (t < from ? early : late) += a.y(t, d) != b.y(t, d) ? 1u : 0u;
        CHECK(early == 0);
        CHECK(late > 0);
      }
    }
  });
}

TEST_CASE("attention: scores far apart choose one key, equal ones take the mean; none overflows") {
  each_isa([](Isa isa) {
    constexpr std::size_t time = 37, hs = 4;
    for (const float size : {-1000.0f, 0.0f, 1000.0f}) {  // scores of +-500,000
      Head<float> head(time, hs, 1, 0.0f);
      std::size_t wrong = 0;
      for (std::size_t t = 0; t < time; ++t) {
        for (std::size_t d = 0; d < hs; ++d) {
          head.q(t, d) = d == 0 ? size : 0.0f;
          head.k(t, d) = d == 0 ? 1000.0f - static_cast<float>(t) : 1.0f;
        }
      }
      head.forward(isa);
      head.backward(isa);
      for (std::size_t d = 0; d < hs; ++d) {
        double sum = 0;
        for (std::size_t t = 0; t < time; ++t) {
          sum += static_cast<double>(head.v(t, d));
          const double want = size > 0   ? static_cast<double>(head.v(0, d))  // the first key scores highest
                              : size < 0 ? static_cast<double>(head.v(t, d))  // the last one
                                         : sum / static_cast<double>(t + 1);
          wrong += difference(head.y(t, d), want) <= 1e-6 ? 0u : 1u;
          wrong += std::isfinite(head.dq(t, d) + head.dk(t, d) + head.dv(t, d)) ? 0u : 1u;
        }
      }
      CAPTURE(size);
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("attention: across several blocks of rows it agrees with finite differences") {
  const GradcheckReport report =
      gradcheck([](auto&, std::span<const Var<double>> in) { return ops::causal_attention(in[0], 1); },
                {random_tensor({1, 67, 6}, 5)});
  CHECK(report.worst <= 1e-6);
}
