// midi/patterns.hpp - what each feel plays: melody rhythms, chord strokes, bass lines, drum grids, instruments.
//   Common property of the styles they are named after; times in ticks, 480 a quarter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <midigpt/midi/harmony.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::dice {

/// A rhythm of half a bar (a whole one in 3/4): lengths in ticks, a rest is negative, 0 ends. More notes, higher level.
struct Cell {
  std::int8_t level;
  std::array<std::int16_t, 8> lengths;
};

inline constexpr Cell straight_cells[] = {
    {0, {960}},
    {0, {720, 240}},
    {0, {480, 480}},
    {0, {480, -480}},
    {1, {480, 480}},
    {1, {480, 240, 240}},
    {1, {720, 240}},
    {1, {-240, 240, 480}},
    {1, {480, 240, -240}},
    {2, {480, 240, 240}},
    {2, {240, 240, 480}},
    {2, {360, 120, 480}},
    {2, {240, 480, 240}},
    {2, {-240, 240, 240, 240}},
    {2, {240, 240, 240, -240}},
    {3, {240, 240, 240, 240}},
    {3, {360, 120, 240, 240}},
    {3, {120, 120, 240, 480}},
    {3, {240, 240, 360, 120}},
    {3, {160, 160, 160, 480}},
};
inline constexpr Cell swing_cells[] = {
    {0, {960}},
    {0, {480, 480}},
    {0, {480, -480}},
    {0, {-320, 640}},
    {1, {480, 480}},
    {1, {320, 640}},
    {1, {480, -320, 160}},
    {1, {-320, 160, 480}},
    {2, {480, 320, 160}},
    {2, {320, 160, 480}},
    {2, {320, 480, 160}},
    {2, {-320, 160, 320, 160}},
    {2, {320, 160, 320, -160}},
    {3, {320, 160, 320, 160}},
    {3, {160, 160, 160, 480}},
    {3, {320, 160, 320, 160}},
};
inline constexpr Cell waltz_cells[] = {
    {0, {1440}},
    {0, {960, 480}},
    {0, {960, -480}},
    {1, {960, 480}},
    {1, {480, 480, 480}},
    {1, {-480, 480, 480}},
    {2, {480, 480, 480}},
    {2, {720, 240, 480}},
    {2, {480, 240, 240, 480}},
    {2, {480, 480, 240, 240}},
    {2, {480, 240, 240, -480}},
    {3, {240, 240, 240, 240, 480}},
    {3, {480, 240, 240, 240, 240}},
    {3, {240, 240, 480, 240, 240}},
};
inline constexpr Cell jig_cells[] = {
    {0, {720}},           {0, {480, -240}},      {0, {480, 240}},      {1, {480, 240}},
    {1, {720}},           {1, {-240, 240, 240}}, {2, {480, 240}},      {2, {240, 240, 240}},
    {2, {360, 120, 240}}, {3, {240, 240, 240}},  {3, {360, 120, 240}}, {3, {240, 240, 120, 120}},
};

/// One stroke of a chord pattern: voice -1 is the whole chord, 0.. one voice counted from below (wrapping).
struct Stroke {
  std::int16_t tick, length;
  std::int8_t voice;
};
using ChordPattern = std::array<Stroke, 8>;  // length 0 ends

[[nodiscard]] constexpr ChordPattern arpeggio(std::array<std::int8_t, 8> voices, int count) noexcept {
  ChordPattern p{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    p[i] = {static_cast<std::int16_t>(240 * i), 240, voices[i]};
  }
  return p;
}

inline constexpr ChordPattern ballad_chords[] = {{{{0, 960, -1}, {960, 960, -1}}},
                                                 {{{0, 1920, -1}}},
                                                 arpeggio({0, 1, 2, 1, 0, 1, 2, 1}, 8),
                                                 arpeggio({0, 1, 2, 3, 2, 1, 2, 1}, 8)};
inline constexpr ChordPattern pop_chords[] = {{{{0, 480, -1}, {480, 480, -1}, {960, 480, -1}, {1440, 480, -1}}},
                                              {{{0, 720, -1}, {720, 720, -1}, {1440, 480, -1}}},
                                              {{{0, 720, -1}, {720, 240, -1}, {1200, 240, -1}, {1440, 480, -1}}},
                                              arpeggio({0, 2, 1, 2, 0, 2, 1, 2}, 8)};
inline constexpr ChordPattern dance_chords[] = {
    {{{240, 240, -1}, {720, 240, -1}, {1200, 240, -1}, {1680, 240, -1}}},
    {{{0, 360, -1}, {360, 360, -1}, {720, 240, -1}, {960, 360, -1}, {1320, 360, -1}, {1680, 240, -1}}},
    {{{0, 1920, -1}}}};
