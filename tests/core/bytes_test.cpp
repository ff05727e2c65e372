#include <midigpt/core/bytes.hpp>

#include <cstdint>
#include <string_view>

#include <doctest/doctest.h>

using namespace midigpt;

TEST_CASE("bytes: what the writer wrote, the reader reads") {
  ByteWriter w;
  w.u8(0xAB);
  w.le(std::uint32_t{0x01020304});
  w.be(std::uint32_t{0x01020304});
  w.le(std::uint64_t{0xFFEEDDCCBBAA9988});
  w.be(std::uint16_t{0xBEEF});
  w.raw("end");
  CHECK(w.size() == 1 + 4 + 4 + 8 + 2 + 3);
  CHECK(w.bytes()[1] == std::byte{4});
  CHECK(w.bytes()[5] == std::byte{1});
  w.patch_be32(5, 0xCAFEBABE);

  ByteReader r(w.bytes());
  CHECK(*r.le<std::uint8_t>() == 0xAB);
  CHECK(*r.le<std::uint32_t>() == 0x01020304);
  CHECK(*r.be<std::uint32_t>() == 0xCAFEBABE);
  CHECK(*r.le<std::uint64_t>() == 0xFFEEDDCCBBAA9988);
  CHECK(*r.be<std::uint16_t>() == 0xBEEF);
  CHECK(as_chars(*r.take(3)) == "end");
  CHECK(r.done());
}

TEST_CASE("bytes: a read past the end is an Error at its offset and moves nothing") {
  const auto in = as_byte_span("abcde");
  ByteReader r(in, 100);
  REQUIRE(r.take(3));
  const auto bad = r.le<std::uint32_t>();
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == Errc::truncated);
  CHECK(bad.error().offset == 103);
  CHECK(r.left() == 2);
  for (const std::uint64_t n : {std::uint64_t{3}, std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    CHECK_FALSE(r.take(n));
  }
  CHECK(r.take(2));
}

TEST_CASE("bytes: the content hash sees every byte and its place") {
  CHECK(hash_bytes(as_byte_span("abc")) != hash_bytes(as_byte_span("acb")));
  CHECK(hash_bytes(as_byte_span("")) != hash_bytes(as_byte_span(std::string_view("\0", 1))));
  static_assert(hash_bytes({}) == hash_bytes({}));
}
