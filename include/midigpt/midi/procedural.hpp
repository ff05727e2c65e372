// midi/procedural.hpp - music from a seed: dice() composes a piece with form, harmony, melody, bass and drums.
//   The same options give the same Score on every platform, at any optimisation. The roles come from streams of their
//   own: DiceStyle::melody of a seed is the melody of that seed's band. All times lie on a grid of 16ths, triplets and
//   8th triplets (20 ticks), fit for training text; `humanise` leaves the grid, for listening.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/midi/accompaniment.hpp>
#include <midigpt/midi/harmony.hpp>
#include <midigpt/midi/key.hpp>
#include <midigpt/midi/melody.hpp>
#include <midigpt/midi/noise.hpp>
#include <midigpt/midi/patterns.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

enum class DiceStyle : std::uint8_t { melody, chords, drums, band };

[[nodiscard]] constexpr std::string_view dice_style_name(DiceStyle style) noexcept {
  constexpr std::string_view names[] = {"melody", "chords", "drums", "band"};
  return names[static_cast<std::size_t>(style)];
}

struct DiceOptions {
  std::uint64_t seed = 1;
  int bars = 8;  // 1..10000, brought into that range
  DiceStyle style = DiceStyle::band;
  std::optional<Key> key = std::nullopt;  // what is not given is drawn from the seed
  std::optional<Feel> feel = std::nullopt;
  std::optional<int> bpm = std::nullopt;  // quarters a minute, brought into 20..300
  bool humanise = false;  // timing, strum, swing and velocity as players have them: for ears, not for training
};

/// The version of the rules behind dice(): a seed's music changes only together with this number.
inline constexpr int k_dice_version = 1;

namespace detail::dice {

/// Notes by tick, none sounding into the next one of its pitch.
inline void settle(std::vector<Note>& notes) {
  midi_score::sort_by_tick(notes);
  std::array<std::size_t, 128> last;
  last.fill(notes.size());
  for (std::size_t i = 0; i < notes.size(); ++i) {
    std::size_t& before = last[notes[i].pitch];
    if (before < i) {
      Note& held = notes[before];
      held.duration = (std::min)(held.duration, (std::max)(notes[i].tick - held.tick, std::int64_t{1}));
    }
    before = i;
  }
}

/// What players do to written notes: they lean early or late, drift, strum, swing the 16ths and vary the touch.
inline void humanise(std::vector<Note>& notes, const Plan& plan, std::uint64_t seed) {
  const auto role = notes.empty() ? std::uint64_t{0} : std::uint64_t{notes[0].channel};
  Rng rng = stream_rng(seed, Stream::timing, role);
  const GradientNoise drift(seed, static_cast<std::uint64_t>(Stream::drift) << 32 | role);
  Rng swing_rng = stream_rng(seed, Stream::timing, 0x100u);
  const bool sixteenths = plan.feel == Feel::pop || plan.feel == Feel::half_time || plan.feel == Feel::bossa;
  const int swing = sixteenths ? swing_rng.between(0, 30) : 0;  // ticks that every second 16th comes late: 0.50 to 0.62
  const std::int64_t us_per_quarter = 60000000 / plan.bpm;
  int strum = 0;
  std::int64_t chord_tick = -1;
  for (Note& note : notes) {
    std::int64_t us = note.channel == 2                               ? 5000
                      : note.pitch == snare && note.channel == 9      ? 3000
                      : note.pitch == closed_hat && note.channel == 9 ? -4000
                                                                      : 0;
    us += std::int64_t{drift.fractal(note.tick * 0x10000 / (4 * quarter), 2)} * 18000 >> 16;
    us += (rng.between(-1000, 1000) + rng.between(-1000, 1000) + rng.between(-1000, 1000)) * 3;  // deviation 3 ms
    us = std::clamp(us, std::int64_t{-20000}, std::int64_t{20000});
    if (note.channel == 1) {  // a chord is struck from below, 0 to 18 ms in all
      strum = note.tick == chord_tick ? strum + rng.between(0, 6000) : 0;
      chord_tick = note.tick;
      us += strum;
    }
    std::int64_t shift = us * quarter / us_per_quarter;
    if (note.tick % (quarter / 2) == quarter / 4) shift += swing;
    note.tick = (std::max)(note.tick + shift, std::int64_t{0});
    if (note.channel != 9) note.duration = (std::max)(note.duration * rng.between(85, 100) / 100, std::int64_t{1});
    note.velocity = static_cast<std::uint8_t>(std::clamp(note.velocity + rng.between(-6, 6), 1, 127));
  }
}

}  // namespace detail::dice

