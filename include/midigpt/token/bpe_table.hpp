// token/bpe_table.hpp - the merge encoder for models whose scores are all different: pieces as numbers in merge order,
// one table (left, right) -> joined piece.
//   1. Text is cut wherever two neighbouring characters occur together in no piece: no merge crosses such a place.
//   2. A segment that is a piece, and encodes to that piece alone, is looked up whole.
//   3. Other segments are merged in an array; long ones in overlapping windows. Two windows join where the second begins
//      with the piece the first had there: an encoding is right when each of its neighbouring pairs is the encoding of
//      their joined text, and every pair then comes from one window. So the cost stays linear in the text.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/char_table.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::bpe_table {

/// Segments up to this many characters are looked up whole and merged in an array.
inline constexpr std::size_t k_small = 64;

/// Fixed odd multipliers: the hash of a spelling is a sum of products, whose terms do not wait for one another.
inline constexpr std::array<std::uint64_t, k_small> k_multipliers = [] {
  std::array<std::uint64_t, k_small> out{};
  for (std::size_t i = 0; i < k_small; ++i) out[i] = mix64(i) | 1u;
  return out;
}();

}  // namespace detail::bpe_table

/// Memory of one encoding, to be used again by the next one of the same thread.
struct BpeTableScratch {
  std::vector<BpeSymbol> text;                  // a segment too long for the array
  std::vector<BpeSymbol> symbols, next_window;  // a window, after its merges: its pieces
  std::vector<BpeSymbol> pieces;                // of a long segment
  std::vector<std::uint32_t> ranks, next, prev;
  std::vector<std::uint64_t> queue;
};

