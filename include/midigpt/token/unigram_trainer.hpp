// token/unigram_trainer.hpp - text to a unigram model by expectation maximisation (Kudo 2018), as spm_train does it.
//   Seeds are the repeated substrings that are followed by different characters. Every place of the text keeps the list of
//   pieces that start there, shortest first; each round drops pieces and shortens the lists, so no trie is walked.
//   Expected counts are summed as integers: the result does not depend on the number of threads.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/error.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/pretokenize.hpp>
#include <midigpt/token/train_input.hpp>
#include <midigpt/token/train_output.hpp>
#include <midigpt/token/train_text.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::unigram_trainer {

using token_train::k_gap;
inline constexpr std::uint32_t k_no_piece = 0xFFFFFFFFu;

/// A piece and one place where it stands.
struct Piece {
  std::uint32_t place = 0, length = 0;
  double score = 0;  // log probability
};

/// The derivative of log gamma: upward recurrence to 7, then the asymptotic series.
[[nodiscard]] inline double digamma(double x) noexcept {
  double result = 0;
  for (; x < 7; ++x) result -= 1 / x;
  x -= 0.5;
  const double xx = 1 / x, xx2 = xx * xx, xx4 = xx2 * xx2;
  return result + std::log(x) + xx2 / 24 - 7 * xx4 / 960 + 31 * xx4 * xx2 / 8064 - 127 * xx4 * xx4 / 30720;
}

class Trainer {
 public:
  /// `unknown`: how many characters of the text are not covered.
  Trainer(token_train::TrainText text, const PieceRules& rules, const TrainerSpec& spec, std::uint64_t unknown)
      : rules_(rules), spec_(spec), laid_out_(std::move(text)), text_(laid_out_.text), unknown_(static_cast<double>(unknown)) {
    for (std::size_t p = 1; p < text_.size(); ++p) {
      if (text_[p] != k_gap && text_[p - 1] == k_gap) segments_.push_back(static_cast<std::uint32_t>(p));
    }
  }

  void train(ThreadPool& pool) {
    seed(pool);
    const auto desired = static_cast<std::size_t>(static_cast<double>(spec_.vocab_size) * 1.1);
    for (;;) {
      for (int i = 0; i < spec_.num_sub_iterations; ++i) maximise(expect(pool));
      if (pieces_.size() <= desired) break;
      const std::size_t before = pieces_.size();
      prune(desired, pool);
      if (pieces_.size() == before) break;
    }
  }

  [[nodiscard]] const std::vector<Piece>& pieces() const noexcept { return pieces_; }
  [[nodiscard]] std::string text_of(const Piece& piece) const {
    std::string out;
    for (std::uint32_t i = 0; i < piece.length; ++i) utf8_append(out, laid_out_.characters[text_[piece.place + i]]);
    return out;
  }

 private:
  // --- seeds ----------------------------------------------------------------------------------------------------------

  struct Node {
    std::uint32_t begin = 0, end = 0, length = 0;  // a range of sorted places that share `length` characters
    std::uint64_t score = 0;                       // frequency times length
  };

  struct Range {
    std::uint32_t begin = 0, end = 0;
    PieceShape shape;
  };