inline constexpr ChordPattern swing_chords[] = {{{{0, 480, -1}, {800, 480, -1}}},
                                                {{{480, 240, -1}, {1440, 240, -1}}},
                                                {{{0, 320, -1}, {320, 480, -1}, {1280, 480, -1}}},
                                                {{{320, 640, -1}, {1280, 640, -1}}}};
inline constexpr ChordPattern bossa_chords[] = {{{{0, 480, -1}, {720, 480, -1}, {1200, 720, -1}}},
                                                {{{240, 480, -1}, {960, 240, -1}, {1200, 480, -1}}},
                                                {{{0, 240, -1}, {480, 240, -1}, {1200, 240, -1}, {1680, 240, -1}}}};
inline constexpr ChordPattern half_time_chords[] = {
    {{{0, 1920, -1}}}, {{{0, 960, -1}, {1200, 720, -1}}}, arpeggio({0, 1, 2, 1, 0, 2, 1, 2}, 8)};
inline constexpr ChordPattern waltz_chords[] = {
    {{{480, 480, -1}, {960, 480, -1}}}, arpeggio({0, 1, 2, 1, 2, 1}, 6), {{{0, 1440, -1}}}};
inline constexpr ChordPattern jig_chords[] = {arpeggio({0, 1, 2, 0, 1, 2}, 6),
                                              {{{0, 720, -1}, {720, 720, -1}}},
                                              {{{0, 480, -1}, {480, 240, -1}, {720, 480, -1}, {1200, 240, -1}}}};

/// One bass note: root, fifth, octave, approach to the next bar's root, or a walking step.
struct BassStroke {
  std::int16_t tick, length;
  char what;
};
using BassPattern = std::array<BassStroke, 8>;  // length 0 ends

inline constexpr BassPattern ballad_bass[] = {
    {{{0, 960, 'r'}, {960, 960, 'f'}}}, {{{0, 1440, 'r'}, {1440, 480, 'a'}}}, {{{0, 960, 'r'}, {960, 960, 'r'}}}};
inline constexpr BassPattern pop_bass[] = {{{{0, 720, 'r'}, {720, 240, 'r'}, {960, 720, 'r'}, {1680, 240, 'a'}}},
                                           {{{0, 240, 'r'},
                                             {240, 240, 'r'},
                                             {480, 240, 'r'},
                                             {720, 240, 'r'},
                                             {960, 240, 'r'},
                                             {1200, 240, 'r'},
                                             {1440, 240, 'r'},
                                             {1680, 240, 'a'}}},
                                           {{{0, 480, 'r'}, {720, 240, 'f'}, {960, 480, 'r'}, {1440, 480, 'a'}}}};
inline constexpr BassPattern dance_bass[] = {
    {{{240, 240, 'r'}, {720, 240, 'r'}, {1200, 240, 'r'}, {1680, 240, 'r'}}},
    {{{0, 240, 'r'},
      {240, 240, 'o'},
      {480, 240, 'r'},
      {720, 240, 'o'},
      {960, 240, 'r'},
      {1200, 240, 'o'},
      {1440, 240, 'r'},
      {1680, 240, 'o'}}},
    {{{0, 360, 'r'}, {360, 360, 'r'}, {720, 240, 'o'}, {960, 360, 'r'}, {1320, 360, 'r'}, {1680, 240, 'a'}}}};
inline constexpr BassPattern swing_bass[] = {{{{0, 480, 'r'}, {480, 480, 't'}, {960, 480, 'f'}, {1440, 480, 'a'}}},
                                             {{{0, 480, 'r'}, {480, 480, 'f'}, {960, 480, 'o'}, {1440, 480, 'a'}}}};
inline constexpr BassPattern bossa_bass[] = {{{{0, 720, 'r'}, {720, 240, 'f'}, {960, 720, 'f'}, {1680, 240, 'r'}}},
                                             {{{0, 720, 'r'}, {720, 240, 'r'}, {960, 720, 'f'}, {1680, 240, 'a'}}}};
inline constexpr BassPattern half_time_bass[] = {{{{0, 960, 'r'}, {1200, 240, 'r'}, {1440, 480, 'f'}}},
                                                 {{{0, 1200, 'r'}, {1200, 480, 'o'}, {1680, 240, 'a'}}}};
inline constexpr BassPattern waltz_bass[] = {{{{0, 480, 'r'}}}, {{{0, 960, 'r'}, {960, 480, 'a'}}}, {{{0, 1440, 'r'}}}};
inline constexpr BassPattern jig_bass[] = {{{{0, 480, 'r'}, {480, 240, 'r'}, {720, 480, 'f'}, {1200, 240, 'a'}}},
                                           {{{0, 720, 'r'}, {720, 720, 'f'}}}};

/// A drum row: for each step of the bar, the chance in tenths that a letter's pattern has a hit there. X is always, a
/// dot never.
struct DrumRow {
  std::uint8_t key;
  std::uint8_t velocity;
  std::string_view chances;
};

