// core/utf8.hpp - UTF-8 as Unicode 15 section 3.9 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

namespace detail::utf8 {

// Notes are 4-byte characters, so long runs of them are the common text here: they go in blocks that the compiler turns
// into vector code, without a branch per character. Anything else takes the road above.
inline constexpr std::size_t k_block = 32;  // more than what compilers unroll whole instead of making vectors
inline constexpr bool k_little_endian = std::endian::native == std::endian::little;

/// True if a block of 4-byte characters stands at `bytes`; then they are in `points`. Requires: k_block * 4 bytes,
/// little endian.
[[nodiscard]] inline bool decode_block(const char* bytes, char32_t* points) noexcept {
  std::uint32_t words[k_block];
  std::memcpy(words, bytes, sizeof words);
  std::uint32_t bad = 0;
  for (std::size_t i = 0; i < k_block; ++i) {
    const std::uint32_t w = words[i];
    const std::uint32_t c = (w & 0x07u) << 18 | (w & 0x3F00u) << 4 | (w >> 10 & 0xFC0u) | (w >> 24 & 0x3Fu);
    bad |= ((w & 0xC0C0C0F8u) ^ 0x808080F0u) | ((c - 0x10000u) & 0xFFF00000u);
    points[i] = static_cast<char32_t>(c);
  }
  return bad == 0;
}

/// True if all characters of a block take 4 bytes each; then their UTF-8 is in `bytes`. Requires: k_block * 4 bytes,
/// little endian.
[[nodiscard]] inline bool encode_block(const char32_t* points, char* bytes) noexcept {
  std::uint32_t words[k_block];
  std::uint32_t bad = 0;
  for (std::size_t i = 0; i < k_block; ++i) {
    const auto c = static_cast<std::uint32_t>(points[i]);
    bad |= (c - 0x10000u) & 0xFFF00000u;
    words[i] = 0x808080F0u | c >> 18 | (c >> 4 & 0x3F00u) | (c << 10 & 0x3F0000u) | (c << 24 & 0x3F000000u);
  }
  std::memcpy(bytes, words, sizeof words);
  return bad == 0;
}

}  // namespace detail::utf8

/// UTF-8 of a sequence of scalar values. Requires: every element is one.
[[nodiscard]] inline std::string utf8_encode(std::u32string_view points) {
  using namespace detail::utf8;
  std::string out(points.size() * 4, '\0');
  std::size_t size = 0;
  std::string some;
  for (std::size_t i = 0; i < points.size();) {
    if (k_little_endian && points.size() - i >= k_block && encode_block(points.data() + i, out.data() + size)) {
      size += k_block * 4;
      i += k_block;
    } else {
      some.clear();
      for (const std::size_t end = (std::min)(i + k_block, points.size()); i < end; ++i) utf8_append(some, points[i]);
      std::memcpy(out.data() + size, some.data(), some.size());
      size += some.size();
    }
  }
  out.resize(size);
  return out;
}

/// Code points of `text`; each ill-formed byte becomes one U+FFFD.
[[nodiscard]] inline std::u32string utf8_code_points(std::string_view text) {
  using namespace detail::utf8;
  std::u32string out(text.size() / 4 + k_block, U'\0');
  std::size_t size = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (out.size() - size < k_block) out.resize((std::min)(out.size() * 2, size + (text.size() - at)) + k_block);
    if (k_little_endian && text.size() - at >= k_block * 4 && decode_block(text.data() + at, out.data() + size)) {
      size += k_block;
      at += k_block * 4;
    } else {
      for (std::size_t i = 0; i < k_block && at < text.size(); ++i) {
        const Utf8Char c = utf8_decode(text, at);
        out[size++] = c.code_point;
        at += c.size;
      }
    }
  }
  out.resize(size);
  return out;
}

/// The offset of the first ill-formed byte, or npos if `text` is valid UTF-8.
[[nodiscard]] inline std::size_t utf8_first_invalid(std::string_view text) noexcept {
  using namespace detail::utf8;
  char32_t points[k_block];
  for (std::size_t at = 0; at < text.size();) {
    if (k_little_endian && text.size() - at >= k_block * 4 && decode_block(text.data() + at, points)) {
      at += k_block * 4;
      continue;
    }
    for (std::size_t i = 0; i < k_block && at < text.size(); ++i) {
      const Utf8Char c = utf8_decode(text, at);
      if (!c.valid) return at;
      at += c.size;
    }
  }
  return std::string_view::npos;
}

}  // namespace v0
}  // namespace midigpt
