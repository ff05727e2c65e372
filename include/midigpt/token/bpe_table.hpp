// token/bpe_table.hpp - the merge encoder for models whose scores are all different: it reads instead of merging.
//   A piece comes up only where its own text encodes to it, and then always by the same last merge. So two pieces side by
//   side are right when no merge crosses their border, which their merges tell, followed back in time along the border;
//   and pieces are the encoding of a text when each two neighbours are right: the first merge across a border would have
//   happened between those two alone as well.
//   Text is read from the left: the longest piece that is right beside the one before it. Where none is, the last piece is
//   taken back for a shorter one. Each prefix of a text has one encoding, so no place is entered twice: linear cost.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/bpe.hpp>
#include <midigpt/token/char_table.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

/// Memory of one encoding, to be used again by the next one of the same thread.
struct BpeTableScratch {
  /// Room for `n` symbols of text and as many pieces; what was there is lost.
  void reserve(std::size_t n) {
    if (n <= capacity) return;
    capacity = (std::max)(n, 2 * capacity);
    symbols = std::make_unique_for_overwrite<BpeSymbol[]>(2 * capacity);
  }
  [[nodiscard]] BpeSymbol* text() const noexcept { return symbols.get(); }
  [[nodiscard]] BpeSymbol* pieces() const noexcept { return symbols.get() + capacity; }

  std::unique_ptr<BpeSymbol[]> symbols;
  std::size_t capacity = 0;
};

namespace detail::bpe_table {

/// Two numbers of 21 bits -> a third: open addressing, one load where the slot is right at once.
class NumberTable {
 public:
  static constexpr std::uint32_t k_none = 0x1FFFFFu;

  /// Requires: room for `expected` entries is less than memory.
  void reserve(std::size_t expected) {
    std::size_t slots = 64;
    shift_ = 58;
    for (; slots < expected * 2; slots *= 2) --shift_;
    entries_.assign(slots, k_empty);
    mask_ = slots - 1;
  }

  /// Requires: not there yet, fewer entries than expected, all three below k_none.
  void insert(std::uint32_t a, std::uint32_t b, std::uint32_t value) {
    const std::uint64_t key = key_of(a, b);
    std::size_t at = slot_of(key);
    while (entries_[at] != k_empty) at = (at + 1) & mask_;
    entries_[at] = key << 21 | value;
  }

  /// The value, or k_none. `a` may be any number.
  [[nodiscard]] std::uint32_t find(std::uint32_t a, std::uint32_t b) const noexcept {
    const std::uint64_t key = key_of(a, b);
    for (std::size_t at = slot_of(key);; at = (at + 1) & mask_) {
      const std::uint64_t entry = entries_[at];
      if (entry >> 21 == key) return static_cast<std::uint32_t>(entry & k_none);
      if (entry == k_empty) return k_none;
    }
  }

 private:
  static constexpr std::uint64_t k_empty = ~std::uint64_t{0};
  [[nodiscard]] static std::uint64_t key_of(std::uint32_t a, std::uint32_t b) noexcept { return std::uint64_t{a} << 21 | b; }
  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const noexcept {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
  }

  std::vector<std::uint64_t> entries_;
  std::size_t mask_ = 0;
  unsigned shift_ = 58;
};

/// A set of pairs of numbers that errs on the side of yes.
class PairFilter {
 public:
  void reserve(std::size_t expected) {
    shift_ = 54;
    while (shift_ > 32 && (std::uint64_t{1} << (64 - shift_)) < expected * 8) --shift_;
    bits_.assign(std::size_t{1} << (58 - shift_), 0);
  }
  void insert(std::uint32_t a, std::uint32_t b) {
    const std::uint64_t h = hash(a, b);
    bits_[static_cast<std::size_t>(h >> 6)] |= std::uint64_t{1} << (h & 63);
  }
  [[nodiscard]] bool may_have(std::uint32_t a, std::uint32_t b) const noexcept {
    const std::uint64_t h = hash(a, b);
    return (bits_[static_cast<std::size_t>(h >> 6)] >> (h & 63) & 1) != 0;
  }

