// nn/lstm.hpp - next-note models of version 1: 25 notes in, the 26th out.
//   NoteLstm is the author's net, number for number: raw seconds in, a pitch and two point predictions out.
//   FieldLstm (V1+) reads and predicts notes as fields of few values each, one after the other, so that a note has a
//   probability and bits per note can be compared with any other model's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/nn/gpt_config.hpp>
#include <midigpt/nn/module.hpp>
#include <midigpt/tensor/ops.hpp>
#include <midigpt/tensor/tape.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::lstm {

/// Uniform within sqrt(6 / (in + out)) (Glorot and Bengio 2010).
template <class T>
void fill_glorot(Tensor<T>& w, std::uint64_t seed, std::uint64_t stream) {
  const double limit = std::sqrt(6.0 / static_cast<double>(w.rows() + w.cols()));
  Rng rng(seed, stream);
  for (T& v : w.span()) v = static_cast<T>(limit * (2 * rng.uniform() - 1));
}

/// Rows of length 1, at right angles to each other: Gram and Schmidt on normal numbers. Requires: rows <= cols.
template <class T>
void fill_orthogonal(Tensor<T>& w, std::uint64_t seed, std::uint64_t stream) {
  Rng rng(seed, stream);
  const std::size_t rows = w.rows(), cols = w.cols();
  std::vector<double> x(rows * cols);
  for (double& v : x) v = rng.normal();
  const auto dot = [&](std::size_t a, std::size_t b) {
    double sum = 0;
    for (std::size_t c = 0; c < cols; ++c) sum += x[a * cols + c] * x[b * cols + c];
    return sum;
  };
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t before = 0; before < r; ++before) {
      const double along = dot(before, r);
      for (std::size_t c = 0; c < cols; ++c) x[r * cols + c] -= along * x[before * cols + c];
    }
    const double length = std::sqrt(dot(r, r));
    for (std::size_t c = 0; c < cols; ++c) x[r * cols + c] /= length;
  }
  for (std::size_t i = 0; i < x.size(); ++i) w[i] = static_cast<T>(x[i]);
}

/// Keras's initialisation by name: recurrent kernels orthogonal, kernels Glorot, biases 0 but the forget gate's, which
/// is 1.
template <class T>
void init(std::span<Parameter<T>> parameters, std::uint64_t seed) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter<T>& p = parameters[i];
    if (p.name.ends_with("recurrent_kernel")) {
      fill_orthogonal(p.value, seed, i);
    } else if (p.name.ends_with("bias")) {
      p.value.fill(T(0));
      if (p.name == "lstm.bias") std::fill_n(p.value.data() + p.value.size() / 4, p.value.size() / 4, T(1));
    } else {
      fill_glorot(p.value, seed, i);
    }
  }
}

/// Empties the tape and puts the parameters on it.
template <class T>
[[nodiscard]] std::span<const Var<T>> on_tape(Tape<T>& tape, std::span<Parameter<T>> parameters) {
  tape.clear();
  Var<T>* vars = tape.template take<Var<T>>(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i)
    std::construct_at(vars + i, tape.parameter(parameters[i].value, parameters[i].grad));
  return {vars, parameters.size()};
}

/// Sets every gradient to the slope of `total`.
template <class T>
void backward(Tape<T>& tape, Var<T> total, std::span<Parameter<T>> parameters) {
  for (Parameter<T>& p : parameters) p.grad.fill(T(0));
  tape.backward(total);
}

}  // namespace detail::lstm

/// A note as version 1 saw it; velocity was ignored.
struct LstmNote {
  float pitch = 60, step = 0, duration = 0;  // 0..127; seconds since the note before; seconds

  friend bool operator==(const LstmNote&, const LstmNote&) = default;
};

struct NoteLstmConfig {
  int window = 25, hidden = 128, dense_1 = 16, dense_2 = 12;
  float pitch_weight = 0.5f, step_weight = 0.9f, duration_weight = 0.8f;
  /// The author's program read its own pitches back as 0..127 where training had seen 0..1. True keeps that.
  bool v1_compat = false;
};