inline constexpr std::uint8_t kick = 36, stick = 37, snare = 38, closed_hat = 42, floor_tom = 43, low_tom = 45,
                              open_hat = 46, mid_tom = 47, crash = 49, high_tom = 50, ride = 51,
                              shaker = 70;  // General MIDI percussion

inline constexpr DrumRow ballad_drums[] = {
    {kick, 92, "X.....2.X.3....."}, {stick, 84, "....X.......X..1"}, {closed_hat, 64, "X.X.X.X.X.X.X.X."}};
inline constexpr DrumRow pop_drums[] = {
    {kick, 108, "X..1..4.X.3..2.."}, {snare, 104, "....X..1....X..2"}, {closed_hat, 76, "X.X.X.X.X.X.X.X."}};
inline constexpr DrumRow dance_drums[] = {{kick, 112, "X...X...X...X..1"},
                                          {snare, 96, "....X.......X..."},
                                          {open_hat, 80, "..X...X...X...X."},
                                          {closed_hat, 60, "X4.4X4.4X4.4X4.4"}};
inline constexpr DrumRow swing_drums[] = {{kick, 80, "X..2..4..2.1"},
                                          {snare, 58, "..1..2..1..3"},
                                          {closed_hat, 78, "...X.....X.."},
                                          {ride, 84, "X..X.XX..X.X"}};
inline constexpr DrumRow bossa_drums[] = {
    {kick, 88, "X..X..X.X..X..X."}, {stick, 80, "X..X..X...X..X.."}, {shaker, 58, "XXXXXXXXXXXXXXXX"}};
inline constexpr DrumRow half_time_drums[] = {
    {kick, 106, "X..2..3...5..1.."}, {snare, 106, "........X......2"}, {closed_hat, 70, "X.X.X.X.X.X2X.X2"}};
inline constexpr DrumRow waltz_drums[] = {
    {kick, 92, "X.....1....."}, {snare, 62, "....X...X..."}, {closed_hat, 60, "X...X...X.3."}};
inline constexpr DrumRow jig_drums[] = {
    {kick, 96, "X.....2..2.."}, {snare, 88, "......X....2"}, {closed_hat, 68, "X.X.X.X.X.X."}};

/// General MIDI programmes, 0-based, for melody, chords and bass.
struct Players {
  std::array<std::uint8_t, 3> program;
};

inline constexpr Players ballad_players[] = {{{73, 0, 32}}, {{68, 0, 33}}, {{40, 48, 32}}, {{0, 48, 33}}};
inline constexpr Players pop_players[] = {{{0, 25, 33}}, {{4, 0, 33}}, {{65, 24, 33}}, {{73, 25, 33}}};
inline constexpr Players dance_players[] = {{{80, 89, 38}}, {{81, 4, 38}}, {{11, 90, 38}}};
inline constexpr Players swing_players[] = {{{66, 0, 32}}, {{56, 26, 32}}, {{11, 0, 32}}, {{71, 26, 32}}};
inline constexpr Players bossa_players[] = {{{73, 24, 32}}, {{66, 24, 32}}, {{0, 24, 32}}};
inline constexpr Players half_time_players[] = {{{4, 4, 33}}, {{11, 4, 33}}, {{26, 89, 38}}};
inline constexpr Players waltz_players[] = {{{40, 0, 32}}, {{21, 0, 32}}, {{73, 46, 32}}};
inline constexpr Players jig_players[] = {{{72, 25, 32}}, {{40, 46, 32}}, {{0, 48, 32}}};

/// All that a feel brings with it.
struct Patterns {
  std::span<const Cell> cells;
  std::span<const ChordPattern> chords;
  std::span<const BassPattern> bass;
  std::span<const DrumRow> drums;
  std::span<const Players> players;
};

// clang-format off
[[nodiscard]] constexpr Patterns patterns_of(Feel feel) noexcept {
  switch (feel) {
    case Feel::ballad: return {straight_cells, ballad_chords, ballad_bass, ballad_drums, ballad_players};
    case Feel::pop: return {straight_cells, pop_chords, pop_bass, pop_drums, pop_players};
    case Feel::dance: return {straight_cells, dance_chords, dance_bass, dance_drums, dance_players};
    case Feel::swing: return {swing_cells, swing_chords, swing_bass, swing_drums, swing_players};
    case Feel::bossa: return {straight_cells, bossa_chords, bossa_bass, bossa_drums, bossa_players};
    case Feel::half_time: return {straight_cells, half_time_chords, half_time_bass, half_time_drums, half_time_players};
    case Feel::waltz: return {waltz_cells, waltz_chords, waltz_bass, waltz_drums, waltz_players};
    case Feel::jig: return {jig_cells, jig_chords, jig_bass, jig_drums, jig_players};
  }
  return patterns_of(Feel::pop);
}
// clang-format on

}  // namespace detail::dice
}  // namespace v0
}  // namespace midigpt
