#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/word_cache.hpp>

using namespace midigpt;

namespace {

std::string random_word(Rng& rng) {
  std::string out;
  for (std::uint32_t n = rng.below(16); n > 0; --n) out += static_cast<char>(rng.chance(0.1) ? rng.below(256) : 'a' + rng.below(3));
  return out;
}

}  // namespace

TEST_CASE("word key: equal for the same word, whatever follows; different for different words") {
  Rng rng(1);
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> seen;
  std::size_t wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string word = random_word(rng);
    const WordKey alone = WordKey::of(word, word.size());
    const std::string longer = word + random_word(rng) + random_word(rng);
    wrong += !(WordKey::of(longer, word.size()) == alone);
    wrong += alone == WordKey{};
    wrong += seen.try_emplace({alone.low, alone.high}, word).first->second != word;
  }
  CHECK(wrong == 0);
}

TEST_CASE("word pieces: every word is found, no other") {
  Rng rng(2);
  std::map<std::string, std::int32_t> words;
  for (std::int32_t i = 0; i < 3000; ++i) words.try_emplace(random_word(rng), i);
  std::vector<std::pair<WordKey, std::int32_t>> list;
  for (const auto& [word, id] : words) list.emplace_back(WordKey::of(word, word.size()), id);
  WordPieces pieces;
  pieces.fill(list);
  std::size_t wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string word = random_word(rng);
    const auto it = words.find(word);
    wrong += pieces.find(WordKey::of(word, word.size())) != (it == words.end() ? -1 : it->second);
  }
  CHECK(wrong == 0);
}

TEST_CASE("word cache: what is found is what was last put in; more words than places push out old ones") {
  Rng rng(3);
  WordCache cache;
  std::map<std::string, std::vector<std::int32_t>> all;
  std::size_t wrong = 0, found = 0;
  CHECK(cache.find(WordKey::of("a", 1)).count == 0);
  for (int i = 0; i < 60000; ++i) {
    const std::string word = random_word(rng);
    const WordKey key = WordKey::of(word, word.size());
    const WordCache::Found known = cache.find(key);
    if (known.count != 0) {
      ++found;
      wrong += !std::equal(known.ids, known.ids + known.count, all[word].begin(), all[word].end());
      continue;
    }
    std::vector<std::int32_t> ids(1 + rng.below(WordCache::k_max_ids));
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(rng.below(1000));
    cache.insert(key, ids);
    all[word] = ids;
    wrong += cache.find(key).count != ids.size();
  }
  CHECK(wrong == 0);
  CHECK(found > 1000);
}

TEST_CASE("word cache: words of no ids and of too many are not kept") {
  WordCache cache;
  const std::vector<std::int32_t> many(WordCache::k_max_ids + 1, 7);
  cache.insert(WordKey::of("ab", 2), many);
  cache.insert(WordKey::of("cd", 2), {});
  CHECK(cache.find(WordKey::of("ab", 2)).count == 0);
  CHECK(cache.find(WordKey::of("cd", 2)).count == 0);
}