/// LSTM 128 -> dense 16 -> dense 12 (both linear) -> pitch (128), step, duration; 71,542 numbers under Keras's names
/// and shapes, gates in the order input, forget, candidate, output.
template <class T>
class NoteLstm {
 public:
  explicit NoteLstm(const NoteLstmConfig& config = {}) : config_(config) {
    const auto size = [](int n) { return static_cast<std::size_t>(n); };
    const std::size_t H = size(config.hidden), D1 = size(config.dense_1), D2 = size(config.dense_2);
    parameters_.push_back(make_parameter<T>("lstm.kernel", Shape{3, 4 * H}, true));
    parameters_.push_back(make_parameter<T>("lstm.recurrent_kernel", Shape{H, 4 * H}, true));
    parameters_.push_back(make_parameter<T>("lstm.bias", Shape{4 * H}, false));
    const auto dense = [&](const std::string& name, std::size_t in, std::size_t out) {
      parameters_.push_back(make_parameter<T>(name + ".kernel", Shape{in, out}, true));
      parameters_.push_back(make_parameter<T>(name + ".bias", Shape{out}, false));
    };
    dense("dense", H, D1);
    dense("dense_1", D1, D2);
    dense("pitch", D2, 128);
    dense("step", D2, 1);
    dense("duration", D2, 1);
  }

  [[nodiscard]] const NoteLstmConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::span<Parameter<T>> parameters() noexcept { return parameters_; }
  void init(std::uint64_t seed) { detail::lstm::init<T>(parameters_, seed); }

  struct Losses {
    double pitch = 0, step = 0, duration = 0;  // cross-entropy, mean squared, mean squared logarithmic
    double total = 0;                          // the weighted sum, whose slopes the parameters get
  };

  /// `notes`: windows of config().window + 1 notes each, the last one to be predicted. The tape is the memory: a step
  /// of the same size on the same tape allocates nothing.
  Losses loss_and_gradients(std::span<const LstmNote> notes, Tape<T>& tape) {
    const std::size_t length = static_cast<std::size_t>(config_.window) + 1, B = notes.size() / length;
    if (B == 0 || notes.size() != B * length)
      throw ShapeError(concat({"NoteLstm: ", notes.size(), " notes are no windows of ", length}));
    const std::span<const Var<T>> w = detail::lstm::on_tape<T>(tape, parameters_);
    Tensor<T> x = tape.tensor(Shape{B, length - 1, 3}), targets = tape.tensor(Shape{2, B});
    auto* pitches = tape.template take<std::int32_t>(B);
    const std::span<T> steps = targets.span().first(B), durations = targets.span().last(B);
    for (std::size_t b = 0; b < B; ++b) {
      const auto window = notes.subspan(b * length, length);
      for (std::size_t t = 0; t + 1 < length; ++t) {
        LstmNote n = window[t];
        n.pitch /= 128.0f;
        put(x, b * (length - 1) + t, n);
      }
      pitches[b] = static_cast<std::int32_t>(window.back().pitch);
      steps[b] = static_cast<T>(window.back().step);
      durations[b] = static_cast<T>(window.back().duration);
    }
    const Heads heads = forward(tape, w, std::move(x));
    const auto pitch = ops::cross_entropy(heads.pitch, std::span<const std::int32_t>(pitches, B));
    const auto step = ops::mean_squared_error(heads.step, std::span<const T>(steps));
    const auto duration = ops::mean_squared_log_error(heads.duration, std::span<const T>(durations));
    const auto total = ops::add(ops::add(ops::scale(pitch, static_cast<T>(config_.pitch_weight)),
                                         ops::scale(step, static_cast<T>(config_.step_weight))),
                                ops::scale(duration, static_cast<T>(config_.duration_weight)));
    detail::lstm::backward<T>(tape, total, parameters_);
    const auto number = [](Var<T> v) { return static_cast<double>(v.value()[0]); };
    return {number(pitch), number(step), number(duration), number(total)};
  }

  struct Prediction {
    std::vector<T> pitch_logits;  // 128
    double step = 0, duration = 0;
  };

  /// What follows the last config().window notes, pitches 0..127. Requires: as many.
  [[nodiscard]] Prediction predict(std::span<const LstmNote> window) {
    std::vector<LstmNote> inputs(window.begin(), window.end());
    for (LstmNote& n : inputs) n.pitch /= 128.0f;
    Tape<T> tape;
    return run(inputs, tape);
  }

  /// `count` further notes after the window: pitch drawn at `temperature`, step and duration as predicted, not below 0.
  [[nodiscard]] std::vector<LstmNote> generate(std::span<const LstmNote> window, std::size_t count, double temperature,
                                               std::uint64_t seed) {
    if (window.size() != static_cast<std::size_t>(config_.window))
      throw ShapeError(concat({"NoteLstm: a window has ", config_.window, " notes"}));
    std::vector<LstmNote> inputs(window.begin(), window.end()), made;
    for (LstmNote& n : inputs) n.pitch /= 128.0f;
    Rng rng(seed, 1);
    Tape<T> tape;
    while (made.size() < count) {
      const Prediction next = run(inputs, tape);
      double sum = 0;
      const T top = *std::max_element(next.pitch_logits.begin(), next.pitch_logits.end());
      std::vector<double> p;
      for (const T logit : next.pitch_logits)
        sum += p.emplace_back(std::exp(static_cast<double>(logit - top) / temperature));
      double left = rng.uniform() * sum;
      std::size_t pitch = 0;
      while (pitch + 1 < p.size() && left >= p[pitch]) left -= p[pitch++];
      made.push_back({static_cast<float>(pitch), static_cast<float>((std::max)(0.0, next.step)),
                      static_cast<float>((std::max)(0.0, next.duration))});
      inputs.erase(inputs.begin());
      inputs.push_back(made.back());
      if (!config_.v1_compat) inputs.back().pitch /= 128.0f;
    }
    return made;
  }