/// Immutable: safe to share between threads.
class BpeTable {
 public:
  /// Nothing when the model needs the general encoder: UNUSED pieces, equal scores, pieces of more than 256 characters,
  /// more than 2^21 - 2 symbols.
  [[nodiscard]] static std::optional<BpeTable> create(const Vocab& vocab) {
    BpeTable t;
    const auto& pieces = vocab.model().pieces;
    if (vocab.has_unused()) return std::nullopt;
    std::vector<std::u32string> texts(pieces.size());
    std::vector<std::int32_t> joined;  // ids of pieces of two and more characters
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const SpmPiece& p = pieces[i];
      if (utf8_first_invalid(p.piece) != std::string::npos) {
        if (p.type == PieceType::user_defined) return std::nullopt;
        continue;  // text is well-formed: never found
      }
      const bool single = utf8_decode(p.piece, 0).size == p.piece.size();
      if (p.type != PieceType::normal && !single) continue;
      if (p.piece.size() > 1024) return std::nullopt;
      texts[i] = utf8_code_points(p.piece);
      if (texts[i].size() > 256) return std::nullopt;
      if (!single) joined.push_back(static_cast<std::int32_t>(i));
      for (const char32_t c : texts[i]) t.add_char(vocab, c);
    }
    if (t.out_.size() + joined.size() >= k_inner) return std::nullopt;
    std::sort(joined.begin(), joined.end(), [&](std::int32_t a, std::int32_t b) { return vocab.score(a) > vocab.score(b); });
    for (std::size_t i = 1; i < joined.size(); ++i) {
      if (vocab.score(joined[i - 1]) == vocab.score(joined[i])) return std::nullopt;
    }
    t.chars_ = static_cast<std::uint32_t>(t.out_.size());
    std::vector<BpeSymbol> symbol_of(pieces.size(), k_unknown_symbol);
    for (const std::int32_t id : joined) {
      const std::u32string& text = texts[static_cast<std::size_t>(id)];
      symbol_of[static_cast<std::size_t>(id)] = static_cast<BpeSymbol>(t.out_.size());
      t.out_.push_back(vocab.id(vocab.piece(id)));
      if (t.out_.back() == vocab.unk_id()) return std::nullopt;  // its text is the unknown piece's too
      t.bytes_.push_back(static_cast<std::uint32_t>(vocab.piece(id).size()));
      t.spell_begin_.push_back(static_cast<std::uint32_t>(t.spelling_.size()));
      for (const char32_t c : text) t.spelling_.push_back(t.map_.symbol(c));
    }
    t.spell_begin_.push_back(static_cast<std::uint32_t>(t.spelling_.size()));
    t.unk_id_ = vocab.unk_id();
    t.fill_pairs(vocab, joined, texts, symbol_of);
    t.fill_words();
    return t;
  }

  [[nodiscard]] const CharTable& map() const noexcept { return map_; }
  [[nodiscard]] CharTable& map() noexcept { return map_; }

  /// The id of a symbol, unk_id when it has none.
  [[nodiscard]] std::int32_t id(BpeSymbol s) const noexcept { return s >= k_unknown_symbol ? unk_id_ : out_[s]; }
  /// Bytes of its normalised text.
  [[nodiscard]] std::uint32_t bytes(BpeSymbol s) const noexcept {
    return s >= k_unknown_symbol ? static_cast<std::uint32_t>(utf8_size(s & ~k_unknown_symbol)) : bytes_[s];
  }
  /// The character behind a symbol that is one. Requires: the symbol came from map().
  [[nodiscard]] char32_t code_point(BpeSymbol s) const noexcept {
    return s >= k_unknown_symbol ? static_cast<char32_t>(s & ~k_unknown_symbol) : points_[s];
  }

  static constexpr std::uint32_t k_apart = 0x1FFFFFu;  // join(): the two occur side by side in no piece
  static constexpr std::uint32_t k_inner = 0x1FFFFEu;  // they do, but joined they are none

  /// What `left` and `right` make: a symbol, k_inner or k_apart.
  [[nodiscard]] std::uint32_t join(BpeSymbol left, BpeSymbol right) const noexcept {
    const BpeSymbol both = left | right;
    if (both < k_dense) return dense_[left * k_dense + right];
    if (both >= k_unknown_symbol) return k_apart;
    const std::uint64_t key = std::uint64_t{left} << 21 | right;
    for (std::size_t at = slot_of(key);; at = (at + 1) & (pairs_.size() - 1)) {
      const std::uint64_t entry = pairs_[at];
      if (entry >> 21 == key) return static_cast<std::uint32_t>(entry & k_apart);
      if (entry == k_empty) return k_apart;
    }
  }

  /// A rank and its place in one number: the least one is the next to be merged. Requires: at < k_small.
  [[nodiscard]] static std::uint32_t key(std::uint32_t rank, std::size_t at) noexcept {
    return rank << 6 | static_cast<std::uint32_t>(at);
  }

  /// Encodes a segment of at most k_small characters and calls emit(symbol) for each piece; `text` and `keys` are
  /// overwritten. Requires: keys[i] = key(join(text[i], text[i + 1]), i) for i < n - 1; `word`: it may be one piece.
  template <class Emit>
  void encode_small(BpeSymbol* text, std::uint32_t* keys, std::size_t n, bool word, Emit&& emit) const {
    if (n == 1) {
      emit(text[0]);
    } else if (n == 2) {
      if (keys[0] >> 6 != k_inner) {
        emit(keys[0] >> 6);
      } else {
        emit(text[0]);
        emit(text[1]);
      }
    } else if (const BpeSymbol found = word ? find_word({text, n}) : k_unknown_symbol; found != k_unknown_symbol) {
      emit(found);
    } else {
      for (std::uint64_t live = merge_small(text, keys, n); live != 0; live &= live - 1) {
        emit(text[std::countr_zero(live)]);
      }
    }
  }

  /// Encodes a segment of any size and calls emit(symbol) for each piece. Linear in its length unless the right end
  /// decides the left one over more than a window (no trained model does that): then O(n log n).
  template <class Emit>
  void encode_long(std::span<const BpeSymbol> text, BpeTableScratch& scratch, Emit&& emit) const {
    if (!encode_windows(text, scratch)) {
      scratch.pieces.assign(text.begin(), text.end());
      merge_window(scratch.pieces, scratch);
    }
    for (const BpeSymbol s : scratch.pieces) emit(s);
  }

  /// Calls visit(symbol, characters) for every piece of two and more characters that encodes to itself.
  template <class Visit>
  void for_each_word(Visit&& visit) const {
    for (const BpeSymbol s : selves_) visit(s, spelling(s));
  }

 private:
  static constexpr std::size_t k_small = detail::bpe_table::k_small;
  static constexpr std::size_t k_window = 32;
  static constexpr BpeSymbol k_dense = 128;

  /// Requires: text.size() <= k_small.
  [[nodiscard]] std::size_t word_slot(std::span<const BpeSymbol> text) const noexcept {
    std::uint64_t h = 0;
    for (std::size_t i = 0; i < text.size(); ++i) h += text[i] * detail::bpe_table::k_multipliers[i];
    return static_cast<std::size_t>(h >> word_shift_);
  }

  void add_char(const Vocab& vocab, char32_t c) {
    std::uint32_t& cell = map_.cell(c);
    if ((cell & CharTable::k_no_symbol) != CharTable::k_no_symbol) return;
    cell = (cell & ~CharTable::k_no_symbol) | static_cast<std::uint32_t>(out_.size());
    std::string text;
    utf8_append(text, c);
    out_.push_back(vocab.id(text));
    bytes_.push_back(static_cast<std::uint32_t>(text.size()));
    points_.push_back(c);
  }

  static constexpr std::uint64_t k_empty = ~std::uint64_t{0};
  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const noexcept {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> pair_shift_);
  }

  void add_pair(BpeSymbol left, BpeSymbol right, std::uint32_t value) {
    const std::uint64_t key = std::uint64_t{left} << 21 | right;
    std::size_t at = slot_of(key);
    while (pairs_[at] != k_empty && pairs_[at] >> 21 != key) at = (at + 1) & (pairs_.size() - 1);
    if (pairs_[at] == k_empty || value < k_inner) pairs_[at] = key << 21 | value;
    if ((left | right) < k_dense) dense_[left * k_dense + right] = static_cast<std::uint32_t>(pairs_[at] & k_apart);
  }

  void fill_pairs(const Vocab& vocab, const std::vector<std::int32_t>& joined, const std::vector<std::u32string>& texts,
                  const std::vector<BpeSymbol>& symbol_of) {
    struct Pair {
      BpeSymbol left, right;
      std::uint32_t value;
    };
    std::vector<Pair> found;
    const auto symbol = [&](std::string_view text, std::size_t chars) {
      if (chars == 1) return map_.symbol(utf8_decode(text, 0).code_point);
      const std::int32_t id = vocab.find_matchable(text);
      return id < 0 ? k_unknown_symbol : symbol_of[static_cast<std::size_t>(id)];
    };
    for (std::size_t rank = 0; rank < joined.size(); ++rank) {
      const std::u32string& text = texts[static_cast<std::size_t>(joined[rank])];
      const std::string_view bytes = vocab.piece(joined[rank]);
      std::size_t cut = 0;
      for (std::size_t i = 1; i < text.size(); ++i) {
        cut += utf8_size(text[i - 1]);
        if (text.size() > 2) found.push_back({map_.symbol(text[i - 1]), map_.symbol(text[i]), k_inner});
        const BpeSymbol left = symbol(bytes.substr(0, cut), i), right = symbol(bytes.substr(cut), text.size() - i);
        if (left == k_unknown_symbol || right == k_unknown_symbol) continue;
        found.push_back({left, right, chars_ + static_cast<std::uint32_t>(rank)});
      }
    }
    std::sort(found.begin(), found.end(), [](const Pair& a, const Pair& b) {
      return std::pair(a.left, a.right) < std::pair(b.left, b.right) || (a.left == b.left && a.right == b.right && a.value < b.value);
    });
    found.erase(std::unique(found.begin(), found.end(),
                            [](const Pair& a, const Pair& b) { return a.left == b.left && a.right == b.right; }),
                found.end());
    std::size_t slots = 64;
    pair_shift_ = 58;
    for (; slots < found.size() * 2; slots *= 2) --pair_shift_;
    pairs_.assign(slots, k_empty);
    dense_.assign(std::size_t{k_dense} * k_dense, k_apart);
    for (const Pair& p : found) add_pair(p.left, p.right, p.value);
  }

  [[nodiscard]] std::span<const BpeSymbol> spelling(BpeSymbol s) const noexcept {
    const std::size_t i = s - chars_;
    return std::span(spelling_).subspan(spell_begin_[i], spell_begin_[i + 1] - spell_begin_[i]);
  }

  /// Finds the pieces that encode to themselves.
  void fill_words() {
    std::size_t slots = 64;
    word_shift_ = 58;
    for (; slots < (out_.size() - chars_) * 2; slots *= 2) --word_shift_;
    words_.assign(slots, k_unknown_symbol);
    BpeTableScratch scratch;
    for (BpeSymbol s = chars_; s < out_.size(); ++s) {
      const auto text = spelling(s);
      scratch.symbols.assign(text.begin(), text.end());
      merge_window(scratch.symbols, scratch);
      if (scratch.symbols.size() != 1) continue;
      selves_.push_back(s);
      if (text.size() > k_small) continue;
      std::size_t at = word_slot(text);
      while (words_[at] != k_unknown_symbol) at = (at + 1) & (words_.size() - 1);
      words_[at] = s;
    }
  }

  /// The piece that `text` is and encodes to, or k_unknown_symbol. Requires: text.size() <= k_small.
  [[nodiscard]] BpeSymbol find_word(std::span<const BpeSymbol> text) const noexcept {
    for (std::size_t at = word_slot(text);; at = (at + 1) & (words_.size() - 1)) {
      const BpeSymbol s = words_[at];
      if (s == k_unknown_symbol) return s;
      const auto spelled = spelling(s);
      if (spelled.size() != text.size()) continue;
      std::size_t i = 0;
      while (i < text.size() && text[i] == spelled[i]) ++i;
      if (i == text.size()) return s;
    }
  }

  /// Merges in place, best rank first, leftmost among equals. Returns the places that are left, one bit each.
  /// Requires: 2 <= n <= k_small, keys[i] = key(join(text[i], text[i + 1]), i) for i < n - 1.
  [[nodiscard]] std::uint64_t merge_small(BpeSymbol* text, std::uint32_t* keys, std::size_t n) const noexcept {
    constexpr std::uint32_t none = k_inner << 6;
    keys[n - 1] = none;
    std::uint64_t live = ~std::uint64_t{0} >> (64 - n);
    for (;;) {
      std::uint32_t least = none;
      for (std::uint64_t left = live; left != 0; left &= left - 1) {
        const std::uint32_t k = keys[std::countr_zero(left) & 63];
        least = k < least ? k : least;
      }
      if (least == none) return live;
      const std::size_t at = least & 63;
      const BpeSymbol symbol = text[at] = least >> 6;
      std::uint64_t right = live & (~std::uint64_t{1} << at);  // not empty: there is a symbol to merge with
      live ^= right & (~right + 1);
      right &= right - 1;
      keys[at] = right == 0 ? none : key(join(symbol, text[std::countr_zero(right) & 63]), at);
      if (const std::uint64_t left = live & ((std::uint64_t{1} << at) - 1); left != 0) {
        const auto before = static_cast<std::size_t>(63 - std::countl_zero(left));
        keys[before] = key(join(text[before], symbol), before);
      }
    }
  }

  /// Merges a window of any size in place: an array scan for short ones, a queue for long ones.
  void merge_window(std::vector<BpeSymbol>& symbols, BpeTableScratch& scratch) const {
    if (symbols.size() < 2) return;
    auto& ranks = scratch.ranks;
    ranks.resize(symbols.size());
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) ranks[i] = join(symbols[i], symbols[i + 1]);
    if (symbols.size() <= k_small) {
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) ranks[i] = key(ranks[i], i);
      std::size_t kept = 0;
      for (std::uint64_t live = merge_small(symbols.data(), ranks.data(), symbols.size()); live != 0; live &= live - 1) {
        symbols[kept++] = symbols[static_cast<std::size_t>(std::countr_zero(live))];
      }
      symbols.resize(kept);
      return;
    }
    const std::size_t n = symbols.size();
    auto& next = scratch.next;
    auto& prev = scratch.prev;
    auto& queue = scratch.queue;
    next.resize(n);
    prev.resize(n);
    queue.clear();
    const auto push = [&](std::size_t left) {
      if (ranks[left] >= k_inner) return;
      queue.push_back(std::uint64_t{ranks[left]} << 32 | left);
      std::push_heap(queue.begin(), queue.end(), std::greater<>());
    };
    ranks[n - 1] = k_apart;
    for (std::size_t i = 0; i < n; ++i) {
      next[i] = static_cast<std::uint32_t>(i + 1);
      prev[i] = static_cast<std::uint32_t>(i - 1);
      push(i);
    }
    while (!queue.empty()) {
      std::pop_heap(queue.begin(), queue.end(), std::greater<>());
      const std::uint64_t top = queue.back();
      queue.pop_back();
      const auto at = static_cast<std::size_t>(top & 0xFFFFFFFFu);
      if (ranks[at] != top >> 32) continue;  // one of the two changed since
      const std::size_t gone = next[at];
      symbols[at] = static_cast<BpeSymbol>(top >> 32);
      ranks[gone] = k_apart;
      next[at] = next[gone];
      ranks[at] = k_apart;
      if (next[at] < n) {
        prev[next[at]] = static_cast<std::uint32_t>(at);
        ranks[at] = join(symbols[at], symbols[next[at]]);
        push(at);
      }
      if (at > 0) {
        ranks[prev[at]] = join(symbols[prev[at]], symbols[at]);
        push(prev[at]);
      }
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; i = next[i]) symbols[kept++] = symbols[i];
    symbols.resize(kept);
  }

  [[nodiscard]] std::size_t chars_of(BpeSymbol s) const noexcept {
    return s < chars_ || s >= k_unknown_symbol ? 1 : spelling(s).size();
  }

  /// Fills scratch.pieces; false when windows do not join.
  [[nodiscard]] bool encode_windows(std::span<const BpeSymbol> text, BpeTableScratch& scratch) const {
    auto& window = scratch.symbols;
    auto& next = scratch.next_window;
    scratch.pieces.clear();
    const auto encode_at = [&](std::size_t at, std::size_t size, std::vector<BpeSymbol>& into) {
      const auto part = text.subspan(at, (std::min)(size, text.size() - at));
      into.assign(part.begin(), part.end());
      merge_window(into, scratch);
    };
    std::size_t begin = 0, width = k_window;
    BpeSymbol first = 0;  // the piece that must stand at `begin`
    encode_at(begin, width, window);
    while (begin + width < text.size()) {
      // the last piece that begins in the first three quarters of the window
      std::size_t keep = 0, chars = 0;
      while (keep + 1 < window.size() && chars + chars_of(window[keep]) <= width - width / 4) chars += chars_of(window[keep++]);
      if (keep > 0) encode_at(begin + chars, width, next);
      if (keep == 0 || next.front() != window[keep]) {
        width *= 2;
        encode_at(begin, width, window);
        if (begin > 0 && window.front() != first) return false;
        continue;
      }
      first = window[keep];
      scratch.pieces.insert(scratch.pieces.end(), window.begin(), window.begin() + static_cast<std::ptrdiff_t>(keep));
      begin += chars;
      if (width > k_window) {  // back to short windows, if a short one begins with the same piece
        encode_at(begin, k_window, window);
        if (window.front() == first) {
          width = k_window;
          continue;
        }
      }
      std::swap(window, next);
    }
    scratch.pieces.insert(scratch.pieces.end(), window.begin(), window.end());
    return true;
  }

  CharTable map_;
  std::vector<std::int32_t> out_;         // symbol -> id
  std::vector<std::uint32_t> bytes_;      // symbol -> bytes of its text
  std::vector<char32_t> points_;          // character symbol -> code point
  std::vector<std::uint32_t> dense_;      // pairs of the first 128 characters
  std::vector<std::uint64_t> pairs_;      // 21 bits left, 21 bits right, 21 bits joined
  std::vector<BpeSymbol> words_;          // pieces that encode to themselves, by hash of the spelling
  std::vector<BpeSymbol> selves_;         // the same, in merge order
  std::vector<BpeSymbol> spelling_;       // of the joined symbols, one after the other
  std::vector<std::uint32_t> spell_begin_;
  std::uint32_t chars_ = 0;               // symbols below are characters, from here on joined pieces in merge order
  std::int32_t unk_id_ = 0;
  unsigned pair_shift_ = 58, word_shift_ = 58;
};

}  // namespace v0
}  // namespace midigpt
