// nn/gpt.hpp - GPT-2: training passes, evaluation, and one token at a time with a cache.
//   Pre-norm blocks, tanh GELU, biases, learned positions, tied or untied head; names, shapes and order of the
//   parameters are those of Hugging Face's GPT-2 ((in,out) matrices). With token features the table is wte + F A;
//   folded() makes a plain GPT-2 of it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/nn/gpt_config.hpp>
#include <midigpt/nn/gpt_pass.hpp>
#include <midigpt/nn/module.hpp>

namespace midigpt {
inline namespace v0 {

/// Keys and values of the tokens seen so far, and the scratch of Gpt::step().
template <class T>
class KvCache {
 public:
  explicit KvCache(const GptConfig& c, Isa isa = best_isa())
      : isa_(isa),
        width_(static_cast<std::size_t>(c.n_embd)),
        capacity_(static_cast<std::size_t>(c.block_size)),
        layers_(static_cast<std::size_t>(c.n_layer)),
        rows_(Shape{layers_ * 2, capacity_, width_}),
        scratch_(Shape{11 * width_ + capacity_ + static_cast<std::size_t>(c.n_feature)}) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity_; }
  void clear() noexcept { size_ = 0; }
  /// Forgets the tokens from n on. Requires: n <= size().
  void truncate(std::size_t n) noexcept { size_ = n; }

 private:
  friend class Gpt<T>;

  /// (capacity, width) of one layer: which = 0 the keys, 1 the values.
  T* at(std::size_t layer, std::size_t which) noexcept {
    return rows_.data() + (2 * layer + which) * capacity_ * width_;
  }

  Isa isa_;
  std::size_t width_, capacity_, layers_, size_ = 0;
  Tensor<T> rows_, scratch_;
};

/// A GPT-2. T is float, or double for gradient checks. const calls may run at the same time, each with a workspace or
/// cache of its own.
template <class T>
class Gpt {
 public:
  /// All parameters zero: call init() or fill parameters(). Throws ShapeError on a shape that makes no sense.
  [[gnu::cold]] explicit Gpt(const GptConfig& config, SparseFeatures features = {})
      : config_(config), features_(std::move(features)) {
    config_.n_feature = features_.n_features;
    check_config();
    if (config_.n_feature > 0) by_feature_ = transposed(features_);
    const std::size_t C = static_cast<std::size_t>(config.n_embd), V = static_cast<std::size_t>(config.vocab_size);
    parameters_.push_back(make_parameter<T>("wte.weight", Shape{V, C}, true));
    if (config_.n_feature > 0) {
      parameters_.push_back(
          make_parameter<T>("wte.features", Shape{static_cast<std::size_t>(config_.n_feature), C}, true));
    }
    parameters_.push_back(make_parameter<T>("wpe.weight", Shape{static_cast<std::size_t>(config.block_size), C}, true));
    for (int l = 0; l < config.n_layer; ++l) {
      const std::string h = concat({"h.", l, "."});
      add_norm(h + "ln_1", C);
      add_linear(h + "attn.c_attn", C, 3 * C);
      add_linear(h + "attn.c_proj", C, C);
      add_norm(h + "ln_2", C);
      add_linear(h + "mlp.c_fc", C, 4 * C);
      add_linear(h + "mlp.c_proj", 4 * C, C);
    }
    add_norm("ln_f", C);
    if (!config.tie_weights) parameters_.push_back(make_parameter<T>("lm_head.weight", Shape{V, C}, true));
  }

  [[nodiscard]] const GptConfig& config() const noexcept { return config_; }
  [[nodiscard]] const SparseFeatures& features() const noexcept { return features_; }
  [[nodiscard]] std::span<Parameter<T>> parameters() noexcept { return parameters_; }
  [[nodiscard]] std::span<const Parameter<T>> parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t parameter_count() const noexcept {
    std::size_t n = 0;
    for (const Parameter<T>& p : parameters_) n += p.value.size();
    return n;
  }

  /// GPT-2's initialisation: normal, deviation 0.02, residual projections 0.02 / sqrt(2 n_layer); biases 0, norms 1.
  void init(std::uint64_t seed) noexcept {
    const double residual = 0.02 / std::sqrt(2.0 * config_.n_layer);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      Parameter<T>& p = parameters_[i];
      if (p.decay) {
        fill_normal(p.value, p.name.ends_with("c_proj.weight") ? residual : 0.02, seed, i);
      } else {
        p.value.fill(p.name.ends_with("weight") ? T(1) : T(0));
      }
    }
  }

