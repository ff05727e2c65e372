// token/bpe_trainer.hpp - text to a BPE model, the same bytes as spm_train writes.
//   Greedy: the most frequent pair of neighbours becomes a piece; ties go to fewer characters, then to the smaller text.
//   One u32 per character holds the whole text: a symbol stands at its first and its last place, the places between
//   hold k_inside, so neighbours are found by length and no links are kept. A pair owns a list of its places; a pair's
//   frequency can only fall after its creation, so lists are counted again only when the pair reaches the top.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/bpe_window.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/pretokenize.hpp>
#include <midigpt/token/train_input.hpp>
#include <midigpt/token/train_output.hpp>
#include <midigpt/token/train_text.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::bpe_trainer {

using token_train::k_gap;
inline constexpr std::uint32_t k_inside = 0xFFFFFFFEu;  // neither first nor last place of a symbol
inline constexpr std::uint32_t k_nil = 0xFFFFFFFFu;

/// Asks for memory that is read soon: the places of a pair lie far apart in a long text.
inline void fetch([[maybe_unused]] const std::uint32_t* p) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(p, 1);
#endif
}
inline constexpr std::uint32_t k_ahead = 24;

/// Two neighbouring symbols and the places of the left one, ascending. `frequency` never underestimates.
struct Pair {
  std::uint32_t left = 0, right = 0;
  std::uint32_t begin = 0, size = 0;  // in the pool of places
  std::uint32_t next = k_nil;         // the pair below in the same bucket
};

class Trainer {
 public:
  Trainer(token_train::TrainText text, const PieceRules& rules, BpeEra era)
      : rules_(rules), windowed_(era == BpeEra::window), first_uncovered_(text.first_uncovered), characters_(std::move(text.characters)), text_(std::move(text.text)), word_of_(std::move(text.word_of)),
        weights_(std::move(text.weights)) {
    if (windowed_) level_ = 0;  // no buckets: the heap holds the window
    for (std::uint32_t i = 0; i < characters_.size(); ++i) {
      symbols_.push_back({rules_.shape(characters_[i]), i});
      letters_.push_back(i);
    }
  }

  /// Counts all pairs of the text. The lists are cut out of one array, sorted by (left, right, place).
  void count_pairs(ThreadPool& pool) {
    const std::size_t n = text_.size();
    std::vector<std::uint32_t> ends(symbols_.size() + 1, 0);  // after the loop below: where each left symbol's places end
    const auto is_pair = [&](std::size_t p) { return text_[p] != k_gap && text_[p + 1] != k_gap; };
    for (std::size_t p = 0; p + 1 < n; ++p) {
      if (is_pair(p)) ++ends[text_[p] + 1];
    }
    for (std::size_t i = 1; i < ends.size(); ++i) ends[i] += ends[i - 1];
    places_.resize(ends.back());
    {
      std::vector<std::uint32_t> fill(ends.begin(), ends.end() - 1);
      for (std::size_t p = 0; p + 1 < n; ++p) {
        if (is_pair(p)) places_[fill[text_[p]]++] = static_cast<std::uint32_t>(p);
      }
    }
    std::vector<std::vector<std::uint64_t>> scratch(pool.size());
    const std::size_t tasks = (std::min)(symbols_.size(), std::size_t{256});
    pool.run(tasks, [&](std::size_t task, std::size_t worker) {
      for (std::size_t s = task; s < symbols_.size(); s += tasks) {
        token_train::sort_places(std::span(places_).subspan(ends[s], ends[s + 1] - ends[s]), symbols_.size(), scratch[worker],
                                 [this](std::uint32_t p) { return text_[p + 1]; });
      }
    });
    for (std::uint32_t s = 0; s < symbols_.size(); ++s) {
      for (std::uint32_t begin = ends[s], end = begin; begin < ends[s + 1]; begin = end) {
        const std::uint32_t right = text_[places_[begin] + 1];
        while (end < ends[s + 1] && text_[places_[end] + 1] == right) ++end;
        if (!rules_.joins(symbols_[s].shape, symbols_[right].shape)) continue;
        pairs_.push_back({s, right, begin, end - begin, k_nil});
        if (!windowed_) offer(static_cast<std::uint32_t>(pairs_.size() - 1), weigh(begin, end));
      }
    }
    if (windowed_) log_first_keys();
    gc_at_ = places_.size() + places_.size() / 2 + 1024;
  }

