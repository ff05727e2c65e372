// token/wire.hpp - the protobuf wire format: tagged fields in, tagged fields out. No recursion, no unchecked length.
//   Source: protobuf.dev/programming-guides/encoding; only what a .model file needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>

namespace midigpt {
inline namespace v0 {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, length = 2, group_begin = 3, group_end = 4, fixed32 = 5 };

/// One field of a message: `value` for varint, fixed32 and fixed64, `bytes` for length-delimited ones.
struct WireField {
  std::uint32_t number = 0;
  WireType type{};
  std::uint64_t value = 0;
  ByteSpan bytes;
  std::uint64_t offset = 0;  // of the payload, in the file
  ByteSpan raw;              // tag and payload as they stood, to be written again unchanged

  [[nodiscard]] std::string text() const { return std::string(as_chars(bytes)); }
};

/// Walks the fields of one message.
class WireReader {
 public:
  /// `base_offset`: where the message stands in the file, for Error::offset.
  explicit WireReader(ByteSpan message, std::uint64_t base_offset = 0) noexcept
      : message_(message), base_(base_offset), in_(message, base_offset) {}

  [[nodiscard]] bool done() const noexcept { return in_.done(); }

  /// The next field; a group comes whole, as a field of type group_begin with only `raw` set.
  [[nodiscard]] Result<WireField> next() {
    const std::uint64_t begin = in_.offset();
    auto field = one();
    if (!field) return field;
    if (field->type == WireType::group_end) return Error{Errc::bad_value, begin, "protobuf: end of a group that never began"};
    if (field->type == WireType::group_begin) {
      for (std::size_t depth = 1; depth > 0;) {
        auto inner = one();
        if (!inner) return inner;
        if (inner->type == WireType::group_begin) ++depth;
        if (inner->type == WireType::group_end) --depth;
        if (depth > k_max_group_depth) return Error{Errc::too_large, inner->offset, "protobuf: groups nested too deeply"};
      }
    }
    field->raw = message_.subspan(static_cast<std::size_t>(begin - base_), static_cast<std::size_t>(in_.offset() - begin));
    return field;
  }

 private:
  static constexpr std::size_t k_max_group_depth = 100;

  [[nodiscard]] Result<std::uint64_t> varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      auto byte = in_.le<std::uint8_t>();
      if (!byte) return byte.error();
      if (shift < 64) v |= static_cast<std::uint64_t>(*byte & 0x7Fu) << shift;
      if ((*byte & 0x80u) == 0) return v;
    }
    return Error{Errc::bad_value, in_.offset(), "protobuf: a varint of more than 10 bytes"};
  }

  [[nodiscard]] Result<WireField> one() {
    const std::uint64_t begin = in_.offset();
    auto tag = varint();
    if (!tag) return tag.error();
    WireField field;
    const std::uint64_t kind = *tag & 7u;
    if (*tag >> 3 == 0 || *tag > 0xFFFFFFFFu || kind > 5) {
      return Error{Errc::bad_value, begin, concat({"protobuf: no such tag: ", *tag})};
    }
    field.number = static_cast<std::uint32_t>(*tag >> 3);
    field.type = static_cast<WireType>(kind);
    field.offset = in_.offset();
    switch (field.type) {
      case WireType::varint: {
        auto v = varint();
        if (!v) return v.error();
        field.value = *v;
        break;
      }
      case WireType::fixed64: {
        auto v = in_.le<std::uint64_t>();
        if (!v) return v.error();
        field.value = *v;
        break;
      }
      case WireType::fixed32: {
        auto v = in_.le<std::uint32_t>();
        if (!v) return v.error();
        field.value = *v;
        break;
      }
      case WireType::length: {
        auto n = varint();
        if (!n) return n.error();
        field.offset = in_.offset();
        auto bytes = in_.take(*n);
        if (!bytes) return bytes.error();
        field.bytes = *bytes;
        break;
      }
      case WireType::group_begin:
      case WireType::group_end: break;
    }
    return field;
  }

  ByteSpan message_;
  std::uint64_t base_;
  ByteReader in_;
};

/// Appends fields; a nested message is written by its own WireWriter and added with bytes().
class WireWriter {
 public:
  void varint(std::uint32_t number, std::uint64_t v) {
    tag(number, WireType::varint);
    plain(v);
  }
  /// Negative numbers take ten bytes, as protobuf's int32 does.
  void int32(std::uint32_t number, std::int32_t v) { varint(number, static_cast<std::uint64_t>(static_cast<std::int64_t>(v))); }
  void float32(std::uint32_t number, float v) {
    tag(number, WireType::fixed32);
    out_.le(std::bit_cast<std::uint32_t>(v));
  }
  void bytes(std::uint32_t number, ByteSpan payload) {
    tag(number, WireType::length);
    plain(payload.size());
    out_.raw(payload);
  }
  void text(std::uint32_t number, std::string_view payload) { bytes(number, as_byte_span(payload)); }
  /// Fields that were read and not understood.
  void raw(std::string_view fields) { out_.raw(fields); }

  [[nodiscard]] const Bytes& bytes() const noexcept { return out_.bytes(); }
  [[nodiscard]] Bytes take() && noexcept { return std::move(out_).take(); }

 private:
  void tag(std::uint32_t number, WireType type) { plain(std::uint64_t{number} << 3 | static_cast<std::uint64_t>(type)); }
  void plain(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_.u8(static_cast<std::uint8_t>(v | 0x80u));
    out_.u8(static_cast<std::uint8_t>(v));
  }

  ByteWriter out_;
};

}  // namespace v0
}  // namespace midigpt
