#include <midigpt/report/timbre.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace midigpt::detail::wav;

namespace {

constexpr double k_turn = 2 * 3.14159265358979323846;

double partial_at(std::size_t i, std::size_t k) {
  return std::sin(k_turn * static_cast<double>(k) * static_cast<double>(i) / static_cast<double>(wave_size));
}

/// Both sets of partials of every timbre.
std::vector<std::array<std::uint8_t, 12>> every_partials() {
  std::vector<std::array<std::uint8_t, 12>> all;
  for (const Timbre& t : timbres) all.push_back(t.body), all.push_back(t.bright);
  return all;
}

}  // namespace

TEST_CASE("timbre: the sine table is the sine to half a unit") {
  const Wave wave = sine_table();
  double worst = 0;
  for (std::size_t i = 0; i < wave.size(); ++i) worst = std::fmax(worst, std::fabs(wave[i] - 32767 * partial_at(i, 1)));
  CHECK(worst < 0.51);
}

TEST_CASE("timbre: a wave is the sum of its first partials, never over full scale, and closes its turn") {
  const Wave sine = sine_table();
  double worst = 0;
  std::int32_t peak = 0;
  int open = 0;
  for (const auto& partials : every_partials()) {
    double total = 0;
    for (const std::uint8_t p : partials) total += p;
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{12}}) {
      const Wave wave = make_wave(sine, partials, count);
      for (std::size_t i = 0; i <= wave_size; ++i) {
        double want = 0;
        for (std::size_t k = 0; k < count; ++k) want += 32767 * partials[k] / total * partial_at(i, k + 1);
        worst = std::fmax(worst, std::fabs(wave[i] - want));
        peak = (std::max)(peak, std::abs(wave[i]));
      }
      open += wave[wave_size] != wave[0];
    }
  }
  CHECK(worst < 1.51);  // half a unit of each sine, one of the division
  CHECK(peak <= 32767);
  CHECK(open == 0);
}

TEST_CASE("timbre: every pitch has its equal-tempered frequency, at every rate where it fits below the rate") {
  double worst = 0;
  for (const int rate : {8000, 11025, 22050, 32000, 44100, 48000, 96000}) {
    for (int pitch = 0; pitch < 128; ++pitch) {
      const double hz = 440 * std::pow(2.0, (pitch - 69) / 12.0);
      if (hz >= rate) continue;
      worst = std::fmax(worst, std::fabs(phase_step(pitch, rate) - 4294967296.0 * hz / rate));
    }
  }
  CHECK(worst < 1100);  // of 2^32 to a turn: 1 Hz in 3 million at the highest pitch, less below
  CHECK(phase_step(69, 44100) == 42852281);  // 440 Hz
}

TEST_CASE("timbre: what is struck or plucked dies away, what is bowed or blown sounds as long as it is held") {
  struct Range {
    std::string who;
    int first, last;
    bool held;
  };
  const Range gm[] = {
      {"pianos, harpsichord, clavinet", 0, 7, false},
      {"chromatic percussion", 8, 15, false},
      {"organs, accordions, harmonica", 16, 23, true},
      {"guitars", 24, 31, false},
      {"basses", 32, 39, false},
      {"bowed strings", 40, 44, true},
      {"pizzicato, harp, timpani", 45, 47, false},
      {"ensembles and voices", 48, 55, true},
      {"brass", 56, 63, true},
      {"reeds", 64, 71, true},
      {"pipes", 72, 79, true},
      {"synth leads", 80, 87, true},
      {"synth pads and effects", 88, 103, true},
      {"sitar, banjo, shamisen, koto, kalimba", 104, 108, false},
      {"bagpipe, fiddle, shanai", 109, 111, true},
      {"percussion", 112, 119, false},
      {"sound effects", 120, 127, true},
  };
  int next = 0;
  for (const Range& range : gm) {
    CAPTURE(range.who);
    CHECK(range.first == next);
    for (int program = range.first; program <= range.last; ++program) {
      CAPTURE(program);
      CHECK((timbre_of(program).body_half_ms == 0) == range.held);
      CHECK((timbre_of(program).vibrato == 0 || range.held));  // no finger is on a string that was struck
    }
    next = range.last + 1;
  }
  CHECK(next == 128);
}

