// core/sort.hpp - stable sorts that cost a compiler little: std::sort and std::stable_sort are 3 to 9 KB of code for each type
//   and each comparison. sort_stably sorts numbers, through a function pointer, in code compiled once; merge_sort is a
//   short function for each type. Both are quick where the items are stretches in order, such as the notes of tracks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace midigpt {
inline namespace v0 {

/// Sorts a vector or span in place, equal items keep their order. Compiled for each type and comparison: for hot loops.
/// Stretches of eight by insertion, then merges of twice as many; two that follow one another in order are left alone.
template <class Items, class Before>
void merge_sort(Items&& items, const Before& before) {
  constexpr std::size_t k_stretch = 8;
  const std::size_t n = items.size();
  for (std::size_t begin = 0; begin < n; begin += k_stretch) {
    for (std::size_t i = begin + 1; i < n && i < begin + k_stretch; ++i) {
      if (!before(items[i], items[i - 1])) continue;
      const auto x = items[i];
      std::size_t at = i;
      do {
        items[at] = items[at - 1];
        --at;
      } while (at > begin && before(x, items[at - 1]));
      items[at] = x;
    }
  }
  std::vector<std::decay_t<decltype(items[0])>> left;
  for (std::size_t width = k_stretch; width < n; width *= 2) {
    for (std::size_t begin = 0; begin + width < n; begin += 2 * width) {
      const std::size_t middle = begin + width, end = n - middle < width ? n : middle + width;
      if (!before(items[middle], items[middle - 1])) continue;
      left.assign(items.data() + begin, items.data() + middle);
      for (std::size_t a = 0, b = middle, to = begin; a < width; ++to) {
        items[to] = b < end && before(items[b], left[a]) ? items[b++] : left[a++];
      }
    }
  }
}

namespace detail::sort {

struct Before {
  bool (*function)(const void* context, std::uint32_t a, std::uint32_t b);
  const void* context;
  bool operator()(std::uint32_t a, std::uint32_t b) const { return function(context, a, b); }
};

/// The numbers 0..n-1 in order.
[[nodiscard]] inline std::vector<std::uint32_t> order(std::size_t n, const Before& before) {
  std::vector<std::uint32_t> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint32_t>(i);
  merge_sort(out, before);
  return out;
}

/// items[i] := what was items[order[i]]; each cycle of the permutation once, and `order` is used up.
template <class T>
void arrange(T* items, std::vector<std::uint32_t>& order) {
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] == i) continue;
    T first = std::move(items[i]);
    std::size_t at = i;
    while (order[at] != i) {
      const std::size_t from = order[at];
      items[at] = std::move(items[from]);
      order[at] = static_cast<std::uint32_t>(at);
      at = from;
    }
    items[at] = std::move(first);
    order[at] = static_cast<std::uint32_t>(at);
  }
}

}  // namespace detail::sort

/// The numbers 0..n-1 so that before(a, b) for each a that has to stand before b; others ascending. n < 2^32.
template <class Before>
[[nodiscard]] std::vector<std::uint32_t> sorted_order(std::size_t n, const Before& before) {
  return detail::sort::order(
      n, {[](const void* f, std::uint32_t a, std::uint32_t b) -> bool { return (*static_cast<const Before*>(f))(a, b); }, &before});
}

/// Sorts a vector or span of fewer than 2^32 items, which may be such as can only be moved; equal ones keep their order.
template <class Items, class Before>
void sort_stably(Items&& items, const Before& before) {
  std::vector<std::uint32_t> order =
      sorted_order(items.size(), [&](std::uint32_t a, std::uint32_t b) -> bool { return before(items[a], items[b]); });
  detail::sort::arrange(items.data(), order);
}
template <class Items>
void sort_stably(Items&& items) {
  sort_stably(items, [](const auto& a, const auto& b) { return a < b; });
}

}  // namespace v0
}  // namespace midigpt
