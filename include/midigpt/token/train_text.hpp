// token/train_text.hpp - the words of a training as one flat array of character numbers with gaps between them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/sort.hpp>
#include <midigpt/token/pretokenize.hpp>
#include <midigpt/token/train_input.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::token_train {

inline constexpr std::uint32_t k_gap = 0xFFFFFFFFu;

/// Characters are numbered by code point, so comparing numbers compares texts. A gap stands at both ends, between words and
/// for every run of characters that join nothing: uncovered ones, TAB.
struct TrainText {
  std::vector<char32_t> characters;
  std::vector<std::uint32_t> text;
  std::vector<std::uint32_t> word_of;   // per place, into weights; empty when every word stands once
  std::vector<std::uint64_t> weights;
  std::size_t first_uncovered = static_cast<std::size_t>(-1);  // the place of the first character that joins nothing
  std::vector<bool> uncovered;  // per place: a gap that begins with such a character, not with the end of a word

  [[nodiscard]] std::uint64_t weight_at(std::size_t place) const noexcept { return weights.empty() ? 1 : weights[word_of[place]]; }
};

/// Places are u32, with room above them for marks.
inline constexpr std::uint64_t k_max_train_text = std::uint64_t{1} << 31;

[[nodiscard]] inline Result<TrainText> lay_out_text(const TrainCorpus& corpus) {
  TrainText out;
  for (const auto& c : corpus.required()) {
    if (!pretokenize::never_joins(c.code_point)) out.characters.push_back(c.code_point);
  }
  sort_stably(out.characters);
  std::vector<std::uint32_t> number(0x110000, k_gap);
  for (std::uint32_t i = 0; i < out.characters.size(); ++i) number[out.characters[i]] = i;

  std::uint64_t length = 1;
  bool weighted = false;
  for (const Word& word : corpus.words()) {
    length += static_cast<std::uint64_t>(std::count_if(word.text.begin(), word.text.end(), [](char c) {
                return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
              })) + 1;
    weighted = weighted || word.count != 1;
  }
  if (length >= k_max_train_text) {
    return Error{Errc::too_large, 0, "training text of 2^31 characters or more; use input_sentence_size"};
  }
  const std::string& delimiter = corpus.options().spec.pretokenization_delimiter;
  std::vector<std::uint32_t>& text = out.text;
  text.reserve(static_cast<std::size_t>(length));
  if (weighted) out.word_of.reserve(static_cast<std::size_t>(length));
  text.push_back(k_gap);
  for (const Word& word : corpus.words()) {
    for (std::string_view rest = word.text; !rest.empty();) {
      if (!delimiter.empty() && rest.starts_with(delimiter)) {
        if (text.back() != k_gap) text.push_back(k_gap);
        rest.remove_prefix(delimiter.size());
        continue;
      }
      const std::uint32_t symbol = number[pop_character(rest)];
      if (symbol == k_gap) out.first_uncovered = (std::min)(out.first_uncovered, text.size());
      if (symbol == k_gap && text.back() != k_gap) {
        out.uncovered.resize(text.size() + 1, false);
        out.uncovered[text.size()] = true;
      }
      if (symbol != k_gap || text.back() != k_gap) text.push_back(symbol);
    }
    if (text.back() != k_gap) text.push_back(k_gap);
    if (weighted) {
      out.weights.push_back(word.count);
      out.word_of.resize(text.size(), static_cast<std::uint32_t>(out.weights.size() - 1));
    }
  }
  out.uncovered.resize(text.size(), false);
  return out;
}

/// Orders places by next(place), equal ones ascending. `scratch` is reused from call to call; `limit` > every next().
template <class Next>
void sort_places(std::span<std::uint32_t> places, std::uint64_t limit, std::vector<std::uint64_t>& scratch, Next&& next) {
  const std::size_t n = places.size();
  if (n < 2) return;
  if (scratch.size() < 2 * n) scratch.resize(2 * n);
  std::span<std::uint64_t> from(scratch.data(), n), to(scratch.data() + n, n);
  for (std::size_t i = 0; i < n; ++i) from[i] = std::uint64_t{next(places[i])} << 32 | places[i];
  if (n < 256) {
    std::sort(from.begin(), from.end());
  } else {
    for (std::uint32_t shift = 32; (limit - 1) >> (shift - 32) != 0; shift += 8) {
      std::size_t ends[257] = {};
      for (const std::uint64_t k : from) ++ends[(k >> shift & 255u) + 1];
      for (std::size_t d = 1; d < 257; ++d) ends[d] += ends[d - 1];
      for (const std::uint64_t k : from) to[ends[k >> shift & 255u]++] = k;
      std::swap(from, to);
    }
  }
  for (std::size_t i = 0; i < n; ++i) places[i] = static_cast<std::uint32_t>(from[i]);
}

}  // namespace detail::token_train
}  // namespace v0
}  // namespace midigpt
