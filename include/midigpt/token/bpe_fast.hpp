// token/bpe_fast.hpp - from text to merged symbols: plain text is read as it is, other text through the normaliser.
//   Segments of up to eight ASCII bytes that are one piece - most words of prose - are found by their bytes alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/bpe_table.hpp>
#include <midigpt/token/char_table.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::bpe_fast {

/// The character of four bytes, the length of a packed note, or 0. Requires: at + 4 <= text.size().
[[nodiscard]] inline char32_t read_four(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(text[at + i])}; };
  const std::uint32_t four = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
  const std::uint32_t c = (four >> 6 & 0x1C0000u) | (four >> 4 & 0x3F000u) | (four >> 2 & 0xFC0u) | (four & 0x3Fu);
  return (four & 0xF8C0C0C0u) == 0xF0808080u && c - 0x10000u < 0x100000u ? static_cast<char32_t>(c) : 0;
}

/// utf8_decode() with that short way. Requires: at < text.size().
[[nodiscard]] inline Utf8Char read_char(std::string_view text, std::size_t at) noexcept {
  if (text.size() - at >= 4) {
    if (const char32_t c = read_four(text, at); c != 0) return {c, 4, true};
  }
  return utf8_decode(text, at);
}

/// Pieces of two to eight bytes of plain ASCII text, a space for U+2581; found by the bytes as one integer.
class AsciiWords {
 public:
  void fill(std::vector<std::pair<std::uint64_t, BpeSymbol>> words) {
    std::size_t slots = 64;
    shift_ = 58;
    for (; slots < words.size() * 2; slots *= 2) --shift_;
    keys_.assign(slots, 0);
    symbols_.assign(slots, k_unknown_symbol);
    for (const auto& [key, symbol] : words) {
      std::size_t at = slot_of(key);
      while (keys_[at] != 0) at = (at + 1) & (slots - 1);
      keys_[at] = key;
      symbols_[at] = symbol;
    }
  }

  /// k_unknown_symbol if there is none.
  [[nodiscard]] BpeSymbol find(std::uint64_t key) const noexcept {
    std::size_t at = slot_of(key);
    while (keys_[at] != key && keys_[at] != 0) at = (at + 1) & (keys_.size() - 1);
    return symbols_[at];
  }

 private:
  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const noexcept {
    return static_cast<std::size_t>(((key ^ key >> 29) * 0x9E3779B97F4A7C15u) >> shift_);
  }

  std::vector<std::uint64_t> keys_{std::vector<std::uint64_t>(64, 0)};
  std::vector<BpeSymbol> symbols_{std::vector<BpeSymbol>(64, k_unknown_symbol)};
  unsigned shift_ = 58;
};

/// Collects characters while they belong to one segment.
class Segment {
 public:
  Segment(const BpeTable& table, BpeTableScratch& scratch) : table_(table), scratch_(scratch) {}

  [[nodiscard]] bool empty() const noexcept { return n_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return n_; }
  [[nodiscard]] BpeSymbol back() const noexcept { return n_ <= k_small ? text_[n_ - 1] : scratch_.text[n_ - 1]; }
  void pop_back() noexcept { --n_; }

  /// Requires: rank = join(back(), s) unless empty().
  void push(BpeSymbol s, std::uint32_t rank) {
    if (n_ < k_small) {
      if (n_ != 0) keys_[n_ - 1] = BpeTable::key(rank, n_ - 1);
      text_[n_++] = s;
      return;
    }
    if (n_ == k_small) scratch_.text.assign(text_, text_ + k_small);
    scratch_.text.resize(n_);
    scratch_.text.push_back(s);
    ++n_;
  }

  /// Encodes what there is, and begins anew. `word`: the whole segment may be a piece.
  template <class Emit>
  void flush(Emit&& emit, bool word = true) {
    if (n_ == 0) return;
    if (n_ <= k_small) {
      table_.encode_small(text_, keys_, n_, word, emit);
    } else {
      table_.encode_long(std::span<const BpeSymbol>(scratch_.text).first(n_), scratch_, emit);
    }
    n_ = 0;
  }

 private:
  static constexpr std::size_t k_small = bpe_table::k_small;

  const BpeTable& table_;
  BpeTableScratch& scratch_;
  std::size_t n_ = 0;
  BpeSymbol text_[k_small];
  std::uint32_t keys_[k_small];
};

}  // namespace detail::bpe_fast

/// Immutable: safe to share between threads.
class FastBpe {
 public:
  /// Nothing when the model needs the general encoder.
  [[nodiscard]] static std::optional<FastBpe> create(const Vocab& vocab, const Charsmap& charsmap) {
    auto table = BpeTable::create(vocab);
    if (!table) return std::nullopt;
    FastBpe fast(*std::move(table));
    const NormalizerSpec& spec = vocab.model().normalizer;
    fast.reads_plain_ = fast.table_.map().learn_rules(vocab.model(), charsmap);
    fast.add_dummy_prefix_ = spec.add_dummy_prefix;
    fast.remove_extra_whitespaces_ = spec.remove_extra_whitespaces;
    fast.space_ = fast.table_.map().symbol(U'\u2581');
    if (fast.reads_plain_) fast.learn_ascii();
    return fast;
  }

