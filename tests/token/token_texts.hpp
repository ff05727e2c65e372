// Models and difficult lines that several tests of this folder need, made from seeds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>

namespace token_texts {

using namespace midigpt;

/// A model over a small alphabet with random pieces: merges nest, overlap and contradict each other more than those of
/// any trained model. `special` adds user-defined symbols, byte fallback and odd spellings.
inline SpmModel random_model(std::uint64_t seed, ModelType type, bool special = false) {
  Rng rng(seed, 77);
  SpmModel m;
  m.trainer.model_type = type;
  m.normalizer.name = "identity";
  m.normalizer.add_dummy_prefix = rng.chance(0.6);
  m.normalizer.remove_extra_whitespaces = rng.chance(0.6);
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}, {"<s>", 0.0f, PieceType::control}, {"</s>", 0.0f, PieceType::control}};
  const auto has = [&](const std::string& text) {
    for (const SpmPiece& p : m.pieces) {
      if (p.piece == text) return true;
    }
    return false;
  };
  static constexpr std::u32string_view k_letters = U"ab\u2581c\u00E9\U00040321d,";
  const auto letters = k_letters.substr(0, 2 + rng.below(static_cast<std::uint32_t>(k_letters.size()) - 1));
  float score = -0.0f;
  const auto next_score = [&] {
    score -= type == ModelType::unigram ? static_cast<float>(rng.uniform()) * 0.3f : 1.0f;
    return type == ModelType::unigram ? -3.0f - static_cast<float>(rng.below(40)) * 0.25f : score;
  };
  const int pieces = rng.between(1, 60);
  for (int i = 0; i < pieces; ++i) {
    std::string text;
    if (i > 2 && rng.chance(0.7)) {  // two earlier ones together, as a trained model's
      const auto pick = [&] { return m.pieces[3 + rng.below(static_cast<std::uint32_t>(m.pieces.size() - 3))].piece; };
      text = m.pieces.size() > 3 ? pick() + pick() : "a";
    } else {
      const int n = rng.between(2, 5);
      for (int k = 0; k < n; ++k) utf8_append(text, letters[rng.below(static_cast<std::uint32_t>(letters.size()))]);
    }
    if (!has(text) && text.size() < 120) m.pieces.push_back({text, next_score(), PieceType::normal});
  }
  for (const char32_t c : letters) {
    std::string text;
    utf8_append(text, c);
    if (rng.chance(0.9) && !has(text)) m.pieces.push_back({text, next_score(), PieceType::normal});
  }
  if (special) {
    for (const char* text : {"ab", "[M]", "a", "\xE2\x96\x81z", "ba,"}) {
      if (rng.chance(0.4) && !has(text)) m.pieces.push_back({text, 0.0f, PieceType::user_defined});
    }
    if (rng.chance(0.5)) {
      m.trainer.byte_fallback = true;
      for (int b = 0; b < 256; ++b) {
        static constexpr char k_digits[] = "0123456789ABCDEF";
        m.pieces.push_back({std::string("<0x") + k_digits[b / 16] + k_digits[b % 16] + ">", 0.0f, PieceType::byte});
      }
    }
    if (rng.chance(0.3) && !has("e")) m.pieces.push_back({"e", 0.0f, PieceType::control});  // a one-character control
  }
  return m;
}

/// Lines of few different characters, long runs, spaces at odd places, unknown characters and ill-formed bytes.
inline std::string random_line(Rng& rng, std::size_t max_chars = 60) {
  static constexpr std::string_view k_parts[] = {"a", "b", "ab", "c", "d", " ", "  ", "\xE2\x96\x81", "\xC3\xA9", "\xF1\x80\x8C\xA1",
                                                 ",", "[M]", "x", "\xE2\x96\x85", "\xFF", "\xC3", "e", "\t", "\xEF\xBF\xBD", "z"};
  std::string line;
  const std::size_t n = rng.below(static_cast<std::uint32_t>(max_chars));
  const std::uint32_t kinds = 1 + rng.below(rng.chance(0.5) ? 6 : 20);
  while (line.size() < n) {
    const std::string_view part = k_parts[rng.below(kinds)];
    for (std::uint32_t times = rng.chance(0.1) ? rng.below(40) : 1; times > 0; --times) line += part;
  }
  return line;
}

}  // namespace token_texts
