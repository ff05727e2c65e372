// bench/corpus.hpp - text to measure with, made from a seed: packed notes and English-like prose.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>

namespace bench {

/// Index in [0, weights) with probability proportional to 1 / (index + 1): Zipf's law by inverting the harmonic sum.
inline std::size_t zipf(midigpt::Rng& rng, std::size_t n) {
  const double top = std::log(static_cast<double>(n) + 1.0);
  const auto k = static_cast<std::size_t>(std::exp(rng.uniform() * top)) - 1;
  return k < n ? k : n - 1;
}

/// Lines of 256 packed notes (four bytes each) of about `bytes` bytes in all: cells of 2 to 10 notes, 20,000 kinds drawn by
/// Zipf's law, and 8 % uniform noise. `seed` makes the text; `world` makes the cells (one world, several texts: a
/// trained vocabulary fits unseen lines).
inline std::vector<std::string> note_lines(std::size_t bytes, std::uint64_t seed = 1, std::uint64_t world = 1) {
  using midigpt::Rng;
  Rng make(world, 1);
  const auto note = [](std::size_t i) {  // spread over pitch, duration, step and velocity as real notes are
    const auto pitch = static_cast<std::uint32_t>(36 + i * 7 % 60), duration = static_cast<std::uint32_t>(i / 60 % 16);
    const auto step = static_cast<std::uint32_t>(i / 960 % 16), velocity = static_cast<std::uint32_t>(1 + i / 15360 % 3);
    return static_cast<char32_t>(velocity << 18 | step << 12 | duration << 7 | pitch);
  };
  std::vector<std::u32string> cells(20000);
  for (auto& cell : cells) {
    const int n = make.between(2, 10);
    for (int i = 0; i < n; ++i) cell += note(zipf(make, 3000));
  }
  Rng rng(seed, 2);
  std::vector<std::string> lines;
  for (std::size_t made = 0; made < bytes; made += 1025) {
    std::string line;
    std::size_t notes = 0;
    const auto put = [&](char32_t c) {
      if (notes++ < 256) midigpt::utf8_append(line, c);
    };
    while (notes < 256) {
      if (rng.chance(0.08)) {
        put(note(rng.below(20000)));
      } else {
        for (const char32_t c : cells[zipf(rng, cells.size())]) put(c);
      }
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

/// Sentences of words that follow Zipf's law over 50,000 words made of syllables, with punctuation, capitals and numbers.
inline std::vector<std::string> prose_lines(std::size_t bytes, std::uint64_t seed = 1, std::uint64_t world = 1) {
  using midigpt::Rng;
  Rng make(world, 3);
  static constexpr const char* k_onsets[] = {"", "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "w", "th", "st", "pr", "ch", "tr"};
  static constexpr const char* k_vowels[] = {"a", "e", "i", "o", "u", "ea", "ou", "ai", "e", "o"};
  static constexpr const char* k_codas[] = {"", "n", "r", "s", "t", "l", "d", "ng", "nd", "st", "", "", ""};
  std::vector<std::string> words(50000);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const int syllables = 1 + (i > 200 ? make.between(0, 1) : 0) + (i > 3000 ? make.between(0, 2) : 0);
    for (int s = 0; s < syllables; ++s) {
      words[i] += k_onsets[zipf(make, 20)];
      words[i] += k_vowels[zipf(make, 10)];
      words[i] += k_codas[make.below(13)];
    }
  }
  Rng rng(seed, 4);
  std::vector<std::string> lines;
  for (std::size_t made = 0; made < bytes;) {
    std::string line;
    const int n = rng.between(6, 30);
    for (int w = 0; w < n; ++w) {
      std::string word = rng.chance(0.02) ? std::to_string(rng.below(3000)) : words[zipf(rng, words.size())];
      if ((w == 0 || rng.chance(0.04)) && word[0] >= 'a') word[0] = static_cast<char>(word[0] - 32);
      if (w != 0) line += ' ';
      line += word;
      if (rng.chance(0.06)) line += ',';
    }
    line += '.';
    made += line.size() + 1;
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace bench