  /// Learns up to `wanted` pieces; fewer when no pair is left.
  void learn(std::size_t wanted, TokenTrainReport& report) {
    while (learnt() < wanted) {
      if (windowed_ && learnt() % 100 == 0) refresh_window();
      Top top;
      std::uint64_t now = 0;
      do {
        if (!take_top(top)) {
          report.merges = learnt();
          return;
        }
        now = recount(top.pair);
        if (now < top.frequency) offer(top.pair, now);
      } while (now < top.frequency);
      const bool known = known_text(top.pair);
      if (!known) {
        report.last_frequency = now;
        merge(top.pair);
      }
      if (windowed_) {
        table_.erase(key_of(pairs_[top.pair]));
        if (known) {
          pairs_[top.pair].size = 0;
          discarded_.push_back(top.pair);
        }
      }
    }
    report.merges = learnt();
  }

  [[nodiscard]] std::size_t learnt() const noexcept { return symbols_.size() - characters_.size(); }

  /// The text of the i-th learnt piece.
  [[nodiscard]] std::string piece(std::size_t i) const {
    std::string out;
    for (const std::uint32_t c : letters(static_cast<std::uint32_t>(characters_.size() + i))) utf8_append(out, characters_[c]);
    return out;
  }

 private:
  struct Symbol {
    PieceShape shape;
    std::uint32_t letters = 0;  // where its characters begin in letters_
  };

  [[nodiscard]] std::uint64_t weigh(std::uint32_t begin, std::uint32_t end) const noexcept {
    if (weights_.empty()) return end - begin;
    std::uint64_t sum = 0;
    for (std::uint32_t i = begin; i < end; ++i) sum += weights_[word_of_[places_[i]]];
    return sum;
  }

  [[nodiscard]] std::span<const std::uint32_t> letters(std::uint32_t symbol) const noexcept {
    return {letters_.data() + symbols_[symbol].letters, symbols_[symbol].shape.length};
  }
  [[nodiscard]] std::uint32_t length(std::uint32_t symbol) const noexcept { return symbols_[symbol].shape.length; }

  [[nodiscard]] bool holds(const Pair& pair, std::uint32_t place) const noexcept {
    return text_[place] == pair.left && text_[place + length(pair.left)] == pair.right;
  }

  /// Drops the places where the pair no longer stands and returns what the others weigh.
  [[nodiscard]] std::uint64_t recount(std::uint32_t index) {
    Pair& pair = pairs_[index];
    const std::uint32_t step = length(pair.left);
    std::uint32_t kept = pair.begin;
    for (std::uint32_t i = pair.begin; i < pair.begin + pair.size; ++i) {  // no branch: the loads overlap
      if (i + k_ahead < pair.begin + pair.size) fetch(&text_[places_[i + k_ahead]]);
      const std::uint32_t p = places_[i];
      places_[kept] = p;
      kept += static_cast<std::uint32_t>(text_[p] == pair.left) & static_cast<std::uint32_t>(text_[p + step] == pair.right);
    }
    pair.size = kept - pair.begin;
    return weigh(pair.begin, kept);
  }

  // --- the queue: buckets by frequency below k_buckets, a heap for what is above and for the bucket in use ------------

  struct Top {
    std::uint64_t frequency = 0;
    std::uint64_t order = 0;  // length, then the first characters
    std::uint32_t pair = 0;
  };
  static constexpr std::uint64_t k_buckets = 1u << 16;

  [[nodiscard]] Top make_top(std::uint32_t index, std::uint64_t frequency) const noexcept {
    const Pair& pair = pairs_[index];
    std::uint64_t order = length(pair.left) + length(pair.right);
    std::uint32_t i = 0;
    for (const std::uint32_t symbol : {pair.left, pair.right}) {
      const auto text = letters(symbol);
      for (std::size_t k = 0; k < text.size() && i < 2; ++k, ++i) order = order << 21 | text[k];
    }
    return {frequency, order, index};
  }

  /// True when `a` comes after `b`.
  [[nodiscard]] bool after(const Top& a, const Top& b) const noexcept {
    if (a.frequency != b.frequency) return a.frequency < b.frequency;
    if (a.order != b.order) return a.order > b.order;
    const Pair& x = pairs_[a.pair];
    const Pair& y = pairs_[b.pair];
    const auto x_left = letters(x.left), x_right = letters(x.right), y_left = letters(y.left), y_right = letters(y.right);
    const std::size_t n = x_left.size() + x_right.size();  // the same for both: it leads `order`
    for (std::size_t i = 2; i < n; ++i) {
      const std::uint32_t cx = i < x_left.size() ? x_left[i] : x_right[i - x_left.size()];
      const std::uint32_t cy = i < y_left.size() ? y_left[i] : y_right[i - y_left.size()];
      if (cx != cy) return cx > cy;
    }
    return a.pair > b.pair;  // the same text cut elsewhere: first created first
  }

