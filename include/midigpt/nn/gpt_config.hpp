// nn/gpt_config.hpp - the plain values around a GPT: its shape, a batch, a loss, and what is known of the tokens.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/error.hpp>

namespace midigpt {
inline namespace v0 {

/// The shape of a GPT-2, under GPT-2's names.
struct GptConfig {
  int n_layer = 4, n_head = 4, n_embd = 128;
  int block_size = 256;     // T, the longest context
  int vocab_size = 0;       // V, must be set
  int n_feature = 0;        // K, features of a token (SparseFeatures); 0 = a plain GPT-2
  float dropout = 0.0f;     // embedding, attention weights and both residual branches, in training only
  bool tie_weights = true;  // lm_head.weight is wte.weight

  friend bool operator==(const GptConfig&, const GptConfig&) = default;
};

/// "nano" 3/3/48, "tiny" 4/4/128, "small" 6/6/384, "gpt2" 12/12/768 (layers / heads / width).
[[nodiscard]] inline Result<GptConfig> gpt_preset(std::string_view name, int vocab_size, int block_size) {
  GptConfig config{.block_size = block_size, .vocab_size = vocab_size};
  const auto size = [&](int n_layer, int n_head, int n_embd) {
    config.n_layer = n_layer;
    config.n_head = n_head;
    config.n_embd = n_embd;
    return config;
  };
  if (name == "nano") return size(3, 3, 48);
  if (name == "tiny") return size(4, 4, 128);
  if (name == "small") return size(6, 6, 384);
  if (name == "gpt2") return size(12, 12, 768);
  return Error{Errc::bad_value, 0, "preset: expected nano, tiny, small or gpt2, found " + std::string(name)};
}

/// What is known of each token: a sparse V x K matrix F in rows. The token table becomes wte + F A, A learned.
struct SparseFeatures {
  std::int32_t n_features = 0;          // K
  std::vector<std::int32_t> row_begin;  // V + 1 places in column and value
  std::vector<std::int32_t> column;     // 0..K-1
  std::vector<float> value;

  friend bool operator==(const SparseFeatures&, const SparseFeatures&) = default;
};

/// F transposed, K x V: where each feature stands.
[[nodiscard]] inline SparseFeatures transposed(const SparseFeatures& f) {
  const std::size_t V = f.row_begin.empty() ? 0 : f.row_begin.size() - 1;
  SparseFeatures t{.n_features = static_cast<std::int32_t>(V),
                   .row_begin = std::vector<std::int32_t>(static_cast<std::size_t>(f.n_features) + 1),
                   .column = std::vector<std::int32_t>(f.column.size()),
                   .value = std::vector<float>(f.value.size())};
  for (const std::int32_t k : f.column) ++t.row_begin[static_cast<std::size_t>(k) + 1];
  for (std::size_t k = 1; k < t.row_begin.size(); ++k) t.row_begin[k] += t.row_begin[k - 1];
  std::vector<std::int32_t> next = t.row_begin;
  for (std::size_t v = 0; v < V; ++v) {
    for (auto i = static_cast<std::size_t>(f.row_begin[v]); i < static_cast<std::size_t>(f.row_begin[v + 1]); ++i) {
      const auto to = static_cast<std::size_t>(next[static_cast<std::size_t>(f.column[i])]++);
      t.column[to] = static_cast<std::int32_t>(v);
      t.value[to] = f.value[i];
    }
  }
  return t;
}

/// A view of B sequences of T tokens, row-major. A target of -1 does not count.
struct TokenBatch {
  std::span<const std::int32_t> ids, targets;
  std::size_t B = 0, T = 0;
};

/// The sum of -ln p over the targets that count.
struct Loss {
  double nats = 0;
  std::size_t count = 0;

  /// Nats per token; 0 of nothing.
  [[nodiscard]] double mean() const noexcept { return count == 0 ? 0.0 : nats / static_cast<double>(count); }
  [[nodiscard]] bool finite() const noexcept { return std::isfinite(nats); }
};

struct GradientOptions {
  std::uint64_t dropout_seed = 0;  // another one each step
  bool accumulate = false;         // add to the gradients instead of replacing them
  std::size_t denominator = 0;     // gradients are of nats / denominator; 0: the targets of this batch that count
};

}  // namespace v0
}  // namespace midigpt
