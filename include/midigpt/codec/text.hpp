// codec/text.hpp - the one door between scores and text, and cutting text into windows.
//   A text is UTF-8, one piece, no line break. Every codec reads any text: what it does not know it skips and counts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/codec/controls.hpp>
#include <midigpt/codec/features.hpp>
#include <midigpt/codec/layout.hpp>
#include <midigpt/codec/multitrack.hpp>
#include <midigpt/codec/theremin.hpp>
#include <midigpt/codec/theremin_compat.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

enum class CodecKind : std::uint8_t {
  multitrack,       // whole scores in beats: all parts, drums, tempo, metre; the default
  split,            // multitrack with two characters a note: an alphabet of some 1,500
  theremin,         // one stream of notes in seconds: the author's layout, clean
  theremin_compat,  // the author's own characters, bit for bit
};

struct CodecName {
  CodecKind kind;
  std::string_view name;
};

inline constexpr std::array<CodecName, 4> k_codec_names{{
    {CodecKind::multitrack, "multitrack"},
    {CodecKind::split, "split"},
    {CodecKind::theremin, "theremin"},
    {CodecKind::theremin_compat, "theremin-compat"},
}};

[[nodiscard]] constexpr std::string_view codec_name(CodecKind kind) noexcept {
  for (const CodecName& n : k_codec_names) {
    if (n.kind == kind) return n.name;
  }
  return {};
}

[[nodiscard]] constexpr std::optional<CodecKind> codec_from_name(std::string_view name) noexcept {
  for (const CodecName& n : k_codec_names) {
    if (n.name == name) return n.kind;
  }
  return std::nullopt;
}

/// One piece as text.
[[nodiscard]] inline std::string to_text(const Score& score, CodecKind kind, TextReport* report = nullptr) {
  switch (kind) {
    case CodecKind::multitrack:
      return multitrack_text(score, {}, report);
    case CodecKind::split:
      return multitrack_text(score, {.split_notes = true}, report);
    case CodecKind::theremin:
      return Theremin::to_text(score, report);
    case CodecKind::theremin_compat:
      return theremin_compat_text(score, {}, report);
  }
  return {};
}

/// The score a text says.
[[nodiscard]] inline Score from_text(std::string_view text, CodecKind kind, TextReport* report = nullptr) {
  switch (kind) {
    case CodecKind::multitrack:
      return multitrack_score(text, false, report);
    case CodecKind::split:
      return multitrack_score(text, true, report);
    case CodecKind::theremin:
      return Theremin::from_text(text, report);
    case CodecKind::theremin_compat:
      return theremin_compat_score(text, DecodeQuirks::author, report);
  }
  return {};
}

/// Notes in a text, controls and foreign characters not counted: what bits per note are divided by.
[[nodiscard]] inline std::size_t count_text_notes(std::string_view text, CodecKind) {
  const std::u32string points = utf8_code_points(text);
  return static_cast<std::size_t>(std::count_if(points.begin(), points.end(), PackedNote::is_note));
}

/// Columns of `append_features`.
[[nodiscard]] constexpr std::int32_t feature_count(CodecKind) noexcept { return feature_count(); }

/// The features of the character `c` at place `slot` of its token (codec/features.hpp).
inline void append_features(char32_t c, CodecKind kind, int slot, std::vector<std::int32_t>& out) {
  append_features(c, slot, out, kind == CodecKind::split);
}

namespace detail {

/// The largest character boundary <= at, at most 3 bytes back; `at` itself in ill-formed text. Requires: at <= size.
[[nodiscard]] constexpr std::size_t text_boundary(std::string_view text, std::size_t at) noexcept {
  const auto continues = [&](std::size_t i) { return (static_cast<unsigned char>(text[i]) & 0xC0u) == 0x80u; };
  if (at == text.size()) return at;
  for (std::size_t back = 0; back <= (std::min)(at, std::size_t{3}); ++back) {
    if (!continues(at - back)) return at - back;
  }
  return at;
}

}  // namespace detail

/// Windows of at most `max_bytes` that begin every `stride_bytes` (0: one begins where another ends), up to the one
/// that reaches the end. Cuts fall between characters; with stride 0 the windows are the text, in order, nothing twice.
/// Requires: max_bytes >= 4.
[[nodiscard]] inline std::vector<std::string_view> text_windows(std::string_view text, std::size_t max_bytes,
                                                                std::size_t stride_bytes = 0) {
  std::vector<std::string_view> windows;
  const std::size_t size = (std::max)(max_bytes, std::size_t{4});
  const std::size_t stride = stride_bytes == 0 ? size : (std::max)(stride_bytes, std::size_t{4});
  for (std::size_t begin = 0; begin < text.size();) {
    const bool last = text.size() - begin <= size;
    const std::size_t end = last ? text.size() : detail::text_boundary(text, begin + size);
    windows.push_back(text.substr(begin, end - begin));
    if (last) break;
    begin = detail::text_boundary(text, (std::min)(begin + stride, text.size()));
  }
  return windows;
}

/// Windows of `notes` notes that begin every `stride` notes (0: one begins where another ends), up to the one that
/// holds the last note. Controls before a note go with it; what follows the last note stays with the last window.
[[nodiscard]] inline std::vector<std::string_view> note_windows(std::string_view text, std::size_t notes,
                                                                std::size_t stride = 0) {
  std::vector<std::size_t> ends;  // byte after each note
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_decode(text, at);
    at += c.size;
    if (!c.valid) continue;
    if (PackedNote::is_note(c.code_point)) ends.push_back(at);
    const bool second_half = parse_control(c.code_point).kind == ControlKind::pitch;
    if (second_half && !ends.empty() && ends.back() + c.size == at) ends.back() = at;
  }
  std::vector<std::string_view> windows;
  const std::size_t length = (std::max)(notes, std::size_t{1});
  for (std::size_t first = 0; first < ends.size(); first += stride == 0 ? length : stride) {
    const bool last = ends.size() - first <= length;
    const std::size_t begin = first == 0 ? 0 : ends[first - 1];
    windows.push_back(text.substr(begin, (last ? text.size() : ends[first + length - 1]) - begin));
    if (last) break;
  }
  return windows;
}

}  // namespace v0
}  // namespace midigpt
