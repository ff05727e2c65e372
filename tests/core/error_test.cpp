#include <midigpt/core/error.hpp>

#include <memory>
#include <string>

#include <doctest/doctest.h>

using namespace midigpt;

namespace {
Result<int> half(int n) {
  if (n % 2 != 0) return Error{Errc::bad_value, 7, "odd number " + std::to_string(n)};
  return n / 2;
}
Result<void> even(int n) {
  if (n % 2 != 0) return Error{Errc::bad_value, 3, "odd"};
  return {};
}
}  // namespace

TEST_CASE("error: a Result is a value or an Error") {
  const auto good = half(8);
  REQUIRE(good);
  CHECK(*good == 4);
  CHECK(good.value() == 4);
  const auto bad = half(3);
  REQUIRE_FALSE(bad);
  CHECK(bad.error() == Error{Errc::bad_value, 7, "odd number 3"});
}

TEST_CASE("error: value() of an Error throws Failure that says where") {
  try {
    (void)half(5).value();
    FAIL("no exception");
  } catch (const Failure& f) {
    CHECK(std::string(f.what()) == "byte 7: odd number 5 (bad value)");
    CHECK(f.error().code == Errc::bad_value);
  }
  CHECK_THROWS_AS(even(1).value(), Failure);
  CHECK_NOTHROW(even(2).value());
}

TEST_CASE("error: an i/o error names no byte") {
  CHECK(describe(Error{Errc::io, 0, "cannot open x"}) == "cannot open x (i/o)");
}

TEST_CASE("error: move-only values travel through") {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(5);
  const auto p = std::move(r).value();
  CHECK(*p == 5);
}
