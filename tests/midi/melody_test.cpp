#include <midigpt/midi/melody.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

using namespace midigpt;
using namespace midigpt::detail::dice;

namespace {

constexpr int k_bars = 16;

struct Tune {
  Plan plan;
  std::vector<Note> notes;

  [[nodiscard]] int bar_of(const Note& n) const { return static_cast<int>(n.tick / plan.bar_ticks); }
  [[nodiscard]] int in_bar(const Note& n) const { return static_cast<int>(n.tick % plan.bar_ticks); }
  [[nodiscard]] const Chord& chord_under(const Note& n) const { return plan.chord_at(bar_of(n), in_bar(n)); }
  [[nodiscard]] int above_tonic(const Note& n) const { return (n.pitch - plan.key.tonic() + 24) % 12; }
  [[nodiscard]] bool strong(const Note& n) const {
    return in_bar(n) == 0 || (plan.feel != Feel::waltz && in_bar(n) * 2 == plan.bar_ticks);
  }
  [[nodiscard]] bool cadence(int bar) const {
    return std::ranges::any_of(plan.phrases, [&](const Phrase& p) { return bar == p.first_bar + p.bars - 1; });
  }
  [[nodiscard]] std::vector<Note> bars(int from, int to) const {
    std::vector<Note> out;
    for (Note n : notes) {
      if (bar_of(n) < from || bar_of(n) >= to) continue;
      n.tick -= std::int64_t{from} * plan.bar_ticks;
      out.push_back(n);
    }
    return out;
  }
};

/// All tests walk these: every feel and mode comes up.
const std::vector<Tune>& tunes() {
  static const std::vector<Tune> all = [] {
    std::vector<Tune> made;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
      const auto feel = static_cast<Feel>(seed % 8);
      Tune tune{make_plan({.seed = seed, .bars = k_bars, .feel = &feel}), {}};
      tune.notes = MelodyWriter(tune.plan, seed).write();
      made.push_back(std::move(tune));
    }
    return made;
  }();
  return all;
}

using Rhythm = std::vector<std::pair<std::int64_t, std::int64_t>>;

Rhythm rhythm_of(const std::vector<Note>& notes) {
  Rhythm r;
  for (const Note& n : notes) r.emplace_back(n.tick, n.duration);
  return r;
}

double share(int part, int whole) { return static_cast<double>(part) / whole; }

}  // namespace

TEST_CASE("melody: one voice between middle C and the C two octaves above, each note within its bar") {
  int wrong = 0;
  for (const Tune& tune : tunes()) {
    std::int64_t end = 0;
    for (const Note& n : tune.notes) {
      wrong += n.tick < end || n.duration < 1 || n.channel != 0 || n.pitch < 60 || n.pitch > 84;
      wrong += tune.in_bar(n) + n.duration > tune.plan.bar_ticks;
      end = n.tick + n.duration;
    }
    for (const Phrase& p : tune.plan.phrases) wrong += tune.bars(p.first_bar, p.first_bar + p.bars).size() < 4;
  }
  CHECK(wrong == 0);
}

TEST_CASE("melody: every note belongs to the key; a minor seventh under a major dominant is raised, and only there") {
  int wrong = 0, raised = 0, natural = 0;
  for (const Tune& tune : tunes()) {
    const std::uint16_t scale = scale_mask(tune.plan.key);
    for (const Note& n : tune.notes) {
      const bool leading_chord = tune.chord_under(n).has((tune.plan.key.tonic() + 11) % 12);
      const bool in_key = scale >> (n.pitch % 12) & 1;
      const bool minor = is_minor(tune.plan.key.mode) && tune.plan.key.mode != Mode::harmonic_minor;
      const bool lifted = minor && leading_chord && tune.above_tonic(n) == 11;
      wrong += !in_key && !lifted;
      wrong += minor && leading_chord && tune.above_tonic(n) == 10;
      raised += lifted;
      natural += minor && tune.above_tonic(n) == 10;
    }
  }
  CHECK(wrong == 0);
  CHECK(raised > 50);
  CHECK(natural > 50);
}

