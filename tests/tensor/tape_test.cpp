#include <midigpt/tensor/tape.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

Tensor<double> filled(const Shape& shape, double value) {
  Tensor<double> x(shape);
  x.fill(value);
  return x;
}

/// A number and its slopes by every leaf, carried along in the direction of the program.
struct Dual {
  double value = 0;
  std::vector<double> slopes;
  std::vector<bool> from;  // the steps it was made by, itself among them
};

}  // namespace

TEST_CASE("tape: slopes of random programs are those carried forward, and only what leads to the loss is asked") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed, 1);
    const std::size_t leaves = 1 + rng.below(4), steps = leaves + rng.below(16);
    Tape<double> tape;
    std::vector<Var<double>> vars;
    std::vector<Dual> twin;
    std::vector<int> asked(steps, 0);
    for (std::size_t i = 0; i < steps; ++i) {
      twin.push_back({0, std::vector<double>(leaves), std::vector<bool>(steps)});
      Dual& d = twin[i];
      if (i < leaves) {
        d.value = rng.uniform() + 0.5;
        d.slopes[i] = 1;
        vars.push_back(tape.input(filled(Shape{}, d.value)));
        continue;
      }
      const std::size_t a = rng.below(static_cast<std::uint32_t>(i)), b = rng.below(static_cast<std::uint32_t>(i));
      const bool product = rng.chance(0.5);  // a b, or (a + b) / 2; a and b may be one
      d.value = product ? twin[a].value * twin[b].value : (twin[a].value + twin[b].value) / 2;
      for (std::size_t k = 0; k < leaves; ++k) {
        d.slopes[k] = product ? twin[a].slopes[k] * twin[b].value + twin[a].value * twin[b].slopes[k]
                              : (twin[a].slopes[k] + twin[b].slopes[k]) / 2;
      }
      for (std::size_t k = 0; k < i; ++k) d.from[k] = twin[a].from[k] || twin[b].from[k];
      d.from[i] = true;
      const Var<double> x = vars[a], y = vars[b];
      vars.push_back(tape.record(filled(Shape{}, d.value), [=, &asked](const Tensor<double>& dy) {
        ++asked[i];
        x.grad()[0] += dy[0] * (product ? y.value()[0] : 0.5);
        y.grad()[0] += dy[0] * (product ? x.value()[0] : 0.5);
      }));
    }
    CHECK(tape.size() == steps);
    const std::size_t loss = rng.below(static_cast<std::uint32_t>(steps));  // what is behind it does not count
    for (std::size_t i = loss + 1; i < steps; ++i) (void)vars[i].grad();
    tape.backward(vars[loss]);
    for (std::size_t i = 0; i < steps; ++i) CHECK(asked[i] == (twin[loss].from[i] ? 1 : 0));
    for (std::size_t k = 0; k < leaves; ++k)
      CHECK(vars[k].grad()[0] == doctest::Approx(twin[loss].slopes[k]).epsilon(1e-12));
  }
}

TEST_CASE("tape: a parameter's slope is added to what stands there, element by element, tape after tape") {
  Tensor<float> w(Shape{3}), grad(Shape{3});
  grad[1] = 10;
  for (int pass = 1; pass <= 3; ++pass) {
    w[0] = static_cast<float>(pass);
    Tape<float> tape;
    const Var<float> x = tape.parameter(w, grad);
    w[0] = -1;  // the tape has a copy
    CHECK(x.value()[0] == static_cast<float>(pass));
    const Var<float> loss = tape.record(Tensor<float>(Shape{1}), [x](const Tensor<float>& dy) {
      for (std::size_t i = 0; i < 3; ++i) x.grad()[i] += dy[0] * static_cast<float>(i + 1);
    });
    (void)tape.parameter(w, grad);  // no way leads from here to the loss
    tape.backward(loss);
    CHECK(grad[0] == static_cast<float>(pass));
    CHECK(grad[1] == 10 + 2 * static_cast<float>(pass));
    CHECK(grad[2] == 3 * static_cast<float>(pass));
  }
}

