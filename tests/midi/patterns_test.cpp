#include <midigpt/midi/patterns.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

using namespace midigpt;
using namespace midigpt::detail::dice;

namespace {

constexpr std::array k_feels{Feel::ballad, Feel::pop,       Feel::dance, Feel::swing,
                             Feel::bossa,  Feel::half_time, Feel::waltz, Feel::jig};

/// Ticks of a bar by its time signature: 3/4 and 6/8 are three quarters long, 4/4 four.
int bar_of(Feel feel) { return (feel == Feel::waltz || feel == Feel::jig ? 3 : 4) * 480; }

const DrumRow* row_of(Feel feel, std::uint8_t key) {
  for (const DrumRow& row : patterns_of(feel).drums) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

/// The ticks where a row always hits.
std::vector<int> sure_hits(Feel feel, const DrumRow& row) {
  std::vector<int> ticks;
  const int step = bar_of(feel) / static_cast<int>(row.chances.size());
  for (std::size_t i = 0; i < row.chances.size(); ++i) {
    if (row.chances[i] == 'X') ticks.push_back(static_cast<int>(i) * step);
  }
  return ticks;
}

/// Strokes of a bar in order, none into the next, none over the bar line, nothing after the first empty one.
template <class Pattern>
bool in_one_bar(const Pattern& pattern, int bar) {
  int end = 0;
  std::size_t count = 0;
  while (count < pattern.size() && pattern[count].length != 0) {
    if (pattern[count].tick < end || pattern[count].length < 20 || pattern[count].tick % 20 != 0) return false;
    end = pattern[count].tick + pattern[count].length;
    ++count;
  }
  for (std::size_t i = count; i < pattern.size(); ++i) {
    if (pattern[i].tick != 0 || pattern[i].length != 0) return false;
  }
  return count > 0 && end <= bar;
}

}  // namespace

TEST_CASE("patterns: a rhythm fills half a bar exactly, a waltz's a whole one, and has a note") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    for (const Cell& cell : patterns_of(feel).cells) {
      int sum = 0, notes = 0;
      bool ended = false, gap = false, on_grid = true;
      for (const int length : cell.lengths) {
        gap = gap || (ended && length != 0);
        ended = ended || length == 0;
        notes += length > 0;
        sum += length < 0 ? -length : length;
        on_grid = on_grid && length % 40 == 0;  // 16ths and 8th triplets of 480 ticks
      }
      CHECK(sum == (feel == Feel::waltz ? bar_of(feel) : bar_of(feel) / 2));
      CHECK(notes >= 1);
      CHECK_FALSE(gap);
      CHECK(on_grid);
    }
  }
}

TEST_CASE("patterns: rhythms of every level are there, side by side, and a higher level has more notes") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    const auto cells = patterns_of(feel).cells;
    CHECK(std::ranges::is_sorted(cells, {}, &Cell::level));
    std::array<double, 4> notes{}, count{};
    for (const Cell& cell : cells) {
      REQUIRE(cell.level >= 0);
      REQUIRE(cell.level <= 3);
      count[static_cast<std::size_t>(cell.level)] += 1;
      for (const int length : cell.lengths) notes[static_cast<std::size_t>(cell.level)] += length > 0;
    }
    for (std::size_t level = 0; level < 4; ++level) REQUIRE(count[level] > 0);
    for (std::size_t level = 1; level < 4; ++level) {
      CHECK(notes[level] / count[level] > notes[level - 1] / count[level - 1]);
    }
  }
}

TEST_CASE("patterns: swing is played in triplets, everything else in straight eighths and sixteenths") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    int triplets = 0, sixteenths = 0;
    for (const Cell& cell : patterns_of(feel).cells) {
      for (const int length : cell.lengths) {
        triplets += length % 120 != 0;
        sixteenths += length == 120;
      }
    }
    if (feel == Feel::swing) {
      CHECK(triplets > 10);
      CHECK(sixteenths == 0);
    } else {
      CHECK(triplets <= 3);  // one triplet figure
    }
  }
}

