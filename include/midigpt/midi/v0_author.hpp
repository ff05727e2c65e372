// midi/v0_author.hpp - the Perlin generator that this project began with, by its rules: noise picks the degree, coins
// the
//   rhythm. One role a piece, one 16th a note. The same distribution as the original, not the same notes: that one was
//   seeded by the clock, this one by a seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/midi/harmony.hpp>
#include <midigpt/midi/key.hpp>
#include <midigpt/midi/noise.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

enum class V0Role : std::uint8_t { chords, drums, bass, melody };

[[nodiscard]] constexpr std::string_view v0_role_name(V0Role role) noexcept {
  constexpr std::string_view names[] = {"chords", "drums", "bass", "melody"};
  return names[static_cast<std::size_t>(role)];
}

struct V0Options {
  std::uint64_t seed = 1;
  int bars = 8;  // 1..10000, brought into that range
  V0Role role = V0Role::melody;
  std::optional<Key> key =
      std::nullopt;  // its tonic; the mode is always major. Not given: one of 13 spellings is drawn
  std::optional<int> bpm = std::nullopt;  // brought into 20..300; not given: 60..149 is drawn
  bool jazz = false;                      // a fourth voice in the chords
  bool fix_zero_length_drums = true;      // false: drum hits end where they begin, as the original wrote them
};

namespace detail::v0_author {

/// Sixteen fair coins, one for each 16th of a bar, and the steps that always sound.
[[nodiscard]] constexpr std::uint32_t rhythm(Rng& rng, std::uint32_t always) noexcept {
  return static_cast<std::uint32_t>(rng.next() >> 48) | always;
}

inline constexpr std::uint32_t every_beat = 0x1111, beats_1_3 = 0x0101, beats_2_4 = 0x1010, beat_1 = 0x0001;

/// A slow walk over scale degrees: the noise advances by 0.01 a note; its size in hundredths, modulo 7, is the degree.
class DegreeWalk {
 public:
  DegreeWalk(std::uint64_t seed, Rng& rng)
      : noise_(seed, static_cast<std::uint64_t>(dice::Stream::v0_noise) << 32, Fade::cubic),
        start_(static_cast<std::int64_t>(rng.next() >> 48)) {}

  [[nodiscard]] int next() noexcept {
    const std::int64_t value = noise_.fractal(start_ + count_++ * 0x10000 / 100, 3);
    return static_cast<int>(((value < 0 ? -value : value) * 100 >> 16) % 7);
  }

 private:
  GradientNoise noise_;
  std::int64_t start_, count_ = 0;
};

/// 0, 1 or 2 octaves with weights 10, 3, 1.
[[nodiscard]] constexpr int octaves(Rng& rng) noexcept {
  const std::uint32_t draw = rng.below(14);
  return draw < 10 ? 0 : draw < 13 ? 1 : 2;
}

}  // namespace detail::v0_author