  /// Sorts all places by the text that follows, as deep as a piece may be, and notes where different ways part.
  void seed(ThreadPool& pool) {
    const std::size_t characters = laid_out_.characters.size();
    std::vector<std::uint32_t> ends(characters + 1, 0);
    for (const std::uint32_t c : text_) {
      if (c != k_gap) ++ends[c + 1];
    }
    for (std::size_t c = 1; c <= characters; ++c) ends[c] += ends[c - 1];
    std::vector<std::uint32_t> places(ends.back());
    {
      std::vector<std::uint32_t> fill(ends.begin(), ends.end() - 1);
      for (std::uint32_t p = 0; p < text_.size(); ++p) {
        if (text_[p] != k_gap) places[fill[text_[p]]++] = p;
      }
    }
    std::vector<std::vector<Node>> found(characters);
    std::vector<std::vector<std::uint64_t>> scratch(pool.size());
    pool.run(characters, [&](std::size_t c, std::size_t worker) {
      refine(places, ends[c], ends[c + 1], rules_.shape(laid_out_.characters[c]), found[c], scratch[worker]);
    });
    scratch = {};

    std::vector<Node> nodes;
    for (auto& list : found) nodes.insert(nodes.end(), list.begin(), list.end());
    found = {};
    const auto better = [](const Node& a, const Node& b) {
      return a.score != b.score ? a.score > b.score : a.begin != b.begin ? a.begin < b.begin : a.length < b.length;
    };
    const auto limit = static_cast<std::size_t>((std::max)(spec_.seed_sentencepiece_size, 0));
    if (nodes.size() > limit) {
      std::nth_element(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(limit), nodes.end(), better);
      nodes.resize(limit);
    }
    for (std::uint32_t c = 0; c < characters; ++c) {  // every character is a seed
      if (ends[c] < ends[c + 1]) nodes.push_back({ends[c], ends[c + 1], 1, weigh(places, ends[c], ends[c + 1])});
    }
    sort_stably(nodes, [](const Node& a, const Node& b) {
      return a.length != b.length ? a.length < b.length : a.begin < b.begin;
    });

    double sum = 0;
    std::uint64_t most = 0;
    for (std::uint32_t k = 0; k < nodes.size(); ++k) {
      sum += static_cast<double>(nodes[k].score);
      if (nodes[k].length != 1 || nodes[k].score <= most) continue;
      most = nodes[k].score;
      commonest_ = k;
    }
    pieces_.reserve(nodes.size());
    for (const Node& n : nodes) {
      pieces_.push_back({places[n.begin], n.length, std::log(static_cast<double>(n.score)) - std::log(sum)});
    }
    // the lists: count, then fill; nodes come shortest first
    starts_.assign(text_.size() + 1, 0);
    for (const Node& n : nodes) {
      for (std::uint32_t i = n.begin; i < n.end; ++i) ++starts_[places[i] + 1];
    }
    for (std::size_t p = 1; p < starts_.size(); ++p) starts_[p] += starts_[p - 1];
    lists_.resize(static_cast<std::size_t>(starts_.back()));
    std::vector<std::uint16_t> filled(text_.size(), 0);
    for (std::uint32_t k = 0; k < nodes.size(); ++k) {
      for (std::uint32_t i = nodes[k].begin; i < nodes[k].end; ++i) {
        const std::uint32_t p = places[i];
        lists_[static_cast<std::size_t>(starts_[p] + filled[p]++)] = k;
      }
    }
    set_probabilities();
  }

  void refine(std::span<std::uint32_t> places, std::uint32_t begin, std::uint32_t end, const PieceShape& shape,
              std::vector<Node>& out, std::vector<std::uint64_t>& scratch) const {
    std::vector<Range> todo{{begin, end, shape}};
    while (!todo.empty()) {
      const Range r = todo.back();
      todo.pop_back();
      const std::uint32_t depth = r.shape.length;
      const auto next = [&](std::uint32_t p) {
        const std::uint32_t c = text_[p + depth];
        return c != k_gap ? c : laid_out_.uncovered[p + depth] ? characters_end() : characters_end() + 1;
      };
      token_train::sort_places(places.subspan(r.begin, r.end - r.begin), characters_end() + 2u, scratch, next);
      std::uint64_t ways = 0;  // each end of a word is a way of its own, as often as the word stands there
      for (std::uint32_t from = r.begin, to = from; from < r.end; from = to) {
        const std::uint32_t c = next(places[from]);
        while (to < r.end && next(places[to]) == c) ++to;
        const std::uint64_t frequency = weigh(places, from, to);
        ways += c > characters_end() ? frequency : 1;
        if (frequency < 2 || c >= characters_end()) continue;
        const PieceShape added = rules_.shape(laid_out_.characters[c]);
        if (!rules_.continues(r.shape, added)) continue;
        Range longer{from, to, PieceRules::join(r.shape, added)};
        longer.shape.valid_end = rules_.joins(r.shape, added);
        todo.push_back(longer);
      }
      if (depth > 1 && r.shape.valid_end && ways > 1) {
        out.push_back({r.begin, r.end, depth, weigh(places, r.begin, r.end) * depth});
      }
    }
  }

