// generate/sampler.hpp - logits -> one id: mask, repetition penalty, temperature, top-k, top-p, then one draw.
//   Same logits, options and Rng give the same id on every platform: own exponential, sums in double and in a fixed
//   order.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include <midigpt/core/rng.hpp>

namespace midigpt {
inline namespace v0 {

struct SamplerOptions {
  double temperature = 1;         // 0: always the likeliest id
  int top_k = 0;                  // 0: all. Ids that tie with the k-th stay (the author's rule)
  double top_p = 1;               // the likeliest ids whose probabilities first reach p
  double repetition_penalty = 1;  // > 1 makes recent ids less likely (Keskar et al. 2019)
};

namespace detail {

/// e^x for x <= 0 to 1e-9: powers of two and a polynomial, no libm, so that all platforms agree.
[[nodiscard]] inline double sampler_exp(double x) noexcept {
  if (!(x > -700)) return 0;
  const auto k = static_cast<std::int64_t>(x * 1.4426950408889634 - 0.5);  // to the nearest: x is not positive
  const double r = (x - static_cast<double>(k) * 0.693145751953125) -
                   static_cast<double>(k) * 1.4286068203094173e-6;  // |r| <= 0.347
  double e = 1.0 / 40320;
  for (const double c : {1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0}) e = e * r + c;
  return e * std::bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52);
}

}  // namespace detail

/// Draws ids; keeps its scratch between calls, so a call allocates nothing after the first. One per thread.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options = {}) : options_(options) {}

  [[nodiscard]] const SamplerOptions& options() const noexcept { return options_; }

  /// An id in [0, logits.size()), or -1 if there is none to choose.
  ///   allowed: empty, or one byte per id: only ids with a byte other than 0 can come out. Ids whose logit is NaN
  ///   cannot either. recent: ids that the repetition penalty applies to, each once however often it stands there.
  [[nodiscard]] std::int32_t sample(std::span<const float> logits, Rng& rng, std::span<const std::uint8_t> allowed = {},
                                    std::span<const std::int32_t> recent = {}) {
    const std::int32_t best = prepare(logits, allowed, recent);
    if (best < 0) return -1;
    const float peak = values_[static_cast<std::size_t>(best)];
    if (options_.temperature <= 0 || std::isinf(peak)) return best;

    const float least = options_.top_k > 0 ? kth_largest(static_cast<std::size_t>(options_.top_k)) : -k_infinity;
    candidates_.clear();
    double total = 0;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i] < least || values_[i] == -k_infinity) continue;
      const double weight =
          detail::sampler_exp((static_cast<double>(values_[i]) - static_cast<double>(peak)) / options_.temperature);
      candidates_.push_back({static_cast<std::int32_t>(i), weight});
      total += weight;
    }
    if (options_.top_p < 1) total = keep_nucleus(total);

    double left = rng.uniform() * total;
    std::int32_t last = best;
    for (const Candidate& c : candidates_) {
      if (c.weight <= 0) continue;
      last = c.id;
      left -= c.weight;
      if (left < 0) break;
    }
    return last;
  }

 private:
  static constexpr float k_infinity = std::numeric_limits<float>::infinity();
  struct Candidate {
    std::int32_t id;
    double weight;
  };

  /// Fills values_: the logits after mask and penalty, -inf for what cannot come out. Returns the id of the largest, or
  /// -1.
  std::int32_t prepare(std::span<const float> logits, std::span<const std::uint8_t> allowed,
                       std::span<const std::int32_t> recent) {
    const std::size_t V = logits.size();
    candidates_.reserve(V);
    values_.assign(logits.begin(), logits.end());
    for (std::size_t i = 0; !allowed.empty() && i < V; ++i) {
      if (i >= allowed.size() || allowed[i] == 0) values_[i] = -k_infinity;
    }
    if (options_.repetition_penalty != 1) {
      const auto penalty = static_cast<float>(options_.repetition_penalty);
      for (std::size_t r = 0; r < recent.size(); ++r) {
        const auto id = static_cast<std::size_t>(recent[r]);
        const auto before = recent.first(r);
        if (recent[r] < 0 || id >= V || std::find(before.begin(), before.end(), recent[r]) != before.end()) continue;
        values_[id] = values_[id] > 0 ? values_[id] / penalty : values_[id] * penalty;
      }
    }
    std::int32_t best = -1;
    float peak = -k_infinity;
    for (std::size_t i = 0; i < V; ++i) {
      if (values_[i] > peak) {
        peak = values_[i];
        best = static_cast<std::int32_t>(i);
      } else if (std::isnan(values_[i])) {
        values_[i] = -k_infinity;
      }
    }
    return best;
  }

  /// The k-th largest of values_, -inf when there are no more than k: one pass with a heap of the k largest so far.
  [[nodiscard]] float kth_largest(std::size_t k) {
    if (k >= values_.size()) return -k_infinity;
    heap_.assign(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(k));
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    for (std::size_t i = k; i < values_.size(); ++i) {
      if (values_[i] <= heap_.front()) continue;
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.back() = values_[i];
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
    return heap_.front();
  }

  /// Keeps the likeliest candidates, likeliest first, whose weights first reach top_p of `total` (one at least);
  /// returns their sum.
  double keep_nucleus(double total) {
    // All ids below this share of the rest weigh less than the rest together: the nucleus ends before the first of
    // them.
    const double floor = (1 - options_.top_p) * total / static_cast<double>(candidates_.size());
    std::erase_if(candidates_, [floor](const Candidate& c) { return c.weight < floor; });
    const auto later = [](const Candidate& a, const Candidate& b) {
      return a.weight != b.weight ? a.weight < b.weight : a.id > b.id;
    };
    std::make_heap(candidates_.begin(), candidates_.end(), later);
    double sum = 0;
    auto end = candidates_.end();
    do {
      std::pop_heap(candidates_.begin(), end, later);
      sum += (--end)->weight;
    } while (sum < options_.top_p * total && end != candidates_.begin());
    candidates_.erase(candidates_.begin(), end);
    std::reverse(candidates_.begin(), candidates_.end());
    return sum;
  }

  SamplerOptions options_;
  std::vector<float> values_, heap_;
  std::vector<Candidate> candidates_;
};

}  // namespace v0
}  // namespace midigpt