  /// Forward and backward: fills every parameter's grad with the slope of nats / denominator.
  /// Throws ShapeError when the batch does not fit: T over block_size, an id outside [0, V), sizes that are not B T.
  template <class Product>
  Loss loss_and_gradients(const TokenBatch& batch, GptWorkspace<T, Product>& workspace, ThreadPool& pool,
                          const GradientOptions& how = {}) {
    check_batch(batch, true);
    const Loss loss = workspace.run(config_, parameters_, table(workspace, pool), batch, pool, parameters_, how);
    if (config_.n_feature > 0) feature_gradient(pool, workspace.isa());
    return loss;
  }

  /// The loss without dropout or gradients.
  template <class Product>
  [[nodiscard]] Loss loss(const TokenBatch& batch, GptWorkspace<T, Product>& workspace, ThreadPool& pool) const {
    check_batch(batch, true);
    return workspace.run(config_, parameters_, table(workspace, pool), batch, pool, {}, {});
  }

  /// Logits of every position: out is (B,T,V).
  template <class Product>
  void logits(std::span<const std::int32_t> ids, std::size_t B, std::size_t time, std::span<T> out,
              GptWorkspace<T, Product>& workspace, ThreadPool& pool) const {
    const TokenBatch batch{.ids = ids, .targets = {}, .B = B, .T = time};
    check_batch(batch, false);
    if (out.size() != ids.size() * static_cast<std::size_t>(config_.vocab_size))
      throw ShapeError("logits: out is not (B,T,V)");
    workspace.run_logits(config_, parameters_, table(workspace, pool), batch, pool, out);
  }

  /// The logits (V) that follow one more token. No tape, no allocation. Requires: 0 <= id < V, !cache.full(), a cache
  /// made for this config.
  void step(std::int32_t id, KvCache<T>& cache, std::span<T> logits) const noexcept {
    const std::size_t C = cache.width_, heads = static_cast<std::size_t>(config_.n_head), hs = C / heads,
                      at = cache.size_;
    const Isa isa = cache.isa_;
    const T scale = T(1) / std::sqrt(static_cast<T>(hs));
    T *x = cache.scratch_.data(), *norm = x + C, *qkv = norm + C, *y = qkv + 3 * C, *fc = y + C, *weights = fc + 4 * C;
    T *extra = weights + cache.capacity_, *branch = norm;
    const detail::gpt::Places places(config_);
    token_row(id, places, x, isa);
    call<detail::kernels::AddScaled>(isa, C, T(1), value(places.wpe) + at * C, x);
    for (std::size_t l = 0; l < cache.layers_; ++l) {
      const auto p = [&](detail::gpt::InLayer which) { return value(places.layers + 12 * l + which); };
      using namespace detail::gpt;
      normalise(isa, x, p(ln_1), p(ln_1_bias), norm);
      call<detail::kernels::VectorMatrix>(isa, C, 3 * C, cst(norm), p(c_attn), p(c_attn_bias), qkv);
      std::copy_n(qkv + C, C, cache.at(l, 0) + at * C);
      std::copy_n(qkv + 2 * C, C, cache.at(l, 1) + at * C);
      for (std::size_t h = 0; h < heads; ++h) {
        call<detail::kernels::AttendOne>(isa, at + 1, hs, C, scale, cst(qkv + h * hs), cst(cache.at(l, 0) + h * hs),
                                         cst(cache.at(l, 1) + h * hs), weights, y + h * hs);
      }
      call<detail::kernels::VectorMatrix>(isa, C, C, cst(y), p(c_proj), p(c_proj_bias), branch);
      call<detail::kernels::AddScaled>(isa, C, T(1), cst(branch), x);
      normalise(isa, x, p(ln_2), p(ln_2_bias), norm);
      call<detail::kernels::VectorMatrix>(isa, C, 4 * C, cst(norm), p(c_fc), p(c_fc_bias), fc);
      call<detail::kernels::GeluForward>(isa, 4 * C, cst(fc), fc);
      call<detail::kernels::VectorMatrix>(isa, 4 * C, C, cst(fc), p(mlp_proj), p(mlp_proj_bias), branch);
      call<detail::kernels::AddScaled>(isa, C, T(1), cst(branch), x);
    }
    normalise(isa, x, value(places.ln_f), value(places.ln_f + 1), norm);
    const std::size_t V = static_cast<std::size_t>(config_.vocab_size);
    call<detail::kernels::MatrixVector>(isa, V, C, value(config_.tie_weights ? places.wte : places.head), cst(norm),
                                        logits.data());
    if (config_.n_feature > 0 && config_.tie_weights) {  // (wte + F A) h = wte h + F (A h)
      call<detail::kernels::MatrixVector>(isa, static_cast<std::size_t>(config_.n_feature), C, value(places.features),
                                          cst(norm), extra);
      for (std::size_t v = 0; v < V; ++v) {
        for (std::size_t i = feature_begin(v); i < feature_begin(v + 1); ++i) {
          logits[v] += static_cast<T>(features_.value[i]) * extra[features_.column[i]];
        }
      }
    }
    ++cache.size_;
  }