TEST_CASE("tape: values stay where they are while it grows, slopes begin as zeros of the same shape") {
  Tape<double> tape;
  const Var<double> first = tape.input(filled(Shape{2, 3}, 5));
  const Tensor<double>* value = &first.value();
  Tensor<double>* grad = &first.grad();
  for (int i = 0; i < 10000; ++i) (void)tape.input(filled(Shape{}, i));
  CHECK(value == &first.value());
  CHECK(grad == &first.grad());
  CHECK(first.value() == filled(Shape{2, 3}, 5));
  CHECK(first.grad() == filled(Shape{2, 3}, 0));
  CHECK(&first.tape() == &tape);
  CHECK(tape.size() == 10001);
  tape.clear();
  CHECK(tape.size() == 0);
  CHECK(tape.input(filled(Shape{4}, 1)).shape() == Shape{4});
}

TEST_CASE("tape: memory given out is aligned, apart and stays as it was filled; after clear() it is the same memory") {
  struct Piece {
    unsigned char* data;
    std::size_t size;
    unsigned char fill;
  };
  Tape<float> tape;
  std::vector<std::uintptr_t> places;
  for (int round = 0; round < 4; ++round) {
    CAPTURE(round);
    Rng rng(1, 2);
    std::vector<Piece> pieces;
    std::vector<std::uintptr_t> now;
    for (int i = 0; i < 400; ++i) {
      const std::size_t size = rng.chance(0.1) ? rng.below(200000) : rng.below(300);
      pieces.push_back({tape.take<unsigned char>(size), size, static_cast<unsigned char>(i)});
      std::fill_n(pieces.back().data, size, pieces.back().fill);
      now.push_back(reinterpret_cast<std::uintptr_t>(pieces.back().data));
    }
    std::size_t wrong = 0;
    for (const Piece& p : pieces) {
      wrong += reinterpret_cast<std::uintptr_t>(p.data) % 64 != 0 ? 1u : 0u;
      for (std::size_t k = 0; k < p.size; ++k) wrong += p.data[k] != p.fill ? 1u : 0u;
    }
    CHECK(wrong == 0);
    if (round > 0) CHECK((now == places));
    places = now;
    tape.clear();
  }
}

TEST_CASE("tape: clear() destroys what backward functions hold, each once, and so does the end of the tape") {
  const auto held = std::make_shared<int>(1);
  for (const bool cleared : {false, true}) {
    Tape<float> tape;
    for (int i = 0; i < 10; ++i) (void)tape.record(Tensor<float>(Shape{100}), [held](const Tensor<float>&) {});
    CHECK(held.use_count() == 11);
    if (!cleared) continue;
    tape.clear();
    CHECK(held.use_count() == 1);
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("tape: tensors in its memory move with their numbers, copies have their own") {
  Tape<double> tape;
  Tensor<double> x = tape.tensor(Shape{2, 3});
  CHECK(x == filled(Shape{2, 3}, 0));
  x.fill(4);
  const double* at = x.data();
  const Var<double> v = tape.input(std::move(x));
  CHECK(v.value().data() == at);
  const Tensor<double> own = v.value(), again = tape.copy(own);
  CHECK(own.data() != at);
  CHECK(own == filled(Shape{2, 3}, 4));
  CHECK(again == own);
  const std::vector<int> numbers{1, 2, 3};
  const std::span<int> kept = tape.keep(std::span(numbers));
  CHECK(std::vector<int>(kept.begin(), kept.end()) == numbers);
  tape.clear();
  (void)tape.tensor(Shape{100});
  CHECK(own == filled(Shape{2, 3}, 4));
}

TEST_CASE("tape: a loss is one number of any shape, a larger one is refused before anything is added") {
  Tape<double> tape;
  const Var<double> x = tape.input(filled(Shape{2, 3}, 1)), one = tape.input(filled(Shape{1, 1}, 7));
  CHECK_THROWS_WITH_AS(tape.backward(x), "backward: the loss is (2,3), expected one number", ShapeError);
  CHECK_THROWS_AS(tape.backward(tape.input(Tensor<double>())), ShapeError);
  CHECK(x.grad() == filled(Shape{2, 3}, 0));
  tape.backward(one);
  CHECK(one.grad() == filled(Shape{1, 1}, 1));
  CHECK(x.grad() == filled(Shape{2, 3}, 0));
}
