// pipeline/music_tokenizer.hpp - pieces of text -> a vocabulary for them -> ids, with nothing lost on the way.
//   Music has a large alphabet: thousands of distinct notes, a third of them seen once. So the vocabulary covers the
//   frequent characters and spells the others as bytes (`byte_fallback`): a rare note costs four tokens and loses nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/nn/gpt.hpp>
#include <midigpt/pipeline/corpus.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/tokenizer.hpp>
#include <midigpt/token/train_input.hpp>
#include <midigpt/train/dataset.hpp>

namespace midigpt {
inline namespace v0 {

struct MusicTokenizerOptions {
  int vocab_size = 0;                // a cap; 0: music_vocab_size()
  double character_coverage = 0.98;  // 0.98..1, SentencePiece's range
  bool merges = true;                // false: one token per character
  std::size_t window_bytes = 4192;   // longest training line, SentencePiece's own limit
};

/// What the corpus asks for: its covered alphabet, 256 byte pieces, 4 specials, and room for merges, then at least 2,048.
[[nodiscard]] inline int music_vocab_size(const Corpus& corpus, double character_coverage, bool merges = true) {
  std::vector<std::size_t> counts(0x110000, 0);
  std::size_t total = 0;
  for (const Piece& p : corpus.pieces) {
    if (p.held_out) continue;
    for (std::size_t at = 0; at < p.text.size(); ++total) {
      const Utf8Char c = utf8_decode(p.text, at);
      ++counts[c.code_point];
      at += c.size;
    }
  }
  std::vector<std::size_t> by_count;
  for (const std::size_t n : counts) {
    if (n > 0) by_count.push_back(n);
  }
  sort_stably(by_count, [](std::size_t a, std::size_t b) { return a > b; });
  std::size_t alphabet = 0, sum = 0;
  while (alphabet < by_count.size() && static_cast<double>(sum) < character_coverage * static_cast<double>(total)) {
    sum += by_count[alphabet++];
  }
  constexpr std::size_t k_specials = 4 + 256, k_merges = 768, k_least = 2048;
  return static_cast<int>(merges ? (std::max)(k_least, alphabet + k_specials + k_merges) : alphabet + k_specials);
}

/// Trains a byte-pair vocabulary on the training pieces, cut into windows. Ids: 0 pad, 1 unk (never produced), 2 BOS, 3 EOS,
/// then 256 bytes, merges, characters. The text is taken as it is: no normalisation, no dummy prefix, spaces untouched if
/// the training text has one (music has none; the bytes of an unknown space would come back as U+2581).
[[nodiscard, gnu::cold]] inline Result<Tokenizer> train_music_tokenizer(const Corpus& corpus, const MusicTokenizerOptions& options = {},
                                                             ThreadPool* pool = nullptr, TokenTrainReport* report = nullptr) {
  TokenTrainOptions train;
  train.cap_vocab = true;
  train.normalizer.name = "identity";
  train.normalizer.add_dummy_prefix = train.normalizer.remove_extra_whitespaces = false;
  TrainerSpec& spec = train.spec;
  spec.model_type = ModelType::bpe;
  spec.vocab_size = options.vocab_size;
  if (options.vocab_size <= 0 || !options.merges) {
    const int wanted = music_vocab_size(corpus, options.character_coverage, options.merges);
    spec.vocab_size = options.vocab_size > 0 ? (std::min)(options.vocab_size, wanted) : wanted;
  }
  spec.character_coverage = static_cast<float>(options.character_coverage);
  spec.max_sentence_length = static_cast<std::int32_t>(options.window_bytes);
  spec.byte_fallback = true;
  spec.pad_id = 0;
  spec.unk_id = 1;
  spec.bos_id = 2;
  spec.eos_id = 3;
  auto lines = TrainCorpus::without_rules(std::move(train));
  if (!lines) return lines.error();
  for (const Piece& p : corpus.pieces) {
    if (p.held_out) continue;
    for (const std::string_view window : text_windows(p.text, options.window_bytes)) lines->add_line(window);
  }
  auto model = train_bpe(*std::move(lines), pool, report);
  if (!model) return std::move(model).error();
  return Tokenizer::create(*std::move(model));
}

/// The pieces as ids, split, and what the figures need: those count each piece once, in its own key.
struct EncodedCorpus {
  IdPieces train, held_out;
  std::size_t train_notes = 0, held_out_notes = 0;
  std::size_t code_points = 0;
  std::size_t tokens = 0;       // without BOS and EOS
  std::size_t byte_tokens = 0;  // those that spell rare characters, four each
  [[nodiscard]] std::size_t notes() const noexcept { return train_notes + held_out_notes; }
};

/// Encodes every piece. An Error if one does not come back from its ids as it was: figures of a lossy vocabulary are worthless.
[[nodiscard]] inline Result<EncodedCorpus> encode_corpus(const Corpus& corpus, const Tokenizer& tokenizer) {
  EncodedCorpus out;
  std::vector<std::int32_t> ids;
  for (const Piece& p : corpus.pieces) {
    ids.clear();
    tokenizer.encode(p.text, ids);
    if (tokenizer.decode(ids) != p.text) {
      return Error{Errc::bad_value, 0, p.name + ": the tokenizer does not give its text back; it was trained for other music or without byte pieces"};
    }
    (p.held_out ? out.held_out : out.train).add(ids);
    if (p.transposed) continue;
    for (const std::int32_t id : ids) out.byte_tokens += tokenizer.model().pieces[static_cast<std::size_t>(id)].type == PieceType::byte;
    out.tokens += ids.size();
    for (std::size_t at = 0; at < p.text.size(); ++out.code_points) at += utf8_decode(p.text, at).size;
    (p.held_out ? out.held_out_notes : out.train_notes) += p.notes;
  }
  return out;
}

/// Which fields the characters of each token have: the sparse matrix F of the model's token table `wte + F A`.
[[nodiscard, gnu::cold]] inline SparseFeatures token_features(const Tokenizer& tokenizer, CodecKind codec) {
  SparseFeatures f;
  f.n_features = feature_count(codec);
  f.row_begin.push_back(0);
  for (const SpmPiece& piece : tokenizer.model().pieces) {
    if (piece.type == PieceType::normal) {
      int slot = 0;
      for (std::size_t at = 0; at < piece.piece.size();) {
        const Utf8Char c = utf8_decode(piece.piece, at);
        append_features(c.code_point, codec, slot++, f.column);
        at += c.size;
      }
    }
    f.row_begin.push_back(static_cast<std::int32_t>(f.column.size()));
  }
  f.value.assign(f.column.size(), 1.0f);
  return f;
}

}  // namespace v0
}  // namespace midigpt
