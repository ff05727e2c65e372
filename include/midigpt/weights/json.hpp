// weights/json.hpp - the little JSON that weight files need: a pull reader that keeps no tree, and quoting.
//   RFC 8259, strict: no comments, no trailing commas, valid UTF-8, no lone surrogates. Nesting ends at k_json_depth;
//   nothing recurses.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/utf8.hpp>

namespace midigpt {
inline namespace v0 {

inline constexpr int k_json_depth = 32;

enum class JsonKind : std::uint8_t { object, array, string, number, boolean, null, none };

/// Walks one JSON text from left to right; the caller asks for what it expects, and an Error says which byte disagreed.
///   begin_object(), then while (next_key(key)) read one value; begin_array(), then while (next_element()) read one
///   value.
class JsonReader {
 public:
  /// `base_offset` is where `text` begins in its file: it is added to the offsets of errors.
  explicit JsonReader(std::string_view text, std::uint64_t base_offset = 0) noexcept
      : text_(text), base_(base_offset) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return base_ + at_; }

  /// The kind of the value that comes next, `none` where no value can begin.
  [[nodiscard]] JsonKind peek() noexcept {
    space();
    if (at_ == text_.size()) return JsonKind::none;
    const char c = text_[at_];
    if (c == '{') return JsonKind::object;
    if (c == '[') return JsonKind::array;
    if (c == '"') return JsonKind::string;
    if (c == 't' || c == 'f') return JsonKind::boolean;
    if (c == 'n') return JsonKind::null;
    return c == '-' || digit(c) ? JsonKind::number : JsonKind::none;
  }

  [[nodiscard]] Result<void> begin_object() { return open('{', "'{'"); }
  [[nodiscard]] Result<void> begin_array() { return open('[', "'['"); }

  /// True: `key` is the next member's name and its value comes now. False: the object ended.
  [[nodiscard, gnu::cold]] Result<bool> next_key(std::string& key) {
    auto more = next('}');
    if (!more || !*more) return more;
    auto name = string();
    if (!name) return name.error();
    key = *std::move(name);
    space();
    if (at_ == text_.size() || text_[at_] != ':') return wrong("':'");
    ++at_;
    return true;
  }

  /// True: an element comes now. False: the array ended.
  [[nodiscard]] Result<bool> next_element() { return next(']'); }

  [[nodiscard, gnu::cold]] Result<std::string> string() {
    space();
    if (at_ == text_.size() || text_[at_] != '"') return wrong("a string");
    ++at_;
    std::string out;
    for (;;) {
      if (at_ == text_.size()) return wrong("the end of a string");
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return out;
      }
      if (c == '\\') {
        if (auto r = escape(out); !r) return r.error();
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) return wrong("no control character in a string");
      const Utf8Char u = utf8_decode(text_, at_);
      if (!u.valid) return wrong("valid UTF-8");
      out.append(text_.substr(at_, u.size));
      at_ += u.size;
    }
  }

  /// A whole number without sign, fraction or exponent that fits 64 bits.
  [[nodiscard, gnu::cold]] Result<std::uint64_t> whole() {
    space();
    const std::size_t begin = at_;
    std::uint64_t value = 0;
    while (at_ < text_.size() && digit(text_[at_])) {
      const auto d = static_cast<std::uint64_t>(text_[at_] - '0');
      if (value > (UINT64_MAX - d) / 10) return wrong("a whole number below 2^64");
      value = value * 10 + d;
      ++at_;
    }
    const bool padded = at_ - begin > 1 && text_[begin] == '0';
    const bool more = at_ < text_.size() && (text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E');
    if (at_ == begin || padded || more) return wrong("a whole number");
    return value;
  }

  /// Any number. Exact for up to 15 digits and exponents within +-22, else to the last bit or two.
  [[nodiscard, gnu::cold]] Result<double> number() {
    space();
    const bool negative = at_ < text_.size() && text_[at_] == '-';
    if (negative) ++at_;
    std::uint64_t mantissa = 0;
    int exponent = 0;
    const auto take = [&](bool fraction) {
      std::size_t n = 0;
      for (; at_ < text_.size() && digit(text_[at_]); ++at_, ++n) {
        if (mantissa < UINT64_MAX / 10 - 1) {
          mantissa = mantissa * 10 + static_cast<std::uint64_t>(text_[at_] - '0');
          exponent -= fraction ? 1 : 0;
        } else {
          exponent += fraction ? 0 : 1;
        }
      }
      return n;
    };
    const std::size_t begin = at_;
    const std::size_t digits = take(false);
    if (digits == 0 || (digits > 1 && text_[begin] == '0')) return wrong("a number");
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (take(true) == 0) return wrong("a digit");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      const bool down = at_ < text_.size() && text_[at_] == '-';
      if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
      if (at_ == text_.size() || !digit(text_[at_])) return wrong("a digit");
      int e = 0;
      for (; at_ < text_.size() && digit(text_[at_]); ++at_) e = e < 10000 ? e * 10 + (text_[at_] - '0') : e;
      exponent += down ? -e : e;
    }
    double value = static_cast<double>(mantissa);
    if (mantissa != 0 && exponent != 0) {
      const int size = exponent < 0 ? -exponent : exponent;
      if (size > 308 + 20) return wrong("a number within double's range");
      double power = 1;
      for (int i = 0; i < size && power < 1e300; ++i) power *= 10;
      for (int i = 300; i < size && exponent < 0; ++i) value /= 10;
      value = exponent < 0 ? value / power : value * power;
    }
    if (!std::isfinite(value)) return wrong("a number within double's range");
    return negative ? -value : value;
  }

