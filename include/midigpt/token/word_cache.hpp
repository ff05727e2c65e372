// token/word_cache.hpp - words met lately and their ids. In most text a few thousand words make up nearly all of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>

namespace midigpt {
inline namespace v0 {

/// The bytes of a word and, in the highest byte, one more than their number: two words, two keys; none is zero.
struct WordKey {
  static constexpr std::size_t k_max_bytes = 15;
  std::uint64_t low = 0, high = 0;

  /// Of the word of `size` bytes that `text` begins with. Requires: size <= k_max_bytes, size <= text.size().
  [[nodiscard]] static WordKey of(std::string_view text, std::size_t size) noexcept {
    std::byte copy[16] = {};
    const std::byte* bytes = as_byte_span(text).data();
    if (text.size() < 16) {
      std::copy_n(bytes, size, copy);
      bytes = copy;
    }
    const std::uint64_t low = load_le<std::uint64_t>(bytes), high = load_le<std::uint64_t>(bytes + 8);
    const std::uint64_t length = std::uint64_t{size + 1} << 56;
    if (size >= 8) return {low, (high & ~(~std::uint64_t{0} << 8 * (size - 8))) | length};
    return {low & ~(~std::uint64_t{0} << 8 * size), length};
  }

  [[nodiscard]] std::uint64_t hash() const noexcept { return (low ^ high * 0xBF58476D1CE4E5B9u) * 0x9E3779B97F4A7C15u; }
  friend bool operator==(const WordKey&, const WordKey&) = default;
};

/// Words that are one piece. Immutable once filled.
class WordPieces {
 public:
  void fill(std::span<const std::pair<WordKey, std::int32_t>> words) {
    std::size_t slots = 64;
    shift_ = 58;
    for (; slots < words.size() * 2; slots *= 2) --shift_;
    entries_.assign(slots, {});
    for (const auto& [key, id] : words) {
      std::size_t at = static_cast<std::size_t>(key.hash() >> shift_);
      while (entries_[at].id >= 0) at = (at + 1) & (slots - 1);
      entries_[at] = {key, id};
    }
  }

  /// The id, or -1. Requires: fill().
  [[nodiscard]] std::int32_t find(const WordKey& key) const noexcept {
    std::size_t at = static_cast<std::size_t>(key.hash() >> shift_);
    while (!(entries_[at].key == key) && entries_[at].id >= 0) at = (at + 1) & (entries_.size() - 1);
    return entries_[at].id;
  }

 private:
  struct Entry {
    WordKey key;
    std::int32_t id = -1;
  };
  std::vector<Entry> entries_;
  unsigned shift_ = 58;
};

/// For one thread and one tokenizer. A megabyte, whatever the text: a new word takes the place of one met longer ago.
class WordCache {
 public:
  static constexpr std::size_t k_max_ids = 11;

  /// The ids of the word; `count` is 0 when it is not there. Always k_max_ids of them may be read.
  struct Found {
    const std::int32_t* ids = nullptr;
    std::size_t count = 0;
  };
  [[nodiscard]] Found find(const WordKey& key) const noexcept {
    if (entries_.empty()) return {};
    const Entry* e = &entries_[set_of(key)];
    if (!(e[0].key == key)) {
      if (!(e[1].key == key)) return {};
      ++e;
    }
    return {e->ids, e->count};
  }

  /// Remembers a word that is not there. Words of no ids or of more than k_max_ids are not kept.
  void insert(const WordKey& key, std::span<const std::int32_t> ids) {
    if (ids.empty() || ids.size() > k_max_ids) return;
    if (entries_.empty()) entries_.resize(k_entries);
    Entry* e = &entries_[set_of(key)];
    e[1] = e[0];
    e[0].key = key;
    e[0].count = static_cast<std::uint32_t>(ids.size());
    std::copy(ids.begin(), ids.end(), e[0].ids);
  }

 private:
  static constexpr std::size_t k_entries = std::size_t{1} << 14;

  struct alignas(64) Entry {
    WordKey key;
    std::uint32_t count = 0;
    std::int32_t ids[k_max_ids] = {};
  };

  /// The first of two entries that the word may have.
  [[nodiscard]] static std::size_t set_of(const WordKey& key) noexcept { return static_cast<std::size_t>(key.hash() >> (64 - 13)) * 2; }

  std::vector<Entry> entries_;
};

}  // namespace v0
}  // namespace midigpt
