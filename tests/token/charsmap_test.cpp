#include <doctest/doctest.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/charsmap.hpp>
#include <midigpt/token/charsmap_builder.hpp>

using namespace midigpt;

namespace {

CharsmapRules random_rules(Rng& rng) {
  CharsmapRules rules;
  const int n = rng.between(1, 60);
  for (int i = 0; i < n; ++i) {
    std::string key, text;
    for (int k = rng.between(1, 5); k > 0; --k) key += static_cast<char>(rng.between(0, 3) == 0 ? rng.between(-128, -1) : rng.between('a', 'd'));
    for (int k = rng.between(0, 3); k > 0; --k) text += static_cast<char>(rng.between('p', 's'));
    rules.emplace_back(key, text);
  }
  return rules;
}

}  // namespace

TEST_CASE("charsmap: the empty blob is the identity, a short or torn one is an error") {
  CHECK(Charsmap::create("")->is_identity());
  const std::string blob = compile_charsmap({{"a", "b"}, {"abc", ""}});
  for (std::size_t cut = 1; cut < blob.size(); ++cut) {
    const auto map = Charsmap::create(blob.substr(0, cut));
    if (map) CHECK(map->longest("abc").bytes <= 3);  // cut behind a NUL inside the replacements: still sound
  }
  CHECK(!Charsmap::create(std::string_view("\1\0\0\0a", 5)));          // not a multiple of 4
  CHECK(!Charsmap::create(std::string_view("\0\0\0\0a\0", 6)));        // no trie
  CHECK(!Charsmap::create(std::string_view("\xff\xff\xff\xff" "abc")));  // larger than the blob
}

TEST_CASE("charsmap: a map with any byte replaced never reads outside and never loops") {
  const std::string blob = compile_charsmap({{"a", "b"}, {"abc", ""}, {"\xC3\xA4", "ae"}});
  std::size_t matched = 0;
  for (std::size_t at = 0; at < blob.size(); ++at) {
    for (const int b : {0, 1, 0x7F, 0x80, 0xFF}) {
      std::string bad = blob;
      bad[at] = static_cast<char>(b);
      const auto map = Charsmap::create(bad);
      if (!map) continue;
      for (const char* text : {"abc", "\xC3\xA4x", "zzz"}) matched += map->longest(text).bytes;
      map->for_each([](std::string_view, std::string_view) {});
    }
  }
  CHECK(matched > 0);
}

TEST_CASE("charsmap builder: a compiled map finds the longest key, as a search through the rules does") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    const CharsmapRules rules = random_rules(rng);
    std::map<std::string, std::string> first;
    for (const auto& [key, text] : rules) first.emplace(key, text);  // of equal keys the first counts
    const auto map = Charsmap::create(compile_charsmap(rules));
    REQUIRE(map);
    std::map<std::string, std::string> read_back;
    map->for_each([&](std::string_view key, std::string_view text) { read_back.emplace(key, text); });
    wrong += read_back != first;
    for (int i = 0; i < 100; ++i) {
      std::string text;
      for (int k = rng.between(1, 8); k > 0; --k) text += static_cast<char>(rng.between(0, 3) == 0 ? rng.between(-128, -1) : rng.between('a', 'd'));
      std::size_t want = 0;
      for (std::size_t n = 1; n <= text.size(); ++n) want = first.contains(text.substr(0, n)) ? n : want;
      const CharsmapMatch got = map->longest(text);
      wrong += got.bytes != want || (want != 0 && got.replacement != first[text.substr(0, want)]);
    }
  }
  CHECK(wrong == 0);
}
