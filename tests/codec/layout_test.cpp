#include <doctest/doctest.h>

#include <midigpt/codec/layout.hpp>

#include <array>
#include <cmath>
#include <vector>

#include <midigpt/core/utf8.hpp>

using namespace midigpt;

namespace {

static_assert(!Layout{.velocity_bits = 3}.valid(), "21 bits");
static_assert(!Layout{.step_bits = 5}.valid(), "would begin at U+20000");
static_assert(!Layout{.base = 0x80000}.valid(), "would end above U+10FFFF");

template <Layout L>
std::size_t wrong_code_points() {
  using Code = NoteCode<L>;
  std::size_t wrong = 0;
  std::uint32_t next = L.first();
  for (int v = 1; v <= Code::velocities; ++v) {
    for (int s = 0; s < Code::steps; ++s) {
      for (int d = 0; d < Code::durations; ++d) {
        for (int p = 0; p < Code::pitches; ++p) {
          const NoteBits n{v, s, d, p};
          const char32_t c = Code::pack(n);
          wrong +=
              c != next++ || !(Code::unpack(c) == n) || !Code::is_note(c) || !is_scalar_value(c) || utf8_size(c) != 4;
        }
      }
    }
  }
  wrong += next != L.last() + 1;
  return wrong;
}

}  // namespace

TEST_CASE("codec: packing is a bijection between all fields and U+40000..U+FFFFF") {
  CHECK(wrong_code_points<k_note_layout>() == 0);
  CHECK(PackedNote::velocities * PackedNote::steps * PackedNote::durations * PackedNote::pitches == 786432);
  CHECK_FALSE(PackedNote::is_note(0x3FFFF));
  CHECK_FALSE(PackedNote::is_note(0x100000));
}

TEST_CASE("codec: the four bytes of UTF-8 hold the fields where the author put them") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0x40000; c <= 0xFFFFF; ++c) {
    const NoteBits n = PackedNote::unpack(static_cast<char32_t>(c));
    std::string text;
    utf8_append(text, static_cast<char32_t>(c));
    const std::array<int, 4> want{0xF0 | n.velocity, 0x80 | n.step, 0x80 | n.duration << 1 | n.pitch >> 6,
                                  0x80 | (n.pitch & 63)};
    for (std::size_t i = 0; i < 4; ++i) wrong += static_cast<unsigned char>(text[i]) != want[i];
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: a layout of one's own is a bijection too") {
  CHECK(wrong_code_points<Layout{.velocity_bits = 1, .step_bits = 7, .duration_bits = 5, .pitch_bits = 7}>() == 0);
  CHECK(wrong_code_points<Layout{
            .velocity_bits = 0, .step_bits = 7, .duration_bits = 5, .pitch_bits = 7, .base = 0x40000}>() == 0);
}

TEST_CASE("codec: velocity classes have the bounds of the author's formula and centres inside") {
  std::size_t wrong = 0;
  for (int v = 0; v < 128; ++v) {
    const double percent = std::nearbyint(v / 127.0 * 100) / 100;
    const int author = std::clamp(static_cast<int>(std::nearbyint(3 * percent)), 1, 3);
    wrong += velocity_class(v) != author;
  }
  CHECK(wrong == 0);
  for (int c = 1; c <= 3; ++c) CHECK(velocity_class(class_velocity(c)) == c);
}
