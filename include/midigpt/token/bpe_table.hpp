// token/bpe_table.hpp - the merge encoder for models whose scores are all different: pieces as numbers in merge order,
// one table (left, right) -> joined piece.
//   1. Text is cut wherever two neighbouring characters occur together in no piece: no merge crosses such a place.
//   2. A segment that is a piece, and encodes to that piece alone, is looked up whole.
//   3. Other segments are merged in an array; long ones in overlapping windows. Two windows join where the second begins
//      with the piece the first had there: an encoding is right when each of its neighbouring pairs is the encoding of
//      their joined text, and every pair then comes from one window. So the cost stays linear in the text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/char_table.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

/// Memory of one encoding, to be used again by the next one of the same thread.
struct BpeTableScratch {
  std::vector<BpeSymbol> text;                // characters not yet encoded
  std::vector<BpeSymbol> symbols, next_window;  // a window, after its merges: its pieces
  std::vector<std::uint32_t> ranks;
  std::vector<std::uint32_t> next, prev;
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

  /// Encodes whole segments of `text` and calls emit(symbol) for each piece in order; returns how many characters were
  /// used. The last segment is left to the next call unless `final`.
  template <class Emit>
  std::size_t encode(std::span<const BpeSymbol> text, bool final, BpeTableScratch& scratch, Emit&& emit) const {
    std::size_t begin = 0;
    std::uint32_t ranks[k_small];
    while (begin < text.size()) {
      std::size_t end = begin + 1;
      std::uint64_t hash = text[begin];
      while (end < text.size()) {
        const std::uint32_t rank = join(text[end - 1], text[end]);
        if (rank == k_apart) break;
        if (end - begin < k_small) ranks[end - begin - 1] = rank;
        hash = (hash + text[end]) * k_word_hash;
        ++end;
      }
      if (end == text.size() && !final) break;
      const std::span<const BpeSymbol> segment = text.subspan(begin, end - begin);
      if (segment.size() == 1) {
        emit(segment[0]);
      } else if (segment.size() == 2) {
        if (ranks[0] == k_inner) {
          emit(segment[0]);
          emit(segment[1]);
        } else {
          emit(ranks[0]);
        }
      } else if (const BpeSymbol word = find_word(segment, hash); word != k_unknown_symbol) {
        emit(word);
      } else if (segment.size() <= k_small) {
        BpeSymbol symbols[k_small];
        std::copy(segment.begin(), segment.end(), symbols);
        const std::size_t n = merge_small(symbols, ranks, segment.size());
        for (std::size_t i = 0; i < n; ++i) emit(symbols[i]);
      } else {
        encode_long(segment, scratch, emit);
      }
      begin = end;
    }
    return begin;
  }

 private:
  static constexpr std::uint32_t k_apart = 0x1FFFFFu;  // the two occur side by side in no piece
  static constexpr std::uint32_t k_inner = 0x1FFFFEu;  // they do, but joined they are none
  static constexpr std::size_t k_small = 64;
  static constexpr BpeSymbol k_dense = 128;
  static constexpr std::uint64_t k_word_hash = 0x9E3779B97F4A7C15u;

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

  /// Pieces of three and more characters that encode to themselves.
  void fill_words() {
    std::size_t slots = 64;
    word_shift_ = 58;
    for (; slots < (out_.size() - chars_) * 2; slots *= 2) --word_shift_;
    words_.assign(slots, k_unknown_symbol);
    BpeTableScratch scratch;
    for (BpeSymbol s = chars_; s < out_.size(); ++s) {
      const auto text = spelling(s);
      if (text.size() < 3) continue;
      scratch.symbols.assign(text.begin(), text.end());
      merge_window(scratch.symbols, scratch);
      if (scratch.symbols.size() != 1) continue;
      std::uint64_t hash = text[0];
      for (std::size_t i = 1; i < text.size(); ++i) hash = (hash + text[i]) * k_word_hash;
      std::size_t at = static_cast<std::size_t>(hash >> word_shift_);
      while (words_[at] != k_unknown_symbol) at = (at + 1) & (words_.size() - 1);
      words_[at] = s;
    }
  }

