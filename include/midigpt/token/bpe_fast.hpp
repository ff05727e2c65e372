// token/bpe_fast.hpp - from text to symbols to pieces: plain text is read as it is, other text through the normaliser.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/bpe_table.hpp>
#include <midigpt/token/char_table.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/vocab.hpp>
#include <midigpt/token/word_cache.hpp>

namespace midigpt {
inline namespace v0 {

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
    for (std::size_t byte = 0; byte < 128; ++byte) {
      fast.ascii_[byte] = fast.cell_to_symbol(fast.table_.map()[static_cast<char32_t>(byte)], static_cast<char32_t>(byte));
    }
    // a word is encoded by itself where a space begins each and can only stand at the beginning of a piece
    const std::int32_t space_id = fast.space_ < k_unknown_symbol ? fast.table_.id(fast.space_) : vocab.unk_id();
    const auto& pieces = vocab.model().pieces;
    fast.words_apart_ = fast.reads_plain_ && fast.add_dummy_prefix_ && space_id != vocab.unk_id() &&
                        (fast.ascii_[' '] & CharTable::k_special) == 0 &&
                        std::none_of(pieces.begin(), pieces.end(), [](const SpmPiece& p) { return p.piece.find(k_space_mark, 1) != std::string::npos; });
    if (fast.words_apart_) fast.learn_words(vocab);
    return fast;
  }

  [[nodiscard]] const BpeTable& table() const noexcept { return table_; }

  /// Encodes text that is not normalised. put(symbols, ids) writes the ids of pieces and returns their number, at most one
  /// for each byte of their text. The number of ids in `ids`; nothing when the text is not plain.
  template <class Put>
  [[nodiscard]] std::optional<std::size_t> encode_plain(std::string_view text, BpeTableScratch& scratch, std::vector<std::int32_t>& ids,
                                                        Put&& put) const {
    if (!reads_plain_) return std::nullopt;
    scratch.reserve(text.size() + 1);
    const auto n = read_plain(text, scratch.text());
    if (!n) return std::nullopt;
    if (ids.size() < 4 * *n) ids.resize(4 * *n);
    const std::size_t made = table_.encode(scratch.text(), *n, scratch.pieces());
    return put({scratch.pieces(), made}, ids.data());
  }

  /// True when encode_words() can be used.
  [[nodiscard]] bool words_apart() const noexcept { return words_apart_; }

  /// The same word by word, with the help of `cache` if there is one; put() as before. Requires: words_apart().
  template <class Put>
  [[nodiscard]] std::optional<std::size_t> encode_words(std::string_view text, BpeTableScratch& scratch, WordCache* cache,
                                                        std::vector<std::int32_t>& ids, Put&& put) const {
    if (text.empty()) return 0;
    if (const std::size_t most = text.size() + 1 + WordCache::k_max_ids; ids.size() < most) ids.resize(most);
    std::int32_t* out = ids.data();
    for (std::size_t at = 0; at < text.size() + (remove_extra_whitespaces_ ? 0u : 1u);) {
      const std::string_view rest = text.substr(at);
      const std::size_t size = word_size(rest);
      at += size + 1;
      if (size == 0 && remove_extra_whitespaces_) continue;
      WordKey key;
      const bool is_short = size <= WordKey::k_max_bytes;
      if (is_short) {
        key = WordKey::of(rest, size);
        if (const std::int32_t id = word_pieces_.find(key); id >= 0) {
          *out++ = id;
          continue;
        }
        if (const WordCache::Found known = cache != nullptr ? cache->find(key) : WordCache::Found{}; known.count != 0) {
          std::copy_n(known.ids, WordCache::k_max_ids, out);
          out += known.count;
          continue;
        }
      }
      scratch.reserve(size + 1);
      std::optional<std::size_t> n = 1;
      scratch.text()[0] = space_;
      if (size != 0) n = read_plain(rest.substr(0, size), scratch.text());
      if (!n) return std::nullopt;
      const std::size_t made = table_.encode(scratch.text(), *n, scratch.pieces());
      const std::size_t count = put({scratch.pieces(), made}, out);
      if (is_short && cache != nullptr) cache->insert(key, {out, count});
      out += count;
    }
    return static_cast<std::size_t>(out - ids.data());
  }

  /// Encodes normalised text and calls emit(symbol) for each piece, emit_defined(size) for each user-defined symbol.
  /// False, possibly after some pieces, when the text holds ill-formed UTF-8 (a user-defined symbol can bring it in).
  template <class Emit, class EmitDefined>
  [[nodiscard]] bool encode_normalized(std::string_view text, const SymbolMatcher& user_defined, BpeTableScratch& scratch,
                                       Emit&& emit, EmitDefined&& emit_defined) const {
    scratch.reserve(text.size());
    std::size_t n = 0;
    const auto flush = [&] {
      const std::size_t made = table_.encode(scratch.text(), n, scratch.pieces());
      for (std::size_t i = 0; i < made; ++i) emit(scratch.pieces()[i]);
      n = 0;
    };
    for (std::size_t at = 0; at < text.size();) {
      if (const std::size_t defined = user_defined.longest(text.substr(at)); defined != 0) {
        flush();
        emit_defined(defined);
        at += defined;
        continue;
      }
      const Utf8Char c = utf8_decode(text, at);
      if (!c.valid) return false;
      scratch.text()[n++] = table_.map().symbol(c.code_point);
      at += c.size;
    }
    flush();
    return true;
  }