  [[nodiscard]] std::uint32_t characters_end() const noexcept { return static_cast<std::uint32_t>(laid_out_.characters.size()); }

  [[nodiscard]] std::uint64_t weigh(std::span<const std::uint32_t> places, std::uint32_t begin, std::uint32_t end) const noexcept {
    if (laid_out_.weights.empty()) return end - begin;
    std::uint64_t sum = 0;
    for (std::uint32_t i = begin; i < end; ++i) sum += laid_out_.weight_at(places[i]);
    return sum;
  }

  // --- expectation ----------------------------------------------------------------------------------------------------

  [[nodiscard]] std::span<const std::uint32_t> starting_at(std::size_t place) const noexcept {
    return std::span(lists_).subspan(static_cast<std::size_t>(starts_[place]), static_cast<std::size_t>(starts_[place + 1] - starts_[place]));
  }

  void set_probabilities() {
    double least = 0;
    for (const Piece& p : pieces_) least = (std::min)(least, p.score);
    unknown_score_ = least - 10;
    probability_.resize(pieces_.size());
    for (std::size_t k = 0; k < pieces_.size(); ++k) probability_[k] = std::exp(pieces_[k].score);
  }

  struct Work {
    std::vector<double> forward, backward;
    std::vector<std::int32_t> forward_scale, backward_scale;
    std::vector<std::uint64_t> expected;  // in units of 2^-k_fraction
    std::vector<double> best;
    std::vector<std::uint32_t> from, piece;
  };
  static constexpr int k_fraction = 24, k_scale = 400;

  template <class Visit>
  void for_each_segment(ThreadPool& pool, std::vector<Work>& work, Visit&& visit) const {
    work.resize(pool.size());
    const std::size_t tasks = (segments_.size() + 255) / 256;
    pool.run(tasks, [&](std::size_t task, std::size_t worker) {
      const std::size_t last = (std::min)(segments_.size(), (task + 1) * 256);
      for (std::size_t s = task * 256; s < last; ++s) {
        std::size_t end = segments_[s];
        while (text_[end] != k_gap) ++end;
        visit(work[worker], segments_[s], end);
      }
    });
  }

  /// How often each piece is expected in the text under the current probabilities.
  [[nodiscard]] std::vector<double> expect(ThreadPool& pool) const {
    std::vector<Work> work(pool.size());
    for (Work& w : work) w.expected.assign(pieces_.size(), 0);
    const double unknown = std::exp(unknown_score_);
    for_each_segment(pool, work, [&](Work& w, std::size_t begin, std::size_t end) { expect_segment(w, begin, end, unknown); });
    std::vector<double> out(pieces_.size());
    for (std::size_t k = 0; k < out.size(); ++k) {
      std::uint64_t sum = 0;
      for (const Work& w : work) sum += w.expected[k];
      out[k] = std::ldexp(static_cast<double>(sum), -k_fraction);
    }
    if (commonest_ != k_no_piece) out[commonest_] += unknown_;
    return out;
  }

