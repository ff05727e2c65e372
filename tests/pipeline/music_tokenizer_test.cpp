#include <midigpt/pipeline/music_tokenizer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using namespace midigpt;

namespace {

constexpr CodecKind k_codecs[] = {CodecKind::multitrack, CodecKind::split, CodecKind::theremin};

const Corpus& small_corpus() {
  static const Corpus corpus = corpus_from_generator(40, 1, {.bars = 4});
  return corpus;
}

/// Pieces written by hand, all to learn from.
Corpus corpus_of(const std::vector<std::string>& texts) {
  Corpus corpus;
  for (const std::string& text : texts) corpus.pieces.push_back({.name = "piece", .text = text, .notes = 0, .hash = 0, .held_out = false});
  return corpus;
}

std::string times(std::size_t n, const std::string& s) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += s;
  return out;
}

/// The columns of a character, from the bits that docs/codec.md describes: none of the library's packing is used.
std::vector<std::int32_t> fields_of(char32_t c, CodecKind codec, std::size_t slot) {
  const auto u = static_cast<std::int32_t>(c);
  const std::int32_t base = 256 * static_cast<std::int32_t>((std::min)(slot, std::size_t{3}));
  std::vector<std::int32_t> columns;
  const auto pitch = [&](std::int32_t p) {
    columns.push_back(base + 64 + p);
    columns.push_back(base + 228 + p % 12);
  };
  if (u >= 0x40000 && u <= 0xFFFFF) {
    columns.push_back(base + (u >> 12) % 64);
    if (codec != CodecKind::split) pitch(u % 128);
    columns.push_back(base + 192 + (u >> 7) % 32);
    columns.push_back(base + 224 + (u >> 18));
  } else if (u >= 0x34000 && u < 0x34080) {
    pitch(u - 0x34000);
  }
  std::ranges::sort(columns);
  return columns;
}

}  // namespace

TEST_CASE("music tokenizer: every vocabulary gives back every piece, and never says unknown") {
  for (const CodecKind codec : k_codecs) {
    CAPTURE(codec_name(codec));
    const Corpus corpus = corpus_from_generator(30, 1, {.bars = 4}, {.codec = codec});
    for (const int vocab_size : {0, 600, 100000}) {
      CAPTURE(vocab_size);
      const auto tokenizer = train_music_tokenizer(corpus, {.vocab_size = vocab_size});
      if (!tokenizer) {  // a cap below the alphabet: refused with a reason, not silently lossy
        CHECK(vocab_size == 600);
        CHECK(tokenizer.error().what.find("ocabulary") != std::string::npos);
        continue;
      }
      const auto encoded = encode_corpus(corpus, *tokenizer);
      REQUIRE(encoded);  // decode(encode(x)) == x is checked inside
      for (const IdPieces* side : {&encoded->train, &encoded->held_out}) {
        for (const std::int32_t id : side->ids) CHECK(id != tokenizer->unk_id());
      }
      CHECK(encoded->notes() == corpus.notes());
    }
  }
}

TEST_CASE("music tokenizer: characters that it has never seen come back, and spaces as they stand where it has seen one") {
  const auto music = train_music_tokenizer(small_corpus());
  REQUIRE(music);
  for (const std::string& text : {std::string(), std::string("tab\tand\nline"), std::string("x\0y", 3),
                                  std::string("e\u0301\u00e9\U0001F3B5\U000FFFFF")}) {
    CHECK(music->decode(music->encode(text)) == text);
  }
  const auto words = train_music_tokenizer(corpus_of({"one  two ", " two three"}), {.character_coverage = 1});
  REQUIRE(words);
  for (const std::string& text : {std::string(" "), std::string("  two  spaces  "), std::string("new word")}) {
    CHECK(words->decode(words->encode(text)) == text);
  }
  CHECK_FALSE(encode_corpus(corpus_of({"a space"}), *music));  // SentencePiece's bytes of a space are those of U+2581
}

