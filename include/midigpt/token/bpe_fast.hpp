// token/bpe_fast.hpp - from text to merged symbols: plain text is read as it is, other text through the normaliser.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
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
    return fast;
  }

  [[nodiscard]] const BpeTable& table() const noexcept { return table_; }

  /// Encodes text that is not normalised; calls emit(symbol) for each piece. False, possibly after some pieces, when the
  /// text is not plain: then start again with the normalised text.
  template <class Emit>
  [[nodiscard]] bool encode_plain(std::string_view text, BpeTableScratch& scratch, Emit&& emit) const {
    if (!reads_plain_) return false;
    auto& buffer = scratch.text;
    if (buffer.size() < k_block) buffer.resize(k_block);
    std::size_t n = 0, at = 0;
    bool after_space = remove_extra_whitespaces_;  // then a space adds nothing
    bool any = false;
    if (add_dummy_prefix_) buffer[n++] = space_;
    const CharTable& map = table_.map();
    for (;;) {
      const std::size_t room = buffer.size();
      while (n < room && at < text.size()) {
        const auto byte = static_cast<unsigned char>(text[at]);
        char32_t c = byte;
        std::size_t size = 1;
        if (byte >= 0x80) {
          const Utf8Char decoded = utf8_decode(text, at);
          if (!decoded.valid) return false;
          c = decoded.code_point;
          size = decoded.size;
        }
        const std::uint32_t cell = map[c];
        at += size;
        if (cell >= CharTable::k_space) {
          if (cell >= CharTable::k_special) return false;
          if (after_space) continue;
          buffer[n++] = space_;
          after_space = remove_extra_whitespaces_;
        } else {
          buffer[n++] = cell == CharTable::k_no_symbol ? k_unknown_symbol | static_cast<std::uint32_t>(c) : cell;
          after_space = false;
        }
        any = true;
      }
      const bool final = at == text.size();
      if (final && !any) return true;
      if (final && after_space) --n;  // the space at the end
      const std::size_t used = table_.encode(std::span(buffer).first(n), final, scratch, emit);
      if (final) return true;
      if (used == 0) buffer.resize(buffer.size() * 2);
      std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(used), buffer.begin() + static_cast<std::ptrdiff_t>(n), buffer.begin());
      n -= used;
    }
  }

  /// Encodes normalised text; emit_defined(size) is called for each user-defined symbol. False, possibly after some
  /// pieces, when the text holds ill-formed UTF-8 (a user-defined symbol can bring it in).
  template <class Emit, class EmitDefined>
  [[nodiscard]] bool encode_normalized(std::string_view text, const SymbolMatcher& user_defined, BpeTableScratch& scratch,
                                       Emit&& emit, EmitDefined&& emit_defined) const {
    auto& buffer = scratch.text;
    buffer.clear();
    const auto flush = [&] {
      table_.encode(buffer, true, scratch, emit);
      buffer.clear();
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
      buffer.push_back(table_.map().symbol(c.code_point));
      at += c.size;
    }
    flush();
    return true;
  }

 private:
  explicit FastBpe(BpeTable table) : table_(std::move(table)) {}

  static constexpr std::size_t k_block = 4096;

  BpeTable table_;
  BpeSymbol space_ = 0;
  bool reads_plain_ = false, add_dummy_prefix_ = true, remove_extra_whitespaces_ = true;
};

}  // namespace v0
}  // namespace midigpt