TEST_CASE("melody: before the cadence each half bar has a rhythm of the feel, a waltz each bar") {
  int wrong = 0, halves = 0;
  for (const Tune& tune : tunes()) {
    const int cell_ticks = tune.plan.feel == Feel::waltz ? tune.plan.bar_ticks : tune.plan.bar_ticks / 2;
    for (int bar = 0; bar < k_bars; ++bar) {
      if (tune.cadence(bar)) continue;
      const auto notes = tune.bars(bar, bar + 1);
      for (int start = 0; start < tune.plan.bar_ticks; start += cell_ticks) {
        Rhythm played;
        for (const Note& n : notes) {
          if (n.tick >= start && n.tick < start + cell_ticks) played.emplace_back(n.tick - start, n.duration);
        }
        const bool known = std::ranges::any_of(patterns_of(tune.plan.feel).cells, [&](const Cell& cell) {
          Rhythm written;
          int at = 0;
          for (const int length : cell.lengths) {
            if (length > 0) written.emplace_back(at, length);
            at += std::abs(length);
          }
          return written == played;
        });
        wrong += !known;
        ++halves;
      }
    }
  }
  CHECK(halves > 8000);
  CHECK(wrong == 0);
}

TEST_CASE("melody: strong beats stand on the chord, weak ones pass through") {
  int strong = 0, strong_on = 0, weak = 0, weak_on = 0;
  for (const Tune& tune : tunes()) {
    for (const Note& n : tune.notes) {
      if (tune.cadence(tune.bar_of(n))) continue;
      const bool on = tune.chord_under(n).has(n.pitch % 12);
      (tune.strong(n) ? strong : weak) += 1;
      (tune.strong(n) ? strong_on : weak_on) += on;
    }
  }
  CHECK(share(strong_on, strong) > 0.8);
  CHECK(share(weak_on, weak) < 0.65);
}

TEST_CASE("melody: it moves by step, and hardly ever leaps within a bar") {
  int moves = 0, small = 0, wide = 0, within = 0, leaps = 0;
  for (const Tune& tune : tunes()) {
    for (std::size_t i = 1; i < tune.notes.size(); ++i) {
      const int move = std::abs(tune.notes[i].pitch - tune.notes[i - 1].pitch);
      const bool one_bar = tune.bar_of(tune.notes[i]) == tune.bar_of(tune.notes[i - 1]);
      ++moves;
      small += move <= 4;  // up to a third
      wide += move > 12;
      within += one_bar;
      leaps += one_bar && move >= 8;
    }
  }
  CHECK(share(small, moves) > 0.85);
  CHECK(share(wide, moves) < 0.01);
  CHECK(share(leaps, within) < 0.01);
}

TEST_CASE("melody: a leading tone that was reached from below rises to the tonic, far more often than others rise") {
  int leading = 0, leading_rose = 0, others = 0, others_rose = 0;
  for (const Tune& tune : tunes()) {
    if (scale_steps(tune.plan.key.mode).size() != 7) continue;
    for (std::size_t i = 1; i + 1 < tune.notes.size(); ++i) {
      const Note &n = tune.notes[i], &next = tune.notes[i + 1];
      if (n.pitch < tune.notes[i - 1].pitch || tune.bar_of(n) != tune.bar_of(next)) continue;
      if (tune.cadence(tune.bar_of(n))) continue;
      const bool lead = tune.above_tonic(n) == 11;
      const int rise = next.pitch - n.pitch;
      (lead ? leading : others) += 1;
      (lead ? leading_rose : others_rose) += lead ? rise == 1 : rise == 1 || rise == 2;
    }
  }
  CHECK(leading > 200);
  CHECK(share(leading_rose, leading) > 0.5);
  CHECK(share(leading_rose, leading) > share(others_rose, others) + 0.1);
}

