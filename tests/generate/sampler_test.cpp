#include <midigpt/generate/sampler.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace midigpt;

namespace {

constexpr float k_inf = std::numeric_limits<float>::infinity();

std::vector<double> frequencies(const std::vector<float>& logits, const SamplerOptions& options, int draws,
                                const std::vector<std::uint8_t>& allowed = {},
                                const std::vector<std::int32_t>& recent = {}) {
  Sampler sampler(options);
  Rng rng(7);
  std::vector<double> f(logits.size());
  for (int i = 0; i < draws; ++i) {
    const std::int32_t id = sampler.sample(logits, rng, allowed, recent);
    REQUIRE(id >= 0);
    f[static_cast<std::size_t>(id)] += 1.0 / draws;
  }
  return f;
}

}  // namespace

TEST_CASE("sampler: its exponential agrees with libm") {
  double worst = 0;
  for (double x = 0; x > -80; x -= 0.00731)
    worst = (std::max)(worst, std::abs(detail::sampler_exp(x) / std::exp(x) - 1));
  CHECK(worst < 1e-9);
  CHECK(detail::sampler_exp(0) == 1);
  CHECK(detail::sampler_exp(-800) == 0);
  CHECK(detail::sampler_exp(-std::numeric_limits<double>::infinity()) == 0);
}

TEST_CASE("sampler: draws follow the softmax at any temperature") {
  const std::vector<float> logits{1.0f, 0.0f, -1.0f, 2.5f, 0.5f};
  for (const double temperature : {0.5, 1.0, 2.0}) {
    CAPTURE(temperature);
    double total = 0;
    for (const float l : logits) total += std::exp(static_cast<double>(l) / temperature);
    const auto f = frequencies(logits, {.temperature = temperature}, 200000);
    for (std::size_t i = 0; i < f.size(); ++i) {
      const double p = std::exp(static_cast<double>(logits[i]) / temperature) / total;
      CHECK(std::abs(f[i] - p) < 5 * std::sqrt(p * (1 - p) / 200000));
    }
  }
}

TEST_CASE("sampler: temperature 0 takes the likeliest, the smaller id of a tie") {
  const auto f = frequencies({1, 3, 3, 2}, {.temperature = 0}, 10);
  CHECK(f[1] == doctest::Approx(1));
}

TEST_CASE("sampler: top-k keeps every id that ties with the k-th") {
  const auto f = frequencies({5, 4, 4, 4, 3, 1}, {.temperature = 4, .top_k = 2}, 20000);
  CHECK(f[0] > 0);
  CHECK(f[1] > 0);
  CHECK(f[2] > 0);
  CHECK(f[3] > 0);
  CHECK(f[4] == 0);
  CHECK(f[5] == 0);
}

TEST_CASE("sampler: top-p keeps the likeliest ids whose probabilities first reach p") {
  const std::vector<float> logits{std::log(0.5f), std::log(0.1f), std::log(0.3f), std::log(0.06f), std::log(0.04f)};
  struct Row {
    double p;
    std::vector<bool> kept;
  };
  for (const auto& row : {Row{0.01, {true, false, false, false, false}}, Row{0.49, {true, false, false, false, false}},
                          Row{0.6, {true, false, true, false, false}}, Row{0.85, {true, true, true, false, false}},
                          Row{0.999, {true, true, true, true, true}}}) {
    CAPTURE(row.p);
    const auto f = frequencies(logits, {.top_p = row.p}, 5000);
    for (std::size_t i = 0; i < f.size(); ++i) CHECK((f[i] > 0) == row.kept[i]);
  }
}

TEST_CASE("sampler: a mask is law, NaN and -inf never come out, nothing left is -1") {
  const auto f = frequencies({9, 1, std::nanf(""), -k_inf, 1}, {}, 2000, {0, 1, 1, 1, 1});
  CHECK(f[0] == 0);
  CHECK(f[1] + f[4] == doctest::Approx(1));
  Sampler sampler;
  Rng rng(1);
  CHECK(sampler.sample(std::vector<float>{1, 2}, rng, std::vector<std::uint8_t>{0, 0}) == -1);
  CHECK(sampler.sample({}, rng) == -1);
  CHECK(sampler.sample(std::vector<float>{1, k_inf}, rng) == 1);
  CHECK(sampler.sample(std::vector<float>{1, 2}, rng, std::vector<std::uint8_t>{1}) ==
        0);  // ids beyond the mask are not allowed
}

TEST_CASE("sampler: the repetition penalty divides positive and multiplies negative logits, once") {
  const auto plain = frequencies({1, 1}, {}, 100000);
  CHECK(plain[0] == doctest::Approx(0.5).epsilon(0.02));
  const auto once = frequencies({1, 1}, {.repetition_penalty = 2}, 100000, {}, {0, 0, 0, 99, -1});
  CHECK(once[0] == doctest::Approx(std::exp(0.5) / (std::exp(0.5) + std::exp(1.0))).epsilon(0.02));
  const auto negative = frequencies({-1, -1}, {.repetition_penalty = 2}, 100000, {}, {0});
  CHECK(negative[0] == doctest::Approx(std::exp(-2.0) / (std::exp(-2.0) + std::exp(-1.0))).epsilon(0.02));
}

TEST_CASE("sampler: a seed gives the same ids, known by value") {
  std::vector<float> logits(100);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 11) * 0.25f;
  Sampler sampler({.temperature = 0.9, .top_k = 40, .top_p = 0.95});
  std::vector<std::int32_t> a, b;
  Rng first(42), second(42);
  for (int i = 0; i < 50; ++i) a.push_back(sampler.sample(logits, first));
  Sampler fresh({.temperature = 0.9, .top_k = 40, .top_p = 0.95});
  for (int i = 0; i < 50; ++i) b.push_back(fresh.sample(logits, second));
  CHECK(a == b);
  const std::vector<std::int32_t> known(a.begin(), a.begin() + 6);
  CHECK(known == std::vector<std::int32_t>{24, 32, 96, 52, 96, 2});
}
