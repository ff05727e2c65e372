// core/bytes.hpp - bounded readers and writers over byte spans; no reinterpret_cast of input, no unchecked length.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>

namespace midigpt {
inline namespace v0 {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

[[nodiscard]] inline ByteSpan as_byte_span(std::string_view s) noexcept {
  return std::as_bytes(std::span<const char>(s.data(), s.size()));
}

/// The bytes as characters; the view lives as long as the bytes do.
[[nodiscard]] inline std::string_view as_chars(ByteSpan bytes) noexcept {
  return {static_cast<const char*>(static_cast<const void*>(bytes.data())), bytes.size()};
}

/// A fixed-width integer from the first sizeof(T) bytes. Requires: bytes.size() >= sizeof(T).
template <class T>
[[nodiscard]] constexpr T load_le(const std::byte* p) noexcept {
  static_assert(std::is_unsigned_v<T>);
  if (std::endian::native == std::endian::little && !std::is_constant_evaluated()) {
    T v{};
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) v |= std::to_integer<std::uint64_t>(p[i]) << (8 * i);
  return static_cast<T>(v);
}

template <class T>
[[nodiscard]] constexpr T load_be(const std::byte* p) noexcept {
  static_assert(std::is_unsigned_v<T>);
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) v = v << 8 | std::to_integer<std::uint64_t>(p[i]);
  return static_cast<T>(v);
}

/// Reads forward through a span; every read is checked against the bytes left, and an Error carries the offset.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan in, std::uint64_t base_offset = 0) noexcept : in_(in), base_(base_offset) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return base_ + at_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return in_.size() - at_; }
  [[nodiscard]] bool done() const noexcept { return at_ == in_.size(); }

  [[nodiscard]] Result<ByteSpan> take(std::uint64_t n) {
    if (n > left()) {
      return Error{Errc::truncated, offset(), concat({"need ", n, " bytes, have ", left()})};
    }
    const ByteSpan bytes = in_.subspan(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return bytes;
  }

  template <class T>
  [[nodiscard]] Result<T> le() {
    auto bytes = take(sizeof(T));
    if (!bytes) return bytes.error();
    return load_le<T>(bytes->data());
  }

  template <class T>
  [[nodiscard]] Result<T> be() {
    auto bytes = take(sizeof(T));
    if (!bytes) return bytes.error();
    return load_be<T>(bytes->data());
  }

 private:
  ByteSpan in_;
  std::uint64_t base_ = 0;
  std::size_t at_ = 0;
};

/// Appends to a byte vector it owns.
class ByteWriter {
 public:
  void raw(ByteSpan bytes) {
    if (bytes.empty()) return;
    const std::size_t at = out_.size();
    out_.resize(at + bytes.size());
    std::memcpy(out_.data() + at, bytes.data(), bytes.size());
  }
  void raw(std::string_view chars) { raw(as_byte_span(chars)); }
  void u8(std::uint8_t v) { out_.push_back(std::byte{v}); }

  template <class T>
  void le(T v) {
    static_assert(std::is_unsigned_v<T>);
    for (std::size_t i = 0; i < sizeof(T); ++i) u8(static_cast<std::uint8_t>(v >> (8 * i)));
  }

  template <class T>
  void be(T v) {
    static_assert(std::is_unsigned_v<T>);
    for (std::size_t i = sizeof(T); i-- > 0;) u8(static_cast<std::uint8_t>(v >> (8 * i)));
  }

  /// Overwrites four bytes at `at` (a length that is known only now). Requires: at + 4 <= size().
  void patch_be32(std::size_t at, std::uint32_t v) {
    for (std::size_t i = 0; i < 4; ++i) out_[at + i] = static_cast<std::byte>(v >> (24 - 8 * i));
  }

  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  void reserve(std::size_t n) { out_.reserve(n); }
  [[nodiscard]] const Bytes& bytes() const noexcept { return out_; }
  [[nodiscard]] Bytes take() && noexcept { return std::move(out_); }

 private:
  Bytes out_;
};

/// FNV-1a, 64 bits, then a finaliser: a content hash for splits and names (not a cryptographic one).
[[nodiscard]] constexpr std::uint64_t hash_bytes(ByteSpan bytes, std::uint64_t seed = 0xCBF29CE484222325u) noexcept {
  std::uint64_t h = seed;
  for (const std::byte b : bytes) h = (h ^ std::to_integer<std::uint64_t>(b)) * 0x100000001B3u;
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
  h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
  return h ^ (h >> 31);
}

}  // namespace v0
}  // namespace midigpt
