// report/timbre.hpp - what the synthesiser's instruments are made of: partials, envelopes, drum recipes, wavetables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace midigpt {
inline namespace v0 {
namespace detail::wav {

inline constexpr int wave_bits = 11;
inline constexpr std::size_t wave_size = std::size_t{1} << wave_bits;
using Wave = std::array<std::int32_t, wave_size + 1>;  // one turn, full scale 32767; the last value repeats the first

/// sin by its Taylor series in Q30 on a quarter turn, mirrored: exact integers, the same everywhere.
[[nodiscard]] inline Wave sine_table() {
  Wave wave{};
  constexpr std::size_t quarter = wave_size / 4;
  for (std::size_t i = 0; i <= quarter; ++i) {
    const std::int64_t x =
        static_cast<std::int64_t>(i) * 1686629713 / static_cast<std::int64_t>(quarter);  // pi/2 in Q30
    const std::int64_t x2 = x * x >> 30;
    std::int64_t term = x, sum = x;
    for (std::int64_t n = 2; n <= 14; n += 2) {
      term = -(term * x2 >> 30) / (n * (n + 1));
      sum += term;
    }
    const auto value = static_cast<std::int32_t>((sum * 32767 + (std::int64_t{1} << 29)) >> 30);
    wave[i] = value;
    wave[wave_size / 2 - i] = value;
    wave[wave_size / 2 + i] = -value;
    wave[wave_size - i] = -value;
  }
  return wave;
}

/// The sum of the first `count` partials, scaled so that the partials' amplitudes add to 32767.
[[nodiscard]] inline Wave make_wave(const Wave& sine, const std::array<std::uint8_t, 12>& partials, std::size_t count) {
  Wave wave{};
  std::int64_t total = 0;
  for (const std::uint8_t p : partials) total += p;
  for (std::size_t i = 0; i <= wave_size; ++i) {
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < count; ++k) sum += std::int64_t{sine[i * (k + 1) % wave_size]} * partials[k];
    wave[i] = static_cast<std::int32_t>(sum / total);
  }
  return wave;
}

/// 2^32 * frequency / rate, equal temperament, A4 = 440 Hz. The table is the octave of C9 in Hz, Q16.
[[nodiscard]] constexpr std::uint32_t phase_step(int pitch, int rate) noexcept {
  constexpr std::uint32_t octave[] = {548668578, 581294109, 615859655, 652480576, 691279090, 732384684,
                                      775934544, 822074013, 870957077, 922746880, 977616265, 1035748353};
  return static_cast<std::uint32_t>((std::uint64_t{octave[pitch % 12]} << 16) / static_cast<std::uint64_t>(rate) >>
                                    (10 - pitch / 12));
}

struct Timbre {
  std::array<std::uint8_t, 12> body, bright;  // amplitudes of partials 1..12
  int attack_ms, release_ms;
  int body_half_ms;  // the time in which it halves at middle C; 0: it is sustained
  int bright_half_ms;
  int bright_floor;      // percent of the bright part that stays
  int bright_gain;       // percent
  int vibrato;           // 0..30
  std::uint32_t chorus;  // 0, or the detuning of two voices
};

enum class Family : std::uint8_t {
  piano,
  electric,
  bell,
  organ,
  guitar,
  bass,
  strings,
  brass,
  reed,
  flute,
  lead,
  pad,
  pluck
};

inline constexpr std::array<Timbre, 13> timbres = {{
    {{100, 40, 20, 10, 5, 2}, {0, 60, 50, 45, 35, 28, 20, 12, 8, 5, 3, 2}, 3, 180, 900, 160, 0, 60, 0, 0},  // piano
    {{100, 8, 4}, {0, 20, 10, 0, 0, 0, 60, 0, 8, 0, 0, 4}, 3, 200, 1100, 240, 0, 45, 0, 1},                 // electric
    {{100, 0, 10}, {0, 0, 0, 70, 0, 0, 0, 0, 0, 40, 0, 0}, 2, 500, 700, 200, 0, 60, 0, 0},                  // bell
    {{100, 80, 50, 40, 0, 25, 0, 20}, {0, 0, 30, 20, 10, 10, 0, 10}, 12, 60, 0, 400, 60, 30, 6, 1},         // organ
    {{100, 55, 35, 18, 8, 4}, {0, 50, 60, 60, 50, 40, 30, 25, 18, 12, 8, 5}, 2, 120, 650, 120, 4, 70, 0, 0},  // guitar
    {{100, 60, 25, 10, 4}, {0, 50, 50, 30, 20, 10, 8, 4}, 4, 80, 900, 140, 5, 50, 0, 0},                      // bass
    {{100, 60, 45, 30, 22, 16, 10, 7, 5},
     {0, 20, 40, 40, 35, 30, 25, 20, 16, 12, 9, 6},
     70,
     220,
     0,
     900,
     50,
     30,
     10,
     2},  // strings
    {{100, 80, 65, 45, 30, 18, 10, 6},
     {0, 10, 40, 60, 60, 55, 45, 35, 25, 16, 10, 6},
     30,
     110,
     0,
     500,
     55,
     45,
     5,
     0},  // brass
    {{100, 20, 70, 12, 45, 8, 25, 5, 12},
     {0, 10, 20, 20, 30, 20, 25, 12, 15, 8, 8, 4},
     25,
     90,
     0,
     600,
     60,
     35,
     8,
     0},                                                                     // reed
    {{100, 30, 12, 4}, {0, 30, 20, 10, 5}, 45, 120, 0, 300, 25, 20, 14, 0},  // flute
    {{100, 50, 33, 25, 20, 16, 14, 12, 11, 10, 9, 8},
     {0, 30, 25, 22, 20, 18, 15, 12, 10, 8, 6, 5},
     6,
     100,
     0,
     350,
     35,
     45,
     6,
     1},                                                                                   // lead
    {{100, 45, 30, 15, 8}, {0, 20, 30, 30, 20, 15, 10}, 160, 600, 0, 1200, 40, 30, 6, 3},  // pad
    {{100, 40, 20, 8}, {0, 40, 40, 35, 25, 18, 10, 6}, 2, 200, 380, 90, 0, 60, 0, 0},      // pluck
}};

/// The timbre for a General MIDI programme 0..127.
[[nodiscard]] inline const Timbre& timbre_of(int program) noexcept {
  constexpr Family families[] = {Family::piano, Family::bell,    Family::organ,   Family::guitar,
                                 Family::bass,  Family::strings, Family::strings, Family::brass,
                                 Family::reed,  Family::flute,   Family::lead,    Family::pad,
                                 Family::pad,   Family::pluck,   Family::bell,    Family::pad};
  Family family = families[program / 8 & 15];
  if (program == 4 || program == 5) family = Family::electric;
  if (program == 6 || program == 7 || program == 45 || program == 46 || program == 47) family = Family::pluck;
  if ((program >= 20 && program <= 23) || program == 109 || program == 111) {
    family = Family::reed;  // reed organs, accordion, harmonica; bagpipe, shanai
  }
  if (program == 110) family = Family::strings;  // fiddle
  return timbres[static_cast<std::size_t>(family)];
}

/// A tone that falls from one frequency to another, and noise. colour: 0 dull, 1 bright, 2 a band at a quarter of the
/// rate.
struct DrumSound {
  int start_hz, end_hz, tone_half_ms, tone_gain;  // percent
  int noise_half_ms, noise_gain, colour;
};

[[nodiscard]] constexpr DrumSound drum_sound(int key) noexcept {
  switch (key) {
    case 35:
    case 36:
      return {160, 50, 70, 120, 6, 30, 0};
    case 37:
      return {1800, 1700, 12, 60, 8, 50, 1};
    case 38:
    case 40:
      return {240, 185, 45, 60, 60, 80, 1};
    case 39:
      return {900, 900, 5, 10, 45, 80, 1};
    case 41:
    case 43:
      return {140, 85, 110, 110, 20, 20, 0};
    case 45:
    case 47:
      return {190, 120, 95, 105, 20, 20, 0};
    case 48:
    case 50:
      return {260, 165, 80, 100, 20, 20, 0};
    case 42:
    case 44:
      return {6000, 6000, 8, 6, 18, 42, 2};
    case 46:
      return {6000, 6000, 40, 6, 130, 40, 2};
    case 49:
    case 52:
    case 55:
    case 57:
      return {3000, 3000, 200, 6, 420, 50, 2};
    case 51:
    case 53:
    case 59:
      return {4200, 4200, 220, 12, 170, 22, 2};
    case 54:
    case 69:
    case 70:
    case 82:
      return {7000, 7000, 5, 2, 22, 36, 2};
    case 56:
      return {800, 800, 60, 70, 5, 10, 1};
    default:
      return {key < 60 ? 300 : 420, key < 60 ? 210 : 300, 60, 80, 25, 30, 1};
  }
}

}  // namespace detail::wav
}  // namespace v0
}  // namespace midigpt
