// token/char_table.hpp - one look-up per character: code point -> symbol number, and whether plain reading is allowed.
//   Plain text is text that the normaliser leaves as it is but for its spaces. Most text is; it is then encoded without
//   writing the normalised text first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/charsmap.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>

namespace midigpt {
inline namespace v0 {

/// A character as the merge encoder sees it: a symbol number below 2^21 - 2, or k_unknown_symbol | code point.
using BpeSymbol = std::uint32_t;
inline constexpr BpeSymbol k_unknown_symbol = 0x80000000u;

/// Two levels of 64 code points; immutable once filled.
class CharTable {
 public:
  static constexpr std::uint32_t k_special = 0x40000000u;  // only the normaliser knows what becomes of it
  static constexpr std::uint32_t k_space = 0x20000000u;    // a space, or a character that becomes one
  static constexpr std::uint32_t k_no_symbol = 0x1FFFFFu;

  /// Pages 0 and 1 are U+0000..U+007F, page 2 is that of all code points nothing is known of.
  CharTable() : top_(k_pages, 2), cells_(3 * 64, k_no_symbol) {
    top_[0] = 0;
    top_[1] = 1;
  }

  /// Requires: c < 0x80.
  [[nodiscard]] std::uint32_t ascii(unsigned char c) const noexcept { return cells_[c]; }

  [[nodiscard]] std::uint32_t operator[](char32_t c) const noexcept {
    return cells_[std::size_t{top_[static_cast<std::size_t>(c >> 6)]} * 64 + (c & 63)];
  }

  [[nodiscard]] std::uint32_t& cell(char32_t c) {
    std::uint16_t& page = top_[static_cast<std::size_t>(c >> 6)];
    if (page == 2) {
      page = static_cast<std::uint16_t>(cells_.size() / 64);
      cells_.insert(cells_.end(), 64, k_no_symbol);
    }
    return cells_[std::size_t{page} * 64 + (c & 63)];
  }

  /// The symbol of a code point, known or not.
  [[nodiscard]] BpeSymbol symbol(char32_t c) const noexcept {
    const std::uint32_t cell = (*this)[c] & k_no_symbol;
    return cell == k_no_symbol ? k_unknown_symbol | static_cast<std::uint32_t>(c) : cell;
  }

  /// Marks what the model's normaliser does to single characters. False when plain reading is not possible at all.
  [[nodiscard]] bool learn_rules(const SpmModel& model, const Charsmap& map) {
    if (!model.normalizer.escape_whitespaces || model.trainer.treat_whitespace_as_suffix) return false;
    bool readable = true;
    const bool complete = map.for_each([&](std::string_view key, std::string_view replacement) {
      const Utf8Char first = utf8_decode(key, 0);
      readable = readable && first.valid;
      if (!first.valid) return;
      if (first.size == key.size()) {
        if (replacement == " ") {
          cell(first.code_point) |= k_space;
        } else if (replacement != key) {
          cell(first.code_point) |= k_special;
        }
        return;
      }
      // A key of several characters cannot match where none of its later characters occurs.
      for (std::size_t at = first.size; at < key.size();) {
        const Utf8Char c = utf8_decode(key, at);
        readable = readable && c.valid;
        cell(c.code_point) |= k_special;
        at += c.size;
      }
    });
    if (!complete || !readable) return false;
    for (const SpmPiece& p : model.pieces) {
      if (p.type != PieceType::user_defined) continue;
      // A leading U+2581 can come from a space: the character after it gives such a symbol away.
      const std::string_view rest = std::string_view(p.piece).substr(p.piece.starts_with(k_space_mark) ? k_space_mark.size() : 0);
      const Utf8Char first = rest.empty() ? Utf8Char{} : utf8_decode(rest, 0);
      if (!first.valid || (rest.size() < p.piece.size() && (first.code_point == U' ' || first.code_point == U'\u2581'))) return false;
      cell(first.code_point) |= k_special;
    }
    cell(U'\0') |= k_special;
    cell(U' ') |= k_space;
    if (model.normalizer.remove_extra_whitespaces) cell(U'\u2581') |= k_special;  // a typed one at the end is removed too
    return true;
  }

 private:
  static constexpr std::size_t k_pages = 0x110000 / 64;

  std::vector<std::uint16_t> top_;
  std::vector<std::uint32_t> cells_;
};

}  // namespace v0
}  // namespace midigpt
