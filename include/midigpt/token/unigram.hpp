// token/unigram.hpp - the unigram language model encoder: best path, n best paths, sampled paths.
//   Source of the arithmetic: SentencePiece adds scores in double, compares with float, stores float; among equal paths
//   the one whose last piece begins first wins. Reproduced to the bit, or ids differ on ties.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/trie.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

/// One of the n best encodings and the sum of its scores.
struct ScoredSpans {
  std::vector<PieceSpan> spans;
  float score = 0.0f;
};

/// Immutable: safe to share between threads. Refers to nothing; the Vocab is passed to each call.
class UnigramEncoder {
 public:
  UnigramEncoder() = default;
  explicit UnigramEncoder(const Vocab& vocab) {
    const auto& pieces = vocab.model().pieces;
    std::size_t bytes = 0;
    const auto matches = [](const SpmPiece& p) {  // a NUL never matches: the real trie ends its keys there
      return (p.type == PieceType::normal || p.type == PieceType::user_defined || p.type == PieceType::unused) &&
             p.piece.find('\0') == std::string::npos;
    };
    for (const SpmPiece& p : pieces) bytes += matches(p) ? p.piece.size() : 0;
    trie_ = ByteTrie(bytes);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (matches(pieces[i])) trie_.insert(pieces[i].piece, static_cast<std::int32_t>(i));
    }
    unk_score_ = vocab.min_score() - 10.0f;
  }

  /// Appends the best path. Requires: normalized.size() < 2^31.
  void encode(const Vocab& vocab, std::string_view normalized, std::vector<PieceSpan>& out) const {
    struct Node {
      std::int32_t id = -1, begin = -1;
      float score = 0.0f;
    };
    std::vector<Node> best(normalized.size() + 1);  // the best path that ends before this byte
    for (std::size_t at = 0; at < normalized.size();) {
      const float here = best[at].score;
      const std::size_t one = detail::vocab::char_size(normalized.substr(at));
      const auto offer = [&](std::size_t end, std::int32_t id, auto score) {
        Node& node = best[end];
        if (node.begin < 0 || score > node.score) node = {id, static_cast<std::int32_t>(at), static_cast<float>(score)};
      };
      bool single = false;
      std::uint32_t trie_node = ByteTrie::k_root;
      for (std::size_t end = at; end < normalized.size();) {
        trie_node = trie_.step(trie_node, static_cast<unsigned char>(normalized[end++]));
        if (trie_node == ByteTrie::k_none) break;
        const std::int32_t id = trie_.value(trie_node);
        if (id < 0 || vocab.type(id) == PieceType::unused) continue;
        offer(end, id, path_score(vocab, id, end - at) + static_cast<double>(here));
        single = single || end - at == one;
      }
      if (!single) offer(at + one, vocab.unk_id(), unk_score_ + here);
      at += one;
    }
    const std::size_t first = out.size();
    for (std::size_t end = normalized.size(); end > 0;) {
      const auto begin = static_cast<std::size_t>(best[end].begin);
      out.push_back({best[end].id, static_cast<std::uint32_t>(end - begin)});
      end = begin;
    }
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
  }

  /// The `n` best paths, best first; fewer when there are not so many. Works through at most 10,000 open paths at a time
  /// and then keeps the best min(512, 10 n), as SentencePiece does.
  [[nodiscard]] std::vector<ScoredSpans> n_best(const Vocab& vocab, std::string_view normalized, std::size_t n) const {
    const Lattice lattice = build(vocab, normalized);
    std::vector<float> heuristic(lattice.nodes.size() + 1);  // best score of a path up to and with this node
    for (std::size_t i = 0; i < lattice.nodes.size(); ++i) heuristic[i] = best_before(lattice, heuristic, i) + lattice.nodes[i].score;
    const std::size_t sink = lattice.nodes.size(), source = sink + 1;
    heuristic[sink] = best_at(lattice, heuristic, lattice.chars());

    struct Hypothesis {
      std::size_t node;
      std::int64_t next;
      float fx, gx;
    };
    std::vector<Hypothesis> made;
    std::vector<std::size_t> agenda;
    const auto worse = [&](std::size_t a, std::size_t b) { return made[a].fx < made[b].fx; };
    const auto push = [&](Hypothesis h) {
      made.push_back(h);
      agenda.push_back(made.size() - 1);
      std::push_heap(agenda.begin(), agenda.end(), worse);
    };
    std::vector<ScoredSpans> out;
    push({sink, -1, heuristic[sink], 0.0f});
    while (!agenda.empty()) {
      std::pop_heap(agenda.begin(), agenda.end(), worse);
      const std::size_t top = agenda.back();
      agenda.pop_back();
      const Hypothesis here = made[top];
      if (here.node == source) {
        out.push_back({{}, here.gx});
        for (std::size_t at = static_cast<std::size_t>(here.next); made[at].node != sink;) {
          out.back().spans.push_back(lattice.span(made[at].node));
          at = static_cast<std::size_t>(made[at].next);
        }
        if (out.size() == n) break;
        continue;
      }
      const auto next = static_cast<std::int64_t>(top);
      const std::size_t position = here.node == sink ? lattice.chars() : lattice.nodes[here.node].begin;
      if (position == 0) push({source, next, here.gx, here.gx});
      for (const std::uint32_t left : lattice.ends[position]) {
        push({left, next, heuristic[left] + here.gx, lattice.nodes[left].score + here.gx});
      }
      if (agenda.size() >= 10000) {
        std::vector<std::size_t> kept;
        const std::size_t keep = (std::min)(std::size_t{512}, 10 * n);
        while (kept.size() < keep) {
          std::pop_heap(agenda.begin(), agenda.end(), worse);
          kept.push_back(agenda.back());
          agenda.pop_back();
        }
        std::make_heap(kept.begin(), kept.end(), worse);
        agenda = std::move(kept);
      }
    }
    return out;
  }

  /// Appends one path, drawn with probability proportional to exp(alpha * score): forward filtering, backward sampling.
  void sample(const Vocab& vocab, std::string_view normalized, double alpha, Rng& rng, std::vector<PieceSpan>& out) const {
    const Lattice lattice = build(vocab, normalized);
    std::vector<double> mass(lattice.chars() + 1, 0.0);  // log of the summed weight of all paths up to a position
    const auto weight = [&](std::uint32_t node) {
      return mass[lattice.nodes[node].begin] + alpha * static_cast<double>(lattice.nodes[node].score);
    };
    for (std::size_t at = 1; at <= lattice.chars(); ++at) {
      double top = -HUGE_VAL, sum = 0.0;
      for (const std::uint32_t node : lattice.ends[at]) top = (std::max)(top, weight(node));
      for (const std::uint32_t node : lattice.ends[at]) sum += std::exp(weight(node) - top);
      mass[at] = top + std::log(sum);
    }
    const std::size_t first = out.size();
    for (std::size_t at = lattice.chars(); at > 0;) {
      double left = rng.uniform();
      std::uint32_t chosen = lattice.ends[at].back();
      for (const std::uint32_t node : lattice.ends[at]) {
        left -= std::exp(weight(node) - mass[at]);
        if (left < 0.0) {
          chosen = node;
          break;
        }
      }
      out.push_back(lattice.span(chosen));
      at = lattice.nodes[chosen].begin;
    }
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
  }

 private:
  /// All pieces at all places; positions count characters.
  struct Lattice {
    struct Node {
      std::int32_t id;
      std::uint32_t begin, end;
      float score;
    };
    std::vector<Node> nodes;                       // by begin, then by length
    std::vector<std::vector<std::uint32_t>> ends;  // nodes that end before a position, in the order of `nodes`
    std::vector<std::uint32_t> offsets;            // byte offset of each position

    [[nodiscard]] std::size_t chars() const noexcept { return offsets.size() - 1; }
    [[nodiscard]] PieceSpan span(std::size_t node) const noexcept {
      return {nodes[node].id, offsets[nodes[node].end] - offsets[nodes[node].begin]};
    }
  };

  /// A user-defined piece beats every other split of its text.
  [[nodiscard]] static double path_score(const Vocab& vocab, std::int32_t id, std::size_t length) noexcept {
    if (vocab.type(id) != PieceType::user_defined) return static_cast<double>(vocab.score(id));
    return static_cast<double>(static_cast<float>(length) * vocab.max_score()) - 0.1;
  }

  [[nodiscard]] Lattice build(const Vocab& vocab, std::string_view normalized) const {
    Lattice lattice;
    std::vector<std::uint32_t> position(normalized.size() + 1, 0);  // characters that begin before a byte
    for (std::size_t at = 0; at < normalized.size();) {
      lattice.offsets.push_back(static_cast<std::uint32_t>(at));
      const std::size_t one = detail::vocab::char_size(normalized.substr(at));
      for (std::size_t i = 1; i <= one; ++i) position[at + i] = static_cast<std::uint32_t>(lattice.offsets.size());
      at += one;
    }
    lattice.offsets.push_back(static_cast<std::uint32_t>(normalized.size()));
    lattice.ends.resize(lattice.offsets.size());
    for (std::size_t begin = 0; begin + 1 < lattice.offsets.size(); ++begin) {
      bool single = false;
      const auto add = [&](std::int32_t id, std::size_t end, float score) {
        lattice.ends[end].push_back(static_cast<std::uint32_t>(lattice.nodes.size()));
        lattice.nodes.push_back({id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), score});
        single = single || end == begin + 1;
      };
      std::uint32_t trie_node = ByteTrie::k_root;
      for (std::size_t end = lattice.offsets[begin]; end < normalized.size();) {
        trie_node = trie_.step(trie_node, static_cast<unsigned char>(normalized[end++]));
        if (trie_node == ByteTrie::k_none) break;
        const std::int32_t id = trie_.value(trie_node);
        const std::size_t after = position[end];
        if (id < 0 || vocab.type(id) == PieceType::unused || lattice.offsets[after] != end) continue;
        add(id, after, static_cast<float>(path_score(vocab, id, after - begin)));
      }
      if (!single) add(vocab.unk_id(), begin + 1, unk_score_);
    }
    return lattice;
  }

  [[nodiscard]] static float best_at(const Lattice& lattice, const std::vector<float>& heuristic, std::size_t position) {
    if (position == 0) return 0.0f;
    float best = heuristic[lattice.ends[position].front()];
    for (const std::uint32_t node : lattice.ends[position]) best = (std::max)(best, heuristic[node]);
    return best;
  }
  [[nodiscard]] static float best_before(const Lattice& lattice, const std::vector<float>& heuristic, std::size_t node) {
    return best_at(lattice, heuristic, lattice.nodes[node].begin);
  }

  ByteTrie trie_;
  float unk_score_ = 0.0f;
};

}  // namespace v0
}  // namespace midigpt
