// midi/melody.hpp - the tune of a generated piece: a motif from noise, repeated, transposed, varied, and led to a
// cadence.
//   Gradient noise draws the contour and the density; chord tones take the strong beats, steps fill the weak ones, a
//   leap is answered by a step back, the leading tone rises. A letter that returns keeps its rhythm and changes some
//   weak notes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/midi/harmony.hpp>
#include <midigpt/midi/noise.hpp>
#include <midigpt/midi/patterns.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::dice {

/// A melody note: its place in the bar and on the scale (0 = the tonic at or above middle C, 1 = the next scale note
/// ...).
struct Tone {
  int tick = 0, length = 0;
  int position = 0;
  bool accent = false;
};

class MelodyWriter {
 public:
  MelodyWriter(const Plan& plan, std::uint64_t seed)
      : plan_(plan),
        seed_(seed),
        contour_(seed, static_cast<std::uint64_t>(Stream::contour) << 32),
        density_(seed, static_cast<std::uint64_t>(Stream::density) << 32),
        steps_(scale_steps(plan.key.mode)) {
    while (pitch(low_ - 1) >= 60) --low_;
    while (pitch(low_) < 60) ++low_;
    high_ = low_;
    while (pitch(high_ + 1) <= 84) ++high_;
  }

  [[nodiscard]] std::vector<Note> write() {
    std::vector<Note> notes;
    int previous = (low_ + high_) / 2;
    for (const Phrase& phrase : plan_.phrases) {
      const auto bars = phrase_tones(phrase, previous);
      for (int b = 0; b < phrase.bars; ++b) {
        const int bar = phrase.first_bar + b;
        const auto& tones = b + 1 == phrase.bars ? bars[3] : bars[static_cast<std::size_t>(b)];
        for (const Tone& tone : tones) {
          previous = tone.position;
          const std::int64_t start = std::int64_t{bar} * plan_.bar_ticks + tone.tick;
          const int accent = tone.tick == 0 ? 10 : tone.accent ? 5 : tone.tick % plan_.beat_ticks() == 0 ? 0 : -6;
          const int arch = b == 1 || b == 2 ? 4 : 0;
          notes.push_back({.tick = start,
                           .duration = tone.length,
                           .channel = 0,
                           .pitch = static_cast<std::uint8_t>(sounding(tone.position, bar, tone.tick)),
                           .velocity = static_cast<std::uint8_t>(92 + accent + arch)});
        }
      }
    }
    return notes;
  }

 private:
  using PhraseTones = std::array<std::vector<Tone>, 4>;

  [[nodiscard]] int size() const noexcept { return static_cast<int>(steps_.size()); }

  [[nodiscard]] int pitch(int position) const noexcept {
    const int octave = position >= 0 ? position / size() : -((size() - 1 - position) / size());
    return 60 + plan_.key.tonic() + 12 * octave + steps_[static_cast<std::size_t>(position - octave * size())];
  }

  /// The pitch that sounds: over a major dominant in minor, the seventh degree is raised.
  [[nodiscard]] int sounding(int position, int bar, int tick) const noexcept {
    const int p = pitch(position);
    const int above_tonic = (p - plan_.key.tonic() + 24) % 12;
    const bool raised = above_tonic == 10 && is_minor(plan_.key.mode) && plan_.chord_at(bar, tick).has((p + 1) % 12);
    return raised ? p + 1 : p;
  }

  [[nodiscard]] bool fits(int position, int bar, int tick) const noexcept {
    return plan_.chord_at(bar, tick).has(sounding(position, bar, tick) % 12);
  }

  /// True for a note that grates when it is held: a semitone above a chord note, or, foreign to the chord, below one.
  [[nodiscard]] bool grates(int position, int bar, int tick) const noexcept {
    const Chord& chord = plan_.chord_at(bar, tick);
    const int pc = sounding(position, bar, tick) % 12;
    return chord.has((pc + 11) % 12) || (!chord.has(pc) && chord.has((pc + 1) % 12));
  }

