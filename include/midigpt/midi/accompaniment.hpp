// midi/accompaniment.hpp - the band of a generated piece: chords led voice by voice, bass, drums.
//   A letter of the form picks one of its feel's patterns and keeps it, so that what returns sounds the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/midi/harmony.hpp>
#include <midigpt/midi/patterns.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::dice {

/// The root's pitch in the bass register, 31..42.
[[nodiscard]] constexpr int bass_root(const Chord& chord) noexcept { return 31 + (chord.pcs[0] + 5) % 12; }

struct Voicing {
  std::array<int, 4> pitch{};  // ascending
  std::size_t size = 0;
};

/// The cost of going from one voicing to the next: motion of each voice, distance from the middle of the register, and
/// a heavy fine for fifths or octaves in parallel between the top voice and the bass.
[[nodiscard]] inline int voicing_cost(const Voicing& from, int from_bass, const Voicing& to, int to_bass) noexcept {
  int cost = 0, sum = 0;
  for (std::size_t i = 0; i < to.size; ++i) sum += to.pitch[i];
  const int middle = sum / static_cast<int>(to.size) - 58;
  cost += middle * middle / 4;
  if (from.size == 0) return cost;
  for (std::size_t i = 0; i < to.size; ++i) {  // each voice from the nearest one before it
    int nearest = 1 << 10;
    for (std::size_t j = 0; j < from.size; ++j) {
      const int move = to.pitch[i] > from.pitch[j] ? to.pitch[i] - from.pitch[j] : from.pitch[j] - to.pitch[i];
      nearest = move < nearest ? move : nearest;
    }
    cost += 3 * nearest;
  }
  const int top = to.pitch[to.size - 1], from_top = from.pitch[from.size - 1];
  const int leap = top > from_top ? top - from_top : from_top - top;
  cost += leap;
  const int interval = (top - to_bass) % 12, before = (from_top - from_bass) % 12;
  const bool same_way = (top > from_top && to_bass > from_bass) || (top < from_top && to_bass < from_bass);
  if (same_way && interval == before && (interval == 0 || interval == 7)) cost += 60;
  return cost;
}

/// Every inversion in close position, and the same with the second voice from the top an octave lower, within 48..72.
[[nodiscard]] inline Voicing lead_voices(const Chord& chord, const Voicing& from, int from_bass, int bass) {
  Voicing best;
  int best_cost = 1 << 20;
  const auto consider = [&](const Voicing& v) {
    if (v.pitch[0] < 48 || v.pitch[v.size - 1] > 72) return;
    const int cost = voicing_cost(from, from_bass, v, bass);
    if (cost < best_cost) best = v, best_cost = cost;
  };
  for (std::size_t inversion = 0; inversion < chord.size; ++inversion) {
    for (int lowest = 48; lowest <= 67; ++lowest) {
      if (lowest % 12 != chord.pcs[inversion]) continue;
      Voicing v;
      v.size = chord.size;
      v.pitch[0] = lowest;
      for (std::size_t i = 1; i < v.size; ++i) {
        const int pc = chord.pcs[(inversion + i) % chord.size];
        v.pitch[i] = v.pitch[i - 1] + ((pc - v.pitch[i - 1]) % 12 + 12) % 12;
      }
      consider(v);
      const std::size_t second = v.size - 2;
      const int dropped = v.pitch[second] - 12;
      for (std::size_t i = second; i > 0; --i) v.pitch[i] = v.pitch[i - 1];
      v.pitch[0] = dropped;
      consider(v);
    }
  }
  return best;
}

