// generate/sampler.hpp - logits -> one id: mask, repetition penalty, temperature, top-k, top-p, then one draw.
//   Same logits, options and Rng give the same id on every platform: own exponential, sums in double and in a fixed order.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
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

/// e^x for x <= 0 to 1e-13: powers of two and a polynomial, no libm, so that all platforms agree.
[[nodiscard]] inline double sampler_exp(double x) noexcept {
  if (!(x > -700)) return 0;
  const double k = std::floor(x * 1.4426950408889634 + 0.5);
  const double r = (x - k * 0.693145751953125) - k * 1.4286068203094173e-6;  // ln 2 in two parts, |r| <= 0.347
  double e = 1.0 / 479001600;
  for (const double c : {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0}) {
    e = e * r + c;
  }
  return e * std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(k) + 1023) << 52);
}

}  // namespace detail

/// Draws ids; keeps its scratch between calls, so a call allocates nothing after the first. One per thread.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options = {}) : options_(options) {}

  [[nodiscard]] const SamplerOptions& options() const noexcept { return options_; }

  /// An id in [0, logits.size()), or -1 if there is none to choose.
  ///   allowed: empty, or one byte per id: only ids with a byte other than 0 can come out. Ids whose logit is NaN cannot either.
  ///   recent: ids that the repetition penalty applies to, each once however often it stands there.
  [[nodiscard]] std::int32_t sample(std::span<const float> logits, Rng& rng, std::span<const std::uint8_t> allowed = {},
                                    std::span<const std::int32_t> recent = {}) {
    gather(logits, allowed, recent);
    if (candidates_.empty()) return -1;
    const auto likelier = [](const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; };
    const auto best = std::min_element(candidates_.begin(), candidates_.end(), likelier);
    if (options_.temperature <= 0 || std::isinf(best->logit)) return best->id;

    const float peak = best->logit;
    if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < candidates_.size()) {
      const auto kth = candidates_.begin() + (options_.top_k - 1);
      std::nth_element(candidates_.begin(), kth, candidates_.end(), likelier);
      const float threshold = kth->logit;
      candidates_.erase(std::remove_if(kth + 1, candidates_.end(), [&](const Candidate& c) { return c.logit < threshold; }), candidates_.end());
      std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    }
    double total = 0;
    for (Candidate& c : candidates_) {
      c.weight = detail::sampler_exp((static_cast<double>(c.logit) - static_cast<double>(peak)) / options_.temperature);
      total += c.weight;
    }
    if (options_.top_p < 1) total = keep_nucleus(options_.top_p * total, likelier);
    double left = rng.uniform() * total;
    std::int32_t last = candidates_[0].id;
    for (const Candidate& c : candidates_) {
      if (c.weight <= 0) continue;
      last = c.id;
      left -= c.weight;
      if (left < 0) break;
    }
    return last;
  }

 private:
  struct Candidate {
    std::int32_t id;
    float logit;
    double weight;
  };

  /// Keeps the likeliest candidates, likeliest first, whose weights first reach `enough` (one at least); returns their sum.
  template <class Likelier>
  double keep_nucleus(double enough, const Likelier& likelier) {
    const auto later = [&](const Candidate& a, const Candidate& b) { return likelier(b, a); };
    std::make_heap(candidates_.begin(), candidates_.end(), later);  // few are kept of many: a heap beats a full sort
    double sum = 0;
    auto end = candidates_.end();
    do {
      std::pop_heap(candidates_.begin(), end, later);
      sum += (--end)->weight;
    } while (sum < enough && end != candidates_.begin());
    candidates_.erase(candidates_.begin(), end);
    std::reverse(candidates_.begin(), candidates_.end());
    return sum;
  }

  void gather(std::span<const float> logits, std::span<const std::uint8_t> allowed, std::span<const std::int32_t> recent) {
    candidates_.clear();
    candidates_.reserve(logits.size());
    const bool penalise = options_.repetition_penalty != 1 && !recent.empty();
    if (penalise) {
      seen_.assign(logits.size(), 0);
      for (const std::int32_t id : recent) {
        if (id >= 0 && static_cast<std::size_t>(id) < seen_.size()) seen_[static_cast<std::size_t>(id)] = 1;
      }
    }
    const auto penalty = static_cast<float>(options_.repetition_penalty);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (!allowed.empty() && (i >= allowed.size() || allowed[i] == 0)) continue;
      float logit = logits[i];
      if (std::isnan(logit) || (std::isinf(logit) && logit < 0)) continue;
      if (penalise && seen_[i] != 0) logit = logit > 0 ? logit / penalty : logit * penalty;
      candidates_.push_back({static_cast<std::int32_t>(i), logit, 0});
    }
  }

  SamplerOptions options_;
  std::vector<Candidate> candidates_;
  std::vector<std::uint8_t> seen_;
};

}  // namespace v0
}  // namespace midigpt
