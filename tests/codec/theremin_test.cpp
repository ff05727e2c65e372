#include <doctest/doctest.h>

#include <midigpt/codec/theremin.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <tuple>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

// the example of docs/codec.md: no velocity, steps of 1/100 s up to 1.27 s, 32 lengths of 1/10 s
constexpr Layout k_fine{.velocity_bits = 0, .step_bits = 7, .duration_bits = 5, .pitch_bits = 7, .base = 0x40000};
constexpr SecondsGrid k_fine_grid{.step_num = 1, .step_den = 100, .duration_num = 1, .duration_den = 10};
using Fine = SecondsCodec<k_fine, k_fine_grid>;

/// Notes in canonical order with every field used, as text.
template <class Codec>
std::string canonical_text(std::uint64_t seed, int notes) {
  using Code = typename Codec::Code;
  Rng rng(seed);
  std::u32string out;
  NoteBits last{Code::velocities, 0, 0, -1};
  for (int i = 0; i < notes; ++i) {
    NoteBits n{rng.between(1, Code::velocities), rng.chance(0.5) ? 0 : rng.between(1, Code::steps - 1),
               rng.between(0, Code::durations - 1), rng.between(0, Code::pitches - 1)};
    const auto after = [&] {
      return std::tuple(n.pitch, -n.velocity, n.duration) >= std::tuple(last.pitch, -last.velocity, last.duration);
    };
    if (n.step == 0 && !after()) n.step = 1;
    out.push_back(Code::pack(n));
    last = n;
  }
  return utf8_encode(out);
}

}  // namespace

TEST_CASE("codec: theremin reads any canonical text and packs it again as it was") {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    TextReport read, written;
    const std::string text = canonical_text<Theremin>(seed, 500);
    const Score s = Theremin::from_text(text, &read);
    wrong += Theremin::to_text(s, &written) != text || read.notes != 500 || written.notes != 500 ||
             written.steps_clamped != 0;
    const std::string fine = canonical_text<Fine>(seed, 500);
    wrong += Fine::to_text(Fine::from_text(fine)) != fine;
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: every one of the 786,432 characters comes back alone") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0x40000; c <= 0xFFFFF; ++c) {
    std::string text;
    utf8_append(text, static_cast<char32_t>(c));
    wrong += Theremin::to_text(Theremin::from_text(text)) != text;
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: theremin time does not drift") {
  Score s;
  s.tempos = {{0, 461538}};  // 130 quarters a minute: no step is a whole number of units
  s.tracks.resize(1);
  for (int i = 0; i < 4000; ++i) {
    s.tracks[0].notes.push_back(
        {.tick = i * 160, .duration = 150, .pitch = static_cast<std::uint8_t>(i % 90), .velocity = 85});
  }
  const Score back = Theremin::from_text(Theremin::to_text(s));
  REQUIRE(count_notes(back) == 4000);
  const TempoMap from(s), to(back);
  double worst = 0;
  for (std::size_t i = 0; i < 4000; ++i) {
    worst =
        (std::max)(worst, std::abs(from.seconds(s.tracks[0].notes[i].tick) - to.seconds(back.tracks[0].notes[i].tick)));
  }
  CHECK(worst <= 0.5 / 63 + 0.6 / 960);
}

TEST_CASE("codec: theremin leaves drums out and cuts long gaps and lengths, and says so") {
  Score s;
  s.tracks.resize(1);
  s.tracks[0].notes = {{.tick = 0, .duration = 480 * 40, .pitch = 60, .velocity = 85},
                       {.tick = 0, .duration = 480, .channel = 9, .pitch = 36, .velocity = 85},
                       {.tick = 9600, .duration = 480, .pitch = 61, .velocity = 1}};
  TextReport report;
  const auto text = utf8_code_points(Theremin::to_text(s, &report));
  CHECK(text == std::u32string{PackedNote::pack({2, 0, 31, 60}), PackedNote::pack({1, 63, 2, 61})});
  CHECK(report == TextReport{.notes = 2,
                             .notes_dropped = 1,
                             .durations_rounded = 2,
                             .velocities_rounded = 1,
                             .steps_clamped = 1,
                             .durations_clamped = 1});
}

TEST_CASE("codec: theremin survives times no file can hold, and foreign text") {
  Score s;
  s.tracks.resize(1);
  constexpr std::int64_t big = (std::numeric_limits<std::int64_t>::max)();
  s.tracks[0].notes = {{.tick = big, .duration = big}, {.tick = -3, .duration = -9, .pitch = 255}};
  CHECK(utf8_code_points(Theremin::to_text(s)).size() == 1);
  TextReport report;
  CHECK(count_notes(Theremin::from_text("abc\xFF\xF1\x80", &report)) == 0);
  CHECK(report.foreign == 6);
  CHECK(Theremin::from_text("").tracks.empty());
}