TEST_CASE("music tokenizer: ids are 0 pad, 1 unknown, 2 begin, 3 end, the 256 bytes, then what was learnt") {
  const auto tokenizer = train_music_tokenizer(small_corpus());
  REQUIRE(tokenizer);
  const auto& pieces = tokenizer->model().pieces;
  CHECK(tokenizer->pad_id() == 0);
  CHECK(tokenizer->unk_id() == 1);
  CHECK(tokenizer->bos_id() == 2);
  CHECK(tokenizer->eos_id() == 3);
  REQUIRE(pieces.size() > 260);
  int wrong = 0;
  for (std::size_t id = 4; id < pieces.size(); ++id) {
    wrong += pieces[id].type != (id < 260 ? PieceType::byte : PieceType::normal);
    constexpr std::string_view digits = "0123456789ABCDEF";
    if (id < 260) wrong += pieces[id].piece != std::string("<0x") + digits[(id - 4) / 16] + digits[(id - 4) % 16] + ">";
  }
  CHECK(wrong == 0);
}

TEST_CASE("music tokenizer: the size asked for is the covered alphabet, bytes, specials and room for merges") {
  struct Row {
    double coverage;
    int alphabet;
  };
  // 960, 20, 15 and 5 of 1,000 characters
  const Corpus corpus = corpus_of({times(960, "a"), times(20, "\U00040001"), times(15, "c"), times(5, "\U00050002")});
  for (const Row& row : {Row{0.95, 1}, Row{0.96, 1}, Row{0.97, 2}, Row{0.98, 2}, Row{0.981, 3}, Row{0.995, 3}, Row{1.0, 4}}) {
    CAPTURE(row.coverage);
    CHECK(music_vocab_size(corpus, row.coverage, false) == row.alphabet + 260);
    CHECK(music_vocab_size(corpus, row.coverage) == 2048);  // the least
  }
  Corpus held = corpus;
  held.pieces[0].held_out = true;
  CHECK(music_vocab_size(held, 0.9, false) == 3 + 260);
  std::string many;
  for (char32_t c = 0x40000; c < 0x40000 + 3000; ++c) utf8_append(many, c);
  CHECK(music_vocab_size(corpus_of({many}), 1.0) == 3000 + 260 + 768);
}

TEST_CASE("music tokenizer: without merges a token is one character or one byte") {
  const Corpus& corpus = small_corpus();
  const auto tokenizer = train_music_tokenizer(corpus, {.merges = false});
  REQUIRE(tokenizer);
  CHECK(tokenizer->vocab_size() == music_vocab_size(corpus, 0.98, false));
  for (const SpmPiece& p : tokenizer->model().pieces) {
    if (p.type == PieceType::normal) CHECK(utf8_decode(p.piece, 0).size == p.piece.size());
  }
  const auto capped = train_music_tokenizer(corpus, {.vocab_size = 100000, .merges = false});  // a cap makes no merges
  REQUIRE(capped);
  CHECK(capped->vocab_size() == tokenizer->vocab_size());
}

TEST_CASE("music tokenizer: the frequent characters are pieces, the rare ones four bytes") {
  const Corpus& corpus = small_corpus();
  const auto tokenizer = train_music_tokenizer(corpus, {.merges = false});
  REQUIRE(tokenizer);
  std::map<char32_t, std::size_t> counts;
  std::size_t total = 0, covered = 0, least_known = 1000000, most_rare = 0;
  for (const Piece& p : corpus.pieces) {
    if (p.held_out) continue;
    for (const char32_t c : utf8_code_points(p.text)) ++counts[c], ++total;
  }
  for (const auto& [c, n] : counts) {
    std::string character;
    utf8_append(character, c);
    const std::size_t tokens = tokenizer->encode(character).size();
    CHECK((tokens == 1 || tokens == 4));
    if (tokens == 1) covered += n, least_known = (std::min)(least_known, n);
    else most_rare = (std::max)(most_rare, n);
  }
  CHECK(static_cast<double>(covered) >= 0.98 * static_cast<double>(total));
  CHECK(static_cast<double>(covered - least_known) < 0.98 * static_cast<double>(total));  // one fewer would be too few
  CHECK(most_rare <= least_known);
  CHECK(most_rare > 0);
}

TEST_CASE("music tokenizer: held-out pieces teach it nothing, and threads change nothing") {
  const Corpus& corpus = small_corpus();
  const auto tokenizer = train_music_tokenizer(corpus);
  Corpus other = corpus;
  for (Piece& p : other.pieces) {
    if (p.held_out) p.text = times(200, "never heard ");
  }
  ThreadPool three(3);
  const auto again = train_music_tokenizer(other, {}, &three);
  REQUIRE(tokenizer);
  REQUIRE(again);
  CHECK(spm_model_bytes(tokenizer->model()) == spm_model_bytes(again->model()));
}

