// token/pretokenize.hpp - which character sequences may become a piece: scripts, digits, the space mark.
//   Both trainers ask in the same way: PieceShape of a character, joined left to right; a join that fails is no piece.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string_view>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/unicode_tables.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::pretokenize {

enum : std::uint8_t { k_common = 0, k_inherited = 1, k_han = 2, k_any = 254, k_none = 255 };

[[nodiscard]] inline std::uint8_t script_of(char32_t c) noexcept {
  if (c == 0x30FC) return k_han;  // the long vowel mark of the kana
  const auto& starts = unicode_tables::k_script_starts;
  const auto next = std::upper_bound(std::begin(starts), std::end(starts), static_cast<std::uint32_t>(c) << 8 | 0xFFu);
  return next == std::begin(starts) ? std::uint8_t{k_common} : static_cast<std::uint8_t>(*std::prev(next) & 0xFFu);
}

[[nodiscard]] constexpr bool is_digit(char32_t c) noexcept { return (c >= '0' && c <= '9') || (c >= 0xFF10 && c <= 0xFF19); }

/// NUL, TAB, space, U+2585 and what is no scalar value never stand in a learnt piece of two or more characters.
[[nodiscard]] constexpr bool never_joins(char32_t c) noexcept {
  return c == 0 || c == U'\t' || c == U' ' || c == 0x2585 || !is_scalar_value(c);
}

}  // namespace detail::pretokenize

/// What deciding a join needs to know about a sequence of characters.
struct PieceShape {
  std::uint16_t length = 0;                             // characters
  std::uint8_t lead = detail::pretokenize::k_none;      // script that the character before must have
  std::uint8_t trail = detail::pretokenize::k_none;     // script that the character after must have
  bool has_digit = false;
  bool has_mark = false, starts_mark = false, ends_mark = false;  // the space mark U+2581
  bool all_mark = false, inner_or_last_mark = false, first_or_inner_mark = false;
  bool valid_end = true;  // false: only a longer text may be a piece
};

/// The rules of one training, from its spec.
class PieceRules {
 public:
  explicit PieceRules(const TrainerSpec& spec) noexcept
      : max_length_(static_cast<std::uint16_t>(spec.max_sentencepiece_length)), scripts_(spec.split_by_unicode_script),
        numbers_(spec.split_by_number), digits_(spec.split_digits), words_(spec.split_by_whitespace),
        suffix_(spec.treat_whitespace_as_suffix), mark_runs_(spec.allow_whitespace_only_pieces) {}

  [[nodiscard]] PieceShape shape(char32_t c) const noexcept {
    namespace impl = detail::pretokenize;
    PieceShape s;
    s.length = 1;
    if (c == 0x2581) {
      s.has_mark = s.starts_mark = s.ends_mark = s.all_mark = true;
      return s;
    }
    s.has_digit = impl::is_digit(c);
    const std::uint8_t script = s.has_digit && !numbers_ ? std::uint8_t{impl::k_any} : impl::script_of(c);
    if (script != impl::k_inherited) s.lead = s.trail = script;
    return s;
  }

  /// Whether left + right may be a piece. Requires: both are single characters or pieces.
  [[nodiscard]] bool joins(const PieceShape& left, const PieceShape& right) const noexcept {
    if (!words_ && !suffix_ && right.ends_mark && !(mark_runs_ && left.all_mark && right.all_mark)) return false;
    return continues(left, right);
  }

  /// Whether some text that begins with left + right may be a piece: it need not end well.
  [[nodiscard]] bool continues(const PieceShape& left, const PieceShape& right) const noexcept {
    namespace impl = detail::pretokenize;
    if (left.length + right.length > max_length_) return false;
    if (left.has_mark || right.has_mark) {
      if (mark_runs_ && left.all_mark && right.all_mark) return true;
      if (words_ && !suffix_ && (left.inner_or_last_mark || right.has_mark)) return false;
      if (words_ && suffix_ && (left.has_mark || right.first_or_inner_mark)) return false;
      if (!words_ && suffix_ && left.starts_mark) return false;
    }
    if (digits_ && (left.has_digit || right.has_digit)) return false;
    if (!scripts_ || left.trail == right.lead) return true;
    return left.trail >= impl::k_any || right.lead >= impl::k_any;
  }

  [[nodiscard]] static PieceShape join(const PieceShape& left, const PieceShape& right) noexcept {
    namespace impl = detail::pretokenize;
    PieceShape s;
    s.length = static_cast<std::uint16_t>(left.length + right.length);
    s.lead = left.lead == impl::k_none ? right.lead : left.lead;
    s.trail = right.trail == impl::k_none ? left.trail : right.trail;
    s.has_digit = left.has_digit || right.has_digit;
    s.has_mark = left.has_mark || right.has_mark;
    s.starts_mark = left.starts_mark;
    s.ends_mark = right.ends_mark;
    s.all_mark = left.all_mark && right.all_mark;
    s.inner_or_last_mark = left.inner_or_last_mark || right.has_mark;
    s.first_or_inner_mark = left.has_mark || right.first_or_inner_mark;
    return s;
  }

 private:
  std::uint16_t max_length_;
  bool scripts_, numbers_, digits_, words_, suffix_, mark_runs_;
};

}  // namespace v0
}  // namespace midigpt
