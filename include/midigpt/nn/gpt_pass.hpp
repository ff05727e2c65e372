// nn/gpt_pass.hpp - the forward and backward pass of a GPT over one batch, in memory that is planned once.
//   Depth first: a few sequences (a micro-batch) go through the whole net forward and back before the next ones start,
//   so that what they leave behind stays in the caches and memory does not grow with the batch. Threads by lanes: the
//   micro-batches are dealt to a fixed number of lanes, each lane has gradients of its own and adds to them in order;
//   the lanes' gradients are added in lane order. As many lanes as there are threads run at a time, then their sums
//   are added and their memory serves the next ones: any number of threads gives the same bits. Large models have one
//   lane, and the threads share each operation instead: a task packs its own columns of a transposed weight, so
//   that neither packed weights nor second gradients are kept.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/nn/gpt_config.hpp>
#include <midigpt/nn/gpt_plan.hpp>
#include <midigpt/nn/module.hpp>
#include <midigpt/tensor/attention.hpp>
#include <midigpt/tensor/gemm.hpp>
#include <midigpt/tensor/kernels.hpp>

namespace midigpt {
inline namespace v0 {

template <class T>
class Gpt;

/// The memory of training or evaluation: planned at the first batch of a shape, no allocation after it. One batch at a
/// time.
template <class T, class Product = PackedProduct>
class GptWorkspace {
 public:
  explicit GptWorkspace(const GptWorkspaceOptions& options = {}) : options_(options) {}
  [[nodiscard]] Isa isa() const noexcept { return options_.isa; }

 private:
  friend class Gpt<T>;
  using Parameters = std::span<const Parameter<T>>;

  /// One batch. With `gradients` (the model's own parameters) also the backward pass.
  Loss run(const GptConfig& config, Parameters parameters, const T* table, const TokenBatch& batch, ThreadPool& pool,
           std::span<Parameter<T>> gradients, const GradientOptions& how) {
    prepare(config, parameters, table, batch, pool, !gradients.empty());
    Loss total;
    for (const std::int32_t t : batch.targets) total.count += t >= 0 ? 1 : 0;
    const std::size_t denominator = how.denominator > 0 ? how.denominator : (std::max<std::size_t>)(total.count, 1);
    grad_scale_ = static_cast<T>(1.0 / static_cast<double>(denominator));
    dropout_seed_ = how.dropout_seed;
    const std::size_t round = cut_.training ? cut_.slots : cut_.lanes;
    for (std::size_t begin = 0; begin < cut_.lanes; begin += round) {
      const std::size_t lanes = (std::min)(round, cut_.lanes - begin);
      pool.run(lanes, [&](std::size_t slot, std::size_t worker) {
        const std::size_t lane = begin + slot;
        const bool adds = how.accumulate && lane == 0;  // to gradients that are there already
        if (cut_.training) start_lane(lane, slot, gradients, adds);
        lane_nats_[lane] = 0;
        for (std::size_t m = lane; m < cut_.micros; m += cut_.lanes) {
          const std::size_t first = m * cut_.sequences, n = (std::min)(cut_.sequences, batch.B - first);
          detail::gpt::WorkerMemory<T>& w = memory_[memory_of(lanes, slot, worker)];
          const Target to{slot, adds || m > lane};
          forward(w, batch, first, n);
          lane_nats_[lane] += head(w, batch, first, n, to);
          if (cut_.training) backward(w, batch, first, n, to);
        }
      });
      if (cut_.training) reduce(pool, gradients, begin, lanes);
    }
    for (const double nats : lane_nats_) total.nats += nats;
    return total;
  }

  /// Logits of every position, (B,T,V).
  void run_logits(const GptConfig& config, Parameters parameters, const T* table, const TokenBatch& batch,
                  ThreadPool& pool, std::span<T> out) {
    prepare(config, parameters, table, batch, pool, false);
    pool.run(cut_.lanes, [&](std::size_t lane, std::size_t worker) {
      detail::gpt::WorkerMemory<T>& w = memory_[memory_of(cut_.lanes, lane, worker)];
      for (std::size_t m = lane; m < cut_.micros; m += cut_.lanes) {
        const std::size_t first = m * cut_.sequences, n = (std::min)(cut_.sequences, batch.B - first);
        forward(w, batch, first, n);
        multiply(w.norm_f, width_, n * cut_.T, head_.forward, out.data() + first * cut_.T * vocab_, vocab_);
      }
    });
  }

  /// Each task has memory of its own where there are no more than workers, else each worker.
  [[nodiscard]] std::size_t memory_of(std::size_t tasks, std::size_t task, std::size_t worker) const noexcept {
    return tasks <= cut_.workers ? task : worker;
  }

  /// Where a micro-batch's gradients go: lane memory, and whether matrices are added to what is there.
  struct Target {
    std::size_t slot;
    bool add;
  };

  // ---- the plan --------------------------------------------------------------------------------------------------

  void prepare(const GptConfig& config, Parameters parameters, const T* table, const TokenBatch& batch,
               ThreadPool& pool, bool training) {
    parameters_ = parameters;
    const detail::gpt::Places places(config);
    table_ = table;
    head_table_ = config.tie_weights ? table : parameters[places.head].value.data();
    pool_ = &pool;
    std::size_t size = 0;
    for (const Parameter<T>& p : parameters) size += p.value.size();
    const detail::gpt::Cut cut = detail::gpt::cut_for(config, size, batch.B, batch.T, pool.size(), training, options_);
    if (cut != cut_ || config != config_) plan(config, cut, parameters, places);
    for (Weight& w : weights_) w.forward.data = w.backward.data = parameters_[w.place].value.data();
    head_.forward.data = head_.backward.data = head_table_;
    if (!cut_.shared) pack(pool);
  }

  [[gnu::cold]] void plan(const GptConfig& config, const detail::gpt::Cut& cut, Parameters parameters,
                          const detail::gpt::Places& places) {
    const bool training = cut.training;
    cut_ = cut;
    config_ = config;
    layers_ = static_cast<std::size_t>(config.n_layer);
    heads_ = static_cast<std::size_t>(config.n_head);
    width_ = static_cast<std::size_t>(config.n_embd);
    vocab_ = static_cast<std::size_t>(config.vocab_size);
    plan_panels();
    memory_.resize((std::max)(memory_.size(), cut.workers));
    for (std::size_t w = 0; w < cut.workers; ++w) {
      const bool whole = w == 0 || !cut.shared;
      detail::gpt::Arena<T> arena;
      plan_worker(memory_[w], arena, whole);
      memory_[w].block.reserve(arena.used);
      arena = {memory_[w].block.data(), 0};
      plan_worker(memory_[w], arena, whole);
    }
    lane_nats_.assign(cut.lanes, 0.0);
    lane_gradients_.resize(training ? (std::max)(lane_gradients_.size(), cut.slots) : lane_gradients_.size());
    if (!training) return;
    offsets_.clear();
    slices_.clear();
    std::size_t at = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::size_t size = parameters[i].value.size();
      const bool direct =
          config.n_feature == 0 || i != places.features;  // the features' gradient follows from the table's
      offsets_.push_back(at);
      for (std::size_t begin = 0; direct && begin < size; begin += k_slice)
        slices_.push_back({i, begin, (std::min)(k_slice, size - begin)});
      if (direct) at += (size + 15) / 16 * 16;
    }
    gradient_size_ = at;
    for (std::size_t slot = cut.lanes > cut.slots ? 0 : 1; slot < cut.slots; ++slot) lane_gradients_[slot].reserve(at);
    slot_pointers_.resize(cut.slots * parameters.size());
  }

  /// Where threads share operations only the first worker needs the whole memory.
  [[gnu::cold]] void plan_worker(detail::gpt::WorkerMemory<T>& w, detail::gpt::Arena<T>& arena, bool whole) const {
    const std::size_t M = cut_.sequences * cut_.T, C = width_;
    w.attention = arena.take(attention_scratch(cut_.T, C / heads_));
    const std::size_t depth = (std::max)({4 * C, M, cut_.training ? cut_.head_cols : 0});
    w.chunk = arena.take(cut_.shared ? Product::template panel_size<T>(options_.isa, depth, k_columns) : 0);
    if (!whole) return;
    w.layers.resize(layers_);
    for (std::size_t l = 0; l < layers_; ++l) {
      detail::gpt::LayerMemory<T>& m = w.layers[l];
      if (l > 0 && !cut_.training) {  // nothing to remember: all layers share the first one's memory, but for x
        m = w.layers[0];
        m.x = l % 2 == 1 ? w.dx : w.layers[0].x;
        continue;
      }
      m.x = arena.take(M * C);
      m.stats1 = arena.take(2 * M);
      m.qkv = arena.take(3 * M * C);
      m.log_sums = arena.take(M * heads_);
      m.y = arena.take(M * C);
      m.x2 = arena.take(M * C);
      m.stats2 = arena.take(2 * M);
      m.fc = arena.take(4 * M * C);
      if (l == 0) w.dx = arena.take(M * C);
    }
    w.norm = arena.take(M * C);
    w.gelu = arena.take(4 * M * C);
    w.x_final = arena.take(M * C);
    w.norm_f = arena.take(M * C);
    w.stats_f = arena.take(2 * M);
    const std::size_t R = cut_.head_rows, blocks = (vocab_ + cut_.head_cols - 1) / cut_.head_cols;
    w.logits = arena.take(R * cut_.head_cols * (cut_.training ? blocks : 1));
    w.row_max = arena.take(R);
    w.row_sum = arena.take(R);
    w.row_shift = arena.take(R * blocks);
    w.row_target = arena.take(R);
    w.row_factor = arena.take(R);
    w.dropped = arena.take(config_.dropout > 0.0f ? M * C : 0);
    if (!cut_.training) return;
    w.dnorm = arena.take(M * C);
    w.dqkv = arena.take(3 * M * C);
    w.dy = arena.take(M * C);
    w.dfc = arena.take(4 * M * C);
  }

  /// A factor that both passes use, one of them transposed: that one is packed, the other is read where it lies.
  struct Weight {
    Rhs<T> forward, backward;
    std::size_t place = 0;
    T* panels = nullptr;
    Rhs<T>& transposed() noexcept { return forward.transposed ? forward : backward; }
  };

  [[gnu::cold]] void plan_panels() {
    weights_.clear();
    const detail::gpt::Places places(config_);
    const std::size_t C = width_;
    const auto weight = [](std::size_t place, std::size_t K, std::size_t N) {
      return Weight{.forward = {.ld = N, .transposed = false, .K = K, .N = N},
                    .backward = {.ld = N, .transposed = true, .K = N, .N = K},
                    .place = place};
    };
    for (std::size_t l = 0; l < layers_; ++l) {
      const std::size_t at = places.layers + 12 * l;
      weights_.push_back(weight(at + detail::gpt::c_attn, C, 3 * C));
      weights_.push_back(weight(at + detail::gpt::c_proj, C, C));
      weights_.push_back(weight(at + detail::gpt::c_fc, C, 4 * C));
      weights_.push_back(weight(at + detail::gpt::mlp_proj, 4 * C, C));
    }
    head_ = weight(places.head, vocab_, C);
    std::swap(head_.forward, head_.backward);
    if (cut_.shared) return;
    detail::gpt::Arena<T> arena;
    const auto take = [&](Weight& w) {
      w.panels = arena.take(Product::template panel_size<T>(options_.isa, w.transposed().K, w.transposed().N));
    };
    const auto take_all = [&] {
      take(head_);
      for (Weight& w : weights_) {
        if (cut_.training) take(w);
      }
    };
    take_all();
    panel_block_.reserve(arena.used);
    arena = {panel_block_.data(), 0};
    take_all();
  }

  /// The transposed weights into panels, in parallel. Evaluation needs those of the head only.
  void pack(ThreadPool& pool) {
    pool.run(cut_.training ? weights_.size() + 1 : 1, [&](std::size_t i, std::size_t) {
      Weight& w = i == 0 ? head_ : weights_[i - 1];
      Product::pack(options_.isa, w.transposed(), w.panels);
    });
  }

  // ---- one micro-batch -------------------------------------------------------------------------------------------

  template <class Kernel, class... Args>
  void call(Args... args) const {
    detail::simd_call<Kernel, T>(options_.isa, args...);
  }

  /// c := a b, or c += a b with `accumulate`; plus the bias.
  void multiply(const T* a, std::size_t lda, std::size_t M, const Rhs<T>& b, T* c, std::size_t ldc,
                bool accumulate = false, const T* bias = nullptr) const {
    const ProductArgs<T> args{
        .a = a, .lda = lda, .transposed = false, .M = M, .c = c, .ldc = ldc, .accumulate = accumulate, .bias = bias};
    if (!cut_.shared) return Product::multiply(options_.isa, args, b);
    pool_->run((b.N + k_columns - 1) / k_columns, [&](std::size_t i, std::size_t worker) {
      const std::size_t first = i * k_columns;
      Rhs<T> part = b.columns(first, (std::min)(k_columns, b.N - first));
      if (part.transposed) Product::pack(options_.isa, part, memory_[worker].chunk);
      ProductArgs<T> mine = args;
      mine.c += first;
      if (bias != nullptr) mine.bias += first;
      Product::multiply(options_.isa, mine, part);
    });
  }

  /// c (K,N) := x^T b, or c += x^T b with `add`; x (M,K), b (M,N).
  void multiply_transposed(const T* x, std::size_t ldx, std::size_t K, const T* right, std::size_t N, std::size_t M,
                           T* c, bool add) const {
    const Rhs<T> b{.data = right, .ld = N, .transposed = false, .K = M, .N = N};
    const ProductArgs<T> args{.a = x, .lda = ldx, .transposed = true, .M = K, .c = c, .ldc = b.N, .accumulate = add};
    if (!cut_.shared) return Product::multiply(options_.isa, args, b);
    pool_->run((K + k_rows - 1) / k_rows, [&](std::size_t i, std::size_t) {
      ProductArgs<T> mine = args;
      mine.a += i * k_rows;
      mine.M = (std::min)(k_rows, K - i * k_rows);
      mine.c += i * k_rows * b.N;
      Product::multiply(options_.isa, mine, b);
    });
  }

  /// f(first, n) over pieces of [0, total): shared by the threads, or one piece.
  template <class F>
  void pieces(std::size_t total, std::size_t piece, const F& f) const {
    if (!cut_.shared) return f(std::size_t{0}, total);
    pool_->run((total + piece - 1) / piece,
               [&](std::size_t i, std::size_t) { f(i * piece, (std::min)(piece, total - i * piece)); });
  }

  [[nodiscard]] const T* parameter(std::size_t layer, detail::gpt::InLayer which) const noexcept {
    return parameters_[detail::gpt::Places(config_).layers + 12 * layer + which].value.data();
  }
  [[nodiscard]] T* gradient(Target to, std::size_t layer, detail::gpt::InLayer which) const noexcept {
    return gradient(to, detail::gpt::Places(config_).layers + 12 * layer + which);
  }
  [[nodiscard]] T* gradient(Target to, std::size_t place) const noexcept {
    return slot_pointers_[to.slot * parameters_.size() + place];
  }

  [[nodiscard]] bool drops() const noexcept { return cut_.training && config_.dropout > 0.0f; }
  enum class Site : std::uint64_t { embedding, weights, attention, mlp };
  [[nodiscard]] std::uint32_t dropout_key(Site site, std::size_t layer, std::size_t sequence,
                                          std::size_t head) const noexcept {
    const std::uint64_t where = static_cast<std::uint64_t>(site) | layer << 2 | head << 12 | sequence << 24;
    return static_cast<std::uint32_t>(mix64(dropout_seed_ ^ mix64(where)) >> 32);
  }
  /// Rows of `n` sequences, the first of which is number `first` of the batch.
  void drop(Site site, std::size_t layer, std::size_t first, std::size_t n, T* x) const {
    const std::size_t size = cut_.T * width_;
    for (std::size_t s = 0; s < n; ++s) {
      call<detail::kernels::Dropout>(size, dropout_key(site, layer, first + s, 0), std::uint32_t{0},
                                     static_cast<T>(config_.dropout), x + s * size);
    }
  }

  void forward(detail::gpt::WorkerMemory<T>& w, const TokenBatch& batch, std::size_t first, std::size_t n) const {
    const std::size_t C = width_, time = cut_.T, M = n * time;
    const detail::gpt::Places places(config_);
    const T* wpe = parameters_[places.wpe].value.data();
    T* x = w.layers[0].x;
    for (std::size_t i = 0; i < M; ++i) {
      const auto id = static_cast<std::size_t>(batch.ids[first * time + i]);
      call<detail::kernels::Add>(C, table_ + id * C, wpe + i % time * C, x + i * C);
    }
    if (drops()) drop(Site::embedding, 0, first, n, x);
    using namespace detail::gpt;
    for (std::size_t l = 0; l < layers_; ++l) {
      const LayerMemory<T>& m = w.layers[l];
      const Weight* weight = weights_.data() + 4 * l;
      T* next = l + 1 < layers_ ? w.layers[l + 1].x : w.x_final;
      call<detail::kernels::LayerNormForward>(M, C, cst(m.x), parameter(l, ln_1), parameter(l, ln_1_bias), w.norm,
                                              m.stats1);
      multiply(w.norm, C, M, weight[0].forward, m.qkv, 3 * C, false, parameter(l, c_attn_bias));
      attend(w, m, l, first, n, false);
      residual(w, m.y, C, M, weight[1].forward, parameter(l, c_proj_bias), m.x, m.x2, Site::attention, l, first, n);
      call<detail::kernels::LayerNormForward>(M, C, cst(m.x2), parameter(l, ln_2), parameter(l, ln_2_bias), w.norm,
                                              m.stats2);
      multiply(w.norm, C, M, weight[2].forward, m.fc, 4 * C, false, parameter(l, c_fc_bias));
      pieces(4 * M * C, k_slice, [&](std::size_t i, std::size_t size) {
        call<detail::kernels::GeluForward>(size, cst(m.fc + i), w.gelu + i);
      });
      residual(w, w.gelu, 4 * C, M, weight[3].forward, parameter(l, mlp_proj_bias), m.x2, next, Site::mlp, l, first, n);
    }
    call<detail::kernels::LayerNormForward>(M, C, cst(w.x_final), cst(parameters_[places.ln_f].value.data()),
                                            cst(parameters_[places.ln_f + 1].value.data()), w.norm_f, w.stats_f);
  }

  static const T* cst(const T* p) noexcept { return p; }

  /// out := x + dropout(a b + bias).
  void residual(detail::gpt::WorkerMemory<T>& w, const T* a, std::size_t K, std::size_t M, const Rhs<T>& b,
                const T* bias, const T* x, T* out, Site site, std::size_t layer, std::size_t first,
                std::size_t n) const {
    if (!drops()) {
      std::memcpy(out, x, M * width_ * sizeof(T));
      multiply(a, K, M, b, out, width_, true, bias);
      return;
    }
    multiply(a, K, M, b, w.dropped, width_, false, bias);
    drop(site, layer, first, n, w.dropped);
    call<detail::kernels::Add>(M * width_, x, cst(w.dropped), out);
  }

  void attend(detail::gpt::WorkerMemory<T>& w, const detail::gpt::LayerMemory<T>& m, std::size_t layer,
              std::size_t first, std::size_t n, bool backward) const {
    const std::size_t C = width_, time = cut_.T, hs = C / heads_;
    const auto one = [&](std::size_t i, T* scratch) {
      const std::size_t s = i / heads_, h = i % heads_;
      const std::size_t at = s * time * 3 * C + h * hs, y_at = s * time * C + h * hs;
      AttentionArgs<T> args{.time = time, .hs = hs, .ld = 3 * C, .y_ld = C};
      args.q = m.qkv + at;
      args.k = args.q + C;
      args.v = args.k + C;
      args.y = m.y + y_at;
      args.log_sums = m.log_sums + (s * heads_ + h) * time;
      args.scratch = scratch;
      if (drops()) {
        args.dropout = static_cast<T>(config_.dropout);
        args.dropout_key = dropout_key(Site::weights, layer, first + s, h);
      }
      if (backward) {
        args.dy = w.dy + y_at;
        args.dq = w.dqkv + at;
        args.dk = args.dq + C;
        args.dv = args.dk + C;
        attention_backward(args, options_.isa);
      } else {
        attention_forward(args, options_.isa);
      }
    };
    if (cut_.shared)
      return pool_->run(n * heads_, [&](std::size_t i, std::size_t worker) { one(i, memory_[worker].attention); });
    for (std::size_t i = 0; i < n * heads_; ++i) one(i, w.attention);
  }

  /// The nats of one micro-batch; in training also d norm_f and the head's gradient. Logits live in blocks of columns,
  /// each (rows, head_cols), as exponentials relative to the row's maximum so far; the factors follow when all are
  /// known.
  double head(detail::gpt::WorkerMemory<T>& w, const TokenBatch& batch, std::size_t first, std::size_t n,
              Target to) const {
    const std::size_t C = width_, total = n * cut_.T, cols = cut_.head_cols, blocks = (vocab_ + cols - 1) / cols;
    const detail::gpt::Places places(config_);
    double nats = 0;
    for (std::size_t r = 0; r < total; r += cut_.head_rows) {
      const std::size_t R = (std::min)(cut_.head_rows, total - r);
      const std::int32_t* targets = batch.targets.data() + first * cut_.T + r;
      const T* h = w.norm_f + r * C;
      detail::kernels::SoftmaxBlock<T> block{
          .rows = R, .ld = cols, .targets = targets, .max = w.row_max, .sum = w.row_sum, .target_logit = w.row_target};
      std::fill_n(w.row_max, R, (std::numeric_limits<T>::lowest)());
      std::fill_n(w.row_sum, R, T(0));
      const auto at_block = [&](std::size_t b) {
        block.x = w.logits + (cut_.training ? b * cols * cut_.head_rows : 0);
        block.cols = (std::min)(cols, vocab_ - b * cols);
        block.first = static_cast<std::int32_t>(b * cols);
        block.shift = w.row_shift + b * cut_.head_rows;
      };
      for (std::size_t b = 0; b < blocks; ++b) {
        at_block(b);
        multiply(h, C, R, head_.forward.columns(b * cols, block.cols), block.x, cols);
        pieces(R, 32, [&](std::size_t i, std::size_t rows) {
          const detail::kernels::SoftmaxBlock<T> part = block.part(i, rows);
          call<detail::kernels::SoftmaxForward>(&part);
        });
      }
      for (std::size_t i = 0; i < R; ++i) {
        if (targets[i] >= 0)
          nats += std::log(static_cast<double>(w.row_sum[i])) + static_cast<double>(w.row_max[i]) -
                  static_cast<double>(w.row_target[i]);
      }
      if (!cut_.training) continue;
      T* dhead = gradient(to, config_.tie_weights ? places.wte : places.head);
      for (std::size_t b = 0; b < blocks; ++b) {
        at_block(b);
        for (std::size_t i = 0; i < R; ++i) {
          w.row_factor[i] =
              targets[i] < 0 ? T(0) : std::exp(block.shift[i] - w.row_max[i]) / w.row_sum[i] * grad_scale_;
        }
        pieces(R, 32, [&](std::size_t i, std::size_t rows) {
          const detail::kernels::SoftmaxBlock<T> part = block.part(i, rows);
          call<detail::kernels::SoftmaxBackward>(&part, cst(w.row_factor + i), grad_scale_);
        });
        multiply(block.x, cols, R, head_.backward.rows(b * cols, block.cols), w.dnorm + r * C, C, b > 0);
        multiply_transposed(block.x, cols, block.cols, h, C, R, dhead + b * cols * C, to.add || r > 0);
      }
    }
    return nats;
  }

  void backward(detail::gpt::WorkerMemory<T>& w, const TokenBatch& batch, std::size_t first, std::size_t n,
                Target to) const {
    using namespace detail::gpt;
    const std::size_t C = width_, time = cut_.T, M = n * time;
    const Places places(config_);
    std::fill_n(w.dx, M * C, T(0));
    call<detail::kernels::LayerNormBackward>(M, C, cst(w.x_final), cst(parameters_[places.ln_f].value.data()),
                                             cst(parameters_[places.ln_f + 1].value.data()), cst(w.stats_f),
                                             cst(w.dnorm), w.dx, gradient(to, places.ln_f),
                                             gradient(to, places.ln_f + 1), static_cast<T*>(nullptr));
    for (std::size_t l = layers_; l-- > 0;) {
      const LayerMemory<T>& m = w.layers[l];
      const Weight* weight = weights_.data() + 4 * l;
      const T* dout = branch(w, Site::mlp, l, first, n);
      call<detail::kernels::ColumnSums>(M, C, dout, gradient(to, l, mlp_proj_bias));
      multiply(dout, C, M, weight[3].backward, w.dfc, 4 * C);
      pieces(4 * M * C, k_slice, [&](std::size_t i, std::size_t size) {
        call<detail::kernels::GeluBackward>(size, cst(m.fc + i), w.dfc + i, w.gelu + i);
      });
      multiply_transposed(w.gelu, 4 * C, 4 * C, dout, C, M, gradient(to, l, mlp_proj), to.add);
      call<detail::kernels::ColumnSums>(M, 4 * C, cst(w.dfc), gradient(to, l, c_fc_bias));
      multiply(w.dfc, 4 * C, M, weight[2].backward, w.dnorm, C);
      norm_backward(w, m.x2, m.stats2, M, l, ln_2, to);
      multiply_transposed(w.norm, C, C, w.dfc, 4 * C, M, gradient(to, l, c_fc), to.add);
      dout = branch(w, Site::attention, l, first, n);
      call<detail::kernels::ColumnSums>(M, C, dout, gradient(to, l, c_proj_bias));
      multiply(dout, C, M, weight[1].backward, w.dy, C);
      multiply_transposed(m.y, C, C, dout, C, M, gradient(to, l, c_proj), to.add);
      attend(w, m, l, first, n, true);
      call<detail::kernels::ColumnSums>(M, 3 * C, cst(w.dqkv), gradient(to, l, c_attn_bias));
      multiply(w.dqkv, 3 * C, M, weight[0].backward, w.dnorm, C);
      norm_backward(w, m.x, m.stats1, M, l, ln_1, to);
      multiply_transposed(w.norm, C, C, w.dqkv, 3 * C, M, gradient(to, l, c_attn), to.add);
    }
    if (drops()) drop(Site::embedding, 0, first, n, w.dx);
    T *dwte = gradient(to, places.wte), *dwpe = gradient(to, places.wpe);
    for (std::size_t i = 0; i < M; ++i) {
      const auto id = static_cast<std::size_t>(batch.ids[first * time + i]);
      call<detail::kernels::AddScaled>(C, T(1), cst(w.dx + i * C), dwte + id * C);
      call<detail::kernels::AddScaled>(C, T(1), cst(w.dx + i * C), dwpe + i % time * C);
    }
  }

  /// Through one layer's norm: dx += ..., and w.norm := what it gave in the forward pass.
  void norm_backward(detail::gpt::WorkerMemory<T>& w, const T* x, const T* stats, std::size_t M, std::size_t layer,
                     detail::gpt::InLayer which, Target to) const {
    const auto bias = static_cast<detail::gpt::InLayer>(which + 1);
    call<detail::kernels::LayerNormBackward>(M, width_, x, parameter(layer, which), parameter(layer, bias), stats,
                                             cst(w.dnorm), w.dx, gradient(to, layer, which), gradient(to, layer, bias),
                                             w.norm);
  }

  /// The slope at the end of a residual branch: dx, with the dropout of the branch.
  const T* branch(detail::gpt::WorkerMemory<T>& w, Site site, std::size_t layer, std::size_t first,
                  std::size_t n) const {
    if (!drops()) return w.dx;
    std::memcpy(w.dropped, w.dx, n * cut_.T * width_ * sizeof(T));
    drop(site, layer, first, n, w.dropped);
    return w.dropped;
  }

  // ---- lanes -----------------------------------------------------------------------------------------------------

  /// Lane 0 works straight on the parameters' gradients, the others on memory of their slot. The matrices of the
  /// layers and the head are stored before anything is added to them and need no zeros.
  void start_lane(std::size_t lane, std::size_t slot, std::span<Parameter<T>> gradients, bool adds) {
    const detail::gpt::Places places(config_);
    const auto stored = [&](std::size_t i) {
      if (i == (config_.tie_weights ? places.wte : places.head)) return true;
      if (i < places.layers || i >= places.ln_f) return false;
      const std::size_t in_layer = (i - places.layers) % 12;
      return in_layer == detail::gpt::c_attn || in_layer == detail::gpt::c_proj || in_layer == detail::gpt::c_fc ||
             in_layer == detail::gpt::mlp_proj;
    };
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      T* own = lane == 0 ? gradients[i].grad.data() : lane_gradients_[slot].data() + offsets_[i];
      slot_pointers_[slot * gradients.size() + i] = own;
      const bool summed = config_.n_feature == 0 || i != places.features;
      if (summed && !adds && !stored(i)) std::fill_n(own, gradients[i].grad.size(), T(0));
    }
  }

