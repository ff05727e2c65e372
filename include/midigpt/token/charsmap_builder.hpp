// token/charsmap_builder.hpp - from replacement rules to a precompiled_charsmap, the bytes that Darts-clone gives.
//   Sorted keys become a minimal automaton (equal tails shared), the automaton a double array: states in depth-first order,
//   each at the first free offset of the last 16 blocks of 256 units.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/sort.hpp>

namespace midigpt {
inline namespace v0 {

/// Replacement rules, UTF-8 to UTF-8. No key is empty or holds a NUL; no replacement holds a NUL.
using CharsmapRules = std::vector<std::pair<std::string, std::string>>;

namespace detail::charsmap_builder {

struct Edge {
  std::uint32_t label = 0;
  std::uint32_t to = 0;  // a state; a value where label = 0

  friend bool operator==(const Edge&, const Edge&) = default;
};

/// The minimal automaton of sorted keys: built by adding them in order and closing each finished branch.
class Automaton {
 public:
  void add(std::string_view key, std::uint32_t value) {
    std::size_t common = 0;
    while (common < key.size() && common < last_.size() && key[common] == last_[common]) ++common;
    close(common);
    for (std::size_t i = common; i < key.size(); ++i) open_.emplace_back();
    open_.back().push_back({0, value});
    last_ = key;
  }

  /// The root, once every key is in.
  [[nodiscard]] std::uint32_t finish() {
    close(0);
    return intern(open_[0]);
  }

  [[nodiscard]] std::pair<const Edge*, const Edge*> edges(std::uint32_t state) const noexcept {
    return {edges_.data() + begin_[state], edges_.data() + begin_[state + 1]};
  }
  [[nodiscard]] bool shared(std::uint32_t state) const noexcept { return shared_[state]; }
  [[nodiscard]] std::size_t states() const noexcept { return begin_.size() - 1; }

 private:
  void close(std::size_t depth) {
    while (open_.size() > depth + 1) {
      const std::uint32_t state = intern(open_.back());
      open_.pop_back();
      open_.back().push_back({static_cast<unsigned char>(last_[open_.size() - 1]), state});
    }
  }

  [[nodiscard]] std::uint32_t intern(const std::vector<Edge>& state) {
    if (2 * states() >= slots_.size()) {
      slots_.assign((std::max)(std::size_t{1024}, 2 * slots_.size()), 0);
      for (std::uint32_t s = 0; s < states(); ++s) slots_[free_slot(edges(s).first, edges(s).second)] = s + 1;
    }
    std::size_t at = hash(state.data(), state.data() + state.size()) & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
      const auto [first, last] = edges(slots_[at] - 1);
      if (std::equal(first, last, state.begin(), state.end())) {
        shared_[slots_[at] - 1] = true;
        return slots_[at] - 1;
      }
    }
    edges_.insert(edges_.end(), state.begin(), state.end());
    begin_.push_back(static_cast<std::uint32_t>(edges_.size()));
    shared_.push_back(false);
    slots_[at] = static_cast<std::uint32_t>(states());
    return slots_[at] - 1;
  }

  [[nodiscard]] static std::size_t hash(const Edge* first, const Edge* last) noexcept {
    std::uint64_t h = 0;
    for (; first != last; ++first) h = (h ^ (std::uint64_t{first->label} << 32 | first->to)) * 0x9E3779B97F4A7C15u + (h >> 31);
    return static_cast<std::size_t>(h ^ h >> 29);
  }
  [[nodiscard]] std::size_t free_slot(const Edge* first, const Edge* last) const noexcept {
    std::size_t at = hash(first, last) & (slots_.size() - 1);
    while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<std::vector<Edge>> open_{1};  // the states along last_
  std::string last_;
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> begin_{0}, slots_;
  std::vector<bool> shared_;
};

class DoubleArray {
 public:
  [[nodiscard]] std::vector<std::uint32_t> build(const Automaton& automaton, std::uint32_t root) && {
    take(0);
    used_[0] = true;
    place(automaton, root);
    for (std::size_t b = units_.size() > k_window ? units_.size() - k_window : 0; b < units_.size(); b += k_block) seal(b);
    return std::move(units_);
  }

 private:
  static constexpr std::uint32_t k_block = 256, k_window = 16 * k_block;

  struct Frame {
    std::uint32_t state = 0, offset = 0;
    std::size_t edge = 0;
  };

  void place(const Automaton& automaton, std::uint32_t root) {
    std::vector<std::uint32_t> known(automaton.states(), 0);  // offset of a shared state, once placed
    std::vector<Frame> path{{root, arrange(automaton, root, 0), 0}};
    while (!path.empty()) {
      Frame& f = path.back();
      const auto [first, last] = automaton.edges(f.state);
      if (f.edge == static_cast<std::size_t>(last - first)) {
        path.pop_back();
        continue;
      }
      const Edge e = first[f.edge++];
      if (e.label == 0) continue;
      const std::uint32_t unit = f.offset ^ e.label;
      if (automaton.shared(e.to) && known[e.to] != 0) {
        const std::uint32_t relative = known[e.to] ^ unit;
        if ((relative & k_upper) == 0 || (relative & 0xFFu) == 0) {
          if (automaton.edges(e.to).first->label == 0) units_[unit] |= 0x100u;
          set_offset(unit, relative);
          continue;
        }
      }
      const std::uint32_t offset = arrange(automaton, e.to, unit);
      if (automaton.shared(e.to)) known[e.to] = offset;
      path.push_back({e.to, offset, 0});
    }
  }

  /// Finds room for the children of `state`, which stands at `unit`, and writes their labels or value.
  [[nodiscard]] std::uint32_t arrange(const Automaton& automaton, std::uint32_t state, std::uint32_t unit) {
    const auto [first, last] = automaton.edges(state);
    const std::uint32_t offset = find_offset(first, last, unit);
    set_offset(unit, unit ^ offset);
    for (const Edge* e = first; e != last; ++e) {
      const std::uint32_t child = offset ^ e->label;
      take(child);
      if (e->label == 0) {
        units_[unit] |= 0x100u;
        units_[child] = e->to | 0x80000000u;
      } else {
        units_[child] = (units_[child] & ~0xFFu) | e->label;
      }
    }
    used_[offset] = true;
    return offset;
  }

  [[nodiscard]] std::uint32_t find_offset(const Edge* first, const Edge* last, std::uint32_t unit) const noexcept {
    const auto end = static_cast<std::uint32_t>(units_.size());
    if (head_ < end) {
      std::uint32_t free = head_;
      do {
        const std::uint32_t offset = free ^ first->label;
        const std::uint32_t relative = unit ^ offset;
        if (!used_[offset] && ((relative & 0xFFu) == 0 || (relative & k_upper) == 0) &&
            std::none_of(first + 1, last, [&](const Edge& e) { return taken_[offset ^ e.label]; })) {
          return offset;
        }
        free = next_[free];
      } while (free != head_);
    }
    return end | (unit & 0xFFu);
  }

  void set_offset(std::uint32_t unit, std::uint32_t relative) noexcept {
    const std::uint32_t kept = units_[unit] & 0x800001FFu;
    units_[unit] = kept | (relative < 1u << 21 ? relative << 10 : relative << 2 | 1u << 9);
  }

  void take(std::uint32_t unit) {
    if (unit >= units_.size()) grow();
    if (unit == head_) head_ = next_[unit] == unit ? static_cast<std::uint32_t>(units_.size()) : next_[unit];
    next_[prev_[unit]] = next_[unit];
    prev_[next_[unit]] = prev_[unit];
    taken_[unit] = true;
  }

  /// One more block; the one that leaves the window is sealed.
  void grow() {
    const auto begin = static_cast<std::uint32_t>(units_.size()), end = begin + k_block;
    if (end > k_window) seal(end - k_window - k_block);
    units_.resize(end, 0);
    taken_.resize(end, false);
    used_.resize(end, false);
    next_.resize(end);
    prev_.resize(end);
    for (std::uint32_t i = begin; i < end; ++i) {
      next_[i] = i + 1;
      prev_[i] = i - 1;
    }
    if (head_ == begin) {  // no free unit before this block
      prev_[begin] = end - 1;
      next_[end - 1] = begin;
    } else {
      prev_[begin] = prev_[head_];
      next_[end - 1] = head_;
      next_[prev_[head_]] = begin;
      prev_[head_] = end - 1;
    }
  }

  /// Takes the free units of a block and gives them a label that no offset in use reaches.
  void seal(std::size_t block) {
    const auto begin = static_cast<std::uint32_t>(block), end = begin + k_block;
    std::uint32_t unused = 0;
    for (std::uint32_t offset = begin; offset < end; ++offset) {
      if (!used_[offset]) {
        unused = offset;
        break;
      }
    }
    for (std::uint32_t unit = begin; unit < end; ++unit) {
      if (taken_[unit]) continue;
      take(unit);
      units_[unit] = (units_[unit] & ~0xFFu) | ((unit ^ unused) & 0xFFu);
    }
  }

  static constexpr std::uint32_t k_upper = 0xFFu << 21;

  std::vector<std::uint32_t> units_, next_, prev_;
  std::vector<bool> taken_, used_;
  std::uint32_t head_ = 0;  // first free unit; units_.size() if there is none
};

/// Indices of the rules by one of their texts in ascending byte order, equal ones in ascending index: by the first eight bytes, then by the rest.
[[nodiscard]] inline std::vector<std::uint32_t> byte_order(const CharsmapRules& rules, std::string CharsmapRules::value_type::*text) {
  struct Key {
    std::uint64_t prefix;
    std::uint32_t index;
  };
  std::vector<Key> keys(rules.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::array<std::byte, 8> first{};
    const std::string_view t = rules[i].*text;
    std::transform(t.begin(), t.begin() + static_cast<std::ptrdiff_t>((std::min)(t.size(), first.size())), first.begin(),
                   [](char c) { return static_cast<std::byte>(c); });
    keys[i] = {load_be<std::uint64_t>(first.data()), static_cast<std::uint32_t>(i)};
  }
  merge_sort(keys, [&](const Key& a, const Key& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    return (rules[a.index].*text).compare(rules[b.index].*text) < 0;
  });
  std::vector<std::uint32_t> out(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) out[i] = keys[i].index;
  return out;
}

}  // namespace detail::charsmap_builder

/// The blob that NormalizerSpec::precompiled_charsmap holds. Of equal keys the first rule counts. No rules: empty.
[[nodiscard]] inline std::string compile_charsmap(const CharsmapRules& rules) {
  namespace impl = detail::charsmap_builder;
  if (rules.empty()) return {};
  std::vector<std::uint32_t> places(rules.size());  // of each rule's text in the pool
  std::string pool;
  std::string_view last;
  for (const std::uint32_t i : impl::byte_order(rules, &CharsmapRules::value_type::second)) {
    if (pool.empty() || rules[i].second != last) {
      last = rules[i].second;
      pool += last;
      pool += '\0';
    }
    places[i] = static_cast<std::uint32_t>(pool.size() - 1 - last.size());
  }

  impl::Automaton automaton;
  last = {};
  for (const std::uint32_t i : impl::byte_order(rules, &CharsmapRules::value_type::first)) {
    if (rules[i].first == last) continue;
    last = rules[i].first;
    automaton.add(last, places[i]);
  }
  const std::uint32_t root = automaton.finish();
  const std::vector<std::uint32_t> units = impl::DoubleArray().build(automaton, root);

  std::string blob;
  blob.reserve(4 + 4 * units.size() + pool.size());
  const auto put = [&](std::uint32_t v) {
    for (int i = 0; i < 4; ++i) blob += static_cast<char>(static_cast<unsigned char>(v >> (8 * i) & 0xFFu));
  };
  put(static_cast<std::uint32_t>(4 * units.size()));
  for (const std::uint32_t unit : units) put(unit);
  blob += pool;
  return blob;
}

}  // namespace v0
}  // namespace midigpt