 private:
  [[nodiscard]] std::uint64_t hash(std::uint32_t a, std::uint32_t b) const noexcept {
    return ((std::uint64_t{a} << 32 | b) * 0x9E3779B97F4A7C15u) >> shift_;
  }

  std::vector<std::uint64_t> bits_{std::vector<std::uint64_t>(16, 0)};
  unsigned shift_ = 54;
};

}  // namespace detail::bpe_table

/// Immutable: safe to share between threads.
class BpeTable {
 public:
  /// Nothing when the model needs the general encoder: UNUSED pieces, equal scores, a piece that is merged from one of a
  /// lower score, pieces of more than 256 characters, more than 2^21 - 2 characters and longer pieces, more than 2^22 - 2
  /// beginnings of pieces, or fewer whose places do not fit together.
  [[nodiscard]] static std::optional<BpeTable> create(const Vocab& vocab) {
    BpeTable t;
    const auto& pieces = vocab.model().pieces;
    if (vocab.has_unused()) return std::nullopt;
    std::vector<std::int32_t> joined;  // ids of pieces of two and more characters
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const SpmPiece& p = pieces[i];
      if (utf8_first_invalid(p.piece) != std::string::npos) {
        if (p.type == PieceType::user_defined) return std::nullopt;
        continue;  // text is well-formed: never found
      }
      const bool single = utf8_decode(p.piece, 0).size == p.piece.size();
      if (p.type != PieceType::normal && !single) continue;
      if (p.piece.size() > 4 * k_max_length) return std::nullopt;
      const std::u32string text = utf8_code_points(p.piece);
      if (text.size() > k_max_length) return std::nullopt;
      if (!single) joined.push_back(static_cast<std::int32_t>(i));
      for (const char32_t c : text) t.add_char(vocab, c);
    }
    sort_stably(joined, [&](std::int32_t a, std::int32_t b) { return vocab.score(a) > vocab.score(b); });
    for (std::size_t i = 1; i < joined.size(); ++i) {
      if (vocab.score(joined[i - 1]) == vocab.score(joined[i])) return std::nullopt;
    }
    if (t.out_.size() + joined.size() >= k_none) return std::nullopt;
    t.unk_id_ = vocab.unk_id();
    if (!t.learn_merges(vocab, joined) || !t.learn_beginnings()) return std::nullopt;
    t.learn_borders();
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

  /// Calls visit(id) for every piece of two and more characters that text can become.
  template <class Visit>
  void for_each_joined(Visit&& visit) const {
    for (std::size_t s = chars_; s < out_.size(); ++s) visit(out_[s]);
  }

  /// Encodes the characters [text, text + n) and returns the number of pieces, whose symbols are then in `out`.
  /// Requires: room for n pieces.
  [[nodiscard]] std::size_t encode(const BpeSymbol* text, std::size_t n, BpeSymbol* out) const {
    const BpeSymbol chars = chars_;
    std::size_t at = 0, made = 0;
    BpeSymbol last = k_unknown_symbol;  // goes with everything
    while (at < n) {
      BpeSymbol piece = text[at];
      std::size_t end = at + 1;
      std::uint32_t base = piece < chars ? roots_[piece] : 0;
      for (std::size_t i = end; base != 0 && i < n && text[i] < chars; ++i) {  // the longest piece that begins here
        const std::uint64_t step = steps_[base + text[i]];
        if (step >> 43 != text[i]) break;
        const auto longest = static_cast<BpeSymbol>(step & k_none);
        end = longest != piece ? i + 1 : end;
        piece = longest;
        base = static_cast<std::uint32_t>(step >> 21) & k_max_base;
      }
      while (!agree(last, piece, text[at - (at != 0)], text[at])) [[unlikely]] {
        while (piece < chars_ || piece >= k_unknown_symbol) {  // there is no shorter one: take the last one back
          piece = last;
          at -= length(piece);
          --made;
          last = made == 0 ? k_unknown_symbol : out[made - 1];
        }
        piece = pieces_[piece].shorter;
        end = at + length(piece);
      }
      out[made++] = piece;
      last = piece;
      at = end;
    }
    return made;
  }