/// Composes a piece. Deterministic in its options; every role of the style has notes.
[[nodiscard]] inline Score dice(const DiceOptions& options = {}) {
  namespace dice = detail::dice;
  dice::PlanRequest request{.seed = options.seed, .bars = std::clamp(options.bars, 1, 10000)};
  if (options.key) request.key = &*options.key;
  if (options.feel) request.feel = &*options.feel;
  if (options.bpm) request.bpm = std::clamp(*options.bpm, 20, 300);
  const dice::Plan plan = dice::make_plan(request);

  Score score;
  score.tempos.push_back({.tick = 0, .us_per_quarter = static_cast<std::uint32_t>(60000000 / plan.bpm)});
  const bool eighths = plan.feel == Feel::jig;
  score.time_signatures.push_back({.tick = 0,
                                   .numerator = static_cast<std::uint8_t>(eighths ? 6 : plan.beats()),
                                   .denominator_log2 = static_cast<std::uint8_t>(eighths ? 3 : 2),
                                   .clocks_per_click = static_cast<std::uint8_t>(eighths ? 36 : 24)});
  score.key_signatures.push_back(key_signature(plan.key));

  Rng rng = dice::stream_rng(options.seed, dice::Stream::players);
  const dice::Players& players = dice::pick(rng, dice::patterns_of(plan.feel).players);
  const auto add = [&](const char* name, std::uint8_t channel, std::uint8_t program, std::vector<Note> notes) {
    if (options.humanise) dice::humanise(notes, plan, options.seed);
    dice::settle(notes);
    Track track;
    track.name = name;
    track.events.push_back({.tick = 0, .status = static_cast<std::uint8_t>(0xC0 | channel), .data1 = program});
    track.end_tick = std::int64_t{plan.bar_ticks} * request.bars;
    for (const Note& n : notes) track.end_tick = (std::max)(track.end_tick, n.tick + n.duration);
    track.notes = std::move(notes);
    score.tracks.push_back(std::move(track));
  };
  const bool band = options.style == DiceStyle::band;
  if (band || options.style == DiceStyle::melody) {
    add("Melody", 0, players.program[0], dice::MelodyWriter(plan, options.seed).write());
  }
  if (band || options.style == DiceStyle::chords)
    add("Chords", 1, players.program[1], dice::write_chords(plan, options.seed));
  if (band) add("Bass", 2, players.program[2], dice::write_bass(plan, options.seed));
  if (band || options.style == DiceStyle::drums) add("Drums", 9, 0, dice::write_drums(plan, options.seed));

  std::string form;
  for (const dice::Phrase& phrase : plan.phrases) form.push_back(phrase.letter);
  const std::string facts = concat({"midigpt dice ", k_dice_version, ": seed=", options.seed, " bars=", request.bars, " style=",
      dice_style_name(options.style), " key=", key_name(plan.key), " feel=", feel_name(plan.feel), " bpm=", plan.bpm, " form=", form,
      " humanise=", options.humanise ? "1" : "0"});
  std::vector<MetaEvent>& metas = score.tracks[0].metas;
  metas.push_back({.tick = 0, .type = 1, .data = facts});
  metas.push_back({.tick = 0, .type = 1, .data = "Generated by rules and a seed; dedicated to the public domain (CC0 1.0)"});
  return score;
}

}  // namespace v0
}  // namespace midigpt