TEST_CASE("patterns: chord strokes and bass notes stay in their bar and do not run into each other") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    for (const ChordPattern& pattern : patterns_of(feel).chords) {
      CHECK(in_one_bar(pattern, bar_of(feel)));
      for (const Stroke& s : pattern) CHECK((s.voice >= -1 && s.voice <= 3));
    }
    for (const BassPattern& pattern : patterns_of(feel).bass) {
      CHECK(in_one_bar(pattern, bar_of(feel)));
      CHECK(pattern[0].what == 'r');  // the bass says the root first
      for (const BassStroke& s : pattern) {
        CHECK((s.length == 0 || std::string_view("rfoat").find(s.what) != std::string_view::npos));
        CHECK((s.what != 't' || feel == Feel::swing));  // only a walking bass takes the third
      }
      const auto used = std::ranges::count_if(pattern, [](const BassStroke& s) { return s.length != 0; });
      for (std::int64_t i = 0; i + 1 < used; ++i) {
        CHECK(pattern[static_cast<std::size_t>(i)].what != 'a');  // an approach leads into the next bar
      }
    }
  }
}

TEST_CASE("patterns: a broken chord is in even eighths") {
  constexpr ChordPattern six = arpeggio({0, 1, 2, 1, 2, 1}, 6);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(six[i].tick == (i < 6 ? 240 * static_cast<int>(i) : 0));
    CHECK(six[i].length == (i < 6 ? 240 : 0));
  }
  CHECK(six[4].voice == 2);
}

TEST_CASE("patterns: the drum rows of a feel share one grid that divides the bar, with one row a drum") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    const auto rows = patterns_of(feel).drums;
    REQUIRE(rows.size() >= 3);
    const std::size_t steps = rows[0].chances.size();
    CHECK(bar_of(feel) % static_cast<int>(steps) == 0);
    CHECK(480 % (bar_of(feel) / static_cast<int>(steps)) == 0);
    std::set<int> keys;
    for (const DrumRow& row : rows) {
      CHECK(row.chances.size() == steps);
      CHECK(row.chances.find_first_not_of("X.123456789") == std::string_view::npos);
      CHECK((row.key >= 35 && row.key <= 81));          // General MIDI's drums
      CHECK((row.velocity > 40 && row.velocity <= 119));  // louder than a ghost note, room for the accent of 8
      keys.insert(row.key);
    }
    CHECK(keys.size() == rows.size());
  }
}

TEST_CASE("patterns: the bass drum has the one; snare or stick the backbeat of each style") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    const DrumRow* bass_drum = row_of(feel, kick);
    REQUIRE(bass_drum != nullptr);
    CHECK(bass_drum->chances[0] == 'X');
  }
  CHECK(sure_hits(Feel::ballad, *row_of(Feel::ballad, stick)) == std::vector{480, 1440});
  CHECK(sure_hits(Feel::pop, *row_of(Feel::pop, snare)) == std::vector{480, 1440});
  CHECK(sure_hits(Feel::dance, *row_of(Feel::dance, snare)) == std::vector{480, 1440});
  CHECK(sure_hits(Feel::half_time, *row_of(Feel::half_time, snare)) == std::vector{960});
  CHECK(sure_hits(Feel::waltz, *row_of(Feel::waltz, snare)) == std::vector{480, 960});
  CHECK(sure_hits(Feel::jig, *row_of(Feel::jig, snare)) == std::vector{720});  // the second of two beats
  // four on the floor, the pedal hat on two and four, the ride's ding-dinga-ding, the clave of a bossa nova
  CHECK(sure_hits(Feel::dance, *row_of(Feel::dance, kick)) == std::vector{0, 480, 960, 1440});
  CHECK(sure_hits(Feel::swing, *row_of(Feel::swing, closed_hat)) == std::vector{480, 1440});
  CHECK(sure_hits(Feel::swing, *row_of(Feel::swing, ride)) == std::vector{0, 480, 800, 960, 1440, 1760});
  CHECK(sure_hits(Feel::bossa, *row_of(Feel::bossa, stick)) == std::vector{0, 360, 720, 1200, 1560});
}

TEST_CASE("patterns: a bass plays the bass, and nothing that makes noises plays the rest") {
  for (const Feel feel : k_feels) {
    CAPTURE(feel_name(feel));
    for (const Players& players : patterns_of(feel).players) {
      CHECK((players.program[2] >= 32 && players.program[2] < 40));  // General MIDI's basses
      for (const std::size_t role : {std::size_t{0}, std::size_t{1}}) {
        const int program = players.program[role];
        CHECK((program < 32 || program >= 40));
        CHECK(program < 112);  // percussion and sound effects
      }
    }
  }
}
