#include <midigpt/nn/lstm.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "slopes.hpp"

using namespace midigpt;

namespace {

std::vector<LstmNote> random_notes(std::size_t n) {
  std::vector<LstmNote> notes(n);
  Rng rng(1);
  for (auto& note : notes)
    note = {static_cast<float>(rng.between(40, 80)), static_cast<float>(rng.uniform()),
            static_cast<float>(rng.uniform() * 2)};
  return notes;
}

}  // namespace

TEST_CASE("lstm: the author's net has 71,542 numbers under Keras's shapes") {
  NoteLstm<float> model;
  std::size_t count = 0;
  for (const auto& p : model.parameters()) count += p.value.size();
  CHECK(count == 71542);
}

TEST_CASE("lstm: every gradient of both models agrees with finite differences") {
  std::string where;
  NoteLstm<double> model({.window = 7, .hidden = 9, .dense_1 = 5, .dense_2 = 4});
  model.init(1);
  for (auto& p : model.parameters()) {
    Rng rng(3, 5);
    for (double& v : p.value.span()) v += 0.1 * rng.normal();
  }
  model.parameters()[12].value.fill(1.5);  // durations stay above 0: the logarithmic loss has a corner there
  const auto notes = random_notes(8 * 5);
  Tape<double> tape;
  const auto total = [&] { return model.loss_and_gradients(notes, tape).total; };
  CHECK(worst_slope(model, total, total, where) <= 1e-5);
  CAPTURE(where);

  FieldLstm<double> fields({.field_sizes = {5, 7, 3, 2}, .window = 6, .hidden = 8, .embedding = 6});
  fields.init(2);
  std::vector<std::int32_t> values;
  Rng rng(4);
  for (std::size_t i = 0; i < 7 * 4; ++i) {
    for (const int size : fields.config().field_sizes) values.push_back(rng.between(0, size - 1));
  }
  const auto gradients = [&] { return fields.loss_and_gradients(values, tape).mean(); };
  CHECK(worst_slope(fields, gradients, [&] { return fields.loss(values, tape).mean(); }, where) <= 1e-5);
  const double nats = fields.loss_and_gradients(values, tape).nats;
  const auto slopes = fields.parameters()[0].grad;
  CHECK(fields.loss(values, tape).nats == nats);
  (void)fields.next(std::span(values).first(6 * 4), 1.0, rng, tape);
  CHECK((fields.parameters()[0].grad == slopes));  // neither touches the gradients
}

TEST_CASE("lstm: an orthogonal start has rows of length 1 at right angles") {
  NoteLstm<double> model({.hidden = 12});
  model.init(9);
  const auto u = model.parameters()[1].value.map();
  CHECK((u * u.transpose() - Tensor<double>::Matrix::Identity(12, 12)).norm() <= 1e-12);
  const auto& bias = model.parameters()[2].value;
  CHECK(bias[0] == 0);
  CHECK(bias[12] == 1);
  CHECK(bias[24] == 0);
}

TEST_CASE("lstm: V1+ learns that a value follows from the one before") {
  FieldLstm<float> model({.field_sizes = {2, 10}, .window = 4, .hidden = 16, .embedding = 8});
  model.init(1);
  const auto windows = [](std::uint64_t seed) {
    std::vector<std::int32_t> notes;
    Rng rng(seed);
    for (int w = 0; w < 32; ++w) {
      int value = rng.between(0, 9);
      for (int i = 0; i < 5; ++i, value = (value + 3) % 10) notes.insert(notes.end(), {i % 2, value});
    }
    return notes;
  };
  std::vector<std::vector<float>> m, v;
  for (const auto& p : model.parameters()) m.emplace_back(p.value.size());
  v = m;
  Tape<float> tape;
  for (int step = 1; step <= 150; ++step) {
    (void)model.loss_and_gradients(windows(static_cast<std::uint64_t>(step)), tape);
    for (std::size_t i = 0; i < m.size(); ++i) {
      auto& p = model.parameters()[i];
      adamw_update<float>(p.value.span(), p.grad.span(), m[i], v[i],
                          {.lr = 0.02f,
                           .bias_correction1 = static_cast<float>(1 - std::pow(0.9, step)),
                           .bias_correction2 = static_cast<float>(1 - std::pow(0.999, step))});
    }
  }
  CHECK(model.loss(windows(1000), tape).mean() <= 0.1);  // uniform: ln 20 = 3.0
  Rng rng(1);
  const std::vector<std::int32_t> next = model.next(std::vector<std::int32_t>{0, 1, 1, 4, 0, 7, 1, 0}, 0.1, rng, tape);
  CHECK((next == std::vector<std::int32_t>{0, 3}));
}

TEST_CASE("lstm: compat feeds raw pitches back, the default does not; steps and durations are never negative") {
  NoteLstm<float> plain, compat({.v1_compat = true});
  plain.init(3);
  compat.init(3);
  const auto window = random_notes(25);
  const auto a = plain.generate(window, 20, 2.0, 1), b = compat.generate(window, 20, 2.0, 1),
             again = plain.generate(window, 20, 2.0, 1);
  CHECK(a == again);
  CHECK(a[0] == b[0]);
  CHECK(!(a == b));
  for (const auto& n : a) CHECK((n.step >= 0 && n.duration >= 0 && n.pitch >= 0 && n.pitch < 128));
  Tape<float> tape;
  CHECK_THROWS_AS((void)plain.loss_and_gradients(random_notes(27), tape), ShapeError);
}
