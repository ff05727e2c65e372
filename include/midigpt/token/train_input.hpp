// token/train_input.hpp - what both trainers read: lines filtered, sampled, normalised, cut into counted words, and the
//   characters that become pieces. Rules and order are SentencePiece's (docs/tokenizer.md names the differences).
//   Memory: distinct words once, as UTF-8; with input_sentence_size also that many raw lines.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <span>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/train_options.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::token_train {

inline constexpr char32_t k_boundary = U'\t';
inline constexpr std::string_view k_unknown_mark = "\xE2\x96\x85";  // U+2585

/// Blocks of text that never move.
class Arena {
 public:
  [[nodiscard]] std::string_view keep(std::string_view text) {
    if (text.size() > left_.size()) {
      const std::size_t size = (std::max)(k_block, text.size());
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
      left_ = {blocks_.back().get(), size};
    }
    const std::span<char> place = left_.first(text.size());
    std::copy(text.begin(), text.end(), place.begin());
    left_ = left_.subspan(text.size());
    return {place.data(), place.size()};
  }

 private:
  static constexpr std::size_t k_block = std::size_t{1} << 20;
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::span<char> left_;
};

/// The character at the front of `text`, which is cut off. Requires: well-formed text, not empty.
[[nodiscard]] inline char32_t pop_character(std::string_view& text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t lead = byte(0);
  std::uint32_t c = lead;
  std::size_t size = 1;
  if (lead >= 0xF0) {
    c = (lead & 7u) << 18 | (byte(1) & 63u) << 12 | (byte(2) & 63u) << 6 | (byte(3) & 63u);
    size = 4;
  } else if (lead >= 0xE0) {
    c = (lead & 15u) << 12 | (byte(1) & 63u) << 6 | (byte(2) & 63u);
    size = 3;
  } else if (lead >= 0x80) {
    c = (lead & 31u) << 6 | (byte(1) & 63u);
    size = 2;
  }
  text.remove_prefix(size);
  return static_cast<char32_t>(c);
}

[[nodiscard]] inline std::string character_text(char32_t c) { return utf8_encode(std::u32string_view(&c, 1)); }

[[nodiscard]] inline std::uint32_t hash_text(std::string_view text) noexcept {
  std::uint64_t h = text.size();
  const ByteSpan bytes = as_byte_span(text);
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    h = (h ^ load_le<std::uint64_t>(bytes.data() + at)) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
  }
  for (; at < bytes.size(); ++at) h = (h ^ std::to_integer<std::uint64_t>(bytes[at])) * 0x100000001B3u;
  h *= 0x9E3779B97F4A7C15u;
  return static_cast<std::uint32_t>(h >> 32);
}

struct Word {
  std::string_view text;
  std::uint64_t count = 0;
};

/// Distinct words and their counts.
class WordTable {
 public:
  void add(std::string_view text, std::uint64_t count, bool merge_equal) {
    if (!merge_equal) {
      words_.push_back({arena_.keep(text), count});
      return;
    }
    if (2 * words_.size() >= slots_.size()) grow();
    const std::uint32_t hash = hash_text(text);
    std::size_t at = hash & (slots_.size() - 1);
    for (; slots_[at].index != 0; at = (at + 1) & (slots_.size() - 1)) {
      Word& word = words_[slots_[at].index - 1];
      if (slots_[at].hash == hash && word.text == text) {
        word.count += count;
        return;
      }
    }
    words_.push_back({arena_.keep(text), count});
    slots_[at] = {hash, static_cast<std::uint32_t>(words_.size())};
  }

  [[nodiscard]] std::vector<Word>& words() noexcept { return words_; }
  [[nodiscard]] const std::vector<Word>& words() const noexcept { return words_; }
  /// Most frequent first, then by bytes. No word can be added after it.
  void sort() {
    slots_ = std::vector<Slot>();
    sort_stably(words_, [](const Word& a, const Word& b) { return a.count != b.count ? a.count > b.count : a.text < b.text; });
  }

