// train/optimizer.hpp - AdamW, gradient norm and clipping, learning-rate schedules.
//   Element i of a step depends on element i alone, and the norm adds fixed chunks in a fixed order: the same bits on
//   any number of threads. Nothing allocates after construction.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <midigpt/core/parallel.hpp>
#include <midigpt/nn/module.hpp>
#include <midigpt/tensor/kernels.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

enum class Schedule : std::uint8_t { constant, linear, cosine };

struct ScheduleOptions {
  Schedule kind = Schedule::cosine;
  double lr = 1e-3;             // the peak
  double final_fraction = 0.1;  // of the peak, at the end (linear and cosine)
  std::int64_t warmup = 100;    // steps from 0 up to the peak
};

/// The rate of step `step` (from 0) of `steps`. `progress` in [0, 1] overrides step / steps where a clock ends the run.
[[nodiscard]] inline double learning_rate(const ScheduleOptions& o, std::int64_t step, std::int64_t steps,
                                          double progress = -1) noexcept {
  if (step < o.warmup) return o.lr * static_cast<double>(step + 1) / static_cast<double>(o.warmup);
  double x = progress;
  if (x < 0) x = steps > o.warmup ? static_cast<double>(step - o.warmup) / static_cast<double>(steps - o.warmup) : 1.0;
  x = (std::clamp)(x, 0.0, 1.0);
  switch (o.kind) {
    case Schedule::constant:
      return o.lr;
    case Schedule::linear:
      return o.lr * (1 - (1 - o.final_fraction) * x);
    case Schedule::cosine:
      return o.lr * (o.final_fraction + (1 - o.final_fraction) * 0.5 * (1 + std::cos(3.14159265358979323846 * x)));
  }
  return o.lr;
}

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;  // of the parameters whose `decay` is set
};

/// Decoupled weight decay (Loshchilov and Hutter 2019); agrees with torch.optim.AdamW. With weight_decay 0 it is Adam.
template <class T>
class AdamW {
 public:
  /// Looks at the parameters for as long as it lives: they must not move.
  [[gnu::cold]] explicit AdamW(std::span<Parameter<T>> parameters, const AdamWOptions& options = {})
      : parameters_(parameters), options_(options) {
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      const std::size_t size = parameters_[p].value.size();
      first_.emplace_back(parameters_[p].value.shape());
      second_.emplace_back(parameters_[p].value.shape());
      for (std::size_t at = 0; at < size; at += k_chunk) chunks_.push_back({p, at, (std::min)(k_chunk, size - at)});
    }
    sums_.resize(chunks_.size());
  }

  [[nodiscard]] const AdamWOptions& options() const noexcept { return options_; }

  /// The Euclidean norm of all gradients together.
  [[nodiscard]] double grad_norm(ThreadPool& pool) {
    pool.run(chunks_.size(), [this](std::size_t c, std::size_t) {
      const Chunk& chunk = chunks_[c];
      sums_[c] =
          sum_of_squares(std::as_const(parameters_[chunk.parameter].grad).span().subspan(chunk.begin, chunk.size));
    });
    double sum = 0;
    for (const double s : sums_) sum += s;
    return std::sqrt(sum);
  }

  /// The first parameter whose gradient is not finite, or nullptr. For the message after grad_norm() was not finite.
  [[nodiscard]] const Parameter<T>* find_bad_gradient() const noexcept {
    for (const Parameter<T>& p : parameters_) {
      if (!all_finite(p.grad.span())) return &p;
    }
    return nullptr;
  }

  /// The parameter whose gradient has the largest norm. Requires: there is one.
  [[nodiscard]] const Parameter<T>& find_largest_gradient() const noexcept {
    std::size_t at = 0;
    double most = -1;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      const double sum = sum_of_squares(std::as_const(parameters_[p].grad).span());
      if (sum > most) {
        most = sum;
        at = p;
      }
    }
    return parameters_[at];
  }

  /// One update with gradients times `grad_scale` (clipping) at rate `lr`.
  void step(double lr, double grad_scale, ThreadPool& pool) {
    ++steps_;
    const auto t = static_cast<double>(steps_);
    const AdamwScale<T> plain{.lr = static_cast<T>(lr),
                              .beta1 = static_cast<T>(options_.beta1),
                              .beta2 = static_cast<T>(options_.beta2),
                              .eps = static_cast<T>(options_.eps),
                              .weight_decay = T(0),
                              .bias_correction1 = static_cast<T>(1 - std::pow(options_.beta1, t)),
                              .bias_correction2 = static_cast<T>(1 - std::pow(options_.beta2, t)),
                              .grad_scale = static_cast<T>(grad_scale)};
    AdamwScale<T> decayed = plain;
    decayed.weight_decay = static_cast<T>(options_.weight_decay);
    pool.run(chunks_.size(), [&](std::size_t c, std::size_t) {
      const auto [index, begin, size] = chunks_[c];
      Parameter<T>& p = parameters_[index];
      adamw_update<T>(p.value.span().subspan(begin, size), std::as_const(p.grad).span().subspan(begin, size),
                      first_[index].span().subspan(begin, size), second_[index].span().subspan(begin, size),
                      p.decay ? decayed : plain);
    });
  }

  /// Updates made; with the moments below it is the whole state.
  [[nodiscard]] std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }
  /// First and second moments, one tensor per parameter.
  [[nodiscard]] std::span<Tensor<T>> first_moments() noexcept { return first_; }
  [[nodiscard]] std::span<Tensor<T>> second_moments() noexcept { return second_; }

 private:
  static constexpr std::size_t k_chunk = 16384;
  struct Chunk {
    std::size_t parameter, begin, size;
  };

  std::span<Parameter<T>> parameters_;
  AdamWOptions options_;
  std::vector<Tensor<T>> first_, second_;
  std::vector<Chunk> chunks_;
  std::vector<double> sums_;
  std::int64_t steps_ = 0;
};

}  // namespace v0
}  // namespace midigpt
