#include <midigpt/midi/accompaniment.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

using namespace midigpt;
using namespace midigpt::detail::dice;

namespace {

constexpr int k_seeds = 300, k_bars = 16;

/// Seeds and bars of all feels: every test walks the same pieces.
Plan plan_of(int seed) {
  const auto feel = static_cast<Feel>(seed % 8);
  return make_plan({.seed = static_cast<std::uint64_t>(seed), .bars = k_bars, .feel = &feel});
}

Chord chord(int root, std::vector<int> intervals) {
  Chord c;
  for (const int i : intervals) c.pcs[c.size++] = static_cast<std::uint8_t>((root + i) % 12);
  return c;
}

Voicing voicing(std::vector<int> pitches) {
  Voicing v;
  for (const int p : pitches) v.pitch[v.size++] = p;
  return v;
}

/// All ways to put the chord's notes, each once, into 48..72: close, or close with the second from the top an octave down.
std::vector<Voicing> every_voicing(const Chord& c) {
  std::vector<std::vector<int>> sets{{}};
  for (std::size_t i = 0; i < c.size; ++i) {
    std::vector<std::vector<int>> longer;
    for (const auto& set : sets) {
      for (int p = 48; p <= 72; ++p) {
        if (p % 12 != c.pcs[i]) continue;
        longer.push_back(set);
        longer.back().push_back(p);
      }
    }
    sets = longer;
  }
  std::vector<Voicing> out;
  for (auto& set : sets) {
    std::ranges::sort(set);
    const bool close = set.back() - set.front() < 12;
    auto raised = set;
    raised.front() += 12;
    std::ranges::sort(raised);
    const bool drop = raised[raised.size() - 2] == set.front() + 12 && raised.back() - raised.front() < 12;
    if (close || drop) out.push_back(voicing(set));
  }
  return out;
}

std::vector<Note> in_bar(const std::vector<Note>& notes, const Plan& plan, int bar) {
  std::vector<Note> out;
  for (Note n : notes) {
    if (n.tick / plan.bar_ticks != bar) continue;
    n.tick -= std::int64_t{bar} * plan.bar_ticks;
    out.push_back(n);
  }
  return out;
}

}  // namespace

TEST_CASE("accompaniment: the bass has one pitch for each root, within its octave") {
  std::set<int> pitches;
  for (int pc = 0; pc < 12; ++pc) {
    const int root = bass_root(chord(pc, {0, 4, 7}));
    CHECK(root % 12 == pc);
    pitches.insert(root);
  }
  CHECK(*pitches.begin() == 31);
  CHECK(*pitches.rbegin() == 42);
}

TEST_CASE("accompaniment: no voicing in the register costs less than the one that is led to") {
  const std::vector<std::vector<int>> kinds{{0, 4, 7},     {0, 3, 7},     {0, 3, 6},     {0, 4, 7, 11},
                                            {0, 4, 7, 10}, {0, 3, 7, 10}, {0, 3, 6, 10}};
  Rng rng(1);
  int wrong = 0;
  Voicing from;
  int bass = 0;
  for (int i = 0; i < 1500; ++i) {
    const Chord next = chord(static_cast<int>(rng.below(12)), kinds[rng.below(7)]);
    const int next_bass = bass_root(next);
    const Voicing led = lead_voices(next, from, bass, next_bass);
    int least = 1 << 20;
    bool among = false;
    for (const Voicing& v : every_voicing(next)) {
      least = (std::min)(least, voicing_cost(from, bass, v, next_bass));
      among = among || (v.size == led.size && v.pitch == led.pitch);
    }
    wrong += !among || voicing_cost(from, bass, led, next_bass) != least;
    from = led, bass = next_bass;
  }
  CHECK(wrong == 0);
}

TEST_CASE("accompaniment: parallel fifths and octaves with the bass are fined, and nothing else is") {
  const Voicing from = voicing({55, 60, 64});
  int wrong = 0, fined = 0;
  for (int from_bass = 28; from_bass <= 50; ++from_bass) {
    for (int top = 58; top <= 72; ++top) {
      const Voicing to = voicing({top - 8, top - 4, top});
      int least = 1 << 20;
      for (int bass = 28; bass <= 50; ++bass) least = (std::min)(least, voicing_cost(from, from_bass, to, bass));
      for (int bass = 28; bass <= 50; ++bass) {
        const int before = (64 - from_bass) % 12, after = (top - bass) % 12;
        const bool parallel = (top - 64) * (bass - from_bass) > 0 && before == after && (after == 0 || after == 7);
        wrong += voicing_cost(from, from_bass, to, bass) - least != (parallel ? 60 : 0);
        fined += parallel;
      }
    }
  }
  CHECK(fined > 20);
  CHECK(wrong == 0);
  // by the step: the same chord a tone up costs more than its nearest inversion, standing still costs least
  CHECK(voicing_cost(from, 36, from, 36) < voicing_cost(from, 36, voicing({55, 60, 65}), 36));
  CHECK(voicing_cost(from, 36, voicing({55, 59, 62}), 43) < voicing_cost(from, 36, voicing({62, 67, 71}), 43));
}

