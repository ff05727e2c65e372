#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/bpe_window.hpp>

using namespace midigpt;
namespace window = midigpt::detail::bpe_window;

TEST_CASE("bpe window: the table iterates as std::unordered_map of libstdc++ does, through growth and erasure") {
#if defined(__GLIBCXX__)
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng(seed);
    std::unordered_map<std::uint64_t, std::uint32_t> real;
    window::KeyTable ours;
    std::vector<std::uint64_t> keys;
    for (std::uint32_t i = 0; i < 3000; ++i) {
      if (!keys.empty() && rng.chance(0.3)) {
        const std::size_t at = rng.below(static_cast<std::uint32_t>(keys.size()));
        real.erase(keys[at]);
        ours.erase(keys[at]);
        keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        const std::uint64_t key = rng.chance(0.5) ? rng.below(5000) : rng.next();
        if (!real.emplace(key, i).second) continue;
        ours.insert(key, i);
        keys.push_back(key);
      }
    }
    std::vector<std::uint32_t> a, b;
    for (const auto& entry : real) a.push_back(entry.second);
    ours.for_each([&](std::uint32_t value) { b.push_back(value); });
    wrong += a != b || ours.size() != real.size();
  }
  CHECK(wrong == 0);
#else
  MESSAGE("skipped: not libstdc++");
#endif
}

TEST_CASE("bpe window: the selection is the one of std::partial_sort of libstdc++") {
#if defined(__GLIBCXX__)
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Rng rng(seed);
    std::vector<window::Ranked> all(static_cast<std::size_t>(rng.between(1, 400)));
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = {rng.below(4), i};
    const std::size_t k = rng.below(static_cast<std::uint32_t>(all.size()) + 1);
    std::vector<window::Ranked> real = all;
    std::partial_sort(real.begin(), real.begin() + static_cast<std::ptrdiff_t>(k), real.end(),
                      [](const window::Ranked& a, const window::Ranked& b) { return a.frequency > b.frequency; });
    window::select_most_frequent(all, k);
    std::vector<std::uint32_t> x, y;
    for (std::size_t i = 0; i < k; ++i) {
      x.push_back(real[i].pair);
      y.push_back(all[i].pair);
    }
    std::sort(x.begin(), x.end());
    std::sort(y.begin(), y.end());
    wrong += x != y;
  }
  CHECK(wrong == 0);
#else
  MESSAGE("skipped: not libstdc++");
#endif
}
