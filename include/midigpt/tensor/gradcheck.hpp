// tensor/gradcheck.hpp - does a backward function tell the truth? Finite differences in double, for our operations and
// yours.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/tensor/tape.hpp>

namespace midigpt {
inline namespace v0 {

struct GradcheckReport {
  double worst =
      0;  // the largest |analytic - numeric| / max(|analytic|, |numeric|) where they differ by more than the floor
  std::size_t input = 0, element = 0;
  double analytic = 0, numeric = 0;  // there
};

/// Compares the slopes of `op` with five-point differences. op(tape, vars) makes a Var<double> of any shape from the
/// inputs; its elements are weighed with random numbers to one number. Differences below 1e-9 do not count.
///   auto report = gradcheck([](auto&, auto in) { return ops::gelu(in[0]); }, {x});   CHECK(report.worst <= 1e-6);
template <class Op>
[[nodiscard]] GradcheckReport gradcheck(Op op, std::vector<Tensor<double>> inputs, std::uint64_t seed = 1) {
  constexpr double h = 1e-3, floor = 1e-9;
  Tensor<double> weights;
  const auto run = [&](bool slopes) {
    Tape<double> tape;
    std::vector<Var<double>> vars;
    for (const Tensor<double>& x : inputs) vars.push_back(tape.input(x));
    const Var<double> y = op(tape, std::span<const Var<double>>(vars));
    if (weights.size() == 0) {
      weights = Tensor<double>(y.shape());
      Rng rng(seed, 77);
      for (double& w : weights.span()) w = rng.uniform() + 0.5;
    }
    Tensor<double> loss{Shape{}};
    for (std::size_t i = 0; i < weights.size(); ++i) loss[0] += weights[i] * y.value()[i];
    const double value = loss[0];
    std::vector<Tensor<double>> grads;
    if (slopes) {
      const Var<double> total = tape.record(std::move(loss), [&weights, y](const Tensor<double>& dy) {
        for (std::size_t i = 0; i < weights.size(); ++i) y.grad()[i] += dy[0] * weights[i];
      });
      tape.backward(total);
      for (const Var<double>& v : vars) grads.push_back(v.grad());
    }
    return std::pair(value, std::move(grads));
  };
  const std::vector<Tensor<double>> grads = run(true).second;
  GradcheckReport report;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::size_t k = 0; k < inputs[i].size(); ++k) {
      const double x = inputs[i][k];
      const auto at = [&](double step) {
        inputs[i][k] = x + step;
        return run(false).first;
      };
      const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      inputs[i][k] = x;
      const double analytic = grads[i][k], difference = std::abs(analytic - numeric);
      double relative = difference <= floor ? 0.0 : difference / (std::max)(std::abs(analytic), std::abs(numeric));
      if (!std::isfinite(relative)) relative = HUGE_VAL;  // a NaN is the worst there is
      if (relative > report.worst) report = {relative, i, k, analytic, numeric};
    }
  }
  return report;
}

}  // namespace v0
}  // namespace midigpt
