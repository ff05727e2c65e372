#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/bpe.hpp>
#include <midigpt/token/bpe_table.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/tokenizer.hpp>

#include <token/naive_encode.hpp>
#include <token/token_texts.hpp>

using namespace midigpt;

namespace {

std::size_t rounds(std::size_t quick, std::size_t thorough) { return std::getenv("MIDIGPT_SLOW_TESTS") != nullptr ? thorough : quick; }

/// Ids by the general encoder, whatever the model.
std::vector<std::int32_t> general_ids(const Tokenizer& t, std::string_view text) {
  const std::string normalized = t.normalizer().normalise(text);
  std::vector<PieceSpan> spans;
  BpeScratch scratch;
  bpe_encode(t.vocab(), SymbolMatcher(t.vocab().user_defined()), normalized, spans, scratch);
  std::vector<std::int32_t> ids;
  for (const PieceSpan& s : spans) {
    if (s.id != t.unk_id() || ids.empty() || ids.back() != t.unk_id()) ids.push_back(s.id);
  }
  return ids;
}

SpmModel model_of(std::vector<SpmPiece> pieces) {
  SpmModel m;
  m.trainer.model_type = ModelType::bpe;
  m.normalizer.add_dummy_prefix = false;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}};
  m.pieces.insert(m.pieces.end(), pieces.begin(), pieces.end());
  return m;
}

std::string joined(const Tokenizer& t, std::string_view text) {
  std::string out;
  for (const EncodedPiece& p : t.encode_pieces(text)) out += (out.empty() ? "" : " ") + p.piece;
  return out;
}

}  // namespace

TEST_CASE("bpe: fast = naive on random models and lines") {
  const std::size_t models = rounds(200, 5000), lines = rounds(100, 200);
  std::size_t wrong = 0, wrong_spans = 0, wrong_again = 0, compared = 0, by_table = 0;
  for (std::uint64_t seed = 0; seed < models; ++seed) {
    const SpmModel model = token_texts::random_model(seed, ModelType::bpe, seed % 2 == 1);
    const Tokenizer t = Tokenizer::create(model).value();
    const naive::Vocabulary v(t.model());
    by_table += BpeTable::create(t.vocab()).has_value();
    Tokenizer::Encoder encoder(t);
    Rng rng(seed, 5);
    for (std::size_t i = 0; i < lines; ++i) {
      const std::string line = token_texts::random_line(rng);
      const auto want = naive::bpe(v, t.normalizer().normalise(line));
      const auto got = t.encode(line);
      if (got != want && wrong == 0) MESSAGE("seed " << seed << ": `" << line << "`");
      wrong += got != want;
      wrong_again += encoder.encode(line) != want;
      std::vector<std::int32_t> ids;
      for (const EncodedPiece& p : t.encode_pieces(line)) ids.push_back(p.id);
      wrong_spans += ids != want;
      ++compared;
    }
  }
  MESSAGE(compared << " lines, " << by_table << " of " << models << " models without the queue");
  CHECK(by_table > models / 4);
  CHECK(wrong == 0);
  CHECK(wrong_again == 0);
  CHECK(wrong_spans == 0);
}

TEST_CASE("bpe: trained models, fast = naive: words and spaces, met before or not, unknown characters, bytes") {
  std::size_t wrong = 0, wrong_again = 0, by_table = 0;
  const std::size_t models = rounds(60, 1000);
  for (std::uint64_t seed = 0; seed < models; ++seed) {
    Rng rng(seed, 7);
    const auto word = [&] {
      static constexpr std::u32string_view k_letters = U"abcde\u00E9\u4E00\U00040321\U00040322,";
      std::string out;
      const std::uint32_t letters = 2 + rng.below(8);
      for (std::uint32_t n = rng.below(rng.chance(0.1) ? 30 : 6); n > 0; --n) utf8_append(out, k_letters[rng.below(letters)]);
      return out;
    };
    const auto text = [&](std::uint32_t most) {
      std::string out;
      for (std::uint32_t n = rng.below(most); n > 0; --n) {
        out += word();
        out.append(rng.chance(0.2) ? rng.below(4) : 1, ' ');
      }
      return out;
    };
    TokenTrainOptions options;
    options.spec.vocab_size = static_cast<std::int32_t>(300 + rng.below(100));
    options.spec.character_coverage = rng.chance(0.5) ? 1.0f : 0.98f;
    options.spec.byte_fallback = rng.chance(0.5);
    options.spec.split_by_whitespace = rng.chance(0.8);
    options.spec.treat_whitespace_as_suffix = rng.chance(0.1);
    options.normalizer.add_dummy_prefix = rng.chance(0.8);
    options.normalizer.remove_extra_whitespaces = rng.chance(0.6);
    options.cap_vocab = true;
    std::vector<std::string> lines;
    for (int i = 0; i < 60; ++i) lines.push_back(text(20) + "a");
    const Tokenizer t = Tokenizer::create(train_bpe(std::span<const std::string>(lines), options).value()).value();
    by_table += BpeTable::create(t.vocab()).has_value();
    const naive::Vocabulary v(t.model());
    Tokenizer::Encoder encoder(t);
    for (int i = 0; i < 40; ++i) {
      std::string line = text(12);
      if (rng.chance(0.2) && !line.empty()) line[rng.below(static_cast<std::uint32_t>(line.size()))] = static_cast<char>(1 + rng.below(255));
      if (rng.chance(0.1)) line += rng.chance(0.5) ? "\t" : "\xE2\x96\x81";
      const auto want = naive::bpe(v, t.normalizer().normalise(line));
      if (t.encode(line) != want && wrong == 0) MESSAGE("seed " << seed << ": `" << line << "`");
      wrong += t.encode(line) != want;
      wrong_again += encoder.encode(line) != want;
      wrong_again += encoder.encode(line) != want;
    }
  }
  CHECK(by_table == models);
  CHECK(wrong == 0);
  CHECK(wrong_again == 0);
}

