#include <doctest/doctest.h>

#include <midigpt/codec/grid.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>

using namespace midigpt;

TEST_CASE("codec: a unit is the nearest 24th of a quarter in every division") {
  std::size_t wrong = 0;
  for (int tpq = 1; tpq <= 32767; tpq += 7) {
    const BeatGrid grid(Division{.tpq = static_cast<std::uint16_t>(tpq)});
    for (const std::int64_t tick : {0, 1, 2, 3, 5, 10, 100, 1000, 12345, 1000000}) {
      const double units = 24.0 * static_cast<double>(tick) / tpq;
      wrong += std::abs(static_cast<double>(grid.units(tick)) - units) > 0.5;
      wrong += grid.exact(tick) != (24 * tick % tpq == 0);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: a SMPTE second is two quarters") {
  for (const Division d :
       {Division{.smpte_fps = 24, .ticks_per_frame = 8}, Division{.smpte_fps = 25, .ticks_per_frame = 40},
        Division{.smpte_fps = 30, .ticks_per_frame = 80}}) {
    CHECK(BeatGrid(d).units(d.smpte_fps * d.ticks_per_frame) == 48);
    CHECK(BeatGrid(d).exact(d.smpte_fps * d.ticks_per_frame));
  }
  CHECK(BeatGrid(Division{.smpte_fps = 29, .ticks_per_frame = 100}).units(30000 * 100 / 1001 * 10) == 480);
}

TEST_CASE("codec: a tick no file can hold is no overflow") {
  for (const Division d : {Division{.tpq = 0}, Division{.tpq = 1}, Division{.smpte_fps = 29, .ticks_per_frame = 0},
                           Division{.smpte_fps = 29, .ticks_per_frame = 255}}) {
    const BeatGrid grid(d);
    CHECK(grid.units((std::numeric_limits<std::int64_t>::min)()) == 0);
    CHECK(grid.units((std::numeric_limits<std::int64_t>::max)()) > 0);
    CHECK(grid.units((std::numeric_limits<std::int64_t>::max)()) < std::int64_t{1} << 36);
    CHECK_FALSE(grid.exact((std::numeric_limits<std::int64_t>::max)()));
  }
}

TEST_CASE("codec: the nearest duration is the nearest, the longer of two") {
  std::size_t wrong = 0;
  for (int den = 1; den <= 20; ++den) {
    for (int num = 0; num <= 500 * den; ++num) {
      const int got = k_duration_units[static_cast<std::size_t>(nearest_duration(num, den))];
      for (const int other : k_duration_units) {
        const int mine = std::abs(got * den - num), theirs = std::abs(other * den - num);
        wrong += theirs < mine || (theirs == mine && other > got);
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: the table holds plain and dotted values from a 32nd to a whole note, and their triplets to a half") {
  for (const int units : {3, 6, 9, 12, 18, 24, 36, 48, 72, 96, 144, 2, 4, 8, 16, 32}) {
    CHECK(k_duration_units[static_cast<std::size_t>(nearest_duration(units, 1))] == units);
  }
}
