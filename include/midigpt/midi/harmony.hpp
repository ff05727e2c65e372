// midi/harmony.hpp - the plan of a generated piece: feel, key, form, and a chord for every half bar.
//   Phrases of four bars follow a form such as AABA; a letter that returns brings its chords back and ends on the
//   cadence that its place asks for: half way on the dominant, at the end home. Integers only, one stream per decision.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/midi/key.hpp>

namespace midigpt {
inline namespace v0 {

/// A way of playing: meter, tempo range, rhythms and instruments. `waltz` is 3/4, `jig` 6/8, the others 4/4.
enum class Feel : std::uint8_t { ballad, pop, dance, swing, bossa, half_time, waltz, jig };

[[nodiscard]] constexpr std::string_view feel_name(Feel feel) noexcept {
  constexpr std::string_view names[] = {"ballad", "pop", "dance", "swing", "bossa", "half-time", "waltz", "jig"};
  return names[static_cast<std::size_t>(feel)];
}

namespace detail::dice {

inline constexpr int quarter = 480;  // ticks
inline constexpr int bars_in_phrase = 4;

/// One stream of the piece's seed per decision: a change in one role leaves the others as they were.
enum class Stream : std::uint64_t {
  piece,
  form,
  chords,
  melody,
  contour,
  density,
  comping,
  bass,
  drums,
  players,
  timing,
  drift,
  v0_noise,
  v0_draw
};

[[nodiscard]] constexpr Rng stream_rng(std::uint64_t seed, Stream stream, std::uint64_t part = 0) noexcept {
  return Rng(seed, static_cast<std::uint64_t>(stream) << 32 | part);
}

[[nodiscard]] constexpr bool percent(Rng& rng, std::uint32_t p) noexcept { return rng.below(100) < p; }

/// An index drawn with the given integer weights. Requires: a positive sum.
[[nodiscard]] constexpr std::size_t weighted(Rng& rng, std::span<const std::uint8_t> weights) noexcept {
  std::uint32_t total = 0;
  for (const std::uint8_t w : weights) total += w;
  std::uint32_t draw = rng.below(total);
  std::size_t i = 0;
  while (draw >= weights[i]) draw -= weights[i++];
  return i;
}

template <class T>
[[nodiscard]] constexpr const T& pick(Rng& rng, std::span<const T> items) noexcept {
  return items[rng.below(static_cast<std::uint32_t>(items.size()))];
}

/// Three or four pitch classes, root first.
struct Chord {
  std::array<std::uint8_t, 4> pcs{};
  std::uint8_t size = 0;

  [[nodiscard]] constexpr bool has(int pc) const noexcept {
    for (std::size_t i = 0; i < size; ++i) {
      if (pcs[i] == pc) return true;
    }
    return false;
  }
  friend bool operator==(const Chord&, const Chord&) = default;
};

enum class Cadence : std::uint8_t { half, full, last };  // on the dominant, home, home for good

struct Bar {
  std::array<Chord, 2> chords;  // of its two halves; in 3/4 both are the same
  std::uint8_t place = 0;       // in its phrase, 0..3
};

struct Phrase {
  char letter = 'A';
  int visit = 0;  // how often the letter has sounded before
  Cadence cadence = Cadence::full;
  int first_bar = 0, bars = 4;
};

struct Plan {
  Key key;
  Feel feel = Feel::pop;
  int bpm = 100;
  int bar_ticks = 4 * quarter;
  std::vector<Phrase> phrases;
  std::vector<Bar> bars;

  [[nodiscard]] int beats() const noexcept { return feel == Feel::jig ? 2 : feel == Feel::waltz ? 3 : 4; }
  [[nodiscard]] int beat_ticks() const noexcept { return bar_ticks / beats(); }
  [[nodiscard]] const Chord& chord_at(int bar, int tick) const noexcept {
    return bars[static_cast<std::size_t>(bar)].chords[tick * 2 >= bar_ticks ? 1 : 0];
  }
};

/// The seven notes that harmony is built from; a pentatonic melody stands on its seven-note parent.
[[nodiscard]] constexpr std::span<const std::uint8_t> harmony_steps(Mode mode) noexcept {
  if (mode == Mode::major_pentatonic) return scale_steps(Mode::major);
  if (mode == Mode::minor_pentatonic || mode == Mode::harmonic_minor) return scale_steps(Mode::minor);
  return scale_steps(mode);
}

/// The triad (or seventh chord) on a degree 0..6 of the key. `major_third` raises a minor third (V in minor, V/V).
[[nodiscard]] constexpr Chord chord_on(Key key, int degree, bool seventh, bool major_third = false) noexcept {
  const auto steps = harmony_steps(key.mode);
  const auto above = [&](int d) { return steps[static_cast<std::size_t>(d % 7)] + (d >= 7 ? 12 : 0); };
  Chord chord;
  chord.size = seventh ? 4 : 3;
  const int root = above(degree);
  for (std::size_t i = 0; i < chord.size; ++i) {
    int interval = above(degree + 2 * static_cast<int>(i)) - root;
    if (major_third && i == 1) interval = 4;
    if (major_third && i == 2) interval = 7;
    if (major_third && i == 3) interval = 10;
    chord.pcs[i] = static_cast<std::uint8_t>((key.tonic() + root + interval) % 12);
  }
  return chord;
}

/// Which degrees serve as tonic, subdominant and dominant, with weights, per family of modes.
struct Functions {
  std::array<std::uint8_t, 7> tonic, subdominant, dominant;  // weight of each degree
  std::uint8_t cadence;                                      // the degree before the last one
};

inline constexpr Functions major_functions{{10, 0, 2, 0, 0, 5, 0}, {0, 4, 0, 6, 0, 0, 0}, {0, 0, 0, 0, 9, 0, 1}, 4};
inline constexpr Functions minor_functions{{10, 0, 3, 0, 0, 5, 0}, {0, 1, 0, 7, 0, 2, 0}, {0, 0, 0, 0, 6, 0, 4}, 4};
inline constexpr Functions dorian_functions{{10, 0, 3, 0, 0, 0, 0}, {0, 2, 0, 8, 0, 0, 0}, {0, 0, 0, 0, 3, 0, 7}, 6};
inline constexpr Functions mixolydian_functions{
    {10, 0, 0, 0, 0, 3, 0}, {0, 3, 0, 7, 0, 0, 0}, {0, 0, 0, 0, 3, 0, 7}, 6};

[[nodiscard]] constexpr const Functions& functions_of(Mode mode) noexcept {
  if (mode == Mode::dorian) return dorian_functions;
  if (mode == Mode::mixolydian) return mixolydian_functions;
  return is_minor(mode) ? minor_functions : major_functions;
}

/// Common four-bar loops, by family: nobody's work.
inline constexpr std::array<std::uint8_t, 4> major_loops[] = {
    {0, 4, 5, 3}, {5, 3, 0, 4}, {0, 5, 3, 4}, {0, 3, 1, 4}, {0, 5, 1, 4}};
inline constexpr std::array<std::uint8_t, 4> minor_loops[] = {{0, 5, 2, 6}, {0, 3, 6, 2}, {0, 6, 5, 4}, {0, 3, 5, 4}};
inline constexpr std::array<std::uint8_t, 4> dorian_loops[] = {{0, 3, 0, 3}, {0, 6, 3, 0}, {0, 2, 3, 6}};
inline constexpr std::array<std::uint8_t, 4> mixolydian_loops[] = {{0, 6, 3, 0}, {0, 3, 6, 0}, {0, 4, 6, 3}};

[[nodiscard]] constexpr std::span<const std::array<std::uint8_t, 4>> loops_of(Mode mode) noexcept {
  if (mode == Mode::dorian) return dorian_loops;
  if (mode == Mode::mixolydian) return mixolydian_loops;
  if (is_minor(mode)) return minor_loops;
  return major_loops;
}

/// The four bars of one letter, before its cadence.
[[nodiscard]] inline std::array<Bar, 4> phrase_chords(const Plan& plan, std::uint64_t seed, char letter) {
  Rng rng = stream_rng(seed, Stream::chords, static_cast<std::uint64_t>(letter));
  const Functions& functions = functions_of(plan.key.mode);
  std::array<std::uint8_t, 4> degrees{};
  if (percent(rng, 45)) {
    degrees = pick(rng, loops_of(plan.key.mode));
  } else {
    degrees[0] = percent(rng, letter == 'A' ? 80 : 30)
                     ? std::uint8_t{0}
                     : static_cast<std::uint8_t>(weighted(rng, functions.subdominant));
    degrees[1] = static_cast<std::uint8_t>(weighted(rng, percent(rng, 50) ? functions.tonic : functions.subdominant));
    degrees[2] = static_cast<std::uint8_t>(weighted(rng, percent(rng, 60) ? functions.subdominant : functions.tonic));
    degrees[3] = static_cast<std::uint8_t>(weighted(rng, functions.dominant));
  }
  const bool jazzy = plan.feel == Feel::swing || plan.feel == Feel::bossa;
  std::array<Bar, 4> bars;
  for (std::size_t i = 0; i < 4; ++i) {
    const bool seventh = percent(rng, jazzy ? 70 : 15);
    const bool to_dominant = i + 1 < 4 && degrees[i + 1] == 4;
    Chord chord = chord_on(plan.key, degrees[i], seventh, is_minor(plan.key.mode) && degrees[i] == 4);
    if (!is_minor(plan.key.mode) && to_dominant && degrees[i] == 1 && percent(rng, 25)) {
      chord = chord_on(plan.key, 1, true, true);  // V7 of V
    } else if (!is_minor(plan.key.mode) && degrees[i] == 3 && percent(rng, 8)) {
      chord = chord_on(plan.key, 3, false);
      chord.pcs[1] = static_cast<std::uint8_t>((chord.pcs[0] + 3) % 12);  // iv borrowed from minor
    }
    bars[i].chords = {chord, chord};
    bars[i].place = static_cast<std::uint8_t>(i);
    const bool can_split = plan.feel != Feel::waltz;
    if (can_split && i % 2 == 1 && percent(rng, jazzy ? 35 : 15)) {  // a second chord on the way to the next bar
      const std::size_t second = weighted(rng, functions.subdominant);
      bars[i].chords[1] = chord_on(plan.key, static_cast<int>(second), seventh);
    }
  }
  return bars;
}

/// Turns a phrase's last bar into its cadence. `before` is the bar that leads into it, if there is one.
inline void set_cadence(const Plan& plan, Cadence cadence, Bar& last, Bar* before) {
  const int degree = functions_of(plan.key.mode).cadence;
  const bool jazzy = plan.feel == Feel::swing || plan.feel == Feel::bossa;
  const Chord dominant = chord_on(plan.key, degree, jazzy, is_minor(plan.key.mode) && degree == 4);
  const Chord tonic = chord_on(plan.key, 0, false);
  if (cadence == Cadence::half) {
    last.chords = {dominant, dominant};
  } else {
    last.chords = {tonic, tonic};
    if (before != nullptr) before->chords[1] = dominant;
    if (before != nullptr && plan.feel == Feel::waltz) before->chords[0] = dominant;
  }
}

/// Key, feel, tempo and meter, each drawn unless given.
struct PlanRequest {
  std::uint64_t seed = 1;
  int bars = 8;
  const Key* key = nullptr;
  const Feel* feel = nullptr;
  int bpm = 0;  // 0 = drawn
};

[[nodiscard]] inline Plan make_plan(const PlanRequest& request) {
  constexpr std::uint8_t feel_weights[] = {18, 24, 14, 12, 9, 9, 8, 6};
  constexpr std::uint8_t mode_weights[] = {40, 30, 10, 8, 2, 5, 5};
  struct Range {
    int low, high;
  };
  constexpr Range tempos[] = {{60, 84}, {88, 124}, {118, 132}, {110, 180}, {100, 144}, {68, 96}, {96, 168}, {126, 174}};
  constexpr std::string_view forms[] = {"AABA", "AABB", "ABAC", "AAAB"};

  Rng rng = stream_rng(request.seed, Stream::piece);
  Plan plan;
  const auto tonic = static_cast<int>(rng.below(12));
  const auto mode = static_cast<Mode>(weighted(rng, mode_weights));
  const auto feel = static_cast<Feel>(weighted(rng, feel_weights));
  // the spelling with the fewest accidentals: the tonic's place on the line of fifths, seen from its signature
  const int shift = scales::signature_shift(mode);
  const int place = (((tonic * 7 - shift) % 12 + 12) % 12 + 5) % 12 - 5;  // -5 (5 flats) .. 6 (6 sharps)
  plan.key = request.key != nullptr ? *request.key : Key{static_cast<std::int8_t>(place + shift), mode};
  plan.feel = request.feel != nullptr ? *request.feel : feel;
  const Range range = tempos[static_cast<std::size_t>(plan.feel)];
  const int bpm = range.low + 2 * rng.between(0, (range.high - range.low) / 2);
  plan.bpm = request.bpm > 0 ? request.bpm : bpm;
  plan.bar_ticks = plan.feel == Feel::waltz || plan.feel == Feel::jig ? 3 * quarter : 4 * quarter;

  Rng form_rng = stream_rng(request.seed, Stream::form);
  const std::string_view form = forms[form_rng.below(4)];
  const int phrase_count = (request.bars + bars_in_phrase - 1) / bars_in_phrase;
  int visits[26] = {};
  for (int p = 0; p < phrase_count; ++p) {
    Phrase phrase;
    phrase.letter = form[static_cast<std::size_t>(p % 4)];
    phrase.visit = visits[phrase.letter - 'A']++;
    phrase.first_bar = p * bars_in_phrase;
    phrase.bars = request.bars - phrase.first_bar < bars_in_phrase ? request.bars - phrase.first_bar : bars_in_phrase;
    phrase.cadence = p + 1 == phrase_count ? Cadence::last : p % 2 == 0 ? Cadence::half : Cadence::full;
    const auto chords = phrase_chords(plan, request.seed, phrase.letter);
    for (std::size_t i = 0; i + 1 < static_cast<std::size_t>(phrase.bars); ++i) plan.bars.push_back(chords[i]);
    plan.bars.push_back(chords[3]);
    set_cadence(plan, phrase.cadence, plan.bars.back(), phrase.bars > 1 ? &plan.bars[plan.bars.size() - 2] : nullptr);
    plan.phrases.push_back(phrase);
  }
  return plan;
}

}  // namespace detail::dice
}  // namespace v0
}  // namespace midigpt
