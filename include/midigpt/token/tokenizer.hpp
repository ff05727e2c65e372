// token/tokenizer.hpp - text to ids and back, with the answers SentencePiece gives for the same model file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/bpe.hpp>
#include <midigpt/token/bpe_fast.hpp>
#include <midigpt/token/bpe_table.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/unigram.hpp>
#include <midigpt/token/vocab.hpp>
#include <midigpt/token/word_cache.hpp>
#include <midigpt/token/word_char.hpp>

namespace midigpt {
inline namespace v0 {

/// A piece and the part of the original text it stands for: bytes [begin, end), code points [point_begin, point_end)
/// (an ill-formed byte counts as one). In text of packed notes a code point index is a note index.
struct EncodedPiece {
  std::int32_t id = 0;
  std::string piece;
  std::size_t begin = 0, end = 0;
  std::size_t point_begin = 0, point_end = 0;

  friend bool operator==(const EncodedPiece&, const EncodedPiece&) = default;
};

/// How sample() draws.
struct SampleOptions {
  /// BPE: the probability that a merge is skipped. Unigram: a path's weight is exp(alpha * its score).
  double alpha = 0.1;
  /// Unigram only: draw among so many best paths; negative: among all; 0 and 1: no drawing.
  int nbest_size = -1;
};

/// One of the n best encodings and the sum of its piece scores.
struct ScoredEncoding {
  std::vector<EncodedPiece> pieces;
  float score = 0.0f;
};

/// What is done to an encoding after the fact, in the given order.
enum class ExtraOption : std::uint8_t { bos, eos, reverse, unk };
using ExtraOptions = std::vector<ExtraOption>;

/// Immutable: one const Tokenizer may serve any number of threads.
class Tokenizer {
 public:
  [[nodiscard]] static Result<Tokenizer> create(SpmModel model) {
    auto vocab = Vocab::create(std::move(model));
    if (!vocab) return vocab.error();
    const SpmModel& m = vocab->model();
    const bool suffix = m.trainer.treat_whitespace_as_suffix;
    auto normalizer = Normalizer::create(m.normalizer, suffix, vocab->user_defined());
    if (!normalizer) return normalizer.error();
    Tokenizer t(*std::move(vocab), *std::move(normalizer));
    if (t.model_type() == ModelType::unigram) t.unigram_ = UnigramEncoder(t.vocab_);
    if (t.model_type() == ModelType::bpe) t.fast_ = FastBpe::create(t.vocab_, t.normalizer_.charsmap());
    if (t.model().denormalizer) {
      auto denormalizer = Normalizer::create(*t.model().denormalizer);
      if (!denormalizer) return denormalizer.error();
      t.denormalizer_ = *std::move(denormalizer);
    }
    return t;
  }

  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const {
    std::vector<std::int32_t> ids;
    encode(text, ids);
    return ids;
  }

  /// Replaces `out`.
  void encode(std::string_view text, std::vector<std::int32_t>& out) const {
    Scratch scratch;
    encode(text, out, scratch);
  }

  /// For many texts: encode() with the memory of the last one, and with the words met lately. One thread uses it; the
  /// tokenizer stays where it is meanwhile.
  class Encoder;

  /// The pieces with their text and their place in the original.
  [[nodiscard]] std::vector<EncodedPiece> encode_pieces(std::string_view text) const {
    const NormalizedText normalized = normalizer_.normalise_with_offsets(text);
    Scratch scratch;
    std::vector<PieceSpan> spans;
    encode_spans(normalized.text, spans, scratch);
    return located(text, normalized, spans);
  }

  /// One of the possible encodings, drawn: BPE dropout or unigram sampling. Word and character models have but one.
  [[nodiscard]] std::vector<std::int32_t> sample(std::string_view text, Rng& rng, const SampleOptions& options = {}) const {
    const std::string normalized = normalizer_.normalise(text);
    std::vector<std::int32_t> ids;
    put_ids(normalized, sample_spans(normalized, rng, options), ids);
    return ids;
  }
  [[nodiscard]] std::vector<EncodedPiece> sample_pieces(std::string_view text, Rng& rng, const SampleOptions& options = {}) const {
    const NormalizedText normalized = normalizer_.normalise_with_offsets(text);
    return located(text, normalized, sample_spans(normalized.text, rng, options));
  }

  /// The `n` best encodings of a unigram model, best first. n below 1 counts as 1, above 1024 as 1024.
  [[nodiscard]] Result<std::vector<ScoredEncoding>> n_best(std::string_view text, int n) const {
    if (model_type() != ModelType::unigram) return Error{Errc::unsupported, 0, "n best encodings need a unigram model"};
    const NormalizedText normalized = normalizer_.normalise_with_offsets(text);
    std::vector<ScoredEncoding> out;
    if (n <= 1 || normalized.text.empty()) {
      out.push_back({encode_pieces(text), 0.0f});
      return out;
    }
    for (const ScoredSpans& best : unigram_.n_best(vocab_, normalized.text, static_cast<std::size_t>((std::min)(n, 1024)))) {
      out.push_back({located(text, normalized, best.spans), best.score});
    }
    return out;
  }

  /// Encodes many texts; the result does not depend on the number of threads.
  [[nodiscard]] std::vector<std::vector<std::int32_t>> encode_batch(std::span<const std::string_view> texts, ThreadPool& pool) const {
    std::vector<std::vector<std::int32_t>> out(texts.size());
    constexpr std::size_t block = 64;
    std::vector<Scratch> scratch(pool.size());
    for (Scratch& s : scratch) s.remember_words = true;
    pool.run((texts.size() + block - 1) / block, [&](std::size_t task, std::size_t worker) {
      const std::size_t end = (std::min)(texts.size(), (task + 1) * block);
      for (std::size_t i = task * block; i < end; ++i) encode(texts[i], out[i], scratch[worker]);
    });
    return out;
  }

  /// Text of ids. An id outside the vocabulary throws ShapeError.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const {
    Decoder decoder(*this);
    for (const std::int32_t id : ids) {
      require_id(id);
      const std::string& piece = vocab_.piece(id);
      decoder.add(piece, vocab_.id(piece));
    }
    return finish(std::move(decoder));
  }

  /// Text of pieces; a piece that the model does not know is copied.
  [[nodiscard]] std::string decode_pieces(std::span<const std::string> pieces) const {
    Decoder decoder(*this);
    for (const std::string& piece : pieces) decoder.add(piece, vocab_.id(piece));
    return finish(std::move(decoder));
  }

  /// "bos", "eos", "reverse", "unk" (or "unk_piece"), separated by colons.
  [[nodiscard]] Result<ExtraOptions> parse_extra_options(std::string_view text) const {
    ExtraOptions out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t colon = (std::min)(text.find(':', at), text.size());
      const std::string_view name = text.substr(at, colon - at);
      if (name == "bos") {
        if (bos_id() < 0) return Error{Errc::bad_value, at, concat({"id for `", model().trainer.bos_piece, "` is not defined"})};
        out.push_back(ExtraOption::bos);
      } else if (name == "eos") {
        if (eos_id() < 0) return Error{Errc::bad_value, at, concat({"id for `", model().trainer.eos_piece, "` is not defined"})};
        out.push_back(ExtraOption::eos);
      } else if (name == "reverse") {
        out.push_back(ExtraOption::reverse);
      } else if (name == "unk" || name == "unk_piece") {
        out.push_back(ExtraOption::unk);
      } else {
        return Error{Errc::bad_value, at, concat({"option \"", name, "\" is not available"})};
      }
      at = colon + 1;
    }
    return out;
  }

