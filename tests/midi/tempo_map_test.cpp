#include <midigpt/midi/tempo_map.hpp>

#include <cmath>
#include <cstdint>

#include <doctest/doctest.h>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("tempo map: 120 quarters a minute where nothing is said") {
  const TempoMap map(Score{});
  CHECK(map.seconds(480) == 0.5);
  CHECK(map.seconds(-3) == 0.0);
  CHECK(map.tick(0.5) == 480);
  CHECK(map.quarters_per_minute(0) == 120.0);
}

TEST_CASE("tempo map: a tempo change inside a note splits it") {
  Score score;
  score.tempos = {{0, 500000}, {240, 1000000}};
  const TempoMap map(score);
  CHECK(map.seconds(480) - map.seconds(0) == 0.75);
  CHECK(map.quarters_per_minute(239) == 120.0);
  CHECK(map.quarters_per_minute(240) == 60.0);
}

TEST_CASE("tempo map: SMPTE ticks are fractions of a frame, tempos mean nothing there") {
  Score score;
  score.tempos = {{0, 1}};
  score.division = Division{.smpte_fps = 25, .ticks_per_frame = 40};
  CHECK(TempoMap(score).seconds(480) == 0.48);
  score.division = Division{.smpte_fps = 29, .ticks_per_frame = 100};
  CHECK(TempoMap(score).seconds(3000) == 1.001);
  CHECK(TempoMap(score).quarters_per_minute(5) == 120.0);
}

TEST_CASE("tempo map: time is exact after a million tempo changes") {
  // 1/3 of a microsecond a tick: the sum of a million such spans is exact only in integers
  std::vector<Tempo> tempos;
  for (std::int64_t i = 0; i < 1000000; ++i) tempos.push_back({i * 7, i % 2 == 0 ? 1000001u : 999999u});
  const TempoMap map(Division{.tpq = 480}, tempos);
  CHECK(map.seconds(7 * 1000000) == 7.0 * 1000000 / 480);
}

TEST_CASE("tempo map: tick(seconds(t)) == t") {
  std::uint64_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    Division division{.tpq = static_cast<std::uint16_t>(1 + rng.below(2000))};
    if (seed % 5 == 0) division = Division{.smpte_fps = 29, .ticks_per_frame = 80};
    std::vector<Tempo> tempos;
    std::int64_t tick = rng.below(3);
    for (std::uint32_t i = rng.below(20); i > 0; --i, tick += 1 + rng.below(5000)) {
      tempos.push_back({tick, 20000 + rng.below(2000000)});
    }
    const TempoMap map(division, tempos);
    double before = -1;
    for (std::int64_t t = 0; t < tick + 100; t += 1 + rng.below(50)) {
      const double seconds = map.seconds(t);
      if (map.tick(seconds) != t || seconds <= before) ++wrong;
      before = seconds;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("tempo map: absurd values neither overflow nor become NaN") {
  const TempoMap fastest(Division{.tpq = 0}, {{0, 0}, {0, 0}});
  CHECK(std::isfinite(fastest.seconds(std::int64_t{1} << 62)));
  CHECK(fastest.tick(1e300) > 0);
  const TempoMap slowest(Division{.tpq = 1}, {{0, 0xFFFFFF}, {std::int64_t{1} << 61, 0xFFFFFF}});
  CHECK(slowest.seconds(std::int64_t{1} << 62) > 1e11);
  CHECK(slowest.tick(std::nan("")) == 0);
  CHECK(slowest.tick(-1.0) == 0);
}

TEST_CASE("tempo map: a score lasts to its last end of track or note") {
  Score score;
  score.tracks.resize(2);
  score.tracks[0].end_tick = 480;
  score.tracks[1].notes = {{480, 480, 0, 60, 64, 64}, {500, 10, 0, 60, 64, 64}};
  CHECK(duration_ticks(score) == 960);
  CHECK(last_note_tick(score) == 960);
  CHECK(duration_seconds(score) == 1.0);
  CHECK(duration_seconds(Score{}) == 0.0);
}
