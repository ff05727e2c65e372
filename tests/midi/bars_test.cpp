#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <midigpt/midi/bars.hpp>

using namespace midigpt;

using Ticks = std::vector<std::int64_t>;

TEST_CASE("bars: 4/4 until a time signature says otherwise; a change begins a bar") {
  Score score;
  score.division.tpq = 10;
  CHECK(bar_starts(score, 80) == Ticks{0, 40, 80});
  CHECK(bar_starts(score, 79) == Ticks{0, 40});
  score.time_signatures = {{.tick = 0, .numerator = 3}, {.tick = 45, .numerator = 6, .denominator_log2 = 3}};
  CHECK(bar_starts(score, 110) == Ticks{0, 30, 45, 75, 105});  // the second bar is cut short
  score.time_signatures = {{.tick = 20, .numerator = 2}};
  CHECK(bar_starts(score, 60) == Ticks{0, 20, 40, 60});
}

TEST_CASE("bars: hostile signatures and divisions neither hang nor fill the memory") {
  Score score;
  score.division.tpq = 0;
  score.time_signatures = {{.tick = 0, .numerator = 0, .denominator_log2 = 255},
                           {.tick = 0, .numerator = 255, .denominator_log2 = 200}};
  CHECK(bar_starts(score, std::int64_t{1} << 60, 1000).size() == 1000);
  CHECK(bar_starts(score, -1).empty());
  score.division = {.tpq = 0, .smpte_fps = 25, .ticks_per_frame = 40};
  CHECK(bar_starts(score, 1000).empty());
}