TEST_CASE("melody: a phrase ends on a quarter or more: the dominant's half way, one, three at home, the tonic for good") {
  int wrong = 0, thirds = 0;
  for (const Tune& tune : tunes()) {
    for (const Phrase& p : tune.plan.phrases) {
      const auto end = tune.bars(p.first_bar + p.bars - 1, p.first_bar + p.bars);
      REQUIRE_FALSE(end.empty());
      const Note& last = end.back();
      wrong += last.duration < 480;
      const Chord& chord = tune.plan.bars[static_cast<std::size_t>(p.first_bar + p.bars) - 1].chords[1];
      const int degree = tune.above_tonic(last);
      if (p.cadence == Cadence::half) {
        // a scale of five notes may have none that fits: then it stays where it is
        wrong += !chord.has(last.pitch % 12) && scale_steps(tune.plan.key.mode).size() == 7;
      } else if (p.cadence == Cadence::full) {
        wrong += degree != 0 && degree != (is_minor(tune.plan.key.mode) ? 3 : 4);
        thirds += degree != 0;
      } else {
        wrong += degree != 0 || end.size() != 1 || last.duration != tune.plan.bar_ticks;
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(thirds > 20);
}

TEST_CASE("melody: a letter that returns keeps its rhythm and its strong notes, and changes some weak ones") {
  int returns = 0, other_rhythm = 0, strong = 0, strong_moved = 0, weak = 0, weak_moved = 0;
  for (const Tune& tune : tunes()) {
    std::map<char, int> stated;
    for (const Phrase& p : tune.plan.phrases) {
      const auto [at, first_time] = stated.try_emplace(p.letter, p.first_bar);
      if (first_time) continue;
      ++returns;
      const auto before = tune.bars(at->second, at->second + 3), again = tune.bars(p.first_bar, p.first_bar + 3);
      other_rhythm += rhythm_of(before) != rhythm_of(again);
      for (std::size_t i = 0; i < (std::min)(before.size(), again.size()); ++i) {
        const Note& n = before[i];
        const auto chord = [&](int first, std::int64_t tick) {
          return tune.plan.chord_at(first + static_cast<int>(tick / tune.plan.bar_ticks), static_cast<int>(tick % tune.plan.bar_ticks));
        };
        const std::int64_t end = n.tick + n.duration - 1;
        if (chord(at->second, n.tick) != chord(p.first_bar, n.tick) || chord(at->second, end) != chord(p.first_bar, end)) continue;
        const bool moved = n.pitch != again[i].pitch;
        (tune.strong(n) ? strong : weak) += 1;
        (tune.strong(n) ? strong_moved : weak_moved) += moved;
      }
    }
  }
  CHECK(returns > 300);
  CHECK(other_rhythm == 0);
  CHECK(share(strong_moved, strong) < 0.03);
  CHECK(share(weak_moved, weak) > 0.08);
  CHECK(share(weak_moved, weak) < 0.35);
}

TEST_CASE("melody: a seed has one tune, whatever the tempo; another seed has another one") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Plan plan = make_plan({.seed = seed, .bars = 8}), slow = make_plan({.seed = seed, .bars = 8, .bpm = 40});
    const auto own = MelodyWriter(plan, seed).write();
    wrong += own != MelodyWriter(slow, seed).write();
    wrong += own == MelodyWriter(plan, seed + 1000).write();
  }
  CHECK(wrong == 0);
}

TEST_CASE("melody: the first beat is the loudest, and the middle of a phrase louder than its ends") {
  int wrong = 0;
  for (const Tune& tune : tunes()) {
    for (const Note& n : tune.notes) {
      const int at = tune.in_bar(n);
      const bool beat = at % tune.plan.beat_ticks() == 0;
      const int arch = tune.bar_of(n) % 4 == 1 || tune.bar_of(n) % 4 == 2 ? 4 : 0;
      const int touch = n.velocity - 92 - arch;
      wrong += at == 0 ? touch != 10 : touch >= 10;
      wrong += !beat && touch > 5;
    }
  }
  CHECK(wrong == 0);
}
