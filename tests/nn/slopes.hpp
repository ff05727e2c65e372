// What gradient tests of models share.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/nn/module.hpp>

/// The worst relative error of sampled slopes of every parameter against five-point differences: gradients() fills the
/// gradients and returns the loss, loss() returns it alone. `where` becomes the parameter's name. Infinite where the two
/// do not agree on the loss.
template <class Model, class F, class G>
double worst_slope(Model& model, const F& gradients, const G& loss, std::string& where) {
  const double at_start = gradients();
  if (!(std::abs(at_start - loss()) <= 1e-12 * std::abs(at_start))) return HUGE_VAL;
  std::vector<midigpt::Tensor<double>> grads;
  for (const auto& p : model.parameters()) grads.push_back(p.grad);
  double worst = 0;
  midigpt::Rng rng(6);
  for (std::size_t k = 0; k < grads.size(); ++k) {
    auto& p = model.parameters()[k];
    for (int sample = 0; sample < 6; ++sample) {
      const std::size_t i = rng.below(static_cast<std::uint32_t>(p.value.size()));
      const double x = p.value[i], h = 1e-3;
      const auto at = [&](double step) {
        p.value[i] = x + step;
        return loss();
      };
      const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h), analytic = grads[k][i];
      p.value[i] = x;
      const double difference = std::abs(numeric - analytic);
      const double relative = difference <= 1e-9 ? 0 : difference / (std::max)(std::abs(numeric), std::abs(analytic));
      if (relative > worst) {
        worst = relative;
        where = p.name;
      }
    }
  }
  return worst;
}
