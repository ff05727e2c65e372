// codec/controls.hpp - what one note cannot say, as characters of U+34000..U+3FFFF.
//   4 bytes of UTF-8, unassigned, script Common, left alone by every SentencePiece normaliser. Time stands in the units
//   of codec/grid.hpp, 24 a quarter note.
//     U+34000 + pitch               the pitch of a note in split form
//     U+34080, U+34081              end of the piece, bar line
//     U+34100 + numerator * 8 + log2 of the denominator
//     U+34900 + n, n = 1..63        time passes: n units
//     U+35000 + bpm, bpm = 4..1023  tempo in whole quarters a minute
//     U+36000 + n - 1, n = 1..4096  time passes: n half notes
//     U+38000 + part                the notes that follow belong to this part
#pragma once

#include <algorithm>
#include <cstdint>

#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

inline constexpr int k_units_per_rest = 48;

/// Who plays: a General MIDI programme 0..127, or 128 for drums; lane 0..63 keeps tracks of one programme apart.
struct Part {
  int program = 0;
  int lane = 0;

  [[nodiscard]] constexpr bool is_drums() const noexcept { return program == 128; }
  friend bool operator==(const Part&, const Part&) = default;
};

inline constexpr int k_part_lanes = 64;
inline constexpr int k_part_count = 129 * k_part_lanes;

[[nodiscard]] constexpr int part_number(Part p) noexcept { return p.lane * 129 + p.program; }
[[nodiscard]] constexpr Part numbered_part(int n) noexcept { return {n % 129, n / 129}; }

enum class ControlKind : std::uint8_t { none, pitch, end, bar, time_signature, advance, tempo, rest, part };

/// A control character taken apart. `value` is the pitch, numerator * 8 + log2 of the denominator, units, quarters a
/// minute, half notes, or the part's number; 0 for the kinds without one.
struct Control {
  ControlKind kind = ControlKind::none;
  int value = 0;

  friend bool operator==(const Control&, const Control&) = default;
};

inline constexpr char32_t k_control_first = 0x34000, k_control_last = 0x3FFFF;
inline constexpr int k_max_advance = 63, k_max_rest = 4096, k_min_bpm = 4, k_max_bpm = 1023;

[[nodiscard]] constexpr bool is_control(char32_t c) noexcept { return c >= k_control_first && c <= k_control_last; }

/// Requires: the value is one that parse_control can return for this kind.
[[nodiscard]] constexpr char32_t control_character(Control c) noexcept {
  const auto at = [&](int base) { return static_cast<char32_t>(base + c.value); };
  switch (c.kind) {
    case ControlKind::pitch:
      return at(0x34000);
    case ControlKind::end:
      return 0x34080;
    case ControlKind::bar:
      return 0x34081;
    case ControlKind::time_signature:
      return at(0x34100);
    case ControlKind::advance:
      return at(0x34900);
    case ControlKind::tempo:
      return at(0x35000);
    case ControlKind::rest:
      return at(0x36000 - 1);
    case ControlKind::part:
      return at(0x38000);
    case ControlKind::none:
      break;
  }
  return k_control_last;
}

/// Kind none for a character that is no control or a number that is not in use.
[[nodiscard]] constexpr Control parse_control(char32_t c) noexcept {
  const auto in = [&](int low, int high) {
    return c >= static_cast<char32_t>(low) && c <= static_cast<char32_t>(high);
  };
  const auto value = static_cast<int>(c);
  if (in(0x34000, 0x3407F)) return {ControlKind::pitch, value - 0x34000};
  if (in(0x34080, 0x34080)) return {ControlKind::end, 0};
  if (in(0x34081, 0x34081)) return {ControlKind::bar, 0};
  if (in(0x34100 + 8, 0x34100 + 255 * 8 + 7)) return {ControlKind::time_signature, value - 0x34100};
  if (in(0x34900 + 1, 0x34900 + k_max_advance)) return {ControlKind::advance, value - 0x34900};
  if (in(0x35000 + k_min_bpm, 0x35000 + k_max_bpm)) return {ControlKind::tempo, value - 0x35000};
  if (in(0x36000, 0x36000 + k_max_rest - 1)) return {ControlKind::rest, value - 0x36000 + 1};
  if (in(0x38000, 0x38000 + k_part_count - 1)) return {ControlKind::part, value - 0x38000};
  return {};
}

/// The nearest whole number of quarters a minute that a control can say, and back.
[[nodiscard]] constexpr int tempo_bpm(std::uint32_t us_per_quarter) noexcept {
  const std::uint32_t us = (std::max)(us_per_quarter, std::uint32_t{1});
  return static_cast<int>(std::clamp((60000000u + us / 2) / us, std::uint32_t{k_min_bpm}, std::uint32_t{k_max_bpm}));
}
[[nodiscard]] constexpr std::uint32_t bpm_us_per_quarter(int bpm) noexcept {
  const auto b = static_cast<std::uint32_t>(bpm);
  return (60000000u + b / 2) / b;
}

static_assert([] {
  for (int bpm = k_min_bpm; bpm <= k_max_bpm; ++bpm) {
    if (tempo_bpm(bpm_us_per_quarter(bpm)) != bpm) return false;
  }
  return true;
}());

/// A time signature as the value of its control: numerator 1..255, denominator up to 128.
[[nodiscard]] constexpr int signature_value(const TimeSignature& t) noexcept {
  return (std::max)(int{t.numerator}, 1) * 8 + (std::min)(int{t.denominator_log2}, 7);
}

}  // namespace v0
}  // namespace midigpt