  /// The same function as a plain GPT-2: wte := wte + F A, no features.
  [[nodiscard]] Gpt folded() const {
    GptConfig config = config_;
    config.n_feature = 0;
    Gpt plain(config);
    const detail::gpt::Places from(config_), to(config);
    for (std::size_t i = 0; i < to.count; ++i)
      plain.parameters_[i].value = parameters_[i < to.wpe ? i : i - to.wpe + from.wpe].value;
    T* wte = plain.parameters_[to.wte].value.data();
    for (std::int32_t v = 0; v < config_.vocab_size; ++v)
      token_row(v, from, wte + static_cast<std::size_t>(v * config_.n_embd), best_isa());
    return plain;
  }

 private:
  [[gnu::cold]] void add_norm(const std::string& name, std::size_t C) {
    parameters_.push_back(make_parameter<T>(name + ".weight", Shape{C}, false));
    parameters_.push_back(make_parameter<T>(name + ".bias", Shape{C}, false));
  }
  [[gnu::cold]] void add_linear(const std::string& name, std::size_t in, std::size_t out) {
    parameters_.push_back(make_parameter<T>(name + ".weight", Shape{in, out}, true));
    parameters_.push_back(make_parameter<T>(name + ".bias", Shape{out}, false));
  }

  [[gnu::cold]] void check_config() const {
    const GptConfig& c = config_;
    const auto need = [](bool ok, const std::string& what) {
      if (!ok) throw ShapeError("GptConfig: " + what);
    };
    need(c.n_layer > 0 && c.n_layer < 1024, concat({"n_layer is ", c.n_layer, ", expected 1..1023"}));
    need(c.n_head > 0 && c.n_head < 4096 && c.n_embd > 0 && c.n_embd % c.n_head == 0,
         concat({"n_embd ", c.n_embd, " is no multiple of n_head ", c.n_head}));
    need(c.vocab_size > 0, concat({"vocab_size is ", c.vocab_size}));
    need(c.block_size > 0, concat({"block_size is ", c.block_size}));
    need(c.dropout >= 0.0f && c.dropout < 1.0f,
         concat({"dropout is ", std::to_string(c.dropout), ", expected 0 <= dropout < 1"}));
    if (c.n_feature == 0) return;
    const SparseFeatures& f = features_;
    need(c.n_feature > 0 && f.row_begin.size() == static_cast<std::size_t>(c.vocab_size) + 1 &&
             f.row_begin.front() == 0 && static_cast<std::size_t>(f.row_begin.back()) == f.column.size() &&
             f.column.size() == f.value.size(),
         "features: row_begin needs vocab_size + 1 places that end at the number of entries");
    for (std::size_t v = 0; v + 1 < f.row_begin.size(); ++v)
      need(f.row_begin[v] <= f.row_begin[v + 1], "features: row_begin falls");
    for (const std::int32_t k : f.column)
      need(k >= 0 && k < c.n_feature, concat({"features: column ", k, " outside K"}));
  }