 private:
  struct Heads {
    Var<T> pitch, step, duration;
  };

  static void put(Tensor<T>& x, std::size_t row, const LstmNote& n) noexcept {
    x[3 * row] = static_cast<T>(n.pitch);
    x[3 * row + 1] = static_cast<T>(n.step);
    x[3 * row + 2] = static_cast<T>(n.duration);
  }

  /// x: (B,T,3).
  Heads forward(Tape<T>& tape, std::span<const Var<T>> w, Tensor<T> x) {
    const auto h = ops::lstm(tape.input(std::move(x)), w[0], w[1], w[2]);
    const auto body = ops::linear(ops::linear(h, w[3], w[4]), w[5], w[6]);
    return {ops::linear(body, w[7], w[8]), ops::linear(body, w[9], w[10]), ops::linear(body, w[11], w[12])};
  }

  Prediction run(std::span<const LstmNote> inputs, Tape<T>& tape) {
    const std::span<const Var<T>> w = detail::lstm::on_tape<T>(tape, parameters_);
    Tensor<T> x = tape.tensor(Shape{1, inputs.size(), 3});
    for (std::size_t t = 0; t < inputs.size(); ++t) put(x, t, inputs[t]);
    const Heads heads = forward(tape, w, std::move(x));
    const auto logits = heads.pitch.value().span();
    return {std::vector<T>(logits.begin(), logits.end()), static_cast<double>(heads.step.value()[0]),
            static_cast<double>(heads.duration.value()[0])};
  }

  NoteLstmConfig config_;
  std::vector<Parameter<T>> parameters_;
};

struct FieldLstmConfig {
  std::vector<int> field_sizes = {64, 128, 32,
                                  4};  // values of step, pitch, duration, velocity: the packed note's fields
  int window = 25, hidden = 128, embedding = 64;
};

/// V1+: a note is one value per field. Input: the sum of its values' vectors; output: a softmax per field, each seeing
/// the fields before it. The product of their probabilities is the note's.
template <class T>
class FieldLstm {
 public:
  explicit FieldLstm(FieldLstmConfig config = {}) : config_(std::move(config)) {
    const std::size_t E = static_cast<std::size_t>(config_.embedding), H = static_cast<std::size_t>(config_.hidden),
                      F = fields();
    for (std::size_t f = 0; f < F; ++f)
      parameters_.push_back(make_parameter<T>(concat({"embedding.", f}), Shape{size(f), E}, true));
    parameters_.push_back(make_parameter<T>("lstm.kernel", Shape{E, 4 * H}, true));
    parameters_.push_back(make_parameter<T>("lstm.recurrent_kernel", Shape{H, 4 * H}, true));
    parameters_.push_back(make_parameter<T>("lstm.bias", Shape{4 * H}, false));
    for (std::size_t f = 0; f < F; ++f) {
      parameters_.push_back(make_parameter<T>(concat({"head.", f, ".kernel"}), Shape{H, size(f)}, true));
      parameters_.push_back(make_parameter<T>(concat({"head.", f, ".bias"}), Shape{size(f)}, false));
      for (std::size_t g = 0; g < f; ++g) {
        parameters_.push_back(make_parameter<T>(concat({"head.", f, ".given.", g}),
                                                Shape{size(g), size(f)}, true));
      }
    }
  }

  [[nodiscard]] const FieldLstmConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::size_t fields() const noexcept { return config_.field_sizes.size(); }
  [[nodiscard]] std::span<Parameter<T>> parameters() noexcept { return parameters_; }
  void init(std::uint64_t seed) { detail::lstm::init<T>(parameters_, seed); }

  /// `notes`: windows of config().window + 1 notes, fields() values each. The loss counts notes; gradients are of its
  /// mean. The tape is the memory: a step of the same size on the same tape allocates nothing.
  Loss loss_and_gradients(std::span<const std::int32_t> notes, Tape<T>& tape) { return pass(notes, tape, true); }
  [[nodiscard]] Loss loss(std::span<const std::int32_t> notes, Tape<T>& tape) { return pass(notes, tape, false); }