 private:
  struct Slot {
    std::uint32_t hash = 0, index = 0;  // index + 1 of the word; 0 = free
  };
  void grow() {
    std::vector<Slot> bigger((std::max)(std::size_t{1024}, 2 * slots_.size()));
    for (const Slot& slot : slots_) {
      if (slot.index == 0) continue;
      std::size_t at = slot.hash & (bigger.size() - 1);
      while (bigger[at].index != 0) at = (at + 1) & (bigger.size() - 1);
      bigger[at] = slot;
    }
    slots_ = std::move(bigger);
  }

  Arena arena_;
  std::vector<Word> words_;
  std::vector<Slot> slots_;
};

/// A character that becomes a piece of its own.
struct RequiredChar {
  char32_t code_point = 0;
  std::uint64_t count = 0;
};

/// Calls visit(word) for each word of a normalised line: cut before each U+2581 (after it in suffix mode); a run of
/// several stays together when `keep_runs`.
template <class Visit>
void for_each_word(std::string_view line, bool suffix, bool keep_runs, Visit&& visit) {
  const std::size_t mark = k_space_mark.size();
  std::size_t begin = 0, at = line.find(k_space_mark);
  while (at != std::string_view::npos) {
    std::size_t end = at + mark;  // the run is [at, end)
    while (keep_runs && line.substr(end).starts_with(k_space_mark)) end += mark;
    const std::size_t cut = suffix ? end : at;
    if (cut > begin) visit(line.substr(begin, cut - begin));
    begin = cut;
    at = line.find(k_space_mark, end);
  }
  if (begin < line.size()) visit(line.substr(begin));
}

}  // namespace detail::token_train

/// Training text, added line by line from anywhere; files of any size pass through without being held.
class TrainCorpus {
 public:
  [[nodiscard, gnu::cold]] static Result<TrainCorpus> create(TokenTrainOptions options) {
    auto corpus = open(std::move(options));
    if (!corpus) return corpus;
    if (auto ok = corpus->compile_rules(); !ok) return ok.error();
    return corpus;
  }

  /// For text that is taken as it is, like that of music: no rules of normalisation but compiled ones. A program that only
  /// trains such text is spared the tables and the compiler of rules.
  [[nodiscard]] static Result<TrainCorpus> without_rules(TokenTrainOptions options) {
    const NormalizerSpec& n = options.normalizer;
    const bool named = !n.name.empty() && n.name != "identity" && n.precompiled_charsmap.empty();
    if (named || !n.normalization_rule_tsv.empty() || !options.denormalization_rule_tsv.empty()) {
      return detail::token_train::refuse("a corpus without rules of normalisation cannot have rule " + n.name);
    }
    return open(std::move(options));
  }

  /// The lines of spec.input, file after file.
  [[nodiscard]] static Result<TrainCorpus> from_files(const TokenTrainOptions& options) {
    auto corpus = create(options);
    if (!corpus) return corpus.error();
    for (const std::string& path : options.spec.input) {
      if (auto ok = corpus->add_file(path); !ok) return ok.error();
    }
    return corpus;
  }

  /// Adds one line that stands `count` times in the text. The view is not kept.
  void add_line(std::string_view line, std::uint64_t count = 1) {
    const TrainerSpec& s = options_.spec;
    ++report_.lines;
    if (line.empty()) {
      ++report_.lines_empty;
    } else if (line.size() > static_cast<std::size_t>(s.max_sentence_length)) {
      ++report_.lines_too_long;
    } else if (line.find(detail::token_train::k_unknown_mark) != std::string_view::npos) {
      ++report_.lines_reserved;
    } else {
      ++accepted_;
      if (s.self_test_sample_size > 0) draw_self_test(line);
      if (s.input_sentence_size == 0) return take(line, count);
      if (drawn_.size() < s.input_sentence_size) {
        drawn_.push_back({std::string(line), count});
        return;
      }
      ++report_.lines_not_drawn;
      if (!s.shuffle_input_sentence) return;
      if (const std::uint64_t slot = draw(accepted_); slot < drawn_.size()) drawn_[slot] = {std::string(line), count};
    }
  }