  void apply(const ExtraOptions& options, std::vector<std::int32_t>& ids) const {
    apply_to(options, ids, [](std::int32_t id) { return id; });
  }
  /// `unk` replaces the text of unknown pieces by the unknown piece.
  void apply(const ExtraOptions& options, std::vector<EncodedPiece>& pieces) const {
    apply_to(options, pieces, [&](std::int32_t id) { return EncodedPiece{.id = id, .piece = piece(id)}; });
    if (std::find(options.begin(), options.end(), ExtraOption::unk) == options.end()) return;
    for (EncodedPiece& p : pieces) {
      if (p.id == unk_id()) p.piece = piece(p.id);
    }
  }

  [[nodiscard]] std::int32_t vocab_size() const noexcept { return vocab_.size(); }
  [[nodiscard]] std::int32_t unk_id() const noexcept { return vocab_.unk_id(); }
  /// -1 when the model has none.
  [[nodiscard]] std::int32_t bos_id() const noexcept { return vocab_.bos_id(); }
  [[nodiscard]] std::int32_t eos_id() const noexcept { return vocab_.eos_id(); }
  [[nodiscard]] std::int32_t pad_id() const noexcept { return vocab_.pad_id(); }
  /// The text of an id. An id outside the vocabulary throws ShapeError.
  [[nodiscard]] const std::string& piece(std::int32_t id) const {
    require_id(id);
    return vocab_.piece(id);
  }
  /// The id of a piece's text, unk_id() if there is none.
  [[nodiscard]] std::int32_t id(std::string_view piece) const noexcept { return vocab_.id(piece); }
  [[nodiscard]] const SpmModel& model() const noexcept { return vocab_.model(); }
  [[nodiscard]] ModelType model_type() const noexcept { return vocab_.model().trainer.model_type; }
  [[nodiscard]] const Vocab& vocab() const noexcept { return vocab_; }
  [[nodiscard]] const Normalizer& normalizer() const noexcept { return normalizer_; }

