#include <midigpt/core/sort.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("sort: as std::stable_sort, at every length and with many equal items") {
  using Item = std::pair<int, int>;  // key, place
  const auto by_key = [](const Item& a, const Item& b) { return a.first < b.first; };
  int wrong = 0;
  for (std::size_t n = 0; n < 400; ++n) {
    for (const std::uint32_t keys : {1u, 2u, 5u, 1000u}) {
      Rng rng(n, keys);
      std::vector<Item> items;
      for (std::size_t i = 0; i < n; ++i) items.emplace_back(static_cast<int>(rng.below(keys)), static_cast<int>(i));
      auto want = items;
      std::stable_sort(want.begin(), want.end(), by_key);
      sort_stably(items, by_key);
      wrong += items != want;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("sort: stretches in order, descending ones and a long list") {
  int wrong = 0;
  for (const std::size_t stretch : {1u, 7u, 100u, 5000u}) {
    for (const bool falling : {false, true}) {
      std::vector<std::uint64_t> items;
      for (std::uint64_t i = 0; i < 20000; ++i) items.push_back(falling ? 20000 - i % stretch : i % stretch);
      auto want = items;
      std::sort(want.begin(), want.end());
      sort_stably(items);
      wrong += items != want;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("sort: what can only be moved, and part of a list") {
  std::vector<std::unique_ptr<std::string>> items;
  for (const char* s : {"d", "b", "c", "a"}) items.push_back(std::make_unique<std::string>(s));
  sort_stably(std::span(items).first(3), [](const auto& a, const auto& b) { return *a < *b; });
  std::string got;
  for (const auto& s : items) got += *s;
  CHECK(got == "bcda");
}

TEST_CASE("sort: numbers in the order of what they stand for") {
  const std::vector<std::string> names{"c", "a", "b", "a"};
  const auto order = sorted_order(names.size(), [&](std::size_t a, std::size_t b) { return names[a] < names[b]; });
  CHECK(order == std::vector<std::uint32_t>{1, 3, 2, 0});
}