TEST_CASE("music tokenizer: an encoded corpus is each piece's ids on its side, and its counts are theirs") {
  for (const CodecKind codec : k_codecs) {
    CAPTURE(codec_name(codec));
    const Corpus corpus = corpus_from_generator(30, 1, {.bars = 4}, {.codec = codec});
    const auto tokenizer = train_music_tokenizer(corpus);
    REQUIRE(tokenizer);
    const auto encoded = encode_corpus(corpus, *tokenizer);
    REQUIRE(encoded);
    IdPieces train, held_out;
    std::size_t notes = 0, held_out_notes = 0, points = 0, bytes = 0;
    for (const Piece& p : corpus.pieces) {
      const auto ids = tokenizer->encode(p.text);
      (p.held_out ? held_out : train).add(ids);
      (p.held_out ? held_out_notes : notes) += count_text_notes(p.text, codec);
      points += utf8_code_points(p.text).size();
      bytes += static_cast<std::size_t>(std::ranges::count_if(ids, [](std::int32_t id) { return id >= 4 && id < 260; }));
    }
    CHECK(encoded->train == train);
    CHECK(encoded->held_out == held_out);
    CHECK(encoded->train_notes == notes);
    CHECK(encoded->held_out_notes == held_out_notes);
    CHECK(encoded->code_points == points);
    CHECK(encoded->byte_tokens == bytes);
    CHECK(encoded->tokens == train.ids.size() + held_out.ids.size());
  }
}

TEST_CASE("music tokenizer: a tokenizer of other music that loses characters is refused") {
  TokenTrainOptions options;
  options.spec.model_type = ModelType::bpe;
  options.cap_vocab = true;
  const std::vector<std::string_view> lines{"abc abd"};
  auto model = train_bpe(std::span<const std::string_view>(lines), options);
  REQUIRE(model);
  auto tokenizer = Tokenizer::create(*std::move(model));
  REQUIRE(tokenizer);
  const auto encoded = encode_corpus(small_corpus(), *tokenizer);
  REQUIRE_FALSE(encoded);
  CHECK(encoded.error().what.starts_with("dice 1: "));  // the piece is named
}

TEST_CASE("music tokenizer: the features of a token are the fields of its characters, each in its slot") {
  for (const CodecKind codec : k_codecs) {
    CAPTURE(codec_name(codec));
    const Corpus corpus = corpus_from_generator(30, 1, {.bars = 4}, {.codec = codec});
    const auto tokenizer = train_music_tokenizer(corpus);
    REQUIRE(tokenizer);
    const SparseFeatures f = token_features(*tokenizer, codec);
    CHECK(f.n_features == 4 * 256);
    CHECK(f.value == std::vector<float>(f.column.size(), 1.0f));
    REQUIRE(f.row_begin.size() == static_cast<std::size_t>(tokenizer->vocab_size()) + 1);
    REQUIRE(f.row_begin.back() == static_cast<std::int32_t>(f.column.size()));
    int wrong = 0, longest = 0;
    for (std::size_t id = 0; id + 1 < f.row_begin.size(); ++id) {
      const SpmPiece& piece = tokenizer->model().pieces[id];
      std::vector<std::int32_t> want;
      std::size_t controls = 0, slot = 0;
      if (piece.type == PieceType::normal) {
        for (const char32_t c : utf8_code_points(piece.piece)) {
          for (const std::int32_t column : fields_of(c, codec, slot)) want.push_back(column);
          controls += c >= 0x34080 && c < 0x40000;
          ++slot;
        }
      }
      std::vector<std::int32_t> fields;
      std::size_t kinds = 0;
      for (auto at = f.row_begin[id]; at < f.row_begin[id + 1]; ++at) {
        const std::int32_t column = f.column[static_cast<std::size_t>(at)];
        if (column % 256 >= 240) ++kinds;  // what kind of control it is
        else fields.push_back(column);
      }
      std::ranges::sort(want);
      std::ranges::sort(fields);
      wrong += fields != want || kinds != controls;
      longest = (std::max)(longest, static_cast<int>(slot));
    }
    CHECK(wrong == 0);
    CHECK(longest > 4);  // more characters than slots came up
  }
}
