// pipeline/baselines.hpp - what a model has to beat: uniform and order-k Markov models over the same tokens.
//   Interpolated absolute discounting (Ney, Essen, Kneser 1994), discount D:
//     p_k(w | u) = max(c(u w) - D, 0) / c(u) + D n(u) / c(u) p_{k-1}(w | u'),   p_{-1} = 1 / V
//   c counts, n(u) distinct followers of u, u' = u without its oldest token; a context never seen passes on p_{k-1}.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include <midigpt/nn/gpt_config.hpp>

namespace midigpt {
inline namespace v0 {

/// Bits per note: all nats of all tokens, over the notes that the tokens spell.
[[nodiscard]] inline double bits_per_note(const Loss& loss, std::size_t notes) noexcept {
  return notes == 0 ? 0.0 : loss.nats / std::log(2.0) / static_cast<double>(notes);
}

/// An order-k Markov model, k = 0, 1 or 2, over ids in [0, vocab_size). Requires: vocab_size < 2^21.
class MarkovModel {
 public:
  MarkovModel(int order, std::int32_t vocab_size, double discount = 0.75)
      : order_(order), vocab_size_(vocab_size), discount_(discount), levels_(static_cast<std::size_t>(order) + 1) {}

  /// Learns one sequence; its first token is context only (the beginning-of-piece token). Contexts never cross sequences.
  void learn(std::span<const std::int32_t> sequence) {
    for (std::size_t i = 1; i < sequence.size(); ++i) {
      for (std::size_t k = 0; k <= static_cast<std::size_t>(order_) && k <= i; ++k) {
        Level& level = levels_[k];
        const std::uint64_t context = key(sequence, i - k, i);
        Context& c = level.contexts[context];
        ++c.count;
        if (++level.followers[context << 21 | token(sequence, i)] == 1) ++c.distinct;
      }
    }
  }

  /// Sum of -ln p over sequence[1..]; sequence[0] is context only.
  [[nodiscard]] Loss score(std::span<const std::int32_t> sequence) const {
    Loss sum;
    for (std::size_t i = 1; i < sequence.size(); ++i) {
      sum.nats -= std::log(probability(sequence, i));
      ++sum.count;
    }
    return sum;
  }

  /// p(sequence[i] | what stands before it, at most `order` tokens).
  [[nodiscard]] double probability(std::span<const std::int32_t> sequence, std::size_t i) const {
    double p = 1.0 / vocab_size_;
    for (std::size_t k = 0; k <= static_cast<std::size_t>(order_) && k <= i; ++k) {
      const Level& level = levels_[k];
      const std::uint64_t context = key(sequence, i - k, i);
      const auto c = level.contexts.find(context);
      if (c == level.contexts.end()) break;  // a longer context cannot have been seen either
      const auto f = level.followers.find(context << 21 | token(sequence, i));
      const double count = static_cast<double>(c->second.count);
      const double seen = f == level.followers.end() ? 0.0 : static_cast<double>(f->second);
      p = (std::max)(seen - discount_, 0.0) / count + discount_ * static_cast<double>(c->second.distinct) / count * p;
    }
    return p;
  }

 private:
  struct Context {
    std::uint64_t count = 0, distinct = 0;
  };
  struct Level {
    std::unordered_map<std::uint64_t, Context> contexts;
    std::unordered_map<std::uint64_t, std::uint64_t> followers;  // context << 21 | token
  };

  [[nodiscard]] static std::uint64_t token(std::span<const std::int32_t> s, std::size_t i) noexcept {
    return static_cast<std::uint64_t>(s[i]);
  }
  /// Tokens [begin, end) as 21-bit digits; contexts of one level have one length, so no two share a key.
  [[nodiscard]] static std::uint64_t key(std::span<const std::int32_t> s, std::size_t begin, std::size_t end) noexcept {
    std::uint64_t k = 0;
    for (std::size_t i = begin; i < end; ++i) k = k << 21 | token(s, i);
    return k;
  }

  int order_;
  std::int32_t vocab_size_;
  double discount_;
  std::vector<Level> levels_;
};

/// The model that knows only the size of the vocabulary.
[[nodiscard]] inline Loss score_uniform(std::size_t tokens, std::int32_t vocab_size) noexcept {
  return {static_cast<double>(tokens) * std::log(static_cast<double>(vocab_size)), tokens};
}

}  // namespace v0
}  // namespace midigpt