 private:
  using NumberTable = detail::bpe_table::NumberTable;
  static constexpr std::uint32_t k_none = NumberTable::k_none;
  static constexpr std::size_t k_max_length = 256;
  static constexpr std::uint32_t k_max_base = 0x3FFFFFu;
  static constexpr std::uint64_t k_no_step = ~std::uint64_t{0};
  static constexpr int k_max_tries = 256;

  struct Piece {
    BpeSymbol left = 0, right = 0;  // what it is merged from
    BpeSymbol shorter = 0;          // the longest piece that it begins with
    std::uint32_t length = 1;       // characters
  };

  [[nodiscard]] std::size_t length(BpeSymbol s) const noexcept { return s >= k_unknown_symbol ? 1 : pieces_[s].length; }

  /// True when `a` and `b` stand side by side in the encoding of their text: no merge crosses the border. Back in time: the
  /// later of the two halves at the border is undone; what crosses there must come before it.
  [[nodiscard]] bool agree(BpeSymbol a, BpeSymbol b, BpeSymbol last, BpeSymbol first) const noexcept {
    if ((a | b) >= k_unknown_symbol) return true;
    return !(after_.may_have(a, first) && before_.may_have(last, b)) || agree_exactly(a, b);
  }

  [[nodiscard]] bool agree_exactly(BpeSymbol a, BpeSymbol b) const noexcept {
    for (std::uint32_t limit = k_none;;) {
      if (merges_.find(a, b) < limit) return false;
      if (a > b) {
        if (a < chars_) return true;
        limit = a;
        a = pieces_[a].right;
      } else {  // of the same merge in both, the left one is first
        if (b < chars_) return true;
        limit = b + 1;
        b = pieces_[b].left;
      }
    }
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

  /// Gives symbols to the pieces that their own text is encoded to, in merge order. `joined`: best score first. False when
  /// merge order is not the order of scores.
  [[nodiscard]] bool learn_merges(const Vocab& vocab, const std::vector<std::int32_t>& joined) {
    chars_ = static_cast<std::uint32_t>(out_.size());
    pieces_.clear();
    for (BpeSymbol c = 0; c < chars_; ++c) pieces_.push_back({c, c, c, 1});
    merges_.reserve(joined.size());
    spelling_.clear();
    spell_begin_.assign(1, 0);
    std::vector<BpeSymbol> text;
    std::vector<std::int32_t> left_over;
    for (const std::int32_t id : joined) {
      text.clear();
      const std::size_t begin = spelling_.size();
      for (const char32_t c : utf8_code_points(vocab.piece(id))) spelling_.push_back(map_.symbol(c));
      text.assign(spelling_.begin() + static_cast<std::ptrdiff_t>(begin), spelling_.end());
      merge(text);
      if (text.size() != 2) {
        spelling_.resize(begin);
        left_over.push_back(id);
        continue;
      }
      if (vocab.id(vocab.piece(id)) == unk_id_) return false;  // its text is the unknown piece's too
      const auto symbol = static_cast<BpeSymbol>(pieces_.size());
      merges_.insert(text[0], text[1], symbol);
      pieces_.push_back({text[0], text[1], 0, static_cast<std::uint32_t>(spelling_.size() - begin)});
      out_.push_back(vocab.id(vocab.piece(id)));
      bytes_.push_back(static_cast<std::uint32_t>(vocab.piece(id).size()));
      spell_begin_.push_back(spelling_.size());
    }
    // What better pieces do not lead to comes up never, or from a worse one; then this encoder is not for the model.
    const SymbolMatcher no_symbols;
    std::vector<PieceSpan> spans;
    BpeScratch scratch;
    return std::none_of(left_over.begin(), left_over.end(), [&](std::int32_t id) {
      spans.clear();
      bpe_encode(vocab, no_symbols, vocab.piece(id), spans, scratch);
      return spans.size() == 1;
    });
  }

  /// Merges with what is known so far, best first, leftmost among equals.
  void merge(std::vector<BpeSymbol>& text) const {
    for (;;) {
      std::uint32_t best = k_none;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < text.size(); ++i) {
        const std::uint32_t joined = merges_.find(text[i], text[i + 1]);
        if (joined >= best) continue;
        best = joined;
        at = i;
      }
      if (best == k_none) return;
      text[at] = best;
      text.erase(text.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

  [[nodiscard]] std::span<const BpeSymbol> spelling(std::size_t piece) const noexcept {
    return std::span(spelling_).subspan(spell_begin_[piece], spell_begin_[piece + 1] - spell_begin_[piece]);
  }

  /// Lays out the tree of beginnings of pieces. The beginnings that go on from one are one character longer: each has a
  /// place in steps_, the base of the one plus the character; bases are such that no two beginnings want the same place.
  [[nodiscard]] bool learn_beginnings() {
    const auto order = sorted_order(pieces_.size() - chars_, [&](std::uint32_t a, std::uint32_t b) {
      const auto left = spelling(a), right = spelling(b);
      return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end());
    });
    struct Beginning {
      std::uint32_t parent;
      BpeSymbol next;    // the character after the parent
      BpeSymbol longest; // piece that it begins with
    };
    std::vector<Beginning> all;  // characters first
    for (BpeSymbol c = 0; c < chars_; ++c) all.push_back({0, c, c});
    std::vector<std::uint32_t> path;
    std::span<const BpeSymbol> before;
    for (const std::uint32_t i : order) {
      const std::span<const BpeSymbol> text = spelling(i);
      std::size_t same = 0;
      while (same < path.size() && same < text.size() && before[same] == text[same]) ++same;
      path.resize(same);
      if (path.empty()) path.push_back(text[0]);
      for (std::size_t depth = path.size(); depth < text.size(); ++depth) {
        const std::uint32_t parent = path.back();
        path.push_back(static_cast<std::uint32_t>(all.size()));
        all.push_back({parent, text[depth], all[parent].longest});
      }
      pieces_[chars_ + i].shorter = all.back().longest;
      all.back().longest = chars_ + i;
      before = text;
    }
    if (all.size() >= k_max_base) return false;
    return all.empty() || lay_out(all);  // a model of bytes or unknowns has no characters
  }

  /// The bases: for the beginnings with most continuations first, then the small ones fill the gaps.
  template <class Beginning>
  [[nodiscard]] bool lay_out(const std::vector<Beginning>& all) {
    const std::size_t n = all.size();
    std::vector<std::uint32_t> child_begin(n + 1, 0), children(n - chars_), bases(n, 0), parents;
    for (std::size_t i = chars_; i < n; ++i) ++child_begin[all[i].parent + 1];
    for (std::size_t i = 0; i < n; ++i) child_begin[i + 1] += child_begin[i];
    {
      auto fill = child_begin;
      for (std::uint32_t i = chars_; i < n; ++i) children[fill[all[i].parent]++] = i;
    }
    const auto count = [&](std::uint32_t i) { return child_begin[i + 1] - child_begin[i]; };
    for (std::uint32_t i = 0; i < n; ++i) {
      if (count(i) != 0) parents.push_back(i);
    }
    sort_stably(parents, [&](std::uint32_t a, std::uint32_t b) { return count(a) > count(b); });
    std::vector<bool> base_used;
    std::size_t first_free = 1;
    const auto is_free = [&](std::size_t place) { return place >= steps_.size() || steps_[place] == k_no_step; };
    for (const std::uint32_t parent : parents) {
      const auto mine = std::span(children).subspan(child_begin[parent], count(parent));
      const BpeSymbol lead = all[mine[0]].next;
      while (!is_free(first_free)) ++first_free;
      std::size_t base = 0, place = first_free;
      for (int tries = 0;; ++tries, ++place) {
        if (tries == k_max_tries) place = (std::max)(place, steps_.size());  // beyond all others: it fits
        if (place <= lead || !is_free(place)) continue;
        base = place - lead;
        const auto fits = [&](std::uint32_t child) { return is_free(base + all[child].next); };
        if ((base >= base_used.size() || !base_used[base]) && std::all_of(mine.begin(), mine.end(), fits)) break;
      }
      if (base >= k_max_base) return false;
      if (base_used.size() <= base) base_used.resize(base + 1, false);
      base_used[base] = true;
      bases[parent] = static_cast<std::uint32_t>(base);
      for (const std::uint32_t child : mine) {
        const std::size_t at = base + all[child].next;
        if (steps_.size() <= at) steps_.resize(at + 1, k_no_step);
        steps_[at] = 0;  // taken; filled in when all bases are known
      }
    }
    for (std::uint32_t i = chars_; i < n; ++i) {
      steps_[bases[all[i].parent] + all[i].next] = std::uint64_t{all[i].next} << 43 | std::uint64_t{bases[i]} << 21 | all[i].longest;
    }
    roots_.assign(bases.begin(), bases.begin() + static_cast<std::ptrdiff_t>(chars_));
    steps_.resize((std::max)(steps_.size(), *std::max_element(bases.begin(), bases.end()) + std::size_t{chars_}), k_no_step);
    return true;
  }

  /// Notes for each piece which characters next to it can begin (or end) something that a merge across the border takes,
  /// as agree_exactly() would find: merges of what stands at the border at some time, before it is taken by its own side.
  void learn_borders() {
    const std::size_t n = pieces_.size();
    const auto first = [&](BpeSymbol s) { return s < chars_ ? s : spelling(s - chars_).front(); };
    const auto last = [&](BpeSymbol s) { return s < chars_ ? s : spelling(s - chars_).back(); };
    // merges by left half, by right half; in merge order, as they are numbered
    std::vector<std::uint32_t> left_begin(n + 1, 0), right_begin(n + 1, 0), by_left(n - chars_), by_right(n - chars_);
    for (std::size_t s = chars_; s < n; ++s) {
      ++left_begin[pieces_[s].left + 1];
      ++right_begin[pieces_[s].right + 1];
    }
    for (std::size_t s = 0; s < n; ++s) {
      left_begin[s + 1] += left_begin[s];
      right_begin[s + 1] += right_begin[s];
    }
    {
      auto left_fill = left_begin, right_fill = right_begin;
      for (BpeSymbol s = chars_; s < n; ++s) {
        by_left[left_fill[pieces_[s].left]++] = s;
        by_right[right_fill[pieces_[s].right]++] = s;
      }
    }
    const auto visit = [&](auto&& after, auto&& before) {
      for (BpeSymbol s = 0; s < n; ++s) {
        for (BpeSymbol x = s, limit = k_none;; limit = x, x = pieces_[x].right) {
          for (std::uint32_t i = left_begin[x]; i < left_begin[x + 1] && by_left[i] < limit; ++i) after(s, first(pieces_[by_left[i]].right));
          if (x < chars_) break;
        }
        for (BpeSymbol y = s, limit = k_none;; limit = y + 1, y = pieces_[y].left) {
          for (std::uint32_t i = right_begin[y]; i < right_begin[y + 1] && by_right[i] < limit; ++i) before(last(pieces_[by_right[i]].left), s);
          if (y < chars_) break;
        }
      }
    };
    std::size_t count_after = 0, count_before = 0;
    visit([&](BpeSymbol, BpeSymbol) { ++count_after; }, [&](BpeSymbol, BpeSymbol) { ++count_before; });
    after_.reserve(count_after);
    before_.reserve(count_before);
    visit([&](BpeSymbol a, BpeSymbol c) { after_.insert(a, c); }, [&](BpeSymbol c, BpeSymbol b) { before_.insert(c, b); });
    spelling_ = {};
    spell_begin_ = {};
  }

  CharTable map_;
  std::vector<std::int32_t> out_;     // symbol -> id
  std::vector<std::uint32_t> bytes_;  // symbol -> bytes of its text
  std::vector<char32_t> points_;      // character symbol -> code point
  std::vector<Piece> pieces_;         // by symbol: characters, then from chars_ on joined pieces in merge order
  detail::bpe_table::PairFilter after_, before_;
  NumberTable merges_;                // left, right -> joined
  std::vector<std::uint32_t> roots_;  // character -> base, 0 when no piece goes on
  std::vector<std::uint64_t> steps_;  // base + next character -> 21 bits next, 22 bits base, 21 bits longest piece so far
  std::vector<BpeSymbol> spelling_;   // while tables are made: of the joined pieces, one after the other
  std::vector<std::size_t> spell_begin_;
  std::uint32_t chars_ = 0;
  std::int32_t unk_id_ = 0;
};

}  // namespace v0
}  // namespace midigpt
