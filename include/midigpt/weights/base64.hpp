// weights/base64.hpp - bytes inside JSON strings (RFC 4648, padded): how a model file carries its tokenizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>

namespace midigpt {
inline namespace v0 {

[[nodiscard]] inline std::string base64_encode(ByteSpan bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j)
      out.push_back(i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63u] : '=');
  }
  return out;
}

/// The only encoding of the bytes is accepted: full groups of four, zero bits in the padding, no white space.
[[nodiscard]] inline Result<Bytes> base64_decode(std::string_view text) {
  const auto value = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  if (text.size() % 4 != 0) return Error{Errc::truncated, text.size(), "base64: length is not a multiple of 4"};
  Bytes out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t pad = !last || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      const int v = j < 4 - pad ? value(text[i + j]) : 0;
      if (v < 0) return Error{Errc::bad_value, i + j, "base64: not a digit"};
      group = group << 6 | static_cast<std::uint32_t>(v);
    }
    if ((group & ((1u << (8 * pad)) - 1)) != 0) return Error{Errc::bad_value, i, "base64: bits in the padding"};
    for (std::size_t j = 0; j < 3 - pad; ++j) out.push_back(static_cast<std::byte>(group >> (16 - 8 * j)));
  }
  return out;
}

}  // namespace v0
}  // namespace midigpt
