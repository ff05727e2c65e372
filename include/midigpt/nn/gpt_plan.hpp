// nn/gpt_plan.hpp - how a pass of a GPT cuts its batch, and what memory each part gets: planned once per shape.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <midigpt/nn/gpt_config.hpp>
#include <midigpt/tensor/simd.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

/// 0 = chosen from the model's size. Another number of lanes or of tokens changes the last bits of the gradients.
struct GptWorkspaceOptions {
  Isa isa = best_isa();
  std::size_t lanes = 0;                 // the most threads that can work; each thread costs a copy of the gradients
  std::size_t micro_tokens = 0;          // tokens of a micro-batch, rounded to whole sequences
  std::size_t shared_from = 32'000'000;  // a model of more numbers has one lane, and threads share its operations
};

namespace detail::gpt {

/// Where each parameter stands in the visiting order.
struct Places {
  std::size_t wte = 0, features = 0, wpe = 0, layers = 0, ln_f = 0, head = 0, count = 0;

  explicit Places(const GptConfig& c) noexcept {
    std::size_t at = 1;
    if (c.n_feature > 0) features = at++;
    wpe = at++;
    layers = at;
    at += 12 * static_cast<std::size_t>(c.n_layer);
    ln_f = at;
    at += 2;
    if (!c.tie_weights) head = at++;
    count = at;
  }
};

/// Order of one layer's parameters.
enum InLayer : std::size_t {
  ln_1,
  ln_1_bias,
  c_attn,
  c_attn_bias,
  c_proj,
  c_proj_bias,
  ln_2,
  ln_2_bias,
  c_fc,
  c_fc_bias,
  mlp_proj,
  mlp_proj_bias
};

/// Hands out pieces of one block; with no block it only counts.
template <class T>
struct Arena {
  T* base = nullptr;
  std::size_t used = 0;
  T* take(std::size_t n) noexcept {
    T* p = base == nullptr ? nullptr : base + used;
    used += (n + 15) / 16 * 16;
    return p;
  }
};

/// What one layer leaves for its backward pass, M rows each. What the norms and GELU gave is made anew there: cheaper
/// than a trip through memory.
template <class T>
struct LayerMemory {
  T *x, *stats1, *qkv, *log_sums, *y, *x2, *stats2, *fc;
};

/// What one worker needs for one micro-batch.
template <class T>
struct WorkerMemory {
  std::vector<LayerMemory<T>> layers;
  T *norm, *gelu;  // of the layer at hand
  T *x_final, *norm_f, *stats_f;
  T *logits, *row_max, *row_sum, *row_shift, *row_target, *row_factor;
  T *dx, *dnorm, *dqkv, *dy, *dfc, *dropped, *attention, *chunk;
  AlignedBuffer<T> block;
};

/// How a batch is cut.
struct Cut {
  std::size_t B = 0, T = 0, workers = 0;
  bool training = false, shared = false;         // shared: one lane, whose operations all threads share
  std::size_t sequences = 0;                     // of a micro-batch
  std::size_t micros = 0, lanes = 0, slots = 0;  // slots: lanes that run at a time
  std::size_t head_rows = 0, head_cols = 0;

  friend bool operator==(const Cut&, const Cut&) = default;
};

/// How B windows of T tokens go through a model of `size` numbers on `workers` threads. The lanes depend on the model
/// and the batch alone.
[[nodiscard]] inline Cut cut_for(const GptConfig& config, std::size_t size, std::size_t B, std::size_t T,
                                 std::size_t workers, bool training, const GptWorkspaceOptions& options) noexcept {
  Cut cut{.B = B, .T = T, .workers = workers, .training = training};
  cut.shared = options.lanes == 0 && size > options.shared_from;
  const std::size_t most = cut.shared          ? 1
                           : options.lanes > 0 ? options.lanes
                           : size <= 2'000'000 ? 8
                           : size <= 8'000'000 ? 4
                                               : 2;
  const std::size_t tokens = options.micro_tokens > 0 ? options.micro_tokens : cut.shared ? 512 : 256;
  cut.sequences = (std::clamp)(tokens / T, std::size_t{1}, (B + most - 1) / most);
  cut.micros = (B + cut.sequences - 1) / cut.sequences;
  cut.lanes = (std::min)(training || cut.shared ? most : cut.micros, cut.micros);
  if (!cut.shared) cut.workers = (std::min)(cut.workers, cut.lanes);
  cut.slots = (std::min)(cut.workers, cut.lanes);
  const std::size_t rows = cut.sequences * T, vocab = static_cast<std::size_t>(config.vocab_size);
  cut.head_cols = cut.shared ? 2048 : 256;
  cut.head_rows = (std::min)(rows, (std::clamp)(std::size_t{1} << 22, 112 * vocab, 256 * vocab) / vocab);
  return cut;
}

}  // namespace detail::gpt

}  // namespace v0
}  // namespace midigpt