  /// The nearest place for a held note where it grates with no chord that it meets; short notes stay where they are.
  [[nodiscard]] int smooth(int position, int bar, const Tone& tone) const noexcept {
    if (tone.length < quarter) return position;
    const int last = tone.tick + tone.length - quarter / 2;  // what comes in its very end does not count
    const auto good = [&](int p) { return !grates(p, bar, tone.tick) && !grates(p, bar, last); };
    for (const int move : {0, -1, 1, -2, 2, -3, 3}) {
      const int p = position + move;
      if (p >= low_ && p <= high_ && good(p)) return p;
    }
    return position;
  }

  [[nodiscard]] int inside(int position) const noexcept {
    return position < low_ ? low_ : position > high_ ? high_ : position;
  }

  /// Where the contour wants to be at this time.
  [[nodiscard]] int target(int bar, int tick, char letter) const noexcept {
    const std::int64_t time = (std::int64_t{bar} * plan_.bar_ticks + tick) * 0x10000 / (2 * plan_.bar_ticks);
    const std::int64_t where = time + 0x8000 + (std::int64_t{letter} << 32);
    const int reach = high_ - low_;
    return inside((low_ + high_) / 2 + static_cast<int>(contour_.fractal(where, 3) * std::int64_t{3 * reach} >> 17));
  }

  /// The chord tone that lies nearest to both `from` and `wanted`; staying costs a little.
  [[nodiscard]] int chord_tone(int from, int wanted, int bar, int tick) const noexcept {
    int best = from, best_cost = 1 << 20;
    for (int p = low_; p <= high_; ++p) {
      if (!fits(p, bar, tick) || grates(p, bar, tick)) continue;
      const int move = p > from ? p - from : from - p;
      const int miss = p > wanted ? p - wanted : wanted - p;
      const int cost = 4 * move + 2 * miss + (move == 0 ? 4 : 0) + (move > 3 ? 4 : 0);
      if (cost < best_cost) best = p, best_cost = cost;
    }
    return best;
  }

