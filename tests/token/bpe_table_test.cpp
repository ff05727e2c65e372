#include <midigpt/token/bpe_table.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <token/naive_encode.hpp>
#include <token/token_texts.hpp>

using namespace midigpt;

namespace {

SpmModel model_of(const std::vector<SpmPiece>& pieces) {
  SpmModel m;
  m.trainer.model_type = ModelType::bpe;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}};
  m.pieces.insert(m.pieces.end(), pieces.begin(), pieces.end());
  return m;
}

bool has_table(const std::vector<SpmPiece>& pieces) {
  return BpeTable::create(Vocab::create(model_of(pieces)).value()).has_value();
}

/// Pieces of 2, 4, 8... characters, each the one before twice, and one of `size` characters from the largest two.
std::vector<SpmPiece> doublings(const std::string& character, std::size_t size) {
  std::vector<SpmPiece> pieces;
  std::string text = character;
  float score = 0.0f;
  while (2 * text.size() < size * character.size()) pieces.push_back({text += text, score -= 1.0f});
  std::string whole;
  while (whole.size() < size * character.size()) whole += character;
  pieces.push_back({whole, score - 1.0f});
  return pieces;
}

/// A table and all that reading one text with it needs; the memory is that of the text before.
struct Reader {
  explicit Reader(const SpmModel& model)
      : vocab(Vocab::create(model).value()), naive(vocab.model()), table(BpeTable::create(vocab)) {}

  /// Symbols of the pieces of `text`, a well-formed one.
  std::vector<BpeSymbol> symbols(std::string_view text) {
    const std::u32string points = utf8_code_points(text);
    scratch.reserve(points.size());
    for (std::size_t i = 0; i < points.size(); ++i) scratch.text()[i] = table->map().symbol(points[i]);
    const std::size_t made = table->encode(scratch.text(), points.size(), scratch.pieces());
    return {scratch.pieces(), scratch.pieces() + made};
  }

  /// True when the ids are the naive encoder's, and the pieces are, one after the other, the text.
  bool reads(std::string_view text) {
    std::vector<std::int32_t> ids;
    std::string spelled;
    std::size_t bytes = 0;
    for (const BpeSymbol s : symbols(text)) {
      const std::int32_t id = table->id(s);
      if (id != vocab.unk_id() || ids.empty() || ids.back() != vocab.unk_id()) ids.push_back(id);
      if (id != vocab.unk_id()) {
        spelled += vocab.piece(id);
      } else {
        utf8_append(spelled, table->code_point(s));
      }
      bytes += table->bytes(s);
      if (bytes != spelled.size()) return false;
    }
    return spelled == text && ids == naive::bpe(naive, text);
  }

  Vocab vocab;
  naive::Vocabulary naive;
  std::optional<BpeTable> table;
  BpeTableScratch scratch;
};

}  // namespace

