#include <midigpt/token/trie.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

std::string random_key(Rng& rng) {
  std::string key;  // few letters: many keys share a beginning; all 256 bytes: no byte is special
  const std::uint32_t letters = rng.chance(0.5) ? 2 : 256;
  for (std::uint32_t n = rng.below(8); n > 0; --n) key += static_cast<char>(rng.below(letters));
  return key;
}

std::uint32_t walk(const ByteTrie& trie, const std::string& key) {
  std::uint32_t node = ByteTrie::k_root;
  for (const char c : key) {
    if (node != ByteTrie::k_none) node = trie.step(node, static_cast<unsigned char>(c));
  }
  return node;
}

}  // namespace

TEST_CASE("trie: a walk ends where std::map says that a key or the beginning of one is") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng(seed, 1);
    std::map<std::string, std::int32_t> keys;
    std::size_t bytes = 0;
    for (int i = 0; i < 200; ++i) {
      const std::string key = random_key(rng);
      bytes += key.size();
      keys[key] = i;
    }
    ByteTrie trie(bytes);
    for (const auto& [key, value] : keys) trie.insert(key, value + 1000);
    for (const auto& [key, value] : keys) trie.insert(key, value);  // replaces
    int wrong = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::string key = random_key(rng);
      const auto at = keys.lower_bound(key);
      const bool begins = at != keys.end() && at->first.starts_with(key);
      const std::uint32_t node = walk(trie, key);
      wrong += (node != ByteTrie::k_none) != (begins || key.empty());
      if (node != ByteTrie::k_none) wrong += trie.value(node) != (keys.contains(key) ? keys[key] : -1);
    }
    CHECK(wrong == 0);
  }
}
