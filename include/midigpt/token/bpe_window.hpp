// token/bpe_window.hpp - the window of SentencePiece 0.1.99 to 0.2.1: the best pair is sought among the pairs formed since
//   the last refresh and the most frequent ones at it. Which of equally frequent pairs a refresh takes depends there on the
//   order of a std::unordered_map and on std::partial_sort of libstdc++; both are imitated, so the answer is the same with
//   every standard library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

namespace midigpt {
inline namespace v0 {
namespace detail::bpe_window {

/// The key of a pair from the keys of its halves: Bob Jenkins' 64-bit mix, third word.
[[nodiscard]] constexpr std::uint64_t pair_key(std::uint64_t a, std::uint64_t c) noexcept {
  std::uint64_t b = 0xE08C1D668B756F82u;
  constexpr int shifts[12] = {43, 9, 8, 38, 23, 5, 35, 49, 11, 12, 18, 22};
  for (int round = 0; round < 12; round += 3) {
    a = (a - b - c) ^ c >> shifts[round];
    b = (b - c - a) ^ a << shifts[round + 1];
    c = (c - a - b) ^ b >> shifts[round + 2];
  }
  return c;
}

/// A hash table of 64-bit keys that hash to themselves, in the iteration order of libstdc++: one list; a key goes to the
/// front of its bucket's stretch, or of the list when its bucket is empty.
class KeyTable {
 public:
  static constexpr std::uint32_t k_none = 0xFFFFFFFFu;

  KeyTable() : next_{k_none}, items_(1), buckets_(1, k_none) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Requires: the key is not in the table.
  void insert(std::uint64_t key, std::uint32_t value) {
    if (size_ + 1 > limit_) rehash();
    std::uint32_t node = free_;
    if (node == k_none) {
      node = static_cast<std::uint32_t>(items_.size());
      items_.emplace_back();
      next_.push_back(k_none);
    } else {
      free_ = next_[node];
    }
    items_[node] = {key, value};
    link(node, bucket(node));
    ++size_;
  }

  /// Requires: the key is in the table.
  void erase(std::uint64_t key) {
    const std::size_t b = static_cast<std::size_t>(key % buckets_.size());
    std::uint32_t before = buckets_[b];
    while (items_[next_[before]].key != key) before = next_[before];
    const std::uint32_t node = next_[before], after = next_[node];
    const std::size_t after_bucket = after == k_none ? b : bucket(after);
    if (before == buckets_[b]) {
      if (after == k_none || after_bucket != b) {
        if (after != k_none) buckets_[after_bucket] = buckets_[b];
        buckets_[b] = k_none;
      }
    } else if (after != k_none && after_bucket != b) {
      buckets_[after_bucket] = before;
    }
    next_[before] = after;
    next_[node] = std::exchange(free_, node);
    --size_;
  }

  /// Calls visit(value) in list order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::uint32_t node = next_[0]; node != k_none; node = next_[node]) visit(items_[node].value);
  }

 private:
  struct Item {
    std::uint64_t key = 0;
    std::uint32_t value = 0;
  };

  [[nodiscard]] std::size_t bucket(std::uint32_t node) const noexcept {
    return static_cast<std::size_t>(items_[node].key % buckets_.size());
  }

  /// A bucket holds the node before its first one; node 0 stands before the list.
  void link(std::uint32_t node, std::size_t b) {
    if (buckets_[b] != k_none) {
      next_[node] = next_[buckets_[b]];
      next_[buckets_[b]] = node;
      return;
    }
    next_[node] = std::exchange(next_[0], node);
    if (next_[node] != k_none) buckets_[bucket(next_[node])] = node;
    buckets_[b] = 0;
  }

  void rehash() {
    constexpr std::size_t sizes[] = {13,     29,     59,      127,     257,     541,      1109,     2357,     5087,     10273,    20753,     42043,
                                     85229,  172933, 351061,  712697,  1447153, 2938679,  5967347,  12117689, 24607243, 49969847, 101473717};
    limit_ = *std::find_if(std::begin(sizes), std::prev(std::end(sizes)), [this](std::size_t s) { return s > limit_; });
    buckets_.assign(limit_, k_none);
    std::uint32_t node = std::exchange(next_[0], k_none);
    while (node != k_none) {
      const std::uint32_t following = next_[node];
      link(node, bucket(node));
      node = following;
    }
  }

  std::vector<std::uint32_t> next_;
  std::vector<Item> items_;
  std::vector<std::uint32_t> buckets_;
  std::uint32_t free_ = k_none;
  std::size_t size_ = 0, limit_ = 0;
};

struct Ranked {
  std::uint64_t frequency = 0;
  std::uint32_t pair = 0;
};

/// Moves `value` down a heap whose top is the least frequent entry, as libstdc++ does: the hole sinks to the bottom along
/// the less frequent children, then rises.
inline void sink(std::span<Ranked> heap, std::size_t hole, Ranked value) noexcept {
  const std::size_t top = hole, n = heap.size();
  std::size_t child = hole;
  while (child < (n - 1) / 2) {
    child = 2 * (child + 1);
    if (heap[child].frequency > heap[child - 1].frequency) --child;
    heap[hole] = heap[child];
    hole = child;
  }
  if (n % 2 == 0 && child == (n - 2) / 2) {
    child = 2 * (child + 1);
    heap[hole] = heap[child - 1];
    hole = child - 1;
  }
  while (hole > top && heap[(hole - 1) / 2].frequency > value.frequency) {
    heap[hole] = heap[(hole - 1) / 2];
    hole = (hole - 1) / 2;
  }
  heap[hole] = value;
}

/// Leaves in the first k entries the ones that std::partial_sort by frequency, descending, would select.
inline void select_most_frequent(std::span<Ranked> all, std::size_t k) noexcept {
  if (k == 0) return;
  const std::span<Ranked> heap = all.first(k);
  for (std::size_t parent = k / 2; parent-- > 0;) sink(heap, parent, heap[parent]);
  for (std::size_t i = k; i < all.size(); ++i) {
    if (all[i].frequency > heap[0].frequency) sink(heap, 0, std::exchange(all[i], heap[0]));
  }
}

}  // namespace detail::bpe_window
}  // namespace v0
}  // namespace midigpt
