#include <midigpt/core/concat.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

using namespace midigpt;

TEST_CASE("concat: texts of every kind and whole numbers") {
  const std::string s = "string";
  const std::string_view v = std::string_view("view and more").substr(0, 4);
  CHECK(concat({s, " ", v, ", ", std::string("made here"), ": ", 7, "/", std::size_t{12}}) == "string view, made here: 7/12");
  CHECK(concat({}).empty());
  CHECK(concat({"", std::string(), std::string_view()}).empty());
  CHECK(concat({std::string_view("a\0b", 3)}).size() == 3);
}

TEST_CASE("concat: numbers to the ends of their ranges, as std::to_string writes them") {
  using Signed = std::numeric_limits<std::int64_t>;
  using Unsigned = std::numeric_limits<std::uint64_t>;
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{10}, std::int64_t{-99}, (Signed::min)(), (Signed::max)()}) {
    CHECK(concat({n}) == std::to_string(n));
  }
  CHECK(concat({(Unsigned::max)()}) == std::to_string((Unsigned::max)()));
  CHECK(concat({-5, std::uint8_t{200}, 4'000'000'000u}) == "-52004000000000");
}

TEST_CASE("concat: append leaves what is there") {
  std::string out = "tensor ";
  append(out, {"'", std::string("wte"), "' ", -1});
  CHECK(out == "tensor 'wte' -1");
}