TEST_CASE("timbre: families that a listener tells apart are different, and members of one are alike") {
  const auto same = [](int a, int b) { return &timbre_of(a) == &timbre_of(b); };
  const int one_of_each[] = {0, 4, 14, 19, 25, 33, 48, 56, 66, 73, 81, 89, 6};
  for (const int a : one_of_each) {
    for (const int b : one_of_each) CHECK(same(a, b) == (a == b));
  }
  CHECK(same(4, 5));      // electric pianos
  CHECK(same(6, 7));      // harpsichord, clavinet: plucked
  CHECK(same(6, 46));     // harp
  CHECK(same(21, 66));    // accordion, saxophone: reeds
  CHECK(same(110, 40));   // fiddle, violin
  CHECK(same(111, 68));   // shanai, oboe
  CHECK_FALSE(same(45, 40));  // pizzicato is no bow
}

TEST_CASE("timbre: the first partial gives the pitch, the bright part adds to it, every number has a use") {
  for (const Timbre& t : timbres) {
    const std::size_t at = static_cast<std::size_t>(&t - timbres.data());
    CAPTURE(at);
    CHECK(t.body[0] == *std::ranges::max_element(t.body));
    CHECK(t.bright[0] == 0);
    CHECK(std::ranges::any_of(t.bright, [](std::uint8_t p) { return p > 0; }));
    CHECK((t.attack_ms > 0 && t.release_ms > 0 && t.bright_half_ms > 0));
    CHECK((t.bright_floor >= 0 && t.bright_floor <= 100 && t.bright_gain > 0 && t.bright_gain <= 100));
    CHECK((t.vibrato >= 0 && t.vibrato <= 30 && t.chorus <= 3));
    if (t.body_half_ms > 0) {
      CHECK(t.bright_half_ms < t.body_half_ms);  // a string loses its treble first
      CHECK(t.attack_ms <= 5);                   // and speaks at once
    }
  }
}

TEST_CASE("timbre: drums are heard, fall in pitch, and stand to each other as a kit does") {
  for (int key = 0; key < 128; ++key) {
    CAPTURE(key);
    const DrumSound d = drum_sound(key);
    CHECK(d.start_hz >= d.end_hz);
    CHECK(d.end_hz > 20);
    CHECK((d.tone_half_ms > 0 && d.noise_half_ms > 0));
    CHECK(d.tone_gain + d.noise_gain >= 30);
    CHECK((d.colour >= 0 && d.colour <= 2));
  }
  constexpr std::array toms{41, 43, 45, 47, 48, 50};  // General MIDI, from the lowest
  for (std::size_t i = 1; i < toms.size(); ++i) {
    CHECK(drum_sound(toms[i]).start_hz >= drum_sound(toms[i - 1]).start_hz);
  }
  CHECK(drum_sound(50).start_hz > drum_sound(41).start_hz);
  for (int key = 37; key < 82; ++key) CHECK(drum_sound(key).end_hz > drum_sound(36).end_hz);  // nothing is deeper
  const auto ring = [](int key) { return (std::max)(drum_sound(key).tone_half_ms, drum_sound(key).noise_half_ms); };
  CHECK(ring(42) * 4 < ring(46));  // closed and open hat
  CHECK(ring(44) == ring(42));     // pedal
  CHECK(ring(46) < ring(51));      // ride
  CHECK(ring(51) < ring(49));      // crash
  for (const int skin : {36, 38, 41, 50}) CHECK(drum_sound(skin).tone_gain >= 60);
  for (const int metal : {42, 46, 49, 51}) CHECK(drum_sound(metal).noise_gain > drum_sound(metal).tone_gain);
}
