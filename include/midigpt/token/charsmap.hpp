// token/charsmap.hpp - the normalisation map inside a .model: a double-array trie over UTF-8 and its replacement strings.
//   Layout: u32 LE trie size in bytes | trie units, u32 LE each | NUL-terminated replacements; a trie value is an offset
//   into them. Unit: bits 0..7 label, 8 "a value follows", 9 offset scale, 10..30 offset; a value unit has bit 31 set.
//   Every step of a walk is checked against the array, so a hostile map costs time linear in the text and nothing else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>

namespace midigpt {
inline namespace v0 {

/// A longest match: `bytes` of the text become `replacement`. bytes = 0: nothing matches here.
struct CharsmapMatch {
  std::size_t bytes = 0;
  std::string_view replacement;
};

/// A checked, immutable copy of a precompiled_charsmap. The empty blob is the identity. Safe to share between threads.
class Charsmap {
 public:
  Charsmap() = default;

  [[nodiscard]] static Result<Charsmap> create(std::string_view blob) {
    Charsmap map;
    if (blob.empty()) return map;
    ByteReader in(as_byte_span(blob));
    const auto trie_bytes = in.le<std::uint32_t>();
    if (!trie_bytes) return Error{Errc::truncated, 0, "charsmap: no trie size"};
    if (*trie_bytes > in.left()) return Error{Errc::too_large, 0, "charsmap: trie is larger than the blob"};
    if (*trie_bytes == 0 || *trie_bytes % 4 != 0) return Error{Errc::bad_value, 0, "charsmap: trie size is not a multiple of 4"};
    const auto trie = in.take(*trie_bytes);
    map.units_.resize(*trie_bytes / 4);
    for (std::size_t i = 0; i < map.units_.size(); ++i) map.units_[i] = load_le<std::uint32_t>(trie->data() + 4 * i);
    map.replacements_ = blob.substr(static_cast<std::size_t>(in.offset()));
    if (map.replacements_.empty() || map.replacements_.back() != '\0') {
      return Error{Errc::bad_value, blob.size(), "charsmap: the last replacement does not end in NUL"};
    }
    for (std::size_t first = 0; first < 256; ++first) map.starts_[first] = map.step(map.root(), first) != 0;
    return map;
  }

  [[nodiscard]] bool is_identity() const noexcept { return units_.empty(); }

  /// False when no key begins with this byte: the text there stays as it is.
  [[nodiscard]] bool may_start(unsigned char first) const noexcept { return starts_[first]; }

  /// The longest key at the start of `text`; keys nested in one another count up to 32, as in SentencePiece.
  [[nodiscard]] CharsmapMatch longest(std::string_view text) const noexcept {
    CharsmapMatch best;
    if (is_identity()) return best;
    std::size_t node = root();
    int nested = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::size_t at = step(node, static_cast<unsigned char>(text[i]));
      if (at == 0) break;
      const std::uint32_t unit = units_[at];
      node = at ^ offset(unit);
      if (!has_value(unit)) continue;
      if (node >= units_.size() || value(units_[node]) >= replacements_.size()) break;
      const std::string_view tail = std::string_view(replacements_).substr(value(units_[node]));
      best = {i + 1, tail.substr(0, tail.find('\0'))};
      if (++nested == 32) break;
    }
    return best;
  }

  /// Calls visit(key, replacement) for every key in byte order. False when there may be more: keys longer than 256 bytes
  /// are not followed, nor is a hostile map that is no tree.
  template <class Visit>
  bool for_each(Visit&& visit) const {
    if (is_identity()) return true;
    bool complete = true;
    struct Level {
      std::size_t node, label;
    };
    std::vector<Level> path{{root(), 0}};
    std::string key;
    std::size_t budget = 64 * units_.size();  // equal tails are shared, so paths outnumber units; a hostile graph ends here
    while (!path.empty()) {
      if (path.back().label == 256) {
        path.pop_back();
        if (!key.empty()) key.pop_back();
        continue;
      }
      const std::size_t label = path.back().label++;
      const std::size_t at = step(path.back().node, label);
      if (at == 0 || label == 0) continue;
      if (key.size() == 256) {
        complete = false;
        continue;
      }
      if (budget-- == 0) return false;
      key.push_back(static_cast<char>(static_cast<unsigned char>(label)));
      const std::size_t node = at ^ offset(units_[at]);
      if (has_value(units_[at]) && node < units_.size() && value(units_[node]) < replacements_.size()) {
        const std::string_view tail = std::string_view(replacements_).substr(value(units_[node]));
        visit(std::string_view(key), tail.substr(0, tail.find('\0')));
      }
      path.push_back({node, 0});
    }
    return complete;
  }

 private:
  [[nodiscard]] static bool has_value(std::uint32_t unit) noexcept { return (unit >> 8 & 1u) != 0; }
  [[nodiscard]] static std::uint32_t value(std::uint32_t unit) noexcept { return unit & 0x7FFFFFFFu; }
  [[nodiscard]] static std::size_t offset(std::uint32_t unit) noexcept {
    return static_cast<std::size_t>(unit >> 10) << ((unit & 0x200u) >> 6);
  }
  [[nodiscard]] std::size_t root() const noexcept { return units_.empty() ? 0 : offset(units_[0]); }

  /// The unit reached from `node` by `label`, or 0 (the root, which no label reaches).
  [[nodiscard]] std::size_t step(std::size_t node, std::size_t label) const noexcept {
    const std::size_t at = node ^ label;
    return at < units_.size() && (units_[at] & 0x800000FFu) == label ? at : 0;
  }

  std::vector<std::uint32_t> units_;
  std::string replacements_;
  std::array<bool, 256> starts_{};
};

}  // namespace v0
}  // namespace midigpt
