// token/trie.hpp - a set of byte strings that is walked one byte at a time: every edge is one entry of a hash table.
//   Built without recursion in time linear in the bytes of the keys, whatever the keys are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace midigpt {
inline namespace v0 {

/// Immutable once filled: safe to share between threads.
class ByteTrie {
 public:
  static constexpr std::uint32_t k_root = 0;
  static constexpr std::uint32_t k_none = 0xFFFFFFFFu;
  /// Keys beyond this many bytes in all do not fit.
  static constexpr std::size_t k_max_bytes = (std::size_t{1} << 28) - 2;

  explicit ByteTrie(std::size_t key_bytes = 0) {
    std::size_t slots = 64;
    while (slots < key_bytes * 2) slots *= 2;
    edges_.assign(slots, 0);
    values_.assign(1, -1);
  }

  /// Requires: at most `key_bytes` bytes in all, value >= 0. The value of a repeated key is replaced.
  void insert(std::string_view key, std::int32_t value) {
    std::uint32_t node = k_root;
    for (const char c : key) {
      const auto byte = static_cast<unsigned char>(c);
      std::uint32_t next = step(node, byte);
      if (next == k_none) {
        next = static_cast<std::uint32_t>(values_.size());
        values_.push_back(-1);
        const std::uint64_t edge = key_of(node, byte);
        std::size_t at = slot_of(edge);
        while (edges_[at] != 0) at = (at + 1) & (edges_.size() - 1);
        edges_[at] = edge << 28 | next;
      }
      node = next;
    }
    values_[node] = value;
  }

  /// The node reached from `node`, or k_none.
  [[nodiscard]] std::uint32_t step(std::uint32_t node, unsigned char byte) const noexcept {
    const std::uint64_t edge = key_of(node, byte);
    for (std::size_t at = slot_of(edge);; at = (at + 1) & (edges_.size() - 1)) {
      const std::uint64_t found = edges_[at];
      if (found == 0) return k_none;
      if (found >> 28 == edge) return static_cast<std::uint32_t>(found & 0xFFFFFFFu);
    }
  }

  /// The value of the key that ends at `node`, or -1.
  [[nodiscard]] std::int32_t value(std::uint32_t node) const noexcept { return values_[node]; }

 private:
  [[nodiscard]] static std::uint64_t key_of(std::uint32_t node, unsigned char byte) noexcept {
    return std::uint64_t{node} << 8 | byte;
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t edge) const noexcept {
    const std::uint64_t h = edge * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(h ^ h >> 32) & (edges_.size() - 1);
  }

  std::vector<std::uint64_t> edges_;  // 36 bits (node, byte), 28 bits child; a child is never 0
  std::vector<std::int32_t> values_;
};

}  // namespace v0
}  // namespace midigpt
