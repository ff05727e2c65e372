#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <midigpt/midi/v0_author.hpp>

using namespace midigpt;

namespace {

std::int64_t step_in_bar(const Note& n) { return n.tick / 120 % 16; }

/// Scale degree 0..6 of a note in the major key whose pitch class of the tonic is `tonic`; -1 outside.
int degree_of(const Note& n, int tonic) {
  const auto steps = scale_steps(Mode::major);
  for (std::size_t d = 0; d < steps.size(); ++d) {
    if ((n.pitch - tonic - steps[d]) % 12 == 0) return static_cast<int>(d);
  }
  return -1;
}

}  // namespace

TEST_CASE("v0_author: biased steps always sound, the others are fair coins") {
  struct Row {
    V0Role role;
    int key;  // of the drum, or -1
    std::uint32_t always;
  };
  for (const Row& row :
       {Row{V0Role::melody, -1, 0x1111}, Row{V0Role::chords, -1, 0x1111}, Row{V0Role::bass, -1, 0x0001},
        Row{V0Role::drums, 35, 0x0101}, Row{V0Role::drums, 38, 0x1010}, Row{V0Role::drums, 42, 0x1111}}) {
    CAPTURE(v0_role_name(row.role));
    CAPTURE(row.key);
    std::array<int, 16> hits{};
    constexpr int bars = 4000;
    for (std::uint64_t seed = 0; seed < bars / 8; ++seed) {
      std::int64_t last = -1;
      const Score score = v0_author({.seed = seed, .bars = 8, .role = row.role});
      for (const Note& n : score.tracks[0].notes) {
        if (row.key >= 0 && n.pitch != row.key) continue;
        if (n.tick != last) ++hits[static_cast<std::size_t>(step_in_bar(n))];
        last = n.tick;
      }
    }
    const double silent = row.key == 38 || row.key == 42 ? 0.01 : 0.0;  // velocity 0 is no hit
    for (std::size_t step = 0; step < 16; ++step) {
      const double density = hits[step] / static_cast<double>(bars);
      const double want = (row.always >> step & 1u) != 0 ? 1.0 - silent : 0.5 * (1.0 - silent);
      CAPTURE(step);
      CHECK(density >= want - 0.035);
      CHECK(density <= want + 0.035);
    }
  }
}

TEST_CASE("v0_author: octaves, velocities and lengths are distributed as the table says") {
  std::array<double, 3> octave{};
  double notes = 0;
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const Score melody = v0_author({.seed = seed}), bass = v0_author({.seed = seed, .role = V0Role::bass});
    const Score chords = v0_author({.seed = seed, .role = V0Role::chords});
    for (const Note& n : melody.tracks[0].notes) {
      if (n.pitch < 60 || n.pitch >= 96 || n.duration != 120 || n.velocity < 80 || n.velocity > 109)
        ++wrong;
      else
        ++octave[static_cast<std::size_t>((n.pitch - 60) / 12)];
      ++notes;
    }
    for (const Note& n : bass.tracks[0].notes) wrong += n.pitch > 47 || n.pitch < 12;
    for (const Note& n : chords.tracks[0].notes) wrong += n.velocity < 50 || n.velocity > 109;
  }
  CHECK(wrong == 0);
  CHECK(octave[0] / notes == doctest::Approx(10.0 / 14).epsilon(0.02));
  CHECK(octave[1] / notes == doctest::Approx(3.0 / 14).epsilon(0.04));
  CHECK(octave[2] / notes == doctest::Approx(1.0 / 14).epsilon(0.06));
}

TEST_CASE("v0_author: the degree walks slowly, as an independent simulation of the rules does") {
  // 2,000 walks of 80 notes in floating point: repeats 0.487 (deviation of one walk 0.14), moves of 0 or 1 modulo 7
  // 0.935
  double repeats = 0, small = 0, moves = 0;
  int outside = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const Score score = v0_author({.seed = seed, .key = Key{}});
    int before = -1;
    for (const Note& n : score.tracks[0].notes) {
      const int degree = degree_of(n, 0);
      outside += degree < 0;
      if (before >= 0) {
        const int move = std::abs(degree - before);
        ++moves, repeats += move == 0, small += move <= 1 || move == 6;
      }
      before = degree;
    }
  }
  CHECK(outside == 0);
  CHECK(repeats / moves == doctest::Approx(0.487).epsilon(0.03));
  CHECK(small / moves == doctest::Approx(0.935).epsilon(0.01));
}

TEST_CASE("v0_author: chords are a degree, its fourth and its sixth; jazz adds a voice") {
  const Score score = v0_author({.seed = 3, .role = V0Role::chords, .key = Key{}});
  const auto& notes = score.tracks[0].notes;
  REQUIRE(notes.size() % 3 == 0);
  int wrong = 0;
  for (std::size_t i = 0; i < notes.size(); i += 3) {
    const int root = degree_of(notes[i], 0);
    wrong += degree_of(notes[i + 1], 0) != (root + 3) % 7 || degree_of(notes[i + 2], 0) != (root + 5) % 7;
    wrong += notes[i].tick != notes[i + 2].tick || notes[i].velocity != notes[i + 2].velocity;
  }
  CHECK(wrong == 0);
  const Score jazz = v0_author({.seed = 3, .role = V0Role::chords, .key = Key{}, .jazz = true});
  CHECK(jazz.tracks[0].notes.size() % 4 == 0);
}

TEST_CASE("v0_author: keys, tempi and drum lengths") {
  std::array<int, 13> keys{};
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Score score = v0_author({.seed = seed, .bars = 1});
    const int sharps = score.key_signatures[0].sharps;
    REQUIRE(sharps >= -6);
    REQUIRE(sharps <= 6);
    ++keys[static_cast<std::size_t>(sharps + 6)];
    const auto us = score.tempos[0].us_per_quarter;
    CHECK(us <= 1000000);
    CHECK(us >= 60000000 / 149);
  }
  for (const int n : keys) CHECK(n > 90);  // 13 of them, 154 each on average
  CHECK(v0_author({.bpm = 100}).tracks[0].name.starts_with("melody_100_"));
  const Score fixed = v0_author({.role = V0Role::drums});
  const Score raw = v0_author({.role = V0Role::drums, .fix_zero_length_drums = false});
  REQUIRE(fixed.tracks[0].notes.size() == raw.tracks[0].notes.size());
  CHECK(fixed.tracks[0].notes[0].duration == 60);
  CHECK(raw.tracks[0].notes[0].duration == 0);
  for (const Note& n : raw.tracks[0].notes) CHECK(n.velocity > 0);
  CHECK(v0_author({.seed = 8}) == v0_author({.seed = 8}));
  CHECK(v0_author({.seed = 8}) != v0_author({.seed = 9}));
}
