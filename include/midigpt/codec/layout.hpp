// codec/layout.hpp - a note as one Unicode scalar value: which bits hold which field.
//   The layout of the author and of every codec here, 20 bits, U+40000..U+FFFFF:
//   bit  19..18 velocity 1..3 | 17..12 step 0..63 | 11..7 duration 0..31 | 6..0 pitch 0..127
//   Velocity 0 is never written: it would leave planes 4..15 and reach the surrogates. A layout is a compile-time
//   value; one that would leave the 4-byte characters above U+40000 (where no SentencePiece rule changes anything) does
//   not compile.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace midigpt {
inline namespace v0 {

/// Quantised fields of one note.
struct NoteBits {
  int velocity = 1, step = 0, duration = 0, pitch = 0;

  friend bool operator==(const NoteBits&, const NoteBits&) = default;
};

/// Widths of the fields, from the highest bits down, and a constant added to the packed value.
struct Layout {
  int velocity_bits = 2;  // 0: the layout has no velocity; else values 1 .. 2^bits - 1
  int step_bits = 6;
  int duration_bits = 5;
  int pitch_bits = 7;
  std::uint32_t base = 0;

  [[nodiscard]] constexpr int low_bits() const noexcept { return step_bits + duration_bits + pitch_bits; }
  [[nodiscard]] constexpr std::uint32_t first() const noexcept {
    return base + (velocity_bits > 0 ? std::uint32_t{1} << low_bits() : 0u);
  }
  [[nodiscard]] constexpr std::uint32_t last() const noexcept {
    return base + ((std::uint32_t{1} << (velocity_bits + low_bits())) - 1u);
  }
  /// Fields that exist, and only 4-byte characters that belong to notes: nothing below U+40000 or above U+10FFFF.
  [[nodiscard]] constexpr bool valid() const noexcept {
    return velocity_bits >= 0 && step_bits >= 0 && duration_bits >= 0 && pitch_bits >= 1 && pitch_bits <= 7 &&
           velocity_bits + low_bits() <= 20 && base <= 0xFFFFFu && first() >= 0x40000u && last() <= 0x10FFFFu;
  }
};

inline constexpr Layout k_note_layout{};

/// Packing and unpacking under a layout: a bijection between the fields in range and U+first()..U+last().
template <Layout L>
struct NoteCode {
  static_assert(L.valid(), "a layout needs at most 20 bits, pitch_bits 1..7 and code points in U+40000..U+10FFFF");

  static constexpr int velocities = L.velocity_bits > 0 ? (1 << L.velocity_bits) - 1 : 1;
  static constexpr int steps = 1 << L.step_bits;
  static constexpr int durations = 1 << L.duration_bits;
  static constexpr int pitches = 1 << L.pitch_bits;

  [[nodiscard]] static constexpr bool is_note(char32_t c) noexcept { return c >= L.first() && c <= L.last(); }

  /// Requires: velocity 1..velocities, 0 <= step < steps, 0 <= duration < durations, 0 <= pitch < pitches.
  [[nodiscard]] static constexpr char32_t pack(NoteBits n) noexcept {
    const int velocity = L.velocity_bits > 0 ? n.velocity : 0;
    const int bits = ((velocity * steps + n.step) * durations + n.duration) * pitches + n.pitch;
    return static_cast<char32_t>(L.base + static_cast<std::uint32_t>(bits));
  }

  /// Requires: is_note(c).
  [[nodiscard]] static constexpr NoteBits unpack(char32_t c) noexcept {
    const auto bits = static_cast<int>(static_cast<std::uint32_t>(c) - L.base);
    return {L.velocity_bits > 0 ? bits >> L.low_bits() : 1, bits >> (L.duration_bits + L.pitch_bits) & (steps - 1),
            bits >> L.pitch_bits & (durations - 1), bits & (pitches - 1)};
  }
};

using PackedNote = NoteCode<k_note_layout>;

static_assert(PackedNote::pack({1, 0, 0, 0}) == 0x40000 && PackedNote::pack({3, 63, 31, 127}) == 0xFFFFF);

/// The class 1..classes of a MIDI velocity. Three classes have the bounds of the author's formula: below 63, below 107,
/// the rest; other numbers of classes are equally wide.
[[nodiscard]] constexpr int velocity_class(int velocity, int classes = 3) noexcept {
  if (classes == 3) return velocity < 63 ? 1 : velocity < 107 ? 2 : 3;
  return 1 + std::clamp(velocity, 0, 127) * classes / 128;
}

/// The MIDI velocity in the middle of a class. Requires: 1 <= velocity_class <= classes.
[[nodiscard]] constexpr std::uint8_t class_velocity(int velocity_class, int classes = 3) noexcept {
  constexpr std::array<std::uint8_t, 3> centre{32, 85, 117};
  if (classes == 3) return centre[static_cast<std::size_t>(velocity_class - 1)];
  return static_cast<std::uint8_t>((2 * velocity_class - 1) * 64 / classes);
}

/// What packing or reading a text changed or left out: nothing happens silently. Calls add to the counts.
struct TextReport {
  std::size_t notes = 0;     // written, or read
  std::size_t controls = 0;  // control characters written, or read

  // writing
  std::size_t notes_dropped = 0;  // notes the codec cannot say or was told to leave: drums, other instruments, a window
  std::size_t events_dropped =
      0;  // controllers, bends, meta events, key signatures, tempi and metres after the last note
  std::size_t onsets_rounded = 0;     // notes that do not start on the codec's grid
  std::size_t durations_rounded = 0;  // notes whose length is not one of the codec's
  std::size_t velocities_rounded = 0;
  std::size_t tempos_rounded = 0;
  std::size_t steps_clamped = 0;      // gaps longer than the codec can say
  std::size_t durations_clamped = 0;  // notes longer than the codec's longest
  std::size_t values_clamped = 0;     // tempi, metres and part numbers outside what the controls can say

  // reading
  std::size_t foreign = 0;            // characters that mean nothing to the codec, each ill-formed byte among them
  std::size_t out_of_range = 0;       // control characters whose number is not in use
  std::size_t noteless_controls = 0;  // controls that no note follows
  std::size_t after_end = 0;          // characters after the end of the piece

  friend bool operator==(const TextReport&, const TextReport&) = default;
};

}  // namespace v0
}  // namespace midigpt