  [[nodiscard]] BpeSymbol find_word(std::span<const BpeSymbol> text, std::uint64_t hash) const noexcept {
    for (std::size_t at = static_cast<std::size_t>(hash >> word_shift_);; at = (at + 1) & (words_.size() - 1)) {
      const BpeSymbol s = words_[at];
      if (s == k_unknown_symbol) return s;
      const auto spelled = spelling(s);
      if (spelled.size() == text.size() && std::equal(text.begin(), text.end(), spelled.begin())) return s;
    }
  }

  /// Merges in place, best rank first, leftmost among equals; returns how many symbols are left.
  /// Requires: ranks[i] = join(symbols[i], symbols[i + 1]) for i < n - 1.
  [[nodiscard]] std::size_t merge_small(BpeSymbol* symbols, std::uint32_t* ranks, std::size_t n) const noexcept {
    while (n > 1) {
      std::size_t at = 0;
      std::uint32_t best = ranks[0];
      for (std::size_t i = 1; i + 1 < n; ++i) {
        if (ranks[i] < best) {
          best = ranks[i];
          at = i;
        }
      }
      if (best >= k_inner) break;
      symbols[at] = best;
      for (std::size_t i = at + 1; i + 1 < n; ++i) symbols[i] = symbols[i + 1];
      for (std::size_t i = at + 1; i + 2 < n; ++i) ranks[i] = ranks[i + 1];
      --n;
      if (at > 0) ranks[at - 1] = join(symbols[at - 1], best);
      if (at + 1 < n) ranks[at] = join(best, symbols[at + 1]);
    }
    return n;
  }

  /// Merges a window of any size in place: an array scan for short ones, a queue for long ones.
  void merge_window(std::vector<BpeSymbol>& symbols, BpeTableScratch& scratch) const {
    auto& ranks = scratch.ranks;
    ranks.resize(symbols.size());
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) ranks[i] = join(symbols[i], symbols[i + 1]);
    if (symbols.size() <= 4 * k_small) {
      symbols.resize(merge_small(symbols.data(), ranks.data(), symbols.size()));
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

  template <class Emit>
  void encode_long(std::span<const BpeSymbol> text, BpeTableScratch& scratch, Emit&& emit) const {
    std::size_t begin = 0, width = k_small;
    auto& window = scratch.symbols;
    auto& next = scratch.next_window;
    const auto encode_at = [&](std::size_t at, std::size_t size, std::vector<BpeSymbol>& out) {
      const auto part = text.subspan(at, (std::min)(size, text.size() - at));
      out.assign(part.begin(), part.end());
      merge_window(out, scratch);
    };
    encode_at(begin, width, window);
    while (begin + width < text.size()) {
      // the last piece that begins in the first three quarters of the window
      std::size_t keep = 0, chars = 0;
      while (keep + 1 < window.size() && chars + chars_of(window[keep]) <= width - width / 4) chars += chars_of(window[keep++]);
      if (keep > 0) encode_at(begin + chars, width, next);
      if (keep == 0 || next.front() != window[keep]) {
        width *= 2;
        encode_at(begin, width, window);
        continue;
      }
      const BpeSymbol first = window[keep];
      for (std::size_t i = 0; i < keep; ++i) emit(window[i]);
      begin += chars;
      if (width > k_small) {  // back to short windows, if a short one begins with the same piece
        encode_at(begin, k_small, window);
        if (window.front() == first) {
          width = k_small;
          continue;
        }
      }
      std::swap(window, next);
    }
    for (const BpeSymbol s : window) emit(s);
  }

  CharTable map_;
  std::vector<std::int32_t> out_;         // symbol -> id
  std::vector<std::uint32_t> bytes_;      // symbol -> bytes of its text
  std::vector<char32_t> points_;          // character symbol -> code point
  std::vector<std::uint32_t> dense_;      // pairs of the first 128 characters
  std::vector<std::uint64_t> pairs_;      // 21 bits left, 21 bits right, 21 bits joined
  std::vector<BpeSymbol> words_;          // by hash of the spelling
  std::vector<BpeSymbol> spelling_;       // of the joined symbols, one after the other
  std::vector<std::uint32_t> spell_begin_;
  std::uint32_t chars_ = 0;               // symbols below are characters, from here on joined pieces in merge order
  std::int32_t unk_id_ = 0;
  unsigned pair_shift_ = 58, word_shift_ = 58;
};

}  // namespace v0
}  // namespace midigpt
