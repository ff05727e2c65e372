#include <doctest/doctest.h>

#include <midigpt/codec/controls.hpp>

#include <cstdlib>
#include <map>

#include <midigpt/core/utf8.hpp>

using namespace midigpt;

TEST_CASE("codec: every control in use goes to one character and back, and no other character is one") {
  std::map<ControlKind, int> count;
  std::size_t wrong = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const Control control = parse_control(c);
    ++count[control.kind];
    if (control.kind == ControlKind::none) continue;
    wrong += control_character(control) != c || !is_control(c) || utf8_size(c) != 4;
  }
  CHECK(wrong == 0);
  CHECK(count[ControlKind::pitch] == 128);
  CHECK(count[ControlKind::end] == 1);
  CHECK(count[ControlKind::bar] == 1);
  CHECK(count[ControlKind::time_signature] == 255 * 8);
  CHECK(count[ControlKind::advance] == 63);
  CHECK(count[ControlKind::tempo] == 1020);
  CHECK(count[ControlKind::rest] == 4096);
  CHECK(count[ControlKind::part] == 129 * 64);
}

TEST_CASE("codec: a part number is a programme or drums, and a lane") {
  std::size_t wrong = 0;
  for (int n = 0; n < k_part_count; ++n) {
    const Part p = numbered_part(n);
    wrong += part_number(p) != n || p.is_drums() != (n % 129 == 128);
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: a tempo is off by at most half a quarter a minute") {
  CHECK(tempo_bpm(500000) == 120);
  CHECK(tempo_bpm(857143) == 70);  // as MuseScore writes 70
  CHECK(tempo_bpm(16777215) == 4);
  CHECK(tempo_bpm(1) == 1023);
  CHECK(tempo_bpm(0) == 1023);
  double worst = 0;
  for (std::uint32_t us = 58652; us <= 15000000; us += 17) {
    worst = (std::max)(worst, std::abs(6e7 / us - tempo_bpm(us)));
  }
  CHECK(worst <= 0.5001);
}