 private:
  Tokenizer(Vocab vocab, Normalizer normalizer)
      : vocab_(std::move(vocab)), normalizer_(std::move(normalizer)), user_defined_(vocab_.user_defined()) {}

  /// Pieces become text one after the other; what a piece leaves behind decides how the next one is read.
  class Decoder {
   public:
    explicit Decoder(const Tokenizer& t) : t_(t) {}

    void add(std::string_view piece, std::int32_t id) {
      const PieceType type = t_.vocab_.type(id);
      if (type == PieceType::byte) {
        bytes_.push_back(static_cast<char>(static_cast<unsigned char>(detail::vocab::byte_of_piece(piece))));
        return;
      }
      flush();
      if (saw_space_ || !text_.empty()) at_begin_ = false;
      saw_space_ = false;
      if (type == PieceType::control) return;
      if (type == PieceType::unknown) {
        text_ += piece == t_.vocab_.piece(id) ? std::string_view(t_.model().trainer.unk_surface) : piece;
        return;
      }
      const NormalizerSpec& spec = t_.model().normalizer;
      if (at_begin_ && (spec.add_dummy_prefix || spec.remove_extra_whitespaces) && piece.starts_with(k_space_mark)) {
        piece.remove_prefix(k_space_mark.size());
        saw_space_ = !spec.remove_extra_whitespaces;
      }
      for (std::size_t mark; (mark = piece.find(k_space_mark)) != std::string_view::npos;) {
        text_ += piece.substr(0, mark);
        text_ += ' ';
        piece.remove_prefix(mark + k_space_mark.size());
      }
      text_ += piece;
    }

    [[nodiscard]] std::string take() && {
      flush();
      return std::move(text_);
    }

   private:
    void flush() {
      for (std::size_t at = 0; at < bytes_.size();) {
        const Utf8Char c = utf8_decode(bytes_, at);
        if (c.valid) {
          text_.append(bytes_, at, c.size);
        } else {
          text_ += k_replacement_character;
        }
        at += c.size;
      }
      bytes_.clear();
    }

    const Tokenizer& t_;
    std::string text_, bytes_;
    bool at_begin_ = true, saw_space_ = false;
  };

  [[nodiscard]] std::string finish(Decoder&& decoder) const {
    std::string text = std::move(decoder).take();
    return model().denormalizer ? denormalizer_.normalise(text) : text;
  }

  void require_id(std::int32_t id) const {
    if (id >= 0 && id < vocab_size()) return;
#if defined(__cpp_exceptions)
    throw ShapeError(concat({"tokenizer: id ", id, " of a vocabulary of ", vocab_size()}));
#else
    std::abort();
#endif
  }

  /// Memory that the encodings of one thread share.
  struct Scratch {
    std::string normalized;
    std::vector<PieceSpan> spans;
    BpeTableScratch table;
    BpeScratch general;
    bool remember_words = false;
    WordCache words;
    std::vector<std::int32_t> ids;
  };