  /// Forward and backward sums as probabilities. Where they grow small they are scaled by 2^k_scale from there on; the
  /// scale at a place counts how often that happened.
  void expect_segment(Work& w, std::size_t begin, std::size_t end, double unknown) const {
    const std::size_t n = end - begin;
    const double up = std::ldexp(1.0, k_scale), small = std::ldexp(1.0, -k_scale / 2);
    const std::size_t reach = static_cast<std::size_t>(spec_.max_sentencepiece_length);
    w.forward.assign(n + 1, 0);
    w.backward.assign(n + 1, 0);
    w.forward_scale.assign(n + 1, 0);
    w.backward_scale.assign(n + 1, 0);
    w.forward[0] = 1;
    std::int32_t scale = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (w.forward[i] < small) {
        ++scale;
        for (std::size_t j = i; j <= (std::min)(n, i + reach); ++j) w.forward[j] *= up;
      }
      w.forward_scale[i] = scale;
      const auto list = starting_at(begin + i);
      for (const std::uint32_t k : list) w.forward[i + pieces_[k].length] += w.forward[i] * probability_[k];
      if (list.empty() || pieces_[list[0]].length != 1) w.forward[i + 1] += w.forward[i] * unknown;
    }
    w.forward_scale[n] = scale;
    w.backward[n] = 1;
    scale = 0;
    for (std::size_t i = n; i-- > 0;) {
      const auto list = starting_at(begin + i);
      double sum = 0;
      for (const std::uint32_t k : list) {
        const std::size_t to = i + pieces_[k].length;
        sum += probability_[k] * w.backward[to] * power(scale - w.backward_scale[to]);
      }
      if (list.empty() || pieces_[list[0]].length != 1) sum += unknown * w.backward[i + 1] * power(scale - w.backward_scale[i + 1]);
      if (sum < small) {
        ++scale;
        sum *= up;
      }
      w.backward[i] = sum;
      w.backward_scale[i] = scale;
    }
    // the whole: forward at the end, in its scale
    const double weight = std::ldexp(static_cast<double>(laid_out_.weight_at(begin)), k_fraction) / w.forward[n];
    for (std::size_t i = 0; i < n; ++i) {
      const auto list = starting_at(begin + i);
      for (const std::uint32_t k : list) {
        const std::size_t to = i + pieces_[k].length;
        const double share = w.forward[i] * probability_[k] * w.backward[to] * weight;
        w.expected[k] += static_cast<std::uint64_t>(share * power(w.forward_scale[n] - w.forward_scale[i] - w.backward_scale[to]) + 0.5);
      }
    }
  }

  /// 2^(k_scale * n); n is small.
  [[nodiscard]] static double power(std::int32_t n) noexcept { return n == 0 ? 1.0 : std::ldexp(1.0, k_scale * n); }

  // --- maximisation and pruning ---------------------------------------------------------------------------------------

  void maximise(const std::vector<double>& expected) {
    std::vector<std::uint32_t> number(pieces_.size(), k_no_piece);
    std::vector<Piece> kept;
    double sum = 0;
    for (std::size_t k = 0; k < pieces_.size(); ++k) {
      if (expected[k] < 0.5) continue;
      number[k] = static_cast<std::uint32_t>(kept.size());
      kept.push_back(pieces_[k]);
      kept.back().score = digamma(expected[k]);
      sum += expected[k];
    }
    const double log_sum = digamma(sum);
    for (Piece& p : kept) p.score -= log_sum;
    keep(std::move(kept), number);
  }

  /// Goes on with `kept`; number[k] is the new number of piece k. The order of pieces stays.
  void keep(std::vector<Piece> kept, const std::vector<std::uint32_t>& number) {
    if (kept.size() != pieces_.size()) {
      std::uint64_t to = 0, from = 0;
      for (std::size_t p = 0; p + 1 < starts_.size(); ++p) {
        const std::uint64_t end = starts_[p + 1];
        starts_[p] = to;
        for (; from < end; ++from) {
          const std::uint32_t k = number[lists_[static_cast<std::size_t>(from)]];
          if (k != k_no_piece) lists_[static_cast<std::size_t>(to++)] = k;
        }
      }
      starts_.back() = to;
      lists_.resize(static_cast<std::size_t>(to));
    }
    if (commonest_ != k_no_piece) commonest_ = number[commonest_];
    pieces_ = std::move(kept);
    set_probabilities();
  }

  /// The best split of [begin, end) into w.from and w.piece per end; `without` is not used. False if there is none but
  /// through unknown characters, when `strict`.
  [[nodiscard]] bool best_split(Work& w, std::size_t begin, std::size_t end, std::uint32_t without, bool strict) const {
    const std::size_t n = end - begin;
    constexpr double none = -std::numeric_limits<double>::infinity();
    w.best.assign(n + 1, none);
    w.from.resize(n + 1);
    w.piece.resize(n + 1);
    w.best[0] = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (w.best[i] == none) continue;
      const auto offer = [&](std::uint32_t k, std::size_t to, double score) {
        if (to > n || w.best[i] + score <= w.best[to]) return;
        w.best[to] = w.best[i] + score;
        w.from[to] = static_cast<std::uint32_t>(i);
        w.piece[to] = k;
      };
      const auto list = starting_at(begin + i);
      for (const std::uint32_t k : list) {
        if (k != without) offer(k, i + pieces_[k].length, pieces_[k].score);
      }
      if (!strict && (list.empty() || pieces_[list[0]].length != 1)) offer(k_no_piece, i + 1, unknown_score_);
    }
    return w.best[n] != none;
  }

  template <class Visit>
  static void walk_back(const Work& w, std::size_t n, Visit&& visit) {
    for (std::size_t at = n; at > 0; at = w.from[at]) {
      if (w.piece[at] != k_no_piece) visit(w.piece[at]);
    }
  }

  /// Keeps the pieces whose loss would cost most: a piece without an alternative stays, one that the best split of its own
  /// text avoids, or that no best split of the text uses, goes.
  void prune(std::size_t desired, ThreadPool& pool) {
    std::vector<Work> work(pool.size());
    for (Work& w : work) w.expected.assign(pieces_.size(), 0);
    for_each_segment(pool, work, [&](Work& w, std::size_t begin, std::size_t end) {
      if (!best_split(w, begin, end, k_no_piece, false)) return;
      walk_back(w, end - begin, [&](std::uint32_t k) { w.expected[k] += laid_out_.weight_at(begin); });
    });
    std::vector<double> frequency(pieces_.size(), 0);
    double sum = 0;
    for (std::size_t k = 0; k < pieces_.size(); ++k) {
      for (const Work& w : work) frequency[k] += static_cast<double>(w.expected[k]);
      if (k == commonest_) frequency[k] += unknown_;
      sum += frequency[k];
    }
    struct Candidate {
      double loss;
      std::uint32_t piece;
    };
    std::vector<Candidate> candidates;
    std::vector<bool> stays(pieces_.size(), false);
    std::size_t kept_count = 0;
    Work& w = work[0];
    for (std::uint32_t k = 0; k < pieces_.size(); ++k) {
      if (frequency[k] == 0) continue;
      const Piece& p = pieces_[k];
      if (!best_split(w, p.place, p.place + p.length, k, true)) {
        stays[k] = true;
        ++kept_count;
        continue;
      }
      if (w.best[p.length] >= p.score) continue;
      double parts = 0, alternative = 0;
      walk_back(w, p.length, [&](std::uint32_t) { ++parts; });
      const double log_sum = std::log(sum + frequency[k] * (parts - 1));
      walk_back(w, p.length, [&](std::uint32_t part) { alternative += std::log(frequency[part] + frequency[k]) - log_sum; });
      candidates.push_back({frequency[k] * (std::log(frequency[k]) - std::log(sum) - alternative), k});
    }
    const auto target = (std::max)(desired, static_cast<std::size_t>(spec_.shrinking_factor * static_cast<float>(pieces_.size())));
    sort_stably(candidates, [](const Candidate& a, const Candidate& b) {
      return a.loss != b.loss ? a.loss > b.loss : a.piece < b.piece;
    });
    for (const Candidate& c : candidates) {
      if (kept_count >= target) break;
      stays[c.piece] = true;
      ++kept_count;
    }
    std::vector<std::uint32_t> number(pieces_.size(), k_no_piece);
    std::vector<Piece> kept;
    for (std::size_t k = 0; k < pieces_.size(); ++k) {
      if (!stays[k]) continue;
      number[k] = static_cast<std::uint32_t>(kept.size());
      kept.push_back(pieces_[k]);
    }
    keep(std::move(kept), number);
  }

  const PieceRules& rules_;
  const TrainerSpec& spec_;
  token_train::TrainText laid_out_;
  const std::vector<std::uint32_t>& text_;
  double unknown_;
  std::uint32_t commonest_ = k_no_piece;  // the character that unknown ones are counted as, as spm_train counts them
  std::vector<std::uint32_t> segments_;  // where each stretch without gaps begins
  std::vector<Piece> pieces_;            // shortest first
  std::vector<double> probability_;
  double unknown_score_ = 0;
  std::vector<std::uint64_t> starts_;  // per place, into lists_
  std::vector<std::uint32_t> lists_;
};

}  // namespace detail::unigram_trainer