[[nodiscard]] inline std::vector<Note> write_chords(const Plan& plan, std::uint64_t seed) {
  std::vector<Note> notes;
  std::array<Voicing, 26> opening;  // of each letter: what returns begins as it began
  Voicing voicing;
  int bass = 0;
  Chord current;
  const auto lead = [&](const Chord& chord) {
    if (voicing.size != 0 && chord == current) return;
    const int next_bass = bass_root(chord);
    voicing = lead_voices(chord, voicing, bass, next_bass);
    bass = next_bass;
    current = chord;
  };
  const auto strike = [&](std::int64_t start, int length, int voice, int velocity) {
    for (std::size_t v = 0; v < voicing.size; ++v) {
      if (voice >= 0 && v != static_cast<std::size_t>(voice) % voicing.size) continue;
      notes.push_back({.tick = start,
                       .duration = length,
                       .channel = 1,
                       .pitch = static_cast<std::uint8_t>(voicing.pitch[v]),
                       .velocity = static_cast<std::uint8_t>(velocity)});
    }
  };
  for (const Phrase& phrase : plan.phrases) {
    Rng rng = stream_rng(seed, Stream::comping, static_cast<std::uint64_t>(phrase.letter));
    const ChordPattern& pattern = pick(rng, patterns_of(plan.feel).chords);
    Voicing& first = opening[static_cast<std::size_t>(phrase.letter - 'A')];
    if (phrase.visit > 0 && phrase.bars > 1) {
      current = plan.chord_at(phrase.first_bar, 0);
      bass = bass_root(current);
      voicing = first;
    } else {
      lead(plan.chord_at(phrase.first_bar, 0));
      first = voicing;
    }
    for (int b = 0; b < phrase.bars; ++b) {
      const int bar = phrase.first_bar + b;
      const std::int64_t start = std::int64_t{bar} * plan.bar_ticks;
      if (phrase.cadence == Cadence::last && b + 1 == phrase.bars) {
        lead(plan.chord_at(bar, 0));
        strike(start, plan.bar_ticks, -1, 72);
        continue;
      }
      const int half = plan.bar_ticks / 2;
      const bool split = plan.chord_at(bar, 0) != plan.chord_at(bar, half);
      bool second_struck = false;
      for (const Stroke& s : pattern) {
        if (s.length == 0) break;
        if (split && s.tick > half && !second_struck) {  // the pattern is silent where the chord changes: play it there
          lead(plan.chord_at(bar, half));
          strike(start + half, s.tick - half, -1, 70);
        }
        second_struck = second_struck || s.tick >= half;
        lead(plan.chord_at(bar, s.tick));
        const int length = split && s.tick < half && s.tick + s.length > half ? half - s.tick : s.length;
        strike(start + s.tick, length, s.voice, s.tick == 0 ? 76 : s.voice >= 0 ? 66 : 70);
      }
      if (split && !second_struck) {
        lead(plan.chord_at(bar, half));
        strike(start + half, half, -1, 70);
      }
    }
  }
  return notes;
}

[[nodiscard]] inline std::vector<Note> write_bass(const Plan& plan, std::uint64_t seed) {
  std::vector<Note> notes;
  const int bar_count = static_cast<int>(plan.bars.size());
  const std::uint16_t scale = scale_mask({plan.key.fifths, is_minor(plan.key.mode) ? Mode::minor : plan.key.mode});
  const auto add = [&](std::int64_t tick, int length, int pitch, int velocity) {
    notes.push_back({.tick = tick,
                     .duration = length,
                     .channel = 2,
                     .pitch = static_cast<std::uint8_t>(pitch),
                     .velocity = static_cast<std::uint8_t>(velocity)});
  };
  for (const Phrase& phrase : plan.phrases) {
    Rng rng = stream_rng(seed, Stream::bass, static_cast<std::uint64_t>(phrase.letter));
    const BassPattern& pattern = pick(rng, patterns_of(plan.feel).bass);
    for (int b = 0; b < phrase.bars; ++b) {
      const int bar = phrase.first_bar + b;
      const std::int64_t start = std::int64_t{bar} * plan.bar_ticks;
      if (phrase.cadence == Cadence::last && b + 1 == phrase.bars) {
        add(start, plan.bar_ticks, bass_root(plan.chord_at(bar, 0)), 92);
        continue;
      }
      const int next_root = bass_root(plan.chord_at(bar + 1 < bar_count ? bar + 1 : bar, 0));
      bool second = plan.chord_at(bar, 0) == plan.chord_at(bar, plan.bar_ticks / 2);
      for (const BassStroke& s : pattern) {
        if (s.length == 0) break;
        const Chord& chord = plan.chord_at(bar, s.tick);
        const int root = bass_root(chord);
        int pitch = root;
        if (!second && s.tick * 2 >= plan.bar_ticks) {
          second = true;  // a new chord announces its root
        } else if (s.what == 'f') {
          pitch = root + (chord.pcs[2] - chord.pcs[0] + 12) % 12;
          if (pitch > 45) pitch -= 12;
        } else if (s.what == 't') {
          pitch = root + (chord.pcs[1] - chord.pcs[0] + 12) % 12;
        } else if (s.what == 'o') {
          pitch = root + 12;
        } else if (s.what == 'a' &&
                   next_root != root) {  // the scale note beside the next root, on the side we come from
          const int side = root < next_root ? -1 : 1;
          pitch = next_root + side;
          if ((scale >> (pitch % 12) & 1) == 0) pitch += side;
        } else if (s.what == 'a') {
          pitch = root + (chord.pcs[2] - chord.pcs[0] + 12) % 12 - 12;
          if (pitch < 28) pitch += 12;
        }
        const int length = s.tick + s.length > plan.bar_ticks ? plan.bar_ticks - s.tick : s.length;
        add(start + s.tick, length, pitch, s.tick == 0 ? 96 : s.tick % plan.beat_ticks() == 0 ? 88 : 82);
      }
    }
  }
  return notes;
}