  void encode(std::string_view text, std::vector<std::int32_t>& out, Scratch& scratch) const {
    out.clear();
    if (fast_) {
      const auto put = [&](std::span<const BpeSymbol> symbols, std::int32_t* ids) { return put_symbols(symbols, ids); };
      const auto made = fast_->words_apart()
                            ? fast_->encode_words(text, scratch.table, scratch.remember_words ? &scratch.words : nullptr, scratch.ids, put)
                            : fast_->encode_plain(text, scratch.table, scratch.ids, put);
      if (made) {
        out.assign(scratch.ids.begin(), scratch.ids.begin() + static_cast<std::ptrdiff_t>(*made));
        return;
      }
    }
    normalizer_.normalise(text, scratch.normalized);
    scratch.spans.clear();
    encode_spans(scratch.normalized, scratch.spans, scratch);
    put_ids(scratch.normalized, scratch.spans, out);
  }

  /// Writes the ids of pieces and returns their number: one for each, or one for each byte of an unknown character.
  std::size_t put_symbols(std::span<const BpeSymbol> symbols, std::int32_t* out) const {
    const BpeTable& table = fast_->table();
    const std::int32_t unknown = vocab_.unk_id();
    bool after_unknown = false;
    std::int32_t* at = out;
    for (const BpeSymbol s : symbols) {
      const std::int32_t id = table.id(s);
      if (id != unknown) {
        *at++ = id;
      } else if (vocab_.byte_fallback()) {
        std::string bytes;
        utf8_append(bytes, table.code_point(s));
        for (const char c : bytes) *at++ = vocab_.byte_id(static_cast<unsigned char>(c));
      } else if (!after_unknown) {
        *at++ = unknown;
      }
      after_unknown = id == unknown;
    }
    return static_cast<std::size_t>(at - out);
  }

  void put_ids(std::string_view normalized, std::span<const PieceSpan> spans, std::vector<std::int32_t>& out) const {
    std::size_t at = 0;
    bool after_unknown = false;
    for (const PieceSpan& s : spans) {
      const bool unknown = s.id == vocab_.unk_id();
      if (unknown) {
        put_unknown(normalized.substr(at, s.size), after_unknown, out);
      } else {
        out.push_back(s.id);
      }
      after_unknown = unknown;
      at += s.size;
    }
  }

  /// One drawn encoding of normalised text.
  [[nodiscard]] std::vector<PieceSpan> sample_spans(std::string_view normalized, Rng& rng, const SampleOptions& options) const {
    std::vector<PieceSpan> out;
    Scratch scratch;
    if (model_type() == ModelType::bpe && options.alpha > 0.0) {
      const BpeDropout dropout{options.alpha, &rng};
      bpe_encode(vocab_, user_defined_, normalized, out, scratch.general, &dropout);
    } else if (model_type() != ModelType::unigram || normalized.empty() || options.nbest_size == 0 || options.nbest_size == 1) {
      encode_spans(normalized, out, scratch);
    } else if (options.nbest_size < 0) {
      unigram_.sample(vocab_, normalized, options.alpha, rng, out);
    } else {
      auto best = unigram_.n_best(vocab_, normalized, static_cast<std::size_t>(options.nbest_size));
      double sum = 0.0;
      const auto weight = [&](const ScoredSpans& s) {
        return std::exp(options.alpha * (static_cast<double>(s.score) - static_cast<double>(best[0].score)));
      };
      for (const ScoredSpans& s : best) sum += weight(s);
      double left = rng.uniform() * sum;
      std::size_t chosen = 0;
      while (chosen + 1 < best.size() && (left -= weight(best[chosen])) >= 0.0) ++chosen;
      out = std::move(best[chosen].spans);
    }
    return out;
  }

  /// Byte pieces, or one unknown for a run of them.
  void put_unknown(std::string_view text, bool after_unknown, std::vector<std::int32_t>& out) const {
    if (vocab_.byte_fallback()) {
      for (const char c : text) out.push_back(vocab_.byte_id(static_cast<unsigned char>(c)));
    } else if (!after_unknown) {
      out.push_back(vocab_.unk_id());
    }
  }

