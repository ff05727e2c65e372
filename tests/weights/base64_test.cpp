#include <midigpt/weights/base64.hpp>

#include <doctest/doctest.h>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("base64: the vectors of RFC 4648, both ways") {
  struct Row {
    const char *plain, *coded;
  };
  for (const auto& row : {Row{"", ""}, Row{"f", "Zg=="}, Row{"fo", "Zm8="}, Row{"foo", "Zm9v"}, Row{"foob", "Zm9vYg=="},
                          Row{"fooba", "Zm9vYmE="}, Row{"foobar", "Zm9vYmFy"}}) {
    CAPTURE(row.plain);
    CHECK(base64_encode(as_byte_span(row.plain)) == row.coded);
    auto back = base64_decode(row.coded);
    REQUIRE(back);
    CHECK(as_chars(*back) == row.plain);
  }
}

TEST_CASE("base64: random bytes survive, other spellings are refused") {
  Rng rng(3);
  for (std::size_t n = 0; n < 200; ++n) {
    Bytes bytes(n);
    for (auto& b : bytes) b = static_cast<std::byte>(rng.next());
    CHECK(base64_decode(base64_encode(bytes)).value() == bytes);
  }
  for (const char* bad : {"Z", "Zg=", "Zg", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zm 9", "Zm9\n", "Zm9*"}) {
    CAPTURE(bad);
    CHECK(!base64_decode(bad));
  }
}
