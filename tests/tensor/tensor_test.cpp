#include <midigpt/tensor/tensor.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>

using namespace midigpt;

TEST_CASE("tensor: storage is zero, row-major and 64-byte aligned at any size") {
  for (std::size_t n = 1; n < 70; ++n) {
    const Tensor<float> x(Shape{n, 3});
    CHECK(reinterpret_cast<std::uintptr_t>(x.data()) % 64 == 0);
    CHECK(x.size() == 3 * n);
    CHECK(x[3 * n - 1] == 0.0f);
  }
  Tensor<double> y(Shape{2, 3, 4});
  y[1 * 12 + 2 * 4 + 3] = 5;
  CHECK(y.rows() == 6);
  CHECK(y.cols() == 4);
  CHECK(y.map()(5, 3) == 5);
}

TEST_CASE("tensor: copies copy the numbers, moves leave nothing behind") {
  Tensor<float> a(Shape{2, 2});
  a.fill(1);
  Tensor<float> b = a;
  b[0] = 7;
  CHECK(a[0] == 1);
  CHECK(!(a == b));
  const Tensor<float> c = std::move(b);
  CHECK(c[0] == 7);
  CHECK(b.size() == 0);  // NOLINT: a moved-from tensor is empty
  b = c;
  CHECK(b == c);
}

TEST_CASE("tensor: lent memory is used as it stands, moves along and is not freed; copies have their own") {
  alignas(64) float numbers[16] = {1, 2, 3, 4, 5, 6};
  Tensor<float> owner(Shape{6});
  {
    Tensor<float> a(Shape{2, 3}, numbers);
    CHECK(a.data() == numbers);
    CHECK(a[5] == 6);
    a[0] = 9;
    const Tensor<float> copy = a;
    Tensor<float> moved = std::move(a);
    CHECK(moved.data() == numbers);
    CHECK(copy == moved);
    moved[1] = 8;
    CHECK(copy[1] == 2);
    std::swap(owner, moved);  // the owner's numbers are freed here, the lent ones are not
  }
  CHECK(owner.data() == numbers);
  CHECK(numbers[0] == 9);
  CHECK(numbers[1] == 8);
}

TEST_CASE("tensor: a scalar has one number, an empty tensor none, five dimensions are refused") {
  CHECK(Tensor<float>(Shape{}).size() == 1);
  CHECK(Tensor<float>().size() == 0);
  CHECK(Tensor<float>(Shape{3, 0}).size() == 0);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1}), ShapeError);
  CHECK(to_string(Shape{8, 32, 48}) == "(8,32,48)");
}