/// Composes one role by the original rules. What MIDI cannot hold as a note is left out: hits of velocity 0.
[[nodiscard]] inline Score v0_author(const V0Options& options = {}) {
  namespace rules = detail::v0_author;
  constexpr int sixteenth = 120;
  constexpr std::int8_t tonics[] = {0, 1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};  // C G D A E B F# F Bb Eb Ab Db Gb
  Rng rng(options.seed,
          static_cast<std::uint64_t>(detail::dice::Stream::v0_draw) << 32 | static_cast<std::uint64_t>(options.role));
  const std::int8_t drawn_tonic = tonics[rng.below(13)];
  const int drawn_bpm = rng.between(60, 149);
  const Key key = options.key ? spellable({options.key->fifths, Mode::major}) : Key{drawn_tonic, Mode::major};
  const int bpm = options.bpm ? std::clamp(*options.bpm, 20, 300) : drawn_bpm;
  const int bars = std::clamp(options.bars, 1, 10000);
  rules::DegreeWalk walk(options.seed, rng);
  const auto steps = scale_steps(Mode::major);
  const auto pitch_of = [&](int degree) {
    return 60 + (key.tonic() + steps[static_cast<std::size_t>(degree % 7)]) % 12;
  };

  std::vector<Note> notes;
  const auto add = [&](std::int64_t tick, int pitch, int velocity, std::uint8_t channel, int length) {
    if (velocity == 0) return;
    notes.push_back({.tick = tick,
                     .duration = length,
                     .channel = channel,
                     .pitch = static_cast<std::uint8_t>(pitch),
                     .velocity = static_cast<std::uint8_t>(velocity)});
  };
  for (int bar = 0; bar < bars; ++bar) {
    const bool drums = options.role == V0Role::drums;
    const std::uint32_t first = drums                          ? rules::beats_1_3
                                : options.role == V0Role::bass ? rules::beat_1
                                                               : rules::every_beat;
    const std::uint32_t rhythm = rules::rhythm(rng, first);
    const std::uint32_t snare = drums ? rules::rhythm(rng, rules::beats_2_4) : 0,
                        hat = drums ? rules::rhythm(rng, rules::every_beat) : 0;
    for (int step = 0; step < 16; ++step) {
      const std::int64_t tick = (std::int64_t{bar} * 16 + step) * sixteenth;
      const bool sounds = (rhythm >> step & 1u) != 0;
      if (drums) {
        const int length = options.fix_zero_length_drums ? sixteenth / 2 : 0;
        if (sounds) add(tick, 35, rng.between(70, 109), 9, length);
        if ((snare >> step & 1u) != 0) add(tick, 38, rng.between(0, 99), 9, length);
        if ((hat >> step & 1u) != 0) add(tick, 42, rng.between(0, 99), 9, length);
      } else if (sounds && options.role == V0Role::chords) {
        const int degree = walk.next(), velocity = rng.between(50, 109);
        for (const int voice : {0, 3, 5})
          add(tick, pitch_of(degree + voice) + 12 * rules::octaves(rng), velocity, 0, sixteenth);
        if (options.jazz) {
          const std::uint32_t draw = rng.below(13);
          const int voice = draw < 3 ? 2 + 2 * static_cast<int>(draw) : 7;
          add(tick, pitch_of(degree + voice) + 12 * rules::octaves(rng), velocity, 0, sixteenth);
        }
      } else if (sounds) {
        const int pitch = pitch_of(walk.next()), octave = 12 * rules::octaves(rng);
        add(tick, options.role == V0Role::bass ? pitch - 24 - octave : pitch + octave, rng.between(80, 109), 0,
            sixteenth);
      }
    }
  }

  constexpr std::uint8_t programs[] = {26, 118, 33, 30};
  Score score;
  score.format = 0;
  score.tempos.push_back({.tick = 0, .us_per_quarter = static_cast<std::uint32_t>(60000000 / bpm)});
  score.time_signatures.push_back({});
  score.key_signatures.push_back(key_signature(key));
  Track track;
  track.name = concat({v0_role_name(options.role), "_", bpm, "_", key_name(key)});
  track.events.push_back({.tick = 0,
                          .status = static_cast<std::uint8_t>(options.role == V0Role::drums ? 0xC9 : 0xC0),
                          .data1 = programs[static_cast<std::size_t>(options.role)]});
  const std::string facts = concat({"midigpt v0_author 1: seed=", options.seed, " bars=", bars, " role=", v0_role_name(options.role),
      " key=", key_name(key), " bpm=", bpm, " jazz=", options.jazz ? "1" : "0"});
  track.metas.push_back({.tick = 0, .type = 1, .data = facts});
  track.metas.push_back({.tick = 0, .type = 1, .data = "Generated by rules and a seed; dedicated to the public domain (CC0 1.0)"});
  track.end_tick = std::int64_t{bars} * 16 * sixteenth;
  track.notes = std::move(notes);
  score.tracks.push_back(std::move(track));
  return score;
}

}  // namespace v0
}  // namespace midigpt