TEST_CASE("accompaniment: chords move by small steps, without parallel fifths or octaves against the bass") {
  double motion = 0;
  int moves = 0, parallels = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Plan plan = make_plan({.seed = seed, .bars = k_bars});
    Voicing before;
    int bass = 0;
    Chord at;
    for (const Bar& bar : plan.bars) {
      for (const Chord& next : bar.chords) {
        if (before.size != 0 && next == at) continue;
        const Voicing v = lead_voices(next, before, bass, bass_root(next));
        REQUIRE(v.size >= 3);
        if (before.size != 0) {
          const int top = v.pitch[v.size - 1], from = before.pitch[before.size - 1];
          motion += std::abs(top - from);
          ++moves;
          const int interval = (top - bass_root(next)) % 12;
          const bool same_way = (top > from) == (bass_root(next) > bass) && top != from && bass_root(next) != bass;
          parallels += same_way && interval == (from - bass) % 12 && (interval == 0 || interval == 7);
        }
        before = v, bass = bass_root(next), at = next;
      }
    }
  }
  CHECK(motion / moves < 2.5);
  CHECK(parallels == 0);
}

TEST_CASE("accompaniment: chords sound only notes of the chord that they meet, and every chord is heard") {
  int foreign = 0, unheard = 0, thin_end = 0;
  for (int seed = 0; seed < k_seeds; ++seed) {
    const Plan plan = plan_of(seed);
    const auto notes = write_chords(plan, static_cast<std::uint64_t>(seed));
    for (int bar = 0; bar < k_bars; ++bar) {
      std::array<int, 2> heard{};
      std::set<int> last_chord;
      for (const Note& n : in_bar(notes, plan, bar)) {
        const int begin = static_cast<int>(n.tick), end = static_cast<int>(n.tick + n.duration);
        foreign += end > plan.bar_ticks;
        foreign += !plan.chord_at(bar, begin).has(n.pitch % 12) || !plan.chord_at(bar, end - 1).has(n.pitch % 12);
        ++heard[begin * 2 >= plan.bar_ticks ? 1 : 0];
        last_chord.insert(n.pitch % 12);
      }
      const auto& two = plan.bars[static_cast<std::size_t>(bar)].chords;
      unheard += two[0] == two[1] ? heard[0] + heard[1] == 0 : heard[0] == 0 || heard[1] == 0;
      thin_end += bar + 1 == k_bars && last_chord.size() != two[0].size;
    }
  }
  CHECK(foreign == 0);
  CHECK(unheard == 0);
  CHECK(thin_end == 0);  // the piece ends on the whole chord
}

TEST_CASE("accompaniment: the bass says each chord's root first and leads into the next bar by step") {
  int wrong = 0, approaches = 0, changes = 0;
  for (int seed = 0; seed < k_seeds; ++seed) {
    const Plan plan = plan_of(seed);
    const auto notes = write_bass(plan, static_cast<std::uint64_t>(seed));
    const Mode mode = plan.key.mode;  // the bass walks in natural minor wherever the third is minor
    const std::uint16_t scale = scale_mask({plan.key.fifths, is_minor(mode) ? Mode::minor : mode});
    for (int bar = 0; bar < k_bars; ++bar) {
      const auto played = in_bar(notes, plan, bar);
      wrong += played.empty() || played[0].pitch != bass_root(plan.chord_at(bar, 0));
      const auto& two = plan.bars[static_cast<std::size_t>(bar)].chords;
      std::int64_t end = 0;
      bool second = two[0] == two[1];
      for (const Note& n : played) {
        wrong += n.tick < end || n.tick + n.duration > plan.bar_ticks || n.pitch < 28 || n.pitch > 54;
        end = n.tick + n.duration;
        const Chord& now = plan.chord_at(bar, static_cast<int>(n.tick));
        if (!second && n.tick * 2 >= plan.bar_ticks) {
          second = true;
          ++changes;
          wrong += n.pitch != bass_root(now);
        } else if (!now.has(n.pitch % 12)) {  // foreign to the chord: on the way to the root of the next bar
          ++approaches;
          const int next = bar + 1 < k_bars ? bass_root(plan.chord_at(bar + 1, 0)) : 0;
          const int here = bass_root(now), left = n.pitch - next;
          wrong += end != played.back().tick + played.back().duration;  // the last note of the bar
          wrong += std::abs(left) < 1 || std::abs(left) > 2 || (left < 0) != (here < next);
          wrong += mode != Mode::major_pentatonic && (scale >> (n.pitch % 12) & 1) == 0;
        }
      }
    }
    const auto last = in_bar(notes, plan, k_bars - 1);
    wrong += last.size() != 1 || last[0].duration != plan.bar_ticks || last[0].pitch % 12 != plan.key.tonic();
  }
  CHECK(wrong == 0);
  CHECK(approaches > k_seeds);
  CHECK(changes > k_seeds);
}