  /// True when further lines cannot matter: the first input_sentence_size lines are in and nothing is shuffled.
  [[nodiscard]] bool full() const noexcept {
    const TrainerSpec& s = options_.spec;
    return s.input_sentence_size != 0 && !s.shuffle_input_sentence && drawn_.size() >= s.input_sentence_size;
  }

  /// Adds the lines of a file, cut at LF only, or the `text TAB count` rows of a TSV, as spec.input_format says.
  [[nodiscard]] Result<void> add_file(const std::string& path) {
    const detail::FileCloser file{std::fopen(path.c_str(), "rb")};
    if (file.f == nullptr) return detail::io_error("cannot open", path);
    std::vector<char> block(std::size_t{1} << 18);
    std::string partial;  // the line that the last block ended in
    std::uint64_t offset = 0;
    while (!full()) {
      const std::size_t got = std::fread(block.data(), 1, block.size(), file.f);
      if (got == 0) break;
      std::string_view text(block.data(), got);
      for (std::size_t lf; !full() && (lf = text.find('\n')) != std::string_view::npos; text.remove_prefix(lf + 1)) {
        if (partial.empty()) {
          if (auto ok = add_row(text.substr(0, lf), path, offset); !ok) return ok;
        } else {
          partial += text.substr(0, lf);
          if (auto ok = add_row(partial, path, offset); !ok) return ok;
          partial.clear();
        }
      }
      offset += got;
      partial += text;
    }
    if (std::ferror(file.f) != 0) return detail::io_error("cannot read", path);
    if (!partial.empty() && !full()) return add_row(partial, path, offset);
    return {};
  }

  [[nodiscard]] const TokenTrainOptions& options() const noexcept { return options_; }

  // What the trainers take. After finish(): words in their order, required characters by count, then code point.
  [[nodiscard]] Result<void> finish();
  [[nodiscard]] const std::vector<detail::token_train::Word>& words() const noexcept { return table_.words(); }
  [[nodiscard]] const std::vector<detail::token_train::RequiredChar>& required() const noexcept { return required_; }
  [[nodiscard]] const std::vector<detail::token_train::MetaPiece>& metas() const noexcept { return metas_; }
  [[nodiscard]] const std::optional<NormalizerSpec>& denormalizer() const noexcept { return denormalizer_; }
  [[nodiscard]] const std::vector<std::string>& self_test_lines() const noexcept { return self_test_; }
  [[nodiscard]] TokenTrainReport& report() noexcept { return report_; }
  /// Gives the text back to the system once a trainer has its own form of it.
  void drop_words() { table_ = {}; }

 private:
  [[nodiscard, gnu::cold]] static Result<TrainCorpus> open(TokenTrainOptions options) {
    if (auto ok = detail::token_train::check_spec(options.spec); !ok) return ok.error();
    auto metas = detail::token_train::meta_pieces(options.spec, options.era);
    if (!metas) return metas.error();
    auto normalizer = Normalizer::create(options.normalizer, options.spec.treat_whitespace_as_suffix);
    if (!normalizer) return normalizer.error();
    return TrainCorpus(std::move(options), *std::move(metas), *std::move(normalizer));
  }

  [[nodiscard, gnu::cold]] Result<void> compile_rules() {
    const auto version = options_.era == BpeEra::heap ? UnicodeVersion::v17 : UnicodeVersion::v13;
    if (auto ok = fill_charsmap(options_.normalizer, version); !ok) return ok;
    auto normalizer = Normalizer::create(options_.normalizer, options_.spec.treat_whitespace_as_suffix);
    if (!normalizer) return normalizer.error();
    normalizer_ = *std::move(normalizer);
    if (options_.denormalization_rule_tsv.empty()) return {};
    denormalizer_.emplace();
    denormalizer_->normalization_rule_tsv = options_.denormalization_rule_tsv;
    denormalizer_->add_dummy_prefix = denormalizer_->remove_extra_whitespaces = denormalizer_->escape_whitespaces = false;
    return fill_charsmap(*denormalizer_);
  }

