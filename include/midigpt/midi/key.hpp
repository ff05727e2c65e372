// midi/key.hpp - keys and scales: a tonic on the line of fifths and a mode; names in, names and key signatures out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

enum class Mode : std::uint8_t { major, minor, dorian, mixolydian, harmonic_minor, major_pentatonic, minor_pentatonic };

[[nodiscard]] constexpr std::string_view mode_name(Mode mode) noexcept {
  switch (mode) {
    case Mode::major:
      return "major";
    case Mode::minor:
      return "minor";
    case Mode::dorian:
      return "dorian";
    case Mode::mixolydian:
      return "mixolydian";
    case Mode::harmonic_minor:
      return "harmonic minor";
    case Mode::major_pentatonic:
      return "major pentatonic";
    case Mode::minor_pentatonic:
      return "minor pentatonic";
  }
  return "major";
}

/// True where the third above the tonic is minor.
[[nodiscard]] constexpr bool is_minor(Mode mode) noexcept {
  return mode == Mode::minor || mode == Mode::dorian || mode == Mode::harmonic_minor || mode == Mode::minor_pentatonic;
}

/// A tonic and a mode. `fifths` places the tonic on the line of fifths, which keeps its spelling:
/// ... -2 Bb, -1 F, 0 C, 1 G, 2 D ... 6 F#, -6 Gb.
struct Key {
  std::int8_t fifths = 0;
  Mode mode = Mode::major;

  /// The tonic's pitch class, C = 0 .. B = 11.
  [[nodiscard]] constexpr int tonic() const noexcept { return ((fifths * 7) % 12 + 12) % 12; }
  friend bool operator==(const Key&, const Key&) = default;
};

namespace detail::scales {
inline constexpr std::uint8_t major[] = {0, 2, 4, 5, 7, 9, 11};
inline constexpr std::uint8_t minor[] = {0, 2, 3, 5, 7, 8, 10};
inline constexpr std::uint8_t dorian[] = {0, 2, 3, 5, 7, 9, 10};
inline constexpr std::uint8_t mixolydian[] = {0, 2, 4, 5, 7, 9, 10};
inline constexpr std::uint8_t harmonic_minor[] = {0, 2, 3, 5, 7, 8, 11};
inline constexpr std::uint8_t major_pentatonic[] = {0, 2, 4, 7, 9};
inline constexpr std::uint8_t minor_pentatonic[] = {0, 3, 5, 7, 10};

/// How far the mode's key signature lies below its tonic on the line of fifths.
[[nodiscard]] constexpr int signature_shift(Mode mode) noexcept {
  return mode == Mode::mixolydian ? 1 : mode == Mode::dorian ? 2 : is_minor(mode) ? 3 : 0;
}
}  // namespace detail::scales

/// Semitones above the tonic, ascending from 0: 7 of them, or 5.
[[nodiscard]] constexpr std::span<const std::uint8_t> scale_steps(Mode mode) noexcept {
  switch (mode) {
    case Mode::major:
      return detail::scales::major;
    case Mode::minor:
      return detail::scales::minor;
    case Mode::dorian:
      return detail::scales::dorian;
    case Mode::mixolydian:
      return detail::scales::mixolydian;
    case Mode::harmonic_minor:
      return detail::scales::harmonic_minor;
    case Mode::major_pentatonic:
      return detail::scales::major_pentatonic;
    case Mode::minor_pentatonic:
      return detail::scales::minor_pentatonic;
  }
  return detail::scales::major;
}

/// Bit p is set where pitch class p belongs to the key.
[[nodiscard]] constexpr std::uint16_t scale_mask(Key key) noexcept {
  unsigned mask = 0;
  for (const std::uint8_t step : scale_steps(key.mode)) mask |= 1u << ((key.tonic() + step) % 12);
  return static_cast<std::uint16_t>(mask);
}

/// The tonic respelled where its key signature would need more than 7 sharps or flats (G# major -> Ab major).
[[nodiscard]] constexpr Key spellable(Key key) noexcept {
  const int shift = detail::scales::signature_shift(key.mode);
  int fifths = key.fifths;
  while (fifths - shift > 7) fifths -= 12;
  while (fifths - shift < -7) fifths += 12;
  return {static_cast<std::int8_t>(fifths), key.mode};
}

/// The MIDI key signature: the accidentals of the mode, and major or minor by its third.
[[nodiscard]] constexpr KeySignature key_signature(Key key) noexcept {
  const Key k = spellable(key);
  return {.tick = 0,
          .sharps = static_cast<std::int8_t>(k.fifths - detail::scales::signature_shift(k.mode)),
          .minor = is_minor(k.mode)};
}

/// "C", "F#m", "Bbm", "D dorian", "A harmonic minor": what parse_key() reads.
[[nodiscard]] inline std::string key_name(Key key) {
  const int place = key.fifths + 1;  // F = 0
  const int accidentals = (place >= 0 ? place : place - 6) / 7;
  std::string name(1, "FCGDAEB"[place - 7 * accidentals]);
  name.append(static_cast<std::size_t>(accidentals < 0 ? -accidentals : accidentals), accidentals < 0 ? 'b' : '#');
  if (key.mode == Mode::minor) return name + "m";
  if (key.mode == Mode::major) return name;
  return concat({name, " ", mode_name(key.mode)});
}

/// Reads a tonic (A..G, either case, then # or b) and a mode: nothing or "maj" for major, "m" or "min" for minor, or a
/// mode_name(). Errors: bad_value at the character that fits nothing.
[[nodiscard]] inline Result<Key> parse_key(std::string_view text) {
  const auto bad = [&](std::size_t at) {
    return Error{Errc::bad_value, at,
                 concat({"key \"", std::string(text.substr(0, 32)), "\": expected a name such as C, F#m, Bb or D dorian"})};
  };
  if (text.empty()) return bad(0);
  const char letter = static_cast<char>(text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a' + 'A' : text[0]);
  const std::size_t place = std::string_view("FCGDAEB").find(letter);
  if (place == std::string_view::npos) return bad(0);
  int fifths = static_cast<int>(place) - 1;
  std::size_t at = 1;
  if (at < text.size() && (text[at] == '#' || text[at] == 'b')) fifths += text[at++] == '#' ? 7 : -7;

  const std::size_t mode_at = at;
  if (at < text.size() && text[at] == ' ') ++at;
  const std::string_view rest = text.substr(at);
  const auto key = [&](Mode mode) { return spellable({static_cast<std::int8_t>(fifths), mode}); };
  if (mode_at == text.size() || rest == "maj" || rest == "M") return key(Mode::major);
  if (rest == "m" || rest == "min") return key(Mode::minor);
  for (const Mode mode : {Mode::major, Mode::minor, Mode::dorian, Mode::mixolydian, Mode::harmonic_minor,
                          Mode::major_pentatonic, Mode::minor_pentatonic}) {
    if (rest == mode_name(mode)) return key(mode);
  }
  return bad(mode_at);
}

}  // namespace v0
}  // namespace midigpt