  [[nodiscard]] const BpeTable& table() const noexcept { return table_; }

  /// Encodes text that is not normalised; calls emit(symbol) for each piece. False, possibly after some pieces, when the
  /// text is not plain: then start again with the normalised text.
  template <class Emit>
  [[nodiscard]] bool encode_plain(std::string_view text, BpeTableScratch& scratch, Emit&& emit) const {
    if (!reads_plain_) return false;
    const CharTable& map = table_.map();
    detail::bpe_fast::Segment segment(table_, scratch);
    bool after_space = remove_extra_whitespaces_;  // then a space adds nothing
    bool any = false;                              // more than the prefix
    if (add_dummy_prefix_) segment.push(space_, 0);
    for (std::size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (segment.empty() && byte < 0x80 && !after_space) {
        const std::size_t read = encode_ascii(text.substr(at), segment, emit);
        if (read != 0) {
          at += read;
          after_space = false;  // or the next character is no space
          continue;
        }
      }
      if (byte >= 0xF0 && !after_space) {
        if (const std::size_t read = encode_four(text.substr(at), segment, emit); read != 0) {
          at += read;
          any = true;
          continue;
        }
      }
      Utf8Char c{static_cast<char32_t>(byte), 1, true};
      if (byte >= 0x80) {
        c = detail::bpe_fast::read_char(text, at);
        if (!c.valid) return false;
      }
      const std::uint32_t cell = map[c.code_point];
      BpeSymbol symbol = cell;
      if (cell >= CharTable::k_space) {
        if (cell >= CharTable::k_special) return false;
        if (after_space) {
          at += c.size;
          continue;
        }
        symbol = space_;
      } else if (cell == CharTable::k_no_symbol) {
        symbol = k_unknown_symbol | static_cast<std::uint32_t>(c.code_point);
      }
      std::uint32_t rank = 0;
      if (!segment.empty()) {
        rank = table_.join(segment.back(), symbol);
        if (rank == BpeTable::k_apart) {
          segment.flush(emit);
          if (byte < 0x80) continue;  // perhaps a word begins here
        }
      }
      segment.push(symbol, rank);
      after_space = cell >= CharTable::k_space && remove_extra_whitespaces_;
      any = true;
      at += c.size;
    }
    if (after_space && any) segment.pop_back();  // the space at the end
    if (any) segment.flush(emit);
    return true;
  }

  /// Encodes normalised text; emit_defined(size) is called for each user-defined symbol. False, possibly after some
  /// pieces, when the text holds ill-formed UTF-8 (a user-defined symbol can bring it in).
  template <class Emit, class EmitDefined>
  [[nodiscard]] bool encode_normalized(std::string_view text, const SymbolMatcher& user_defined, BpeTableScratch& scratch,
                                       Emit&& emit, EmitDefined&& emit_defined) const {
    detail::bpe_fast::Segment segment(table_, scratch);
    for (std::size_t at = 0; at < text.size();) {
      if (const std::size_t defined = user_defined.longest(text.substr(at)); defined != 0) {
        segment.flush(emit);
        emit_defined(defined);
        at += defined;
        continue;
      }
      const Utf8Char c = detail::bpe_fast::read_char(text, at);
      if (!c.valid) return false;
      const BpeSymbol symbol = table_.map().symbol(c.code_point);
      const std::uint32_t rank = segment.empty() ? 0 : table_.join(segment.back(), symbol);
      if (rank == BpeTable::k_apart) segment.flush(emit);
      segment.push(symbol, rank);
      at += c.size;
    }
    segment.flush(emit);
    return true;
  }

 private:
  /// What stands between two bytes of text.
  enum class Between : std::uint8_t { ask, joined, apart };

  explicit FastBpe(BpeTable table) : table_(std::move(table)) {}

  /// The symbol of an ASCII byte of plain text, k_unknown_symbol when it has none or needs a closer look.
  [[nodiscard]] BpeSymbol ascii_symbol(unsigned char byte) const noexcept { return ascii_symbols_[byte]; }