  /// The pieces of normalised text. Requires: out is empty.
  void encode_spans(std::string_view normalized, std::vector<PieceSpan>& out, Scratch& scratch) const {
    switch (model_type()) {
      case ModelType::unigram: unigram_.encode(vocab_, normalized, out); break;
      case ModelType::bpe: {
        if (fast_) {
          const BpeTable& table = fast_->table();
          std::size_t at = 0;
          const auto put = [&](std::int32_t id, std::size_t size) {
            out.push_back({id, static_cast<std::uint32_t>(size)});
            at += size;
          };
          const auto emit = [&](BpeSymbol s) { put(table.id(s), table.bytes(s)); };
          const auto emit_defined = [&](std::size_t size) { put(vocab_.id(normalized.substr(at, size)), size); };
          if (fast_->encode_normalized(normalized, user_defined_, scratch.table, emit, emit_defined)) return;
          out.clear();
        }
        bpe_encode(vocab_, user_defined_, normalized, out, scratch.general);
        break;
      }
      case ModelType::word: word_encode(vocab_, normalized, out); break;
      case ModelType::character: char_encode(vocab_, user_defined_, normalized, out); break;
    }
  }

  /// Neighbouring unknown characters become one piece, or bytes; normalised offsets become original ones.
  [[nodiscard]] std::vector<EncodedPiece> located(std::string_view text, const NormalizedText& normalized,
                                                  std::span<const PieceSpan> spans) const {
    std::vector<EncodedPiece> out;
    std::size_t at = 0;
    bool after_unknown = false;
    for (const PieceSpan& s : spans) {
      const std::size_t begin = normalized.norm_to_orig[at], end = normalized.norm_to_orig[at + s.size];
      const std::string_view piece = std::string_view(normalized.text).substr(at, s.size);
      const bool unknown = s.id == vocab_.unk_id();
      if (unknown && vocab_.byte_fallback()) {
        for (const char c : piece) {
          const std::int32_t id = vocab_.byte_id(static_cast<unsigned char>(c));
          out.push_back({.id = id, .piece = vocab_.piece(id), .begin = begin, .end = begin});
        }
        out.back().end = end;  // the last byte stands for the whole character
      } else if (unknown && after_unknown) {
        out.back().piece += piece;
        out.back().end = end;
      } else {
        out.push_back({.id = s.id, .piece = std::string(piece), .begin = begin, .end = end});
      }
      after_unknown = unknown;
      at += s.size;
    }
    count_points(text, out);
    return out;
  }

  /// Fills in the code point indices; the byte offsets of a list of pieces never go back.
  static void count_points(std::string_view text, std::vector<EncodedPiece>& pieces) {
    std::size_t at = 0, points = 0;
    const auto index_of = [&](std::size_t byte) {
      while (at < byte) {
        at += utf8_decode(text, at).size;
        ++points;
      }
      return points;
    };
    for (EncodedPiece& p : pieces) {
      p.point_begin = index_of(p.begin);
      p.point_end = index_of(p.end);
    }
  }

  template <class T, class Make>
  void apply_to(const ExtraOptions& options, std::vector<T>& items, Make&& make) const {
    for (const ExtraOption option : options) {
      switch (option) {
        case ExtraOption::bos: items.insert(items.begin(), make(bos_id())); break;
        case ExtraOption::eos: items.push_back(make(eos_id())); break;
        case ExtraOption::reverse: std::reverse(items.begin(), items.end()); break;
        case ExtraOption::unk: break;
      }
    }
  }

  Vocab vocab_;
  Normalizer normalizer_, denormalizer_;
  SymbolMatcher user_defined_;
  UnigramEncoder unigram_;
  std::optional<FastBpe> fast_;  // for a BPE model that allows it
};

class Tokenizer::Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) { scratch_.remember_words = true; }

  /// Replaces `out`.
  void encode(std::string_view text, std::vector<std::int32_t>& out) { tokenizer_->encode(text, out, scratch_); }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) {
    std::vector<std::int32_t> ids;
    encode(text, ids);
    return ids;
  }

 private:
  const Tokenizer* tokenizer_;
  Scratch scratch_;
};

/// Reads a .model file.
[[nodiscard]] inline Result<Tokenizer> read_tokenizer(const std::string& path) {
  auto model = read_spm_model(path);
  if (!model) return model.error();
  return Tokenizer::create(*std::move(model));
}

}  // namespace v0
}  // namespace midigpt
