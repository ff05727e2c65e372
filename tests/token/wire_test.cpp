#include <midigpt/token/wire.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("wire: the bytes are those of protobuf's own examples") {
  WireWriter w;
  w.varint(1, 150);
  w.text(2, "testing");
  w.int32(3, -2);
  w.float32(4, 1.0f);
  const std::string want("\x08\x96\x01\x12\x07testing\x18\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x25\x00\x00\x80\x3F",
                         28);
  CHECK(as_chars(w.bytes()) == want);
}

TEST_CASE("wire: what was written is read back, field by field, and raw copies it") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed, 1);
    const auto number = [&] { return rng.below(1u << 29 >> rng.below(29)) + 1; };
    const std::uint32_t a = number(), b = number();
    const std::uint64_t value = (std::uint64_t{rng.below(0xFFFFFFFFu)} << 32 | rng.below(0xFFFFFFFFu)) >> rng.below(64);
    const std::string text(rng.below(300), 'x');
    WireWriter w;
    w.varint(a, value);
    w.text(b, text);
    const Bytes whole = w.bytes();
    WireReader in(whole);
    const auto first = in.next(), second = in.next();
    REQUIRE(first);
    REQUIRE(second);
    CHECK(in.done());
    CHECK(first->number == a);
    CHECK(first->value == value);
    CHECK(second->number == b);
    CHECK(second->text() == text);
    WireWriter copy;
    copy.raw(as_chars(first->raw));
    copy.raw(as_chars(second->raw));
    CHECK(copy.bytes() == whole);
  }
}

TEST_CASE("wire: a message cut anywhere inside a field is refused, with an offset inside what is left") {
  WireWriter w;
  w.varint(1, (std::numeric_limits<std::uint64_t>::max)());
  w.text(2, "abc");
  w.float32(3, 2.5f);
  const Bytes whole = w.bytes();
  const std::size_t ends[] = {0, 11, 16, whole.size()};
  for (std::size_t n = 0; n < whole.size(); ++n) {
    WireReader in(ByteSpan(whole).first(n), 1000);
    bool failed = false;
    while (!failed && !in.done()) {
      const auto field = in.next();
      failed = !field;
      if (failed) {
        CHECK(field.error().offset >= 1000);
        CHECK(field.error().offset <= 1000 + n);
      }
    }
    bool at_end = false;
    for (const std::size_t end : ends) at_end = at_end || n == end;
    CHECK(failed != at_end);
  }
}

TEST_CASE("wire: a group comes whole; one that ends unasked, never ends or nests too deeply is refused") {
  const auto read = [](std::string_view bytes) { return WireReader(as_byte_span(bytes)).next(); };
  const auto group = read("\x0B\x10\x05\x0C");  // group 1 { field 2 = 5 }
  REQUIRE(group);
  CHECK(group->type == WireType::group_begin);
  CHECK(as_chars(group->raw) == "\x0B\x10\x05\x0C");
  CHECK(read("\x0C").error().code == Errc::bad_value);
  CHECK(read("\x0B\x10\x05").error().code == Errc::truncated);
  CHECK(read(std::string(1000, '\x0B')).error().code == Errc::too_large);
  CHECK(read(std::string("\x00", 1)).error().code == Errc::bad_value);            // field number 0
  CHECK(read("\x0E").error().code == Errc::bad_value);                            // wire type 6
  CHECK(read("\x08" + std::string(11, '\xFF')).error().code == Errc::bad_value);  // a varint without end
}
