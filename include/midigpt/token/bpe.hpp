// token/bpe.hpp - the merge encoder, for any scores: a priority queue of neighbouring symbols, O(n log n).
//   Again and again the two neighbours whose joined text is a piece of the highest score become one; among equals the
//   leftmost. User-defined symbols take no part. A piece that is UNUSED is split back into the halves it came from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

/// Memory of one encoding, to be used again by the next one of the same thread.
struct BpeScratch {
  struct Symbol {
    std::uint32_t begin, size;  // bytes of the normalised text; size 0: joined to its left neighbour
    std::int32_t prev, next;
    bool frozen;
  };
  struct Candidate {
    float score;
    std::int32_t left, right;
    std::uint32_t size;
  };
  struct Split {
    std::int32_t id;
    std::uint32_t size_left;  // bytes of the left half
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> queue;
  std::vector<Split> splits;  // per UNUSED piece formed, the last one at the back
};

/// Dropout: every merge that comes up is skipped for good with this probability.
struct BpeDropout {
  double probability;
  Rng* rng;
};

/// Appends the pieces of `normalized` to `out`. Requires: normalized.size() < 2^31.
inline void bpe_encode(const Vocab& vocab, const SymbolMatcher& user_defined, std::string_view normalized,
                       std::vector<PieceSpan>& out, BpeScratch& scratch, const BpeDropout* dropout = nullptr) {
  using Candidate = BpeScratch::Candidate;
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  symbols.clear();
  queue.clear();
  scratch.splits.clear();

  for (std::size_t at = 0; at < normalized.size();) {
    const std::string_view rest = normalized.substr(at);
    const std::size_t defined = user_defined.longest(rest);
    const std::size_t size = defined != 0 ? defined : detail::vocab::char_size(rest);
    const auto i = static_cast<std::int32_t>(symbols.size());
    symbols.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(size), i - 1, i + 1, defined != 0});
    at += size;
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  const auto symbol = [&](std::int32_t i) -> BpeScratch::Symbol& { return symbols[static_cast<std::size_t>(i)]; };
  const auto worse = [](const Candidate& a, const Candidate& b) {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  };
  const auto consider = [&](std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0 || symbol(left).frozen || symbol(right).frozen) return;
    const std::uint32_t size = symbol(left).size + symbol(right).size;
    const std::int32_t id = vocab.find_matchable(normalized.substr(symbol(left).begin, size));
    if (id < 0) return;
    queue.push_back({vocab.score(id), left, right, size});
    std::push_heap(queue.begin(), queue.end(), worse);
    if (vocab.type(id) == PieceType::unused) scratch.splits.push_back({id, symbol(left).size});
  };
  for (std::int32_t i = 1; i < static_cast<std::int32_t>(symbols.size()); ++i) consider(i - 1, i);

  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), worse);
    const Candidate top = queue.back();
    queue.pop_back();
    auto& left = symbol(top.left);
    auto& right = symbol(top.right);
    if (left.size == 0 || right.size == 0 || left.size + right.size != top.size) continue;  // one of them changed since
    if (dropout != nullptr && dropout->rng->chance(dropout->probability)) continue;
    left.size = top.size;
    right.size = 0;
    left.next = right.next;
    if (left.next >= 0) symbol(left.next).prev = top.left;
    consider(left.prev, top.left);
    consider(top.left, left.next);
  }

  // The last split of each unused piece counts; afterwards they are sorted by id for the search.
  auto& splits = scratch.splits;
  std::reverse(splits.begin(), splits.end());
  sort_stably(splits, [](const auto& a, const auto& b) { return a.id < b.id; });
  const auto split_of = [&](std::int32_t id) {
    const auto it = std::lower_bound(splits.begin(), splits.end(), id, [](const auto& s, std::int32_t x) { return s.id < x; });
    return it != splits.end() && it->id == id ? it->size_left : 0u;
  };
  std::vector<std::string_view> pending;
  for (std::int32_t i = 0; i >= 0; i = symbol(i).next) {
    pending.push_back(normalized.substr(symbol(i).begin, symbol(i).size));
    while (!pending.empty()) {
      const std::string_view text = pending.back();
      pending.pop_back();
      const std::int32_t id = vocab.id(text);
      const std::uint32_t left = vocab.type(id) == PieceType::unused ? split_of(id) : 0;
      if (left == 0) {
        out.push_back({id, static_cast<std::uint32_t>(text.size())});
      } else {
        pending.push_back(text.substr(left));
        pending.push_back(text.substr(0, left));
      }
    }
  }
}

}  // namespace v0
}  // namespace midigpt