TEST_CASE("accompaniment: drums keep their beat in every bar, fill at the end of a phrase, and stop with the piece") {
  int wrong = 0, fills = 0;
  for (int seed = 0; seed < k_seeds; ++seed) {
    const Plan plan = plan_of(seed);
    const auto notes = write_drums(plan, static_cast<std::uint64_t>(seed));
    const auto rows = patterns_of(plan.feel).drums;
    const int step_ticks = plan.bar_ticks / static_cast<int>(rows[0].chances.size());
    std::set<int> kit{crash, open_hat, snare, high_tom, mid_tom, low_tom, floor_tom};
    for (const DrumRow& row : rows) kit.insert(row.key);
    for (const Note& n : notes) {
      wrong += n.channel != 9 || n.duration != 60 || n.tick % step_ticks != 0 || !kit.contains(n.pitch);
      wrong += n.velocity < 20 || n.velocity > 120;
    }
    for (const Phrase& phrase : plan.phrases) {
      for (int b = 0; b + 1 < phrase.bars; ++b) {  // bars without a fill
        const auto bar = in_bar(notes, plan, phrase.first_bar + b);
        for (const DrumRow& row : rows) {
          for (std::size_t step = 0; step < row.chances.size(); ++step) {
            const auto tick = static_cast<std::int64_t>(step) * step_ticks;
            const bool hit = std::ranges::any_of(bar, [&](const Note& n) {
              const bool same = n.pitch == row.key || (row.key == closed_hat && n.pitch == open_hat);
              return n.tick == tick && (same || (tick == 0 && b == 0 && n.pitch == crash));
            });
            wrong += row.chances[step] == 'X' && !hit;
            wrong += row.chances[step] == '.' && std::ranges::any_of(bar, [&](const Note& n) {
                       return n.tick == tick && n.pitch == row.key && row.key != open_hat;
                     });
          }
        }
        if (b > 1) wrong += bar != in_bar(notes, plan, phrase.first_bar + 1);  // one pattern a phrase
      }
      const int end_bar = phrase.first_bar + phrase.bars - 1;
      const auto end = in_bar(notes, plan, end_bar);
      if (phrase.cadence == Cadence::last) {
        wrong += end.empty() || end[0].pitch != crash || end.back().tick * 2 > plan.bar_ticks;
      } else {  // one beat half way, two at the end (in a jig a beat has two halves): down from the snare over the toms
        const int beats = phrase.cadence == Cadence::half ? 1 : 2;
        const int fill = plan.bar_ticks - beats * (plan.feel == Feel::jig ? 360 : 480);
        std::vector<int> order;
        for (const Note& n : end) {
          if (n.tick < fill) continue;
          const std::array down{snare, high_tom, mid_tom, low_tom, floor_tom};
          order.push_back(static_cast<int>(std::ranges::find(down, n.pitch) - down.begin()));
        }
        fills += !order.empty();
        wrong += order.empty() || order.front() != 0 || order.back() == 5 || !std::ranges::is_sorted(order);
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(fills == 3 * k_seeds);
}

TEST_CASE("accompaniment: ghost notes and chances come as often as the rows say") {
  // one letter's pattern is one draw: the pop bass drum's 4 in tenths on the fourth beat's eve, over many seeds
  const Feel feel = Feel::pop;
  int drawn = 0, always = 0, ghosts = 0;
  constexpr int seeds = 3000;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const Plan plan = make_plan({.seed = seed, .bars = 4, .feel = &feel});
    const auto bar = in_bar(write_drums(plan, seed), plan, 1);
    for (const Note& n : bar) {
      drawn += n.pitch == kick && n.tick == 6 * 120;
      always += n.pitch == snare && n.tick == 4 * 120;
      ghosts += n.pitch == snare && n.velocity == 40;
    }
  }
  CHECK(always == seeds);
  CHECK(std::abs(drawn - 0.4 * seeds) < 5 * std::sqrt(0.24 * seeds));
  CHECK(std::abs(ghosts - 0.3 * seeds) < 5 * std::sqrt(0.25 * seeds));  // chances 1 and 2
}
