// core/utf8.hpp - UTF-8 as Unicode 15 section 3.9 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace midigpt {
inline namespace v0 {

/// One decoded character. `valid` is false for a byte that begins no well-formed sequence; then size = 1 and
/// code_point = U+FFFD (SentencePiece and this library consume such input byte by byte).
struct Utf8Char {
  char32_t code_point = 0xFFFD;
  std::uint32_t size = 1;  // bytes
  bool valid = false;
};

[[nodiscard]] constexpr bool is_scalar_value(char32_t c) noexcept {
  return c < 0xD800 || (c > 0xDFFF && c <= 0x10FFFF);
}

[[nodiscard]] constexpr std::size_t utf8_size(char32_t c) noexcept {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/// Decodes the character at `text[at]`. Requires: at < text.size().
[[nodiscard]] constexpr Utf8Char utf8_decode(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const std::size_t left = text.size() - at;
  const std::uint32_t b0 = byte(0);
  if (b0 < 0x80) return {static_cast<char32_t>(b0), 1, true};
  if (b0 >= 0xC2 && b0 < 0xE0) {
    if (left >= 2 && tail(1)) return {static_cast<char32_t>((b0 & 0x1Fu) << 6 | (byte(1) & 0x3Fu)), 2, true};
  } else if (b0 >= 0xE0 && b0 < 0xF0) {
    if (left >= 3 && tail(1) && tail(2)) {
      const std::uint32_t c = (b0 & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
      if (c >= 0x800 && is_scalar_value(c)) return {static_cast<char32_t>(c), 3, true};
    }
  } else if (b0 >= 0xF0 && b0 < 0xF5) {
    if (left >= 4 && tail(1) && tail(2) && tail(3)) {
      const std::uint32_t c = (b0 & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
      if (c >= 0x10000 && c <= 0x10FFFF) return {static_cast<char32_t>(c), 4, true};
    }
  }
  return {};
}

/// Appends `c` as UTF-8. Requires: is_scalar_value(c).
inline void utf8_append(std::string& out, char32_t c) {
  const auto put = [&](std::uint32_t b) { out.push_back(static_cast<char>(static_cast<unsigned char>(b))); };
  const auto u = static_cast<std::uint32_t>(c);
  if (u < 0x80) {
    put(u);
  } else if (u < 0x800) {
    put(0xC0u | u >> 6);
    put(0x80u | (u & 0x3Fu));
  } else if (u < 0x10000) {
    put(0xE0u | u >> 12);
    put(0x80u | (u >> 6 & 0x3Fu));
    put(0x80u | (u & 0x3Fu));
  } else {
    put(0xF0u | u >> 18);
    put(0x80u | (u >> 12 & 0x3Fu));
    put(0x80u | (u >> 6 & 0x3Fu));
    put(0x80u | (u & 0x3Fu));
  }
}

/// UTF-8 of a sequence of scalar values. Requires: every element is one.
[[nodiscard]] inline std::string utf8_encode(std::u32string_view points) {
  std::string out;
  out.reserve(points.size() * 4);
  for (const char32_t c : points) utf8_append(out, c);
  return out;
}

/// Code points of `text`; each ill-formed byte becomes one U+FFFD.
[[nodiscard]] inline std::u32string utf8_code_points(std::string_view text) {
  std::u32string out;
  out.reserve(text.size() / 2);
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_decode(text, at);
    out.push_back(c.code_point);
    at += c.size;
  }
  return out;
}

/// The offset of the first ill-formed byte, or npos if `text` is valid UTF-8.
[[nodiscard]] constexpr std::size_t utf8_first_invalid(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_decode(text, at);
    if (!c.valid) return at;
    at += c.size;
  }
  return std::string_view::npos;
}

}  // namespace v0
}  // namespace midigpt