  struct Drawn {
    std::string line;
    std::uint64_t count = 1;
  };

  TrainCorpus(TokenTrainOptions options, std::vector<detail::token_train::MetaPiece> metas, Normalizer normalizer)
      : options_(std::move(options)), metas_(std::move(metas)), normalizer_(std::move(normalizer)),
        draws_(options_.sampling_seed), self_test_draws_(options_.sampling_seed) {
    std::vector<std::string> texts;
    for (const auto& m : metas_) texts.push_back(m.text);
    boundaries_ = SymbolMatcher(std::move(texts));
  }

  [[nodiscard]] Result<void> add_row(std::string_view row, const std::string& path, std::uint64_t offset) {
    if (options_.spec.input_format != "tsv") {
      add_line(row);
      return {};
    }
    const std::size_t tab = row.find('\t');
    std::uint64_t count = 0;
    bool good = tab != std::string_view::npos && tab + 1 < row.size() && row.size() - tab < 20;
    for (std::size_t i = tab + 1; good && i < row.size(); ++i) {
      good = row[i] >= '0' && row[i] <= '9';
      count = count * 10 + static_cast<std::uint64_t>(row[i] - '0');
    }
    if (!good || count == 0) return Error{Errc::bad_value, offset, path + ": Input format must be: word <tab> freq., freq >= 1"};
    add_line(row.substr(0, tab), count);
    return {};
  }

  /// Writes U+2585 for uncovered characters and boundaries. It changes the order of words, which the older rule depends on.
  void mask_uncovered() {
    namespace impl = detail::token_train;
    std::vector<bool> covered(0x110000, false);
    for (const auto& c : required_) covered[c.code_point] = true;
    impl::WordTable masked;
    std::string text;
    for (const auto& word : table_.words()) {
      text.clear();
      for (std::string_view rest = word.text; !rest.empty();) {
        const char32_t c = impl::pop_character(rest);
        utf8_append(text, covered[c] ? c : char32_t{0x2585});
      }
      masked.add(text, word.count, options_.spec.split_by_whitespace);
    }
    table_ = std::move(masked);
    if (options_.spec.split_by_whitespace) table_.sort();
  }

  /// Uniform in [0, n): multiply and reject on one 32-bit output, as libstdc++ 11 and later do.
  template <class Engine>
  [[nodiscard]] static std::uint64_t below(Engine& engine, std::uint64_t n) {
    const auto range = static_cast<std::uint32_t>((std::min)(n, std::uint64_t{0xFFFFFFFFu}));
    for (;;) {
      const std::uint64_t product = std::uint64_t{static_cast<std::uint32_t>(engine())} * range;
      if (static_cast<std::uint32_t>(product) >= (0u - range) % range) return product >> 32;
    }
  }
  [[nodiscard]] std::uint64_t draw(std::uint64_t n) { return below(draws_, n); }

  void draw_self_test(std::string_view line) {
    const auto wanted = static_cast<std::size_t>(options_.spec.self_test_sample_size);
    if (self_test_.size() < wanted) {
      self_test_.push_back(std::string(line));
    } else if (const std::uint64_t slot = below(self_test_draws_, accepted_); slot < wanted) {
      self_test_[slot] = line;
    }
  }

  void take(std::string_view line, std::uint64_t count) {
    normalizer_.normalise(line, normal_);
    mark_boundaries();
    const TrainerSpec& s = options_.spec;
    if (normal_.empty()) ++report_.lines_empty;
    if (!s.split_by_whitespace) {
      table_.add(normal_, count, false);
      return;
    }
    const bool plain = s.model_type == ModelType::word;  // word models are cut before each mark, whatever the flags say
    detail::token_train::for_each_word(normal_, s.treat_whitespace_as_suffix && !plain, s.allow_whitespace_only_pieces && !plain,
                                       [&](std::string_view word) { table_.add(word, count, true); });
  }