  void offer(std::uint32_t index, std::uint64_t frequency) {
    if (frequency >= level_) {
      heap_.push_back(make_top(index, frequency));
      std::push_heap(heap_.begin(), heap_.end(), [this](const Top& a, const Top& b) { return after(a, b); });
      return;
    }
    if (buckets_.size() <= frequency) buckets_.resize(static_cast<std::size_t>(frequency) + 1, k_nil);
    pairs_[index].next = std::exchange(buckets_[static_cast<std::size_t>(frequency)], index);
  }

  [[nodiscard]] bool take_top(Top& top) {
    const auto later = [this](const Top& a, const Top& b) { return after(a, b); };
    while (heap_.empty()) {
      if (level_ == 0) return false;
      --level_;
      if (level_ >= buckets_.size()) level_ = buckets_.empty() ? 0 : buckets_.size() - 1;
      if (buckets_.empty()) return false;
      for (std::uint32_t i = std::exchange(buckets_[static_cast<std::size_t>(level_)], k_nil); i != k_nil; i = pairs_[i].next) {
        heap_.push_back(make_top(i, level_));
      }
      std::make_heap(heap_.begin(), heap_.end(), later);
    }
    std::pop_heap(heap_.begin(), heap_.end(), later);
    top = heap_.back();
    heap_.pop_back();
    return true;
  }

  // --- the window of older releases -----------------------------------------------------------------------------------

  [[nodiscard]] std::uint64_t key_of(const Pair& pair) const noexcept { return bpe_window::pair_key(keys_[pair.left], keys_[pair.right]); }

  /// The table's first entries in their order: characters as they first stand in the text, U+2585 among them, then pairs.
  void log_first_keys() {
    keys_.assign(characters_.begin(), characters_.end());
    std::vector<bool> seen(characters_.size(), false);
    for (std::size_t p = 0; p < text_.size(); ++p) {
      if (p == first_uncovered_) table_.insert(0x2585, k_nil);
      if (text_[p] == k_gap || seen[text_[p]]) continue;
      seen[text_[p]] = true;
      table_.insert(keys_[text_[p]], k_nil);
    }
    const auto order = sorted_order(pairs_.size(), [this](std::uint32_t a, std::uint32_t b) { return places_[pairs_[a].begin] < places_[pairs_[b].begin]; });
    for (const std::uint32_t i : order) table_.insert(key_of(pairs_[i]), i);
  }

  /// The window becomes the most frequent twentieth of the table, at least 1,000 pairs.
  void refresh_window() {
    ranked_.clear();
    table_.for_each([&](std::uint32_t index) {
      if (index != k_nil) ranked_.push_back({recount(index), index});
    });
    const auto share = static_cast<std::size_t>(0.05f * static_cast<float>(table_.size()));
    const std::size_t window = (std::min)(ranked_.size(), (std::max)(std::size_t{1000}, share));
    bpe_window::select_most_frequent(ranked_, window);
    heap_.clear();
    for (std::size_t i = 0; i < window; ++i) heap_.push_back(make_top(ranked_[i].pair, ranked_[i].frequency));
    std::make_heap(heap_.begin(), heap_.end(), [this](const Top& a, const Top& b) { return after(a, b); });
  }