  /// Adds the gradients of lanes [begin, begin + lanes), but for lane 0, in their order.
  void reduce(ThreadPool& pool, std::span<Parameter<T>> gradients, std::size_t begin, std::size_t lanes) {
    const std::size_t first = begin == 0 ? 1 : 0;
    if (first >= lanes) return;
    pool.run(slices_.size(), [&](std::size_t i, std::size_t) {
      const Slice& s = slices_[i];
      for (std::size_t slot = first; slot < lanes; ++slot) {
        call<detail::kernels::AddScaled>(s.size, T(1), cst(lane_gradients_[slot].data() + offsets_[s.place] + s.begin),
                                         gradients[s.place].grad.data() + s.begin);
      }
    });
  }

  static constexpr std::size_t k_slice = std::size_t{1} << 14;  // numbers of a task over flat memory
  static constexpr std::size_t k_columns = 128, k_rows = 112;   // of a task's part of a product
  struct Slice {
    std::size_t place, begin, size;
  };

  GptWorkspaceOptions options_;
  GptConfig config_{};
  detail::gpt::Cut cut_{};
  std::size_t layers_ = 0, heads_ = 0, width_ = 0, vocab_ = 0, gradient_size_ = 0;
  Parameters parameters_;
  ThreadPool* pool_ = nullptr;
  const T *table_ = nullptr, *head_table_ = nullptr;
  std::vector<Weight> weights_;
  Weight head_;
  detail::AlignedBuffer<T> panel_block_, table_block_;  // the latter: wte + F A
  std::vector<detail::gpt::WorkerMemory<T>> memory_;
  std::vector<detail::AlignedBuffer<T>> lane_gradients_;
  std::vector<T*> slot_pointers_;
  std::vector<double> lane_nats_;
  std::vector<std::size_t> offsets_;
  std::vector<Slice> slices_;
  T grad_scale_ = T(0);
  std::uint64_t dropout_seed_ = 0;
};

}  // namespace v0
}  // namespace midigpt