  /// Replaces every longest match of a meta piece by a TAB, which no piece crosses.
  void mark_boundaries() {
    std::size_t at = 0;
    while (at < normal_.size() && !boundaries_.may_start(static_cast<unsigned char>(normal_[at]))) ++at;
    std::size_t out = at;
    while (at < normal_.size()) {
      const std::size_t n = boundaries_.longest(std::string_view(normal_).substr(at));
      normal_[out++] = n == 0 ? normal_[at] : '\t';
      at += n == 0 ? 1 : n;
    }
    normal_.resize(out);
  }

  TokenTrainOptions options_;
  std::vector<detail::token_train::MetaPiece> metas_;
  Normalizer normalizer_;
  std::optional<NormalizerSpec> denormalizer_;
  SymbolMatcher boundaries_;
  std::mt19937 draws_, self_test_draws_;
  std::uint64_t accepted_ = 0;
  std::vector<Drawn> drawn_;
  std::vector<std::string> self_test_;
  std::string normal_;
  detail::token_train::WordTable table_;
  std::vector<detail::token_train::RequiredChar> required_;
  TokenTrainReport report_;
};

/// Ends the input: sorts the words and chooses the characters. Call once, before training.
inline Result<void> TrainCorpus::finish() {
  namespace impl = detail::token_train;
  const TrainerSpec& s = options_.spec;
  for (Drawn& d : drawn_) take(std::exchange(d.line, {}), d.count);
  drawn_ = std::vector<Drawn>();
  std::vector<impl::Word>& words = table_.words();
  if (s.split_by_whitespace) {
    table_.sort();
  } else {
    for (std::size_t i = 0; i < words.size(); ++i) {  // the real program swaps an empty line with the last one
      if (!words[i].text.empty()) continue;
      words[i] = words.back();
      words.pop_back();
    }
    if (!words.empty() && words.back().text.empty()) words.pop_back();
  }
  report_.words = words.size();

  std::vector<std::uint64_t> counts(0x110000, 0);
  for (const impl::Word& word : words) {
    for (std::string_view rest = word.text; !rest.empty();) counts[impl::pop_character(rest)] += word.count;
  }
  counts[0] = 0;
  counts[U' '] = 0;
  std::vector<bool> forced(0x110000, false);
  for (const char32_t c : utf8_code_points(s.required_chars)) forced[c] = true;
  std::vector<impl::RequiredChar> all;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (counts[c] == 0 && !forced[c]) continue;
    all.push_back({static_cast<char32_t>(c), counts[c]});
    report_.characters += counts[c];
  }
  report_.distinct_characters = all.size();
  sort_stably(all, [&](const impl::RequiredChar& a, const impl::RequiredChar& b) {
    if (forced[a.code_point] != forced[b.code_point]) return bool{forced[a.code_point]};
    return a.count != b.count ? a.count > b.count : a.code_point < b.code_point;
  });
  std::uint64_t covered = 0;
  for (const impl::RequiredChar& c : all) {
    const auto share = static_cast<float>(static_cast<double>(covered) / static_cast<double>(report_.characters));
    if (!s.use_all_vocab && share >= s.character_coverage) break;
    covered += c.count;
    if (c.code_point != impl::k_boundary) required_.push_back(c);
  }
  sort_stably(required_, [](const impl::RequiredChar& a, const impl::RequiredChar& b) {
    return a.count != b.count ? a.count > b.count : a.code_point < b.code_point;
  });
  if (options_.era == BpeEra::window) mask_uncovered();
  report_.characters_covered = covered;
  report_.distinct_covered = required_.size();
  const std::size_t fixed = required_.size() + metas_.size();
  if (s.model_type != ModelType::word && s.model_type != ModelType::character && fixed > static_cast<std::size_t>(s.vocab_size)) {
    return impl::refuse(concat({"[(static_cast<int>(required_chars_.size() + meta_pieces_.size())) <= (trainer_spec_.vocab_size())] Vocabulary size is smaller than required_chars. ",
        s.vocab_size, " vs ", fixed, ". Increase vocab_size or decrease character_coverage with --character_coverage option."}));
  }
  return {};
}

}  // namespace v0
}  // namespace midigpt