  /// A look at a discarded pair that still stands in the text enters it into the table again, without places.
  void touch(std::uint32_t left, std::uint32_t right) {
    for (std::size_t i = 0; i < discarded_.size(); ++i) {
      const std::uint32_t index = discarded_[i];
      if (pairs_[index].left != left || pairs_[index].right != right) continue;
      table_.insert(key_of(pairs_[index]), index);
      discarded_.erase(discarded_.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
  }

  // --- texts already produced -----------------------------------------------------------------------------------------

  [[nodiscard]] std::uint64_t hash_letters(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b) const noexcept {
    std::uint64_t h = a.size() + b.size();
    for (const std::uint32_t c : a) h = (h ^ c) * 0x9E3779B97F4A7C15u + (h >> 29);
    for (const std::uint32_t c : b) h = (h ^ c) * 0x9E3779B97F4A7C15u + (h >> 29);
    return h ^ (h >> 32);
  }

  [[nodiscard]] bool known_text(std::uint32_t index) const noexcept {
    if (produced_.empty()) return false;
    const auto left = letters(pairs_[index].left), right = letters(pairs_[index].right);
    for (std::size_t at = hash_letters(left, right) & (produced_.size() - 1); produced_[at] != k_nil;
         at = (at + 1) & (produced_.size() - 1)) {
      const auto text = letters(produced_[at]);
      if (text.size() == left.size() + right.size() && std::equal(left.begin(), left.end(), text.begin()) &&
          std::equal(right.begin(), right.end(), text.begin() + static_cast<std::ptrdiff_t>(left.size()))) {
        return true;
      }
    }
    return false;
  }

  void remember_text(std::uint32_t symbol) {
    const auto place = [&](std::uint32_t s) {
      std::size_t at = hash_letters(letters(s), {}) & (produced_.size() - 1);
      while (produced_[at] != k_nil) at = (at + 1) & (produced_.size() - 1);
      produced_[at] = s;
    };
    if (2 * (learnt() + 1) > produced_.size()) {
      produced_.assign((std::max)(std::size_t{256}, 2 * produced_.size()), k_nil);
      for (auto s = static_cast<std::uint32_t>(characters_.size()); s < symbol; ++s) place(s);
    }
    place(symbol);
  }

  // --- merging --------------------------------------------------------------------------------------------------------

  void merge(std::uint32_t index) {
    const Pair pair = pairs_[index];
    const auto made = static_cast<std::uint32_t>(symbols_.size());
    add_symbol(pair);
    const std::uint32_t left_length = length(pair.left), right_length = length(pair.right);

    // each replacement may create a pair with the symbol before and one with the symbol after
    slot_before_.resize(symbols_.size(), k_nil);
    slot_after_.resize(symbols_.size(), k_nil);
    const auto first_new = static_cast<std::uint32_t>(pairs_.size());
    found_.clear();
    for (std::uint32_t i = pair.begin; i < pair.begin + pair.size; ++i) {
      if (i + k_ahead < pair.begin + pair.size) fetch(&text_[places_[i + k_ahead]]);
      const std::uint32_t p = places_[i], middle = p + left_length, end = middle + right_length;
      if (!holds(pair, p)) continue;  // its left half was consumed just now: "aaa"
      const std::uint32_t before = text_[p - 1], after = text_[end];
      if (left_length > 1) text_[middle - 1] = k_inside;
      if (right_length > 1) text_[middle] = k_inside;
      text_[p] = text_[end - 1] = made;
      if (windowed_ && before != k_gap) touch(before, pair.left);
      if (windowed_ && after != k_gap) touch(pair.right, after);
      if (before != k_gap) note(slot_before_, before, made, false, p - length(before));
      if (after != k_gap) note(slot_after_, after, made, true, p);
    }
    // cut the pool for the new pairs, in order of creation
    auto begin = static_cast<std::uint32_t>(places_.size());
    for (std::size_t k = first_new; k < pairs_.size(); ++k) {
      pairs_[k].begin = begin;
      begin += std::exchange(pairs_[k].size, 0u);
    }
    places_.resize(begin);
    for (const Found& f : found_) places_[pairs_[f.pair].begin + pairs_[f.pair].size++] = f.place;
    for (std::uint32_t k = first_new; k < pairs_.size(); ++k) {
      const Pair& p = pairs_[k];
      (p.left == made && p.right != made ? slot_after_[p.right] : slot_before_[p.left]) = k_nil;
      offer(k, weigh(p.begin, p.begin + p.size));
    }
    for (const std::uint32_t s : refused_before_) slot_before_[s] = k_nil;
    for (const std::uint32_t s : refused_after_) slot_after_[s] = k_nil;
    refused_before_.clear();
    refused_after_.clear();
    pairs_[index].size = 0;
    if (places_.size() > gc_at_) collect();
  }

  void add_symbol(const Pair& pair) {
    const PieceShape shape = PieceRules::join(symbols_[pair.left].shape, symbols_[pair.right].shape);
    const auto at = static_cast<std::uint32_t>(letters_.size());
    for (const std::uint32_t half : {pair.left, pair.right}) {
      for (std::uint32_t i = 0; i < length(half); ++i) {
        const std::uint32_t letter = letters_[symbols_[half].letters + i];
        letters_.push_back(letter);
      }
    }
    symbols_.push_back({shape, at});
    if (windowed_) keys_.push_back(key_of(pair));
    remember_text(static_cast<std::uint32_t>(symbols_.size() - 1));
  }

  static constexpr std::uint32_t k_refused = 0xFFFFFFFDu;

  void note(std::vector<std::uint32_t>& slots, std::uint32_t neighbour, std::uint32_t made, bool after, std::uint32_t place) {
    std::uint32_t& slot = slots[neighbour];
    if (slot == k_nil) {
      const std::uint32_t left = after ? made : neighbour, right = after ? neighbour : made;
      if (rules_.joins(symbols_[left].shape, symbols_[right].shape)) {
        slot = static_cast<std::uint32_t>(pairs_.size());
        pairs_.push_back({left, right, 0, 0, k_nil});
        if (windowed_) table_.insert(key_of(pairs_.back()), slot);
      } else {
        slot = k_refused;
        (after ? refused_after_ : refused_before_).push_back(neighbour);
      }
    }
    if (slot == k_refused) return;
    ++pairs_[slot].size;
    found_.push_back({slot, place});
  }

  /// Drops dead places from the pool. Lists lie in the order of their pairs, so they only move down.
  void collect() {
    std::uint32_t to = 0;
    for (Pair& pair : pairs_) {
      const std::uint32_t begin = to;
      for (std::uint32_t i = pair.begin; i < pair.begin + pair.size; ++i) {
        if (holds(pair, places_[i])) places_[to++] = places_[i];
      }
      pair.begin = begin;
      pair.size = to - begin;
    }
    places_.resize(to);
    gc_at_ = (std::max)(gc_at_, places_.size() + places_.size() / 2);
  }

  struct Found {
    std::uint32_t pair = 0, place = 0;
  };

  const PieceRules& rules_;
  bool windowed_;
  std::size_t first_uncovered_;
  std::vector<char32_t> characters_;
  std::vector<Symbol> symbols_;
  std::vector<std::uint32_t> letters_;
  std::vector<std::uint32_t> text_, word_of_;
  std::vector<std::uint64_t> weights_;
  std::vector<std::uint32_t> places_;
  std::vector<Pair> pairs_;
  std::vector<Top> heap_;
  std::vector<std::uint32_t> buckets_;
  std::uint64_t level_ = k_buckets;
  std::vector<std::uint32_t> produced_;
  std::vector<std::uint32_t> slot_before_, slot_after_, refused_before_, refused_after_;
  std::vector<Found> found_;
  std::size_t gc_at_ = 0;
  // only for BpeEra::window
  std::vector<std::uint64_t> keys_;  // of symbols
  bpe_window::KeyTable table_;       // characters, and pairs neither merged nor discarded
  std::vector<std::uint32_t> discarded_;
  std::vector<bpe_window::Ranked> ranked_;
};

}  // namespace detail::bpe_trainer

/// Trains a BPE model on what was added to `corpus`. The result does not depend on the number of threads.
/// Errors carry the condition or the words of spm_train. Cost: O(text log text); peak memory about 3 u32 per character.
[[nodiscard]] inline Result<SpmModel> train_bpe(TrainCorpus corpus, ThreadPool* pool = nullptr, TokenTrainReport* report = nullptr) {
  namespace impl = detail::bpe_trainer;
  if (auto ok = corpus.finish(); !ok) return ok.error();
  const TrainerSpec& spec = corpus.options().spec;
  for (const auto& c : corpus.required()) {
    if (c.count == 0) {
      return detail::token_train::refuse(concat({"[(freq) > (0)] required character ", detail::token_train::character_text(c.code_point),
          " does not occur in the text"}));
    }
  }
  const PieceRules rules(spec);
  auto laid_out = detail::token_train::lay_out_text(corpus);
  if (!laid_out) return laid_out.error();
  corpus.drop_words();
  impl::Trainer trainer(*std::move(laid_out), rules, corpus.options().era);
  ThreadPool single;
  trainer.count_pairs(pool != nullptr ? *pool : single);
  const std::size_t fixed = corpus.metas().size() + corpus.required().size();
  trainer.learn(static_cast<std::size_t>(spec.vocab_size) - fixed, corpus.report());

  std::vector<SpmPiece> pieces;
  pieces.reserve(trainer.learnt() + corpus.required().size());
  for (std::size_t i = 0; i < trainer.learnt(); ++i) pieces.push_back({trainer.piece(i), -static_cast<float>(i)});
  for (const auto& c : corpus.required()) {
    pieces.push_back({detail::token_train::character_text(c.code_point), -static_cast<float>(pieces.size())});
  }
  auto model = detail::token_train::assemble(corpus, ModelType::bpe, std::move(pieces));
  if (report != nullptr) *report = corpus.report();
  return model;
}

/// The same for lines in memory.
template <class Line>
[[nodiscard]] Result<SpmModel> train_bpe(std::span<const Line> lines, const TokenTrainOptions& options, ThreadPool* pool = nullptr,
                                         TokenTrainReport* report = nullptr) {
  auto corpus = TrainCorpus::create(options);
  if (!corpus) return corpus.error();
  for (const Line& line : lines) corpus->add_line(line);
  return train_bpe(*std::move(corpus), pool, report);
}

}  // namespace v0
}  // namespace midigpt
