// token/word_char.hpp - the two simple model types: whole words (each begins at a U+2581), single characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

/// Appends one piece per word; a word the model does not know is unknown as a whole.
inline void word_encode(const Vocab& vocab, std::string_view normalized, std::vector<PieceSpan>& out) {
  while (!normalized.empty()) {
    const std::size_t end = normalized.find(k_space_mark, 1);
    const std::string_view word = normalized.substr(0, end);
    out.push_back({vocab.id(word), static_cast<std::uint32_t>(word.size())});
    normalized.remove_prefix(word.size());
  }
}

/// Appends one piece per character or user-defined symbol.
inline void char_encode(const Vocab& vocab, const SymbolMatcher& user_defined, std::string_view normalized,
                        std::vector<PieceSpan>& out) {
  while (!normalized.empty()) {
    const std::size_t defined = user_defined.longest(normalized);
    const std::string_view piece = normalized.substr(0, defined != 0 ? defined : detail::vocab::char_size(normalized));
    out.push_back({vocab.id(piece), static_cast<std::uint32_t>(piece.size())});
    normalized.remove_prefix(piece.size());
  }
}

}  // namespace v0
}  // namespace midigpt