[[nodiscard]] inline std::vector<Note> write_drums(const Plan& plan, std::uint64_t seed) {
  constexpr int hit_ticks = quarter / 8;
  std::vector<Note> notes;
  const auto rows = patterns_of(plan.feel).drums;
  const int steps = static_cast<int>(rows[0].chances.size());
  const int step_ticks = plan.bar_ticks / steps;
  const auto add = [&](std::int64_t tick, std::uint8_t key, int velocity) {
    notes.push_back({.tick = tick,
                     .duration = hit_ticks,
                     .channel = 9,
                     .pitch = key,
                     .velocity = static_cast<std::uint8_t>(velocity)});
  };
  char before = 0;
  for (const Phrase& phrase : plan.phrases) {
    Rng rng = stream_rng(seed, Stream::drums, static_cast<std::uint64_t>(phrase.letter));
    std::vector<Note> pattern;  // of one bar
    const bool opens = percent(rng, 30);
    for (int step = 0; step < steps; ++step) {
      for (const DrumRow& row : rows) {
        const char c = row.chances[static_cast<std::size_t>(step)];
        const bool ghost = c != 'X' && row.key == snare;
        if (c == '.' || (c != 'X' && !percent(rng, static_cast<std::uint32_t>(c - '0') * 10))) continue;
        const bool open = opens && row.key == closed_hat && step == steps - 2;
        const int accent = step == 0 ? 8 : step * step_ticks % plan.beat_ticks() == 0 ? 4 : 0;
        pattern.push_back({.tick = step * step_ticks,
                           .duration = hit_ticks,
                           .channel = 9,
                           .pitch = open ? open_hat : row.key,
                           .velocity = static_cast<std::uint8_t>(ghost ? 40 : row.velocity + accent)});
      }
    }
    // the last bar of a phrase: a fill of one beat half way, of two beats at its end, tuned by the form
    Rng fill_rng = stream_rng(
        seed, Stream::drums,
        0x10000u + static_cast<std::uint64_t>(phrase.letter) * 4 + static_cast<std::uint64_t>(phrase.cadence));
    constexpr std::uint8_t toms[] = {snare, high_tom, mid_tom, low_tom, floor_tom};
    for (int b = 0; b < phrase.bars; ++b) {
      const std::int64_t start = std::int64_t{phrase.first_bar + b} * plan.bar_ticks;
      const bool last_bar = b + 1 == phrase.bars;
      if (last_bar && phrase.cadence == Cadence::last) {  // the band holds its last chord, the beat runs out under it
        add(start, crash, 104);
        for (const Note& hit : pattern) {
          if (hit.tick * 2 > plan.bar_ticks) break;
          add(start + hit.tick, hit.pitch, hit.velocity - static_cast<int>(hit.tick * 30 / plan.bar_ticks));
        }
        continue;
      }
      if (b == 0 && phrase.letter != before) add(start, crash, 100);
      const int fill_beats = !last_bar ? 0 : phrase.cadence == Cadence::half ? 1 : 2;
      const int fill_tick =
          plan.bar_ticks - fill_beats * (plan.feel == Feel::jig ? plan.beat_ticks() / 2 : plan.beat_ticks());
      for (const Note& hit : pattern) {
        if (hit.tick >= fill_tick) break;
        if (b == 0 && phrase.letter != before && hit.tick == 0 && (hit.pitch == closed_hat || hit.pitch == ride))
          continue;
        add(start + hit.tick, hit.pitch, hit.velocity);
      }
      const std::int64_t length = plan.bar_ticks - fill_tick;
      for (std::int64_t t = fill_tick; t < plan.bar_ticks; t += step_ticks) {
        const bool on_beat = (t - fill_tick) % plan.beat_ticks() == 0;
        const bool on_eighth = t % (quarter / 2) == 0;
        if (!on_beat && !percent(fill_rng, on_eighth ? 90 : 35)) continue;
        const auto down = static_cast<std::size_t>((t - fill_tick) * 5 / length);
        add(start + t, toms[down], on_beat ? 100 : 86);
      }
    }
    before = phrase.letter;
  }
  return notes;
}

}  // namespace detail::dice
}  // namespace v0
}  // namespace midigpt