  [[nodiscard, gnu::cold]] Result<bool> boolean() {
    space();
    if (word("true")) return true;
    if (word("false")) return false;
    return wrong("true or false");
  }

  /// Steps over one value of any kind, checking it.
  [[nodiscard, gnu::cold]] Result<void> skip() {
    const int floor = depth_;
    std::string key;
    do {
      if (depth_ > floor) {
        auto more = in_array_[static_cast<std::size_t>(depth_ - 1)] ? next_element() : next_key(key);
        if (!more) return more.error();
        if (!*more) continue;
      }
      if (auto r = step(); !r) return r;
    } while (depth_ > floor);
    return {};
  }

  /// Nothing but white space is left.
  [[nodiscard]] Result<void> end() {
    space();
    if (at_ != text_.size()) return wrong("nothing more");
    return {};
  }

 private:
  [[nodiscard]] static constexpr bool digit(char c) noexcept { return c >= '0' && c <= '9'; }

  void space() noexcept {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  [[nodiscard, gnu::cold]] Error wrong(const char* expected) const {
    return Error{at_ < text_.size() ? Errc::bad_value : Errc::truncated, offset(),
                 std::string("JSON: expected ") + expected};
  }

  [[nodiscard]] bool word(std::string_view w) noexcept {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }

  [[nodiscard, gnu::cold]] Result<void> open(char c, const char* expected) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return wrong(expected);
    if (depth_ == k_json_depth)
      return Error{Errc::too_large, offset(), concat({"JSON: nested deeper than ", k_json_depth})};
    in_array_[static_cast<std::size_t>(depth_)] = c == '[';
    first_[static_cast<std::size_t>(depth_)] = true;
    ++depth_;
    ++at_;
    return {};
  }

  /// Before a member or an element: eats the comma, or the closing bracket. Requires: inside a container.
  [[nodiscard, gnu::cold]] Result<bool> next(char close) {
    space();
    bool& first = first_[static_cast<std::size_t>(depth_ - 1)];
    if (at_ < text_.size() && text_[at_] == close) {
      ++at_;
      --depth_;
      return false;
    }
    if (!first) {
      if (at_ == text_.size() || text_[at_] != ',') return wrong(close == '}' ? "',' or '}'" : "',' or ']'");
      ++at_;
    }
    first = false;
    return true;
  }

  /// One scalar, or the opening of a container.
  [[nodiscard, gnu::cold]] Result<void> step() {
    switch (peek()) {
      case JsonKind::object:
        return begin_object();
      case JsonKind::array:
        return begin_array();
      case JsonKind::string:
        if (auto r = string(); !r) return r.error();
        return {};
      case JsonKind::number:
        if (auto r = number(); !r) return r.error();
        return {};
      case JsonKind::boolean:
        if (auto r = boolean(); !r) return r.error();
        return {};
      case JsonKind::null:
        if (word("null")) return {};
        break;
      case JsonKind::none:
        break;
    }
    return wrong("a value");
  }

  [[nodiscard, gnu::cold]] Result<char32_t> hex4() {
    char32_t value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ == text_.size()) return wrong("four hex digits");
      const char c = text_[at_];
      const int d = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (d < 0) return wrong("four hex digits");
      value = value << 4 | static_cast<char32_t>(d);
    }
    return value;
  }

  /// Requires: text_[at_] is a backslash.
  [[nodiscard, gnu::cold]] Result<void> escape(std::string& out) {
    ++at_;
    if (at_ == text_.size()) return wrong("an escape");
    const std::size_t which = std::string_view("\"\\/bfnrt").find(text_[at_]);
    if (which != std::string_view::npos) {
      out.push_back("\"\\/\b\f\n\r\t"[which]);
      ++at_;
      return {};
    }
    if (text_[at_] != 'u') return wrong("an escape");
    ++at_;
    auto c = hex4();
    if (!c) return c.error();
    char32_t point = *c;
    if (point >= 0xD800 && point < 0xDC00 && word("\\u")) {
      auto low = hex4();
      if (!low) return low.error();
      if (*low < 0xDC00 || *low > 0xDFFF) return wrong("a low surrogate");
      point = 0x10000 + ((point - 0xD800) << 10 | (*low - 0xDC00));
    }
    if (!is_scalar_value(point)) return wrong("a pair of surrogates");
    utf8_append(out, point);
    return {};
  }

  std::string_view text_;
  std::uint64_t base_ = 0;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::array<bool, k_json_depth> in_array_{}, first_{};
};

/// `s` as a JSON string with its quotes. Requires valid UTF-8; the 66 non-characters are escaped, some readers refuse
/// them raw.
[[nodiscard]] inline std::string json_quote(std::string_view s) {
  std::string out = "\"";
  const auto hex = [&out](std::uint32_t unit) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[unit >> shift & 15u]);
  };
  for (std::size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_decode(s, at);
    const auto u = static_cast<std::uint32_t>(c.code_point);
    const bool noncharacter = (u & 0xFFFEu) == 0xFFFEu || (u >= 0xFDD0 && u <= 0xFDEF);
    if (u == '"' || u == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(u));
    } else if (u < 0x20 || u == 0x7F) {
      hex(u);
    } else if (noncharacter && u < 0x10000) {
      hex(u);
    } else if (noncharacter) {
      hex(0xD800u + ((u - 0x10000u) >> 10));
      hex(0xDC00u + (u & 0x3FFu));
    } else {
      out.append(s.substr(at, c.size));
    }
    at += c.size;
  }
  out.push_back('"');
  return out;
}

/// The shortest decimal that reads back as `value`, the same in every locale. Requires a finite value.
template <class T>
[[nodiscard]] std::string json_number(T value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

}  // namespace v0
}  // namespace midigpt