  void learn_ascii() {
    for (std::size_t byte = 0; byte < 128; ++byte) {
      const std::uint32_t cell = table_.map()[static_cast<char32_t>(byte)];
      const bool space = byte == ' ' && cell < CharTable::k_special;
      ascii_symbols_[byte] = space ? space_ : cell < CharTable::k_no_symbol ? cell : k_unknown_symbol;
    }
    between_.assign(std::size_t{256} * 256, Between::ask);
    std::vector<std::int32_t> byte_of;  // by symbol
    for (std::size_t left = 0; left < 128; ++left) {
      const BpeSymbol a = ascii_symbols_[left];
      if (a >= k_unknown_symbol) continue;
      if (byte_of.size() <= a) byte_of.resize(a + 1, -1);
      byte_of[a] = static_cast<std::int32_t>(left);
      for (std::size_t right = 0; right < 128; ++right) {
        const BpeSymbol b = ascii_symbols_[right];
        if (b >= k_unknown_symbol || (left == ' ' && right == ' ' && remove_extra_whitespaces_)) continue;
        between_[left << 8 | right] = table_.join(a, b) == BpeTable::k_apart ? Between::apart : Between::joined;
      }
    }
    std::vector<std::pair<std::uint64_t, BpeSymbol>> words;
    table_.for_each_word([&](BpeSymbol s, std::span<const BpeSymbol> spelling) {
      if (spelling.size() > 8) return;
      std::uint64_t key = 0;
      for (std::size_t i = 0; i < spelling.size(); ++i) {
        const std::int32_t byte = spelling[i] < byte_of.size() ? byte_of[spelling[i]] : -1;
        if (byte < 0) return;
        key |= static_cast<std::uint64_t>(byte) << (8 * i);
      }
      words.emplace_back(key, s);
    });
    ascii_words_.fill(std::move(words));
  }

  /// Encodes segments that consist of plain ASCII and end before the text does; returns the bytes read.
  template <class Emit>
  [[nodiscard]] std::size_t encode_ascii(std::string_view text, detail::bpe_fast::Segment& segment, Emit&& emit) const {
    const char* const bytes = text.data();
    const std::size_t size = text.size();
    const Between* const between = between_.data();
    for (std::size_t begin = 0;;) {
      std::size_t end = begin, left = static_cast<unsigned char>(bytes[begin]);
      Between here = Between::joined;
      while (here == Between::joined) {
        if (++end == size) return begin;
        const std::size_t right = static_cast<unsigned char>(bytes[end]);
        here = between[left << 8 | right];
        left = right;
      }
      if (here == Between::ask) return begin;
      const std::size_t length = end - begin;
      if (length == 1) {
        emit(ascii_symbol(static_cast<unsigned char>(bytes[begin])));
      } else if (const BpeSymbol word = length <= 8 ? ascii_words_.find(key_of(text, begin, length)) : k_unknown_symbol;
                 word != k_unknown_symbol) {
        emit(word);
      } else {
        BpeSymbol last = ascii_symbol(static_cast<unsigned char>(bytes[begin]));
        segment.push(last, 0);
        for (std::size_t i = begin + 1; i < end; ++i) {
          const BpeSymbol symbol = ascii_symbol(static_cast<unsigned char>(bytes[i]));
          segment.push(symbol, table_.join(last, symbol));
          last = symbol;
        }
        segment.flush(emit, length > 8);
      }
      begin = end;
    }
  }

  /// Reads characters of four bytes that have symbols, as packed notes are; returns the bytes read.
  template <class Emit>
  [[nodiscard]] std::size_t encode_four(std::string_view text, detail::bpe_fast::Segment& segment, Emit&& emit) const {
    const CharTable& map = table_.map();
    std::size_t at = 0;
    BpeSymbol last = segment.empty() ? k_unknown_symbol : segment.back();
    while (text.size() - at >= 4) {
      const char32_t c = detail::bpe_fast::read_four(text, at);
      const std::uint32_t cell = map[c];
      if (c == 0 || cell >= CharTable::k_no_symbol) break;
      const std::uint32_t rank = table_.join(last, cell);
      if (rank == BpeTable::k_apart) segment.flush(emit);
      segment.push(cell, rank);
      last = cell;
      at += 4;
    }
    return at;
  }

  /// Up to eight bytes of text as one integer, the first one lowest. Requires: begin + length <= text.size().
  [[nodiscard]] static std::uint64_t key_of(std::string_view text, std::size_t begin, std::size_t length) noexcept {
    const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(text[begin + i])} << (8 * i); };
    if (text.size() - begin >= 8) {  // one load
      const std::uint64_t eight = byte(0) | byte(1) | byte(2) | byte(3) | byte(4) | byte(5) | byte(6) | byte(7);
      return eight & (~std::uint64_t{0} >> (64 - 8 * length));
    }
    std::uint64_t key = 0;
    for (std::size_t i = 0; i < length; ++i) key |= byte(i);
    return key;
  }

  BpeTable table_;
  detail::bpe_fast::AsciiWords ascii_words_;
  std::array<BpeSymbol, 128> ascii_symbols_{};
  std::vector<Between> between_;  // of two bytes; ask where one of them is not plain ASCII
  BpeSymbol space_ = 0;
  bool reads_plain_ = false, add_dummy_prefix_ = true, remove_extra_whitespaces_ = true;
};

}  // namespace v0
}  // namespace midigpt