/// Trains a unigram model. Deterministic, whatever the number of threads; not bit for bit what spm_train writes, which sums
/// floats in thread order. Memory: about 4 bytes per character and seed piece that starts there.
[[nodiscard]] inline Result<SpmModel> train_unigram(TrainCorpus corpus, ThreadPool* pool = nullptr, TokenTrainReport* report = nullptr) {
  namespace impl = detail::unigram_trainer;
  if (auto ok = corpus.finish(); !ok) return ok.error();
  const TrainerSpec& spec = corpus.options().spec;
  if (spec.enable_differential_privacy || !spec.seed_sentencepieces_file.empty()) {
    return Error{Errc::unsupported, 0, "unigram training: differential privacy and seed_sentencepieces_file are not offered"};
  }
  auto laid_out = detail::token_train::lay_out_text(corpus);
  if (!laid_out) return laid_out.error();
  corpus.drop_words();
  const PieceRules rules(spec);
  const std::uint64_t unknown = corpus.report().characters - corpus.report().characters_covered;
  impl::Trainer trainer(*std::move(laid_out), rules, spec, unknown);
  ThreadPool single;
  trainer.train(pool != nullptr ? *pool : single);

  std::vector<SpmPiece> learnt;
  std::vector<float> character_score(0x110000, 1.0f);  // 1: not learnt
  double least = 0;
  for (const impl::Piece& p : trainer.pieces()) {
    least = (std::min)(least, p.score);
    if (p.length == 1) {
      character_score[utf8_decode(trainer.text_of(p), 0).code_point] = static_cast<float>(p.score);
    } else {
      learnt.push_back({trainer.text_of(p), static_cast<float>(p.score)});
    }
  }
  // characters first; one that the rounds dropped gets the least score and a little
  std::vector<SpmPiece> pieces;
  double penalty = 0;
  for (const auto& c : corpus.required()) {
    float score = character_score[c.code_point];
    if (score > 0) {
      score = static_cast<float>(least + penalty);
      penalty += 0.0001;
    }
    pieces.push_back({detail::token_train::character_text(c.code_point), score});
  }
  const auto better = [](const SpmPiece& a, const SpmPiece& b) { return a.score != b.score ? a.score > b.score : a.piece < b.piece; };
  sort_stably(learnt, better);
  const std::size_t room = static_cast<std::size_t>(spec.vocab_size) - corpus.metas().size() - pieces.size();
  learnt.resize((std::min)(learnt.size(), room));
  corpus.report().merges = learnt.size();
  std::move(learnt.begin(), learnt.end(), std::back_inserter(pieces));
  sort_stably(pieces, better);
  auto model = detail::token_train::assemble(corpus, ModelType::unigram, std::move(pieces));
  if (report != nullptr) *report = corpus.report();
  return model;
}

/// The same for lines in memory.
template <class Line>
[[nodiscard]] Result<SpmModel> train_unigram(std::span<const Line> lines, const TokenTrainOptions& options, ThreadPool* pool = nullptr,
                                             TokenTrainReport* report = nullptr) {
  auto corpus = TrainCorpus::create(options);
  if (!corpus) return corpus.error();
  for (const Line& line : lines) corpus->add_line(line);
  return train_unigram(*std::move(corpus), pool, report);
}

}  // namespace v0
}  // namespace midigpt
