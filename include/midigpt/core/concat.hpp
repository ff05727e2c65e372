// core/concat.hpp - one text made of many parts: concat({"need ", n, " bytes, have ", left}).
//   A chain of + is code for a string at every step, and most of it for errors that never happen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

namespace midigpt {
inline namespace v0 {

/// A text, or a whole number to be written in decimal digits. Refers to the text: for the length of one expression.
class TextPart {
 public:
  TextPart(const char* text) noexcept : text_(text), value_(std::strlen(text)) {}            // NOLINT: implicit
  TextPart(std::string_view text) noexcept : text_(text.empty() ? "" : text.data()), value_(text.size()) {}  // NOLINT: implicit
  TextPart(const std::string& text) noexcept : text_(text.data()), value_(text.size()) {}    // NOLINT: implicit
  TextPart(int n) noexcept : TextPart(static_cast<long long>(n)) {}                          // NOLINT: implicit
  TextPart(long n) noexcept : TextPart(static_cast<long long>(n)) {}                         // NOLINT: implicit
  TextPart(long long n) noexcept : value_(static_cast<std::uint64_t>(n)), is_signed_(true) {}  // NOLINT: implicit
  TextPart(unsigned n) noexcept : value_(n) {}                                               // NOLINT: implicit
  TextPart(unsigned long n) noexcept : value_(n) {}                                          // NOLINT: implicit
  TextPart(unsigned long long n) noexcept : value_(n) {}                                     // NOLINT: implicit
  TextPart(char) = delete;
  TextPart(bool) = delete;
  TextPart(double) = delete;

  void append_to(std::string& out) const {
    if (text_ != nullptr) {
      out.append(text_, static_cast<std::size_t>(value_));
    } else {
      const bool negative = is_signed_ && value_ >> 63 != 0;
      char digits[20];
      std::size_t at = sizeof digits;
      std::uint64_t rest = negative ? 0 - value_ : value_;
      do {
        digits[--at] = static_cast<char>('0' + rest % 10);
        rest /= 10;
      } while (rest != 0);
      if (negative) out += '-';
      out.append(digits + at, sizeof digits - at);
    }
  }

 private:
  const char* text_ = nullptr;  // null: a number
  std::uint64_t value_;         // the text's length, or the number
  bool is_signed_ = false;
};

/// Writes the parts behind `out`, one after the other. No part may be a piece of `out`.
inline void append(std::string& out, std::initializer_list<TextPart> parts) {
  for (const TextPart& p : parts) p.append_to(out);
}

[[nodiscard]] inline std::string concat(std::initializer_list<TextPart> parts) {
  std::string out;
  append(out, parts);
  return out;
}

}  // namespace v0
}  // namespace midigpt