TEST_CASE("bpe: a long text without a cut gives the ids of one long merge") {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < rounds(60, 2000); ++seed) {
    const Tokenizer t = Tokenizer::create(token_texts::random_model(seed, ModelType::bpe)).value();
    Rng rng(seed, 6);
    std::string line;
    const std::uint32_t kinds = 1 + rng.below(5);
    const std::size_t size = 65 + rng.below(3000);
    while (line.size() < size) line += std::string_view("ababcd").substr(rng.below(kinds), 1 + rng.below(2));
    wrong += t.encode(line) != general_ids(t, line);
  }
  CHECK(wrong == 0);
}

TEST_CASE("bpe: a chain of pieces that decides the left end by the right end is followed") {
  // piece i = letters i, i+1 of the alphabet; the later the better, so the merges alternate from the right end
  std::vector<SpmPiece> pieces;
  std::string text;
  for (char32_t i = 0; i < 1000; ++i) {
    std::string left, right;
    utf8_append(left, 0x4000 + i);
    utf8_append(right, 0x4001 + i);
    pieces.push_back({left + right, static_cast<float>(i), PieceType::normal});
    pieces.push_back({left, -1e6f, PieceType::normal});
    text += left;
  }
  const Tokenizer t = Tokenizer::create(model_of(pieces)).value();
  for (std::size_t n = 990; n <= 1000; ++n) {
    const std::string part = text.substr(0, n * 3);
    CHECK(t.encode(part) == general_ids(t, part));
    CHECK(t.encode(part).size() == (n + 1) / 2);
  }
}

TEST_CASE("bpe: equal scores merge from the left, positive scores are scores like any other") {
  const Tokenizer equal = Tokenizer::create(model_of({{"ab", 2.0f}, {"bc", 2.0f}, {"a", 0}, {"b", 0}, {"c", 0}})).value();
  CHECK(joined(equal, "abc") == "ab c");
  const Tokenizer right = Tokenizer::create(model_of({{"ab", 2.0f}, {"bc", 3.0f}, {"a", 0}, {"b", 0}, {"c", 0}})).value();
  CHECK(joined(right, "abc") == "a bc");
}

TEST_CASE("bpe: an unused piece is split into the halves it was last formed from") {
  const Tokenizer t = Tokenizer::create(model_of({{"ab", -1.0f},
                                                  {"abc", -2.0f, PieceType::unused},
                                                  {"abcd", -3.0f, PieceType::unused},
                                                  {"a", -4.0f},
                                                  {"b", -5.0f},
                                                  {"c", -6.0f},
                                                  {"d", -7.0f}}))
                          .value();
  CHECK(joined(t, "abcd") == "ab c d");
  CHECK(joined(t, "abab") == "ab ab");
}

TEST_CASE("bpe: a user-defined symbol is one piece wherever it stands and takes no part in merges") {
  const Tokenizer t = Tokenizer::create(model_of({{"ab", -1.0f}, {"a[M]", -2.0f}, {"[M]", 0.0f, PieceType::user_defined}, {"a", -3.0f}, {"b", -4.0f}})).value();
  CHECK(joined(t, "ab[M]a[M]b") == "ab [M] a [M] b");
}

TEST_CASE("bpe: dropout 0 is the encoding, dropout 1 the characters, between them pieces that join to the text") {
  const Tokenizer t = Tokenizer::create(model_of({{"ab", -1.0f}, {"abab", -2.0f}, {"a", -3.0f}, {"b", -4.0f}})).value();
  Rng rng(1);
  CHECK(t.sample("abababab", rng, {.alpha = 0.0}) == t.encode("abababab"));
  CHECK(t.sample("abab", rng, {.alpha = 1.0}) == std::vector<std::int32_t>{3, 4, 3, 4});
  std::size_t whole = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto ids = t.sample("ab", rng, {.alpha = 0.3});
    CHECK(t.decode(ids) == "ab");
    whole += ids.size() == 1;
  }
  CHECK(whole > 1300);
  CHECK(whole < 1500);
}

TEST_CASE("bpe: the cost grows with the text, not with its square") {
  // A megabyte of one segment; quadratic work would take minutes.
  const Tokenizer t = Tokenizer::create(model_of({{"ab", -1.0f}, {"abab", -2.0f}, {"ba", -3.0f}, {"a", -4.0f}, {"b", -5.0f}})).value();
  std::string text;
  while (text.size() < (std::size_t{1} << 20)) text += "ab";
  CHECK(t.encode(text).size() == text.size() / 4);
  CHECK(t.decode(t.encode(text)) == text);
}