 private:
  explicit FastBpe(BpeTable table) : table_(std::move(table)) {}

  /// A cell as a symbol; marks of the normaliser stay.
  [[nodiscard]] std::uint32_t cell_to_symbol(std::uint32_t cell, char32_t c) const noexcept {
    return cell == CharTable::k_no_symbol ? k_unknown_symbol | static_cast<std::uint32_t>(c) : cell;
  }

  /// Notes the pieces that are a space and a short word of plain text.
  void learn_words(const Vocab& vocab) {
    std::vector<std::pair<WordKey, std::int32_t>> words;
    table_.for_each_joined([&](std::int32_t id) {
      const std::string_view piece = vocab.piece(id);
      if (!piece.starts_with(k_space_mark)) return;
      const std::string_view word = piece.substr(k_space_mark.size());
      if (word.size() > WordKey::k_max_bytes) return;
      for (std::size_t at = 0; at < word.size();) {
        const Utf8Char c = utf8_decode(word, at);
        if ((table_.map()[c.code_point] & (CharTable::k_special | CharTable::k_space)) != 0) return;
        at += c.size;
      }
      words.emplace_back(WordKey::of(word, word.size()), id);
    });
    word_pieces_.fill(words);
  }

  /// Bytes before the first space.
  [[nodiscard]] static std::size_t word_size(std::string_view text) noexcept {
    for (std::size_t at = 0; at + 8 <= text.size() && at < 16; at += 8) {
      const std::uint64_t differ = load_le<std::uint64_t>(as_byte_span(text).data() + at) ^ 0x2020202020202020u;
      const std::uint64_t zero = (differ - 0x0101010101010101u) & ~differ & 0x8080808080808080u;  // right up to the first one
      if (zero != 0) return at + static_cast<std::size_t>(std::countr_zero(zero)) / 8;
    }
    return (std::min)(text.find(' '), text.size());
  }

  /// The symbols of plain text with the space rules applied; their number, or nothing when the text is not plain.
  /// Requires: room for text.size() + 1 symbols.
  [[nodiscard]] std::optional<std::size_t> read_plain(std::string_view text, BpeSymbol* out) const {
    constexpr std::uint32_t marks = CharTable::k_special | CharTable::k_space;
    const CharTable& map = table_.map();
    std::size_t n = 0;
    if (add_dummy_prefix_) out[n++] = space_;
    const std::size_t prefix = n;
    bool after_space = remove_extra_whitespaces_;  // then a space adds nothing
    for (std::size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      std::uint32_t symbol;
      std::size_t size = 1;
      if (byte < 0x80) {
        symbol = ascii_[byte];
      } else {
        if (byte >= 0xF0) {
          const std::size_t read = read_fours(text.substr(at), out + n);
          if (read != 0) {
            n += read;
            at += 4 * read;
            after_space = false;
            continue;
          }
        }
        const Utf8Char c = utf8_decode(text, at);
        if (!c.valid) return std::nullopt;
        symbol = cell_to_symbol(map[c.code_point], c.code_point);
        size = c.size;
      }
      at += size;
      if ((symbol & marks) == 0) {
        out[n++] = symbol;
        after_space = false;
      } else if ((symbol & CharTable::k_special) != 0) {
        return std::nullopt;
      } else if (!after_space) {
        out[n++] = space_;
        after_space = remove_extra_whitespaces_;
      }
    }
    if (n == prefix) return 0;  // nothing but spaces: not even the prefix
    return after_space ? n - 1 : n;
  }

  /// Reads blocks of characters of four bytes each, as notes are; their number.
  [[nodiscard]] std::size_t read_fours(std::string_view text, BpeSymbol* out) const {
    using namespace detail::utf8;
    constexpr std::uint32_t marks = CharTable::k_special | CharTable::k_space;
    const CharTable& map = table_.map();
    std::size_t n = 0;
    char32_t points[k_block];
    while (k_little_endian && text.size() - 4 * n >= k_block * 4 && decode_block(text.data() + 4 * n, points)) {
      std::uint32_t all = 0;
      for (std::size_t i = 0; i < k_block; ++i) {
        const std::uint32_t cell = map[points[i]];
        all |= cell;
        out[n + i] = cell_to_symbol(cell, points[i]);
      }
      if ((all & marks) != 0) break;
      n += k_block;
    }
    return n;
  }

  BpeTable table_;
  WordPieces word_pieces_;
  std::array<std::uint32_t, 128> ascii_{};  // symbols and marks
  BpeSymbol space_ = 0;
  bool words_apart_ = false, reads_plain_ = false, add_dummy_prefix_ = true, remove_extra_whitespaces_ = true;
};

}  // namespace v0
}  // namespace midigpt