  [[nodiscard]] std::vector<Tone> bar_rhythm(Rng& rng, char letter, int bar) const {
    const int usual = plan_.feel == Feel::ballad ? 1 : 2;
    const auto cells = patterns_of(plan_.feel).cells;
    const int cell_ticks = plan_.feel == Feel::waltz ? plan_.bar_ticks : plan_.bar_ticks / 2;
    std::vector<Tone> tones;
    for (int start = 0; start < plan_.bar_ticks; start += cell_ticks) {
      const std::int64_t where =
          (std::int64_t{letter} << 32) + bar * 0x10000 + std::int64_t{start} * 0x10000 / plan_.bar_ticks + 0x5000;
      int level = usual + static_cast<int>(density_.fractal(where, 2) * 5 >> 16);
      level = level < 0 ? 0 : level > 3 ? 3 : level;
      std::size_t first = 0, count = 0;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        if (cells[i].level == level && count++ == 0) first = i;
      }
      append_cell(tones, cells[first + rng.below(static_cast<std::uint32_t>(count))].lengths, start);
    }
    return tones;
  }

  /// Gives a bar the first half of another one's rhythm.
  void begin_like(std::vector<Tone>& tones, const std::vector<Tone>& other) const {
    const auto late = [&](const Tone& t) { return t.tick * 2 >= plan_.bar_ticks; };
    std::vector<Tone> mixed;
    for (const Tone& t : other) {
      if (!late(t)) mixed.push_back(t);
    }
    for (const Tone& t : tones) {
      if (late(t)) mixed.push_back(t);
    }
    if (plan_.feel != Feel::waltz && !mixed.empty()) tones = std::move(mixed);
  }

  void append_cell(std::vector<Tone>& tones, std::span<const std::int16_t> lengths, int start) const {
    for (const int length : lengths) {
      if (length == 0) break;
      if (length > 0) tones.push_back({.tick = start, .length = length, .accent = strong(start)});
      start += length > 0 ? length : -length;
    }
  }

  [[nodiscard]] bool strong(int tick) const noexcept {
    return tick == 0 || (plan_.feel != Feel::waltz && tick * 2 == plan_.bar_ticks);
  }

  /// Fills the positions of a bar whose rhythm is set, walking from `previous`.
  void walk(std::vector<Tone>& tones, int bar, char letter, int place, int& previous, int& leap, Rng& rng) const {
    for (Tone& tone : tones) {
      const int wanted = target(place, tone.tick, letter);
      const int above_tonic = (pitch(previous) - plan_.key.tonic() + 24) % 12;
      int next = previous;
      if (above_tonic == 11 && leap >= 0 && percent(rng, 85)) {
        next = previous + 1;  // the leading tone rises, unless a run comes down through it
      } else if ((leap > 3 || leap < -3) && percent(rng, 70)) {
        next = previous + (leap > 0 ? -1 : 1);
      } else if (tone.accent && percent(rng, 90)) {
        next = chord_tone(previous, wanted, bar, tone.tick);
      } else if (!percent(rng, 8)) {
        const int toward = wanted > previous ? 1 : wanted < previous ? -1 : percent(rng, 50) ? 1 : -1;
        next = previous + toward;
        if (percent(rng, 15) && fits(previous + 2 * toward, bar, tone.tick)) next = previous + 2 * toward;
      }
      tone.position = smooth(inside(next), bar, tone);
      leap = tone.position - previous;
      previous = tone.position;
    }
  }

  /// A motif comes back on another chord: moved along the scale so that its first note fits, its strong notes mended.
  [[nodiscard]] std::vector<Tone> transposed(const std::vector<Tone>& motif, int bar, int shift) const {
    std::vector<Tone> tones = motif;
    if (tones.empty()) return tones;
    const int start = inside(motif.front().position + shift);
    const int move = chord_tone(start, start, bar, tones.front().tick) - motif.front().position;
    for (Tone& tone : tones) {
      tone.position = inside(tone.position + move);
      if (tone.accent && !fits(tone.position, bar, tone.tick)) {
        tone.position = chord_tone(tone.position, tone.position, bar, tone.tick);
      }
      tone.position = smooth(tone.position, bar, tone);
    }
    return tones;
  }

  /// The letter as it first appears: bars 0..2; bar 3 belongs to the cadence.
  [[nodiscard]] PhraseTones statement(const Phrase& phrase, int previous) const {
    Rng rng = stream_rng(seed_, Stream::melody, static_cast<std::uint64_t>(phrase.letter));
    PhraseTones bars;
    int leap = 0;
    const int first = phrase.first_bar;
    bars[0] = bar_rhythm(rng, phrase.letter, 0);
    if (bars[0].empty())
      append_cell(bars[0], std::array<std::int16_t, 1>{static_cast<std::int16_t>(plan_.bar_ticks)}, 0);
    previous = ((low_ + high_) / 2 + target(0, 0, phrase.letter)) / 2;
    walk(bars[0], first, phrase.letter, 0, previous, leap, rng);
    const bool echo = percent(rng, 35);  // a a b c, otherwise a b a c
    const int shift = rng.between(-2, 2);
    for (int place = 1; place < 3 && place < phrase.bars; ++place) {
      const auto at = static_cast<std::size_t>(place);
      if (echo == (place == 1)) {
        bars[at] = transposed(bars[0], first + place, shift);
        if (!bars[at].empty()) previous = bars[at].back().position;
        leap = 0;
      } else {
        bars[at] = bar_rhythm(rng, phrase.letter, place);
        if (percent(rng, 65)) begin_like(bars[at], bars[0]);
        walk(bars[at], first + place, phrase.letter, place, previous, leap, rng);
      }
    }
    return bars;
  }

  /// The last bar: steps that lead to a long note on the dominant, or on the first or third degree.
  [[nodiscard]] std::vector<Tone> cadence_bar(const Phrase& phrase, int previous) const {
    Rng rng = stream_rng(
        seed_, Stream::melody,
        0x10000u + static_cast<std::uint64_t>(phrase.letter) * 4 + static_cast<std::uint64_t>(phrase.cadence));
    const int bar = phrase.first_bar + phrase.bars - 1;
    const int full = plan_.bar_ticks, beat = plan_.beat_ticks();
    std::vector<Tone> tones;
    int arrival = full / 2;
    if (phrase.cadence == Cadence::last || plan_.feel == Feel::waltz) {
      arrival = 0;
    } else {
      constexpr std::array<std::int16_t, 3> lead[] = {{480, 480}, {480, 240, 240}, {720, 240}};
      constexpr std::array<std::int16_t, 3> swing_lead[] = {{480, 480}, {480, 320, 160}, {320, 480, 160}};
      constexpr std::array<std::int16_t, 3> jig_lead[] = {{480, 240}, {240, 240, 240}, {720}};
      const std::uint32_t draw = rng.below(3);
      append_cell(tones,
                  plan_.feel == Feel::swing ? swing_lead[draw]
                  : plan_.feel == Feel::jig ? jig_lead[draw]
                                            : lead[draw],
                  0);
    }
    const int rest = phrase.cadence == Cadence::last || percent(rng, 15) ? 0 : plan_.feel == Feel::jig ? 240 : beat;
    tones.push_back({.tick = arrival, .length = full - arrival - rest, .accent = true});

    int goal = previous, best = 1 << 20;
    for (int p = low_; p <= high_; ++p) {
      const int above_tonic = (pitch(p) - plan_.key.tonic() + 24) % 12;
      const bool home = above_tonic == 0 || ((above_tonic == 3 || above_tonic == 4) && phrase.cadence == Cadence::full);
      if (phrase.cadence == Cadence::half ? !fits(p, bar, arrival) || grates(p, bar, arrival) : !home) continue;
      const int move = p > previous ? p - previous : previous - p;
      if (move < best) goal = p, best = move;
    }
    const int count = static_cast<int>(tones.size());
    for (int i = 0; i < count; ++i) {  // evenly from where the tune is, the last approach by step
      int p = previous + (goal - previous) * (i + 1) / count;
      if (i + 1 < count && p == goal) p = inside(goal + (previous >= goal ? 1 : -1) * (count - 1 - i));
      Tone& tone = tones[static_cast<std::size_t>(i)];
      tone.position = i + 1 == count ? goal : smooth(inside(p), bar, tone);
    }
    return tones;
  }

  [[nodiscard]] PhraseTones phrase_tones(const Phrase& phrase, int previous) {
    const auto letter = static_cast<std::size_t>(phrase.letter - 'A');
    PhraseTones bars;
    if (phrase.visit == 0) {
      bars = statement(phrase, previous);
      statements_[letter] = bars;
      stated_at_[letter] = phrase.first_bar;
    } else {
      bars = statements_[letter];
      vary(bars, phrase, stated_at_[letter]);
    }
    for (int b = 0; b + 1 < phrase.bars; ++b) {
      for (const Tone& tone : bars[static_cast<std::size_t>(b)]) previous = tone.position;
    }
    bars[3] = cadence_bar(phrase, previous);
    return bars;
  }

  /// A': some weak notes become neighbours of the note before; strong notes follow a chord that has changed.
  void vary(PhraseTones& bars, const Phrase& phrase, int stated_at) const {
    Rng rng = stream_rng(
        seed_, Stream::melody,
        0x20000u + static_cast<std::uint64_t>(phrase.letter) * 256 + static_cast<std::uint64_t>(phrase.visit));
    const auto share = static_cast<std::uint32_t>(rng.between(10, 30));
    for (int b = 0; b + 1 < phrase.bars; ++b) {
      const Tone* before = nullptr;
      for (Tone& tone : bars[static_cast<std::size_t>(b)]) {
        const int bar = phrase.first_bar + b;
        const bool moved = plan_.chord_at(bar, tone.tick) != plan_.chord_at(stated_at + b, tone.tick);
        if (tone.accent && moved && !fits(tone.position, bar, tone.tick)) {
          tone.position = chord_tone(tone.position, tone.position, bar, tone.tick);
        } else if (!tone.accent && before != nullptr && percent(rng, share)) {
          tone.position = inside(before->position + (percent(rng, 50) ? 1 : -1));
        }
        tone.position = smooth(tone.position, bar, tone);
        before = &tone;
      }
    }
  }

  const Plan& plan_;
  std::uint64_t seed_;
  GradientNoise contour_, density_;
  std::span<const std::uint8_t> steps_;
  int low_ = 0, high_ = 0;
  std::array<PhraseTones, 26> statements_;
  std::array<int, 26> stated_at_{};
};

}  // namespace detail::dice
}  // namespace v0
}  // namespace midigpt
