// What gradient tests of models share.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/nn/module.hpp>

#include <support/worst.hpp>

/// The worst relative error of sampled slopes of every parameter, of those that are not 0 where there are any, against five-point differences: gradients() fills the
/// gradients and returns the loss, loss() returns it alone. `where` becomes the parameter's name. Infinite where the two
/// do not agree on the loss.
template <class Model, class F, class G>
double worst_slope(Model& model, const F& gradients, const G& loss, std::string& where) {
  const double at_start = gradients();
  if (!(std::abs(at_start - loss()) <= 1e-12 * std::abs(at_start))) return HUGE_VAL;
  std::vector<midigpt::Tensor<double>> grads;
  for (const auto& p : model.parameters()) grads.push_back(p.grad);
  Worst worst;
  midigpt::Rng rng(6);
  for (std::size_t k = 0; k < grads.size(); ++k) {
    auto& p = model.parameters()[k];
    std::vector<std::size_t> sloping;
    for (std::size_t i = 0; i < grads[k].size(); ++i) {
      if (grads[k][i] != 0) sloping.push_back(i);
    }
    for (int sample = 0; sample < 8; ++sample) {
      const bool any = sample == 7 || sloping.empty();
      const std::size_t i = any ? rng.below(static_cast<std::uint32_t>(p.value.size()))
                                : sloping[rng.below(static_cast<std::uint32_t>(sloping.size()))];
      const double x = p.value[i], h = 1e-3;
      const auto at = [&](double step) {
        p.value[i] = x + step;
        return loss();
      };
      const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h), analytic = grads[k][i];
      p.value[i] = x;
      const double difference = std::abs(numeric - analytic);
      const double before = worst.error;
      worst(difference <= 1e-9 ? 0 : difference / (std::max)(std::abs(numeric), std::abs(analytic)));
      if (worst.error > before) where = p.name;
    }
  }
  return worst.error;
}