  void check_batch(const TokenBatch& b, bool with_targets) const {
    if (b.B == 0 || b.T == 0 || b.T > static_cast<std::size_t>(config_.block_size) || b.ids.size() != b.B * b.T ||
        (with_targets && b.targets.size() != b.ids.size())) {
      throw ShapeError(concat({"batch (", b.B, ",", b.T, ") with ", b.ids.size(), " ids and ", b.targets.size(), " targets, block_size ",
          config_.block_size}));
    }
    for (const std::int32_t id : b.ids) check_id(id, 0);
    for (const std::int32_t id : b.targets) check_id(id, -1);
  }
  void check_id(std::int32_t id, std::int32_t least) const {
    if (id < least || id >= config_.vocab_size)
      throw ShapeError(concat({"token id ", id, " outside the vocabulary of ", config_.vocab_size}));
  }

  [[nodiscard]] std::size_t feature_begin(std::size_t v) const noexcept {
    return static_cast<std::size_t>(features_.row_begin[v]);
  }
  [[nodiscard]] const T* value(std::size_t place) const noexcept { return parameters_[place].value.data(); }
  static const T* cst(const T* p) noexcept { return p; }
  template <class Kernel, class... Args>
  static void call(Isa isa, Args... args) noexcept {
    detail::simd_call<Kernel, T>(isa, args...);
  }
  void normalise(Isa isa, const T* x, const T* weight, const T* bias, T* out) const noexcept {
    call<detail::kernels::LayerNormForward>(isa, std::size_t{1}, static_cast<std::size_t>(config_.n_embd), x, weight,
                                            bias, out, static_cast<T*>(nullptr));
  }

  /// out := wte[id] + (F A)[id].
  void token_row(std::int32_t id, const detail::gpt::Places& places, T* out, Isa isa) const noexcept {
    const std::size_t C = static_cast<std::size_t>(config_.n_embd), v = static_cast<std::size_t>(id);
    std::copy_n(value(places.wte) + v * C, C, out);
    if (config_.n_feature > 0) add_row_of(features_, v, value(places.features), out, isa);
  }

  /// out += row r of `sparse` times x, a matrix of C columns.
  void add_row_of(const SparseFeatures& sparse, std::size_t r, const T* x, T* out, Isa isa) const noexcept {
    const auto begin = static_cast<std::size_t>(sparse.row_begin[r]);
    const auto n = static_cast<std::size_t>(sparse.row_begin[r + 1]) - begin;
    call<detail::kernels::AddRows>(isa, static_cast<std::size_t>(config_.n_embd), n,
                                   sparse.column.data() + begin, sparse.value.data() + begin, x, out);
  }

  /// The token table of the passes: wte itself, or wte + F A in the workspace.
  template <class Product>
  const T* table(GptWorkspace<T, Product>& workspace, ThreadPool& pool) const {
    const detail::gpt::Places places(config_);
    if (config_.n_feature == 0) return value(places.wte);
    const std::size_t C = static_cast<std::size_t>(config_.n_embd), V = static_cast<std::size_t>(config_.vocab_size);
    workspace.table_block_.reserve(V * C);
    T* out = workspace.table_block_.data();
    constexpr std::size_t k_rows = 256;
    pool.run((V + k_rows - 1) / k_rows, [&](std::size_t i, std::size_t) {
      for (std::size_t v = i * k_rows; v < (std::min)(V, (i + 1) * k_rows); ++v) {
        token_row(static_cast<std::int32_t>(v), places, out + v * C, workspace.isa());
      }
    });
    return out;
  }

  /// dA = F^T dTable; the table's gradient is wte's.
  void feature_gradient(ThreadPool& pool, Isa isa) {
    const detail::gpt::Places places(config_);
    const std::size_t C = static_cast<std::size_t>(config_.n_embd);
    const T* dtable = parameters_[places.wte].grad.data();
    T* da = parameters_[places.features].grad.data();
    pool.run(static_cast<std::size_t>(config_.n_feature), [&](std::size_t k, std::size_t) {
      std::fill_n(da + k * C, C, T(0));
      add_row_of(by_feature_, k, dtable, da + k * C, isa);
    });
  }

  GptConfig config_;
  SparseFeatures features_, by_feature_;  // F and its transpose
  std::vector<Parameter<T>> parameters_;
};

}  // namespace v0
}  // namespace midigpt