  /// One further note after config().window notes, each field drawn at `temperature`.
  [[nodiscard]] std::vector<std::int32_t> next(std::span<const std::int32_t> window, double temperature, Rng& rng,
                                               Tape<T>& tape) {
    const std::span<const Var<T>> w = detail::lstm::on_tape<T>(tape, parameters_);
    const auto h = body(tape, w, window, 1, window.size() / fields());
    std::vector<std::int32_t> note;
    std::vector<double> p;
    for (std::size_t f = 0; f < fields(); ++f) {
      const auto drawn = [&](std::size_t g) { return std::span<const std::int32_t>(note).subspan(g, 1); };
      const auto logits = head(w, h, f, drawn);
      const auto x = logits.value().span();
      const T top = *std::max_element(x.begin(), x.end());
      double sum = 0;
      p.clear();
      for (const T logit : x) sum += p.emplace_back(std::exp(static_cast<double>(logit - top) / temperature));
      double left = rng.uniform() * sum;
      std::size_t value = 0;
      while (value + 1 < p.size() && left >= p[value]) left -= p[value++];
      note.push_back(static_cast<std::int32_t>(value));
    }
    return note;
  }

 private:
  [[nodiscard]] std::size_t size(std::size_t f) const noexcept {
    return static_cast<std::size_t>(config_.field_sizes[f]);
  }

  /// The hidden state after B windows of `length` notes; behind each may stand more, which does not count.
  Var<T> body(Tape<T>& tape, std::span<const Var<T>> w, std::span<const std::int32_t> notes, std::size_t B,
              std::size_t length) {
    const std::size_t F = fields(), stride = notes.size() / B, E = static_cast<std::size_t>(config_.embedding);
    const std::span<std::int32_t> ids(tape.template take<std::int32_t>(B * length), B * length);
    const auto field = [&](std::size_t f) {
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = notes[i / length * stride + i % length * F + f];
      return ops::embedding(w[f], std::span<const std::int32_t>(ids));
    };
    Var<T> x = field(0);
    for (std::size_t f = 1; f < F; ++f) x = ops::add(x, field(f));
    Tensor<T> shaped = tape.tensor(Shape{B, length, E});
    std::copy_n(x.value().data(), shaped.size(), shaped.data());
    const auto cube = tape.record(std::move(shaped), [x](const Tensor<T>& dy) { detail::ops::add_to(x.grad(), dy); });
    return ops::lstm(cube, w[F], w[F + 1], w[F + 2]);
  }

  /// Logits of field f; given(g) are the values of an earlier field.
  template <class Given>
  Var<T> head(std::span<const Var<T>> w, Var<T> h, std::size_t f, Given given) {
    const std::size_t at = fields() + 3 + 2 * f + (f == 0 ? 0 : f * (f - 1) / 2);
    Var<T> logits = ops::linear(h, w[at], w[at + 1]);
    for (std::size_t g = 0; g < f; ++g) logits = ops::add(logits, ops::embedding(w[at + 2 + g], given(g)));
    return logits;
  }

  Loss pass(std::span<const std::int32_t> notes, Tape<T>& tape, bool gradients) {
    const std::size_t F = fields(), length = static_cast<std::size_t>(config_.window) + 1,
                      B = notes.size() / (length * F);
    if (B == 0 || notes.size() != B * length * F)
      throw ShapeError(concat({"FieldLstm: ", notes.size(), " values are no windows of ", length, " notes"}));
    const std::span<const Var<T>> w = detail::lstm::on_tape<T>(tape, parameters_);
    auto* targets = tape.template take<std::int32_t>(F * B);  // by field
    for (std::size_t i = 0; i < F * B; ++i) targets[i] = notes[(i % B + 1) * length * F - F + i / B];
    const auto target = [&](std::size_t f) { return std::span<const std::int32_t>(targets + f * B, B); };
    const auto h = body(tape, w, notes, B, length - 1);
    const auto nats = [&](std::size_t f) { return ops::cross_entropy(head(w, h, f, target), target(f)); };
    Var<T> total = nats(0);
    for (std::size_t f = 1; f < F; ++f) total = ops::add(total, nats(f));
    if (gradients) detail::lstm::backward<T>(tape, total, parameters_);
    return {static_cast<double>(total.value()[0]) * static_cast<double>(B), B};
  }

  FieldLstmConfig config_;
  std::vector<Parameter<T>> parameters_;
};

}  // namespace v0
}  // namespace midigpt