TEST_CASE("number table: what a std::map says, up to the largest numbers, full and empty") {
  using Table = detail::bpe_table::NumberTable;
  for (const std::size_t n : {0u, 1u, 32u, 33u, 5000u}) {
    CAPTURE(n);
    Rng rng(n, 1);
    const auto number = [&] { return rng.chance(0.5) ? rng.below(80) : Table::k_none - 1 - rng.below(80); };
    Table table;
    table.reserve(n);
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> twin;
    while (twin.size() < n) {
      const std::pair key{number(), number()};
      if (!twin.try_emplace(key, number()).second) continue;
      table.insert(key.first, key.second, twin[key]);
    }
    int wrong = 0;
    for (const auto& [key, value] : twin) wrong += table.find(key.first, key.second) != value;
    for (int i = 0; i < 20000; ++i) {
      const std::pair key{rng.chance(0.1) ? k_unknown_symbol | number() : number(), number()};
      const auto at = twin.find(key);
      wrong += table.find(key.first, key.second) != (at == twin.end() ? Table::k_none : at->second);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("pair filter: yes to every pair that is in, no to most others, to all when it is empty") {
  using Filter = detail::bpe_table::PairFilter;
  CHECK_FALSE(Filter().may_have(0, 1));
  for (const std::size_t n : {0u, 1u, 128u, 129u, 20000u}) {
    CAPTURE(n);
    Rng rng(n, 2);
    Filter filter;
    filter.reserve(n);
    std::set<std::pair<std::uint32_t, std::uint32_t>> twin;
    while (twin.size() < n) twin.emplace(rng.below(0x1FFFFF), rng.below(400));
    for (const auto& [a, b] : twin) filter.insert(a, b);
    std::size_t denied = 0, others = 0;
    for (const auto& [a, b] : twin) denied += !filter.may_have(a, b);
    for (int i = 0; i < 10000; ++i) others += filter.may_have(rng.below(0x1FFFFF), 400 + rng.below(400));
    CHECK(denied == 0);
    CHECK(others < (n == 0 ? 1 : 2000));  // at most an eighth of the bits is set
  }
}

TEST_CASE("bpe table: memory for a text has room for its pieces beside it, and grows by more than a little") {
  BpeTableScratch scratch;
  for (const std::size_t n : {1u, 5u, 4u, 100u}) {
    const BpeSymbol* before = scratch.text();
    const bool fits = n <= scratch.capacity;
    scratch.reserve(n);
    CHECK((fits ? scratch.text() == before : scratch.text() != before));
    REQUIRE(scratch.capacity >= n);
    for (BpeSymbol i = 0; i < n; ++i) scratch.text()[i] = i;
    for (BpeSymbol i = 0; i < n; ++i) scratch.pieces()[i] = 1000 + i;
    CHECK(scratch.text()[n - 1] == n - 1);
  }
  scratch.reserve(101);
  CHECK(scratch.capacity == 200);
}

TEST_CASE("bpe table: all short texts and long ones read as the naive encoder merges them") {
  static constexpr std::string_view k_letters[] = {"a", "b", "\xE2\x96\x81", "c", "?"};  // the last one is in no piece
  std::size_t wrong = 0, tables = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Reader reader(token_texts::random_model(seed, ModelType::bpe));
    if (!reader.table) continue;
    ++tables;
    for (std::size_t size = 0, count = 1; size <= 4; ++size, count *= 5) {
      for (std::size_t i = 0; i < count; ++i) {
        std::string text;
        for (std::size_t k = 0, rest = i; k < size; ++k, rest /= 5) text += k_letters[rest % 5];
        wrong += !reader.reads(text);
      }
    }
    Rng rng(seed, 3);
    for (int i = 0; i < 60; ++i) {
      std::string line = token_texts::random_line(rng);
      while (utf8_first_invalid(line) != std::string::npos) line.erase(utf8_first_invalid(line), 1);
      wrong += !reader.reads(line);
    }
  }
  MESSAGE(tables << " models");
  CHECK(tables > 25);
  CHECK(wrong == 0);
}

TEST_CASE("bpe table: thousands of pieces over hundreds of characters of one to four bytes") {
  static constexpr char32_t k_starts[] = {U'0', 0x7F, 0x7FC, 0xFFFD, 0x40000};
  for (const std::uint32_t letters : {12u, 60u, 300u}) {
    CAPTURE(letters);
    Rng rng(letters, 4);
    std::vector<std::string> texts;
    std::vector<SpmPiece> pieces;
    for (std::uint32_t i = 0; i < letters; ++i) {
      utf8_append(texts.emplace_back(), i % 6 == 5 ? 0x10FFFF - i / 6 : k_starts[i % 6] + i / 6);
      if (i != 0) pieces.push_back({texts[i], -1e6f});  // the first one is unknown
    }
    SpmModel model = model_of(pieces);
    naive::Vocabulary known(model);
    while (texts.size() <
           3000 + letters) {  // as a trainer does: two pieces that stand side by side become the next one
      const auto pick = [&] {
        return texts[rng.chance(0.5) ? rng.below(letters) : rng.below(static_cast<std::uint32_t>(texts.size()))];
      };
      const std::string text = pick() + pick();
      if (text.size() > 100 || naive::bpe(known, text).size() != 2) continue;
      texts.push_back(text);
      known.matchable[text] = static_cast<std::int32_t>(model.pieces.size());
      model.pieces.push_back({text, -static_cast<float>(texts.size())});
    }
    Reader reader(model);
    REQUIRE(reader.table);
    int wrong = 0;
    for (int i = 0; i < 200; ++i) {
      std::string line;
      for (std::uint32_t n = rng.below(12); n > 0; --n)
        line += texts[rng.below(static_cast<std::uint32_t>(texts.size()))];
      wrong += !reader.reads(line);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("bpe table: a chain that decides the left end by the right end is taken back as far as need be") {
  std::vector<SpmPiece> pieces;  // neighbours in the alphabet; the later, the better
  std::string alphabet;
  for (char32_t c = 0; c < 60; ++c) {
    std::string pair;
    utf8_append(pair, 0x4000 + c);
    alphabet += pair;
    utf8_append(pair, 0x4001 + c);
    pieces.push_back({pair, static_cast<float>(c)});
  }
  Reader reader(model_of(pieces));
  REQUIRE(reader.table);
  for (std::size_t n = 0; n <= 60; ++n) {
    CAPTURE(n);
    CHECK(reader.symbols(alphabet.substr(0, 3 * n)).size() == (n + 1) / 2);
    CHECK(reader.reads(alphabet.substr(0, 3 * n)));
  }
}

TEST_CASE("bpe table: the joined pieces that text can become are those that their own text becomes") {
  std::size_t some = 0, wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Reader reader(token_texts::random_model(seed, ModelType::bpe));
    if (!reader.table) continue;
    std::set<std::int32_t> want, got;
    for (std::int32_t id = 0; id < reader.vocab.size(); ++id) {
      const std::string& text = reader.vocab.piece(id);
      const bool joined = reader.vocab.type(id) == PieceType::normal && utf8_code_points(text).size() > 1;
      if (joined && naive::bpe(reader.naive, text) == std::vector{id}) want.insert(id);
      some += joined && !want.contains(id);
    }
    reader.table->for_each_joined([&](std::int32_t id) { wrong += !got.insert(id).second; });
    wrong += got != want;
  }
  CHECK(wrong == 0);
  CHECK(some > 100);  // pieces that never come up
}

TEST_CASE("bpe table: a character keeps its code point and its bytes, known or not") {
  const char32_t points[] = {1, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF};
  for (const bool known : {false, true}) {
    std::vector<SpmPiece> pieces = {{"ab", -1.0f}, {"ba", -3.0f}};
    for (const char32_t c : points) pieces.push_back({utf8_encode(std::u32string_view(&c, 1)), -2.0f});
    if (!known) pieces.resize(2);
    const Reader reader(model_of(pieces));
    REQUIRE(reader.table);
    std::int32_t id = 3;
    for (const char32_t c : points) {
      CAPTURE(static_cast<std::uint32_t>(c));
      const BpeSymbol s = reader.table->map().symbol(c);
      CHECK((known ? s < 12 : s == (k_unknown_symbol | static_cast<BpeSymbol>(c))));  // 12 different ones in the pieces
      CHECK(reader.table->code_point(s) == c);
      CHECK(reader.table->bytes(s) == utf8_encode(std::u32string_view(&c, 1)).size());
      CHECK(reader.table->id(s) == (known ? id++ : 0));
    }
    CHECK(reader.table->id(reader.table->map().symbol(U'a')) == 0);  // a letter of a piece, no piece itself
  }
}

TEST_CASE("bpe table: models for the general encoder are left to it") {
  CHECK(has_table({{"ab", -1.0f}, {"abc", -2.0f}, {"bc", -3.0f}}));
  CHECK_FALSE(has_table({{"ab", -1.0f}, {"abc", -2.0f, PieceType::unused}, {"bc", -3.0f}}));
  CHECK_FALSE(has_table({{"ab", -1.0f}, {"abc", -2.0f}, {"bc", -1.0f}}));       // equal scores
  CHECK(has_table({{"ab", -1.0f}, {"a", -1.0f}, {"b", -1.0f}}));                // a character is never merged
  CHECK(has_table({{"ab", -1.0f}, {"a[M]", -1.0f, PieceType::user_defined}}));  // nor is a symbol
  CHECK_FALSE(has_table({{"abc", -1.0f}, {"ab", -2.0f}}));                      // from one of a lower score
  CHECK(has_table({{"abc", -1.0f}, {"ax", -2.0f}}));                            // from nothing: never comes up
  CHECK(has_table({{"ab", -1.0f}, {"a\xFF", -2.0f}}));                          // no text has it
  CHECK_FALSE(has_table({{"ab", -1.0f}, {"a\xFF", 0.0f, PieceType::user_defined}}));
  CHECK(has_table({{"<u", -1.0f}, {"nk", -2.0f}, {"nk>", -3.0f}}));
  CHECK_FALSE(has_table({{"<u", -1.0f}, {"nk", -2.0f}, {"nk>", -3.0f}, {"<unk>", -4.0f}}));  // the unknown piece's text
  CHECK(has_table({{"<u", -1.0f}, {"nk", -2.0f}, {"<unk>", -4.0f}}));  // which never comes up here
  for (const std::string letter : {"a", "\xF1\x80\x8C\xA1"}) {
    CAPTURE(letter.size());
    CHECK(has_table(doublings(letter, 256)));
    CHECK_FALSE(has_table(doublings(letter, 257)));
    Reader reader(model_of(doublings(letter, 256)));
    REQUIRE(reader.table);
    CHECK(reader.symbols(reader.vocab.piece(8)).size() == 1);
    CHECK(reader.reads(reader.vocab.piece(8) + letter));
  }
}

TEST_CASE("bpe table: a model without a character reads every text as unknown") {
  Reader reader(model_of({}));
  REQUIRE(reader.table);
  for (const std::string_view text : {"", "a", "ab\xC3\xA9"}) CHECK(reader.reads(text));
}
