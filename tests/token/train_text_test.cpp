#include <midigpt/token/train_text.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>

using namespace midigpt;
using namespace midigpt::detail::token_train;

TEST_CASE("train text: places are ordered as a stable sort orders them, few and many, small keys and large") {
  std::vector<std::uint64_t> scratch;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed, 1);
    const std::uint32_t limit = 1 + rng.below(1u << rng.below(31));
    std::vector<std::uint32_t> keys(1 + rng.below(1000));
    for (std::uint32_t& k : keys) k = rng.below(limit);
    std::vector<std::uint32_t> places;
    for (std::uint32_t i = 0; i < keys.size(); ++i) places.push_back(i);
    auto want = places;
    std::stable_sort(want.begin(), want.end(), [&](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
    sort_places(places, limit, scratch, [&](std::uint32_t place) { return keys[place]; });
    CHECK(places == want);
  }
}

TEST_CASE("train text: numbers stand for the characters of the words, gaps between them, weights beside them") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed, 1);
    TokenTrainOptions options;
    options.spec.character_coverage = 1.0f;
    options.normalizer.name = "identity";
    auto corpus = TrainCorpus::create(options);
    REQUIRE(corpus);
    for (int i = 0; i < 20; ++i) {
      std::string line;
      for (std::uint32_t n = 1 + rng.below(20); n > 0; --n) {
        constexpr char32_t alphabet[] = {'a', 'b', 'c', 0xE4, 0x6F22, 0x10041};
        utf8_append(line, alphabet[rng.below(6)]);
        if (rng.chance(0.3)) line += ' ';
      }
      corpus->add_line(line);
    }
    REQUIRE(corpus->finish());
    const auto out = lay_out_text(*corpus);
    REQUIRE(out);
    CHECK(out->first_uncovered == static_cast<std::size_t>(-1));
    std::set<char32_t> seen;
    std::size_t place = 1;
    REQUIRE(out->text.front() == k_gap);
    for (const Word& word : corpus->words()) {
      for (std::size_t at = 0; at < word.text.size(); ++place) {
        const Utf8Char c = utf8_decode(word.text, at);
        REQUIRE(place < out->text.size());
        REQUIRE(out->text[place] < out->characters.size());
        CHECK(out->characters[out->text[place]] == c.code_point);
        CHECK(out->weight_at(place) == word.count);
        seen.insert(c.code_point);
        at += c.size;
      }
      REQUIRE(place < out->text.size());
      CHECK(out->text[place++] == k_gap);
    }
    CHECK(place == out->text.size());
    CHECK(out->characters == std::vector<char32_t>(seen.begin(), seen.end()));
  }
}
