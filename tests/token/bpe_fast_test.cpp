#include <midigpt/token/bpe_fast.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/charsmap_builder.hpp>
#include <token/naive_encode.hpp>
#include <token/token_texts.hpp>

using namespace midigpt;

namespace {

using Symbols = std::span<const BpeSymbol>;
using Ids = std::optional<std::vector<std::int32_t>>;

constexpr std::string_view k_note = "\xF1\x80\x8C\xA1";  // U+40321, a note of four bytes

/// A model with its fast encoder; the memory is that of the text before.
struct Reader {
  explicit Reader(const SpmModel& model)
      : vocab(Vocab::create(model).value()),
        naive(vocab.model()),
        symbols(vocab.user_defined()),
        normalizer(Normalizer::create(model.normalizer, model.trainer.treat_whitespace_as_suffix, vocab.user_defined())
                       .value()),
        fast(FastBpe::create(vocab, normalizer.charsmap())) {}

  /// What an encoder must make of symbols: a run of unknown ones is one id, or each is its bytes.
  void put(BpeSymbol s, std::vector<std::int32_t>& out) {
    const std::int32_t id = fast->table().id(s);
    if (id == vocab.unk_id() && vocab.byte_fallback()) {
      std::string bytes;
      utf8_append(bytes, fast->table().code_point(s));
      for (const char c : bytes) out.push_back(vocab.byte_id(static_cast<unsigned char>(c)));
    } else if (id != vocab.unk_id() || !after_unknown) {
      out.push_back(id);
    }
    after_unknown = id == vocab.unk_id();
  }

  std::size_t put(Symbols pieces, std::int32_t* out) {
    std::vector<std::int32_t> made;
    after_unknown = false;
    for (const BpeSymbol s : pieces) put(s, made);
    std::copy(made.begin(), made.end(), out);
    return made.size();
  }

  Ids first(std::optional<std::size_t> count) const {
    if (!count) return std::nullopt;
    if (*count > ids.size()) return std::vector<std::int32_t>{-1};
    return std::vector(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(*count));
  }

  Ids plain(std::string_view text) {
    return first(
        fast->encode_plain(text, scratch, ids, [&](Symbols pieces, std::int32_t* out) { return put(pieces, out); }));
  }
  Ids words(std::string_view text, WordCache* some = nullptr) {
    return first(fast->encode_words(text, scratch, some, ids,
                                    [&](Symbols pieces, std::int32_t* out) { return put(pieces, out); }));
  }

  /// Ids of normalised text; nothing where it is ill-formed. The sizes of what it says must add up to the text.
  Ids normalized(std::string_view text) {
    std::vector<std::int32_t> out;
    std::size_t at = 0;
    after_unknown = false;
    const auto emit = [&](BpeSymbol s) {
      put(s, out);
      at += fast->table().bytes(s);
    };
    const auto emit_defined = [&](std::size_t size) {
      out.push_back(vocab.id(text.substr(at, size)));
      after_unknown = false;
      at += size;
    };
    if (!fast->encode_normalized(text, symbols, scratch, emit, emit_defined)) return std::nullopt;
    if (at != text.size()) out.push_back(-1);
    return out;
  }

  std::vector<std::int32_t> want(std::string_view text) const { return naive::bpe(naive, normalizer.normalise(text)); }

  Vocab vocab;
  naive::Vocabulary naive;
  SymbolMatcher symbols;
  Normalizer normalizer;
  std::optional<FastBpe> fast;
  BpeTableScratch scratch;
  std::vector<std::int32_t> ids;
  WordCache cache;
  bool after_unknown = false;
};

/// A space at 1, then words of a, b and notes that begin with one, as trained models have them.
SpmModel word_model() {
  const std::string mark(k_space_mark), note(k_note);
  SpmModel m;
  m.trainer.model_type = ModelType::bpe;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}, {mark, -99.0f}};
  for (const std::string& text : {mark + "a", mark + note, std::string("ab"), note + note, mark + "ab", mark + "aab",
                                  note + note + note, std::string("a"), std::string("b"), note}) {
    m.pieces.push_back({text, -static_cast<float>(m.pieces.size())});
  }
  std::string word = mark + "ab";
  for (int i = 0; i < 7; ++i)
    m.pieces.push_back({word += "ab", -static_cast<float>(m.pieces.size())});  // of up to 16 letters
  word.back() = 'b';
  word[word.size() - 2] = 'b';
  word.pop_back();
  m.pieces.push_back({word, -static_cast<float>(m.pieces.size())});  // and of 15
  return m;
}

/// Told from the specification: characters that no rule but those of spaces can touch.
bool is_plain(const SpmModel& model, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_decode(text, at);
    const std::string_view one = text.substr(at, c.size);
    if (!c.valid || c.code_point == 0 || (model.normalizer.remove_extra_whitespaces && one == k_space_mark))
      return false;
    for (const SpmPiece& p : model.pieces) {
      if (p.type != PieceType::user_defined) continue;
      const std::size_t skip = p.piece.starts_with(k_space_mark) ? k_space_mark.size() : 0;
      if (std::string_view(p.piece).substr(skip).starts_with(one)) return false;
    }
    at += c.size;
  }
  return true;
}

}  // namespace

TEST_CASE("bpe fast: random models, all roads lead to the naive encoder's ids, and plain text takes the short one") {
  std::size_t wrong = 0, wrong_road = 0, plain = 0, by_words = 0, defined = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SpmModel model = token_texts::random_model(seed, ModelType::bpe, seed % 2 == 1);
    if (seed % 4 >= 2) {  // as trained models are: a space only where a piece begins
      model.normalizer.add_dummy_prefix = true;
      std::erase_if(model.pieces, [](const SpmPiece& p) {
        return p.piece == k_space_mark || p.piece.find(k_space_mark, 1) != std::string::npos;
      });
      model.pieces.push_back({std::string(k_space_mark), -1000.0f});
    }
    Reader reader(model);
    if (!reader.fast) continue;
    Rng rng(seed, 1);
    for (int i = 0; i < 40; ++i) {
      const std::string line = token_texts::random_line(rng, 1 + rng.below(60));
      const auto want = reader.want(line);
      const Ids by_plain = reader.plain(line);
      wrong_road += by_plain.has_value() != is_plain(model, line);
      wrong += by_plain && by_plain != want;
      plain += by_plain.has_value();
      if (reader.fast->words_apart()) {
        for (WordCache* cache : {static_cast<WordCache*>(nullptr), &reader.cache, &reader.cache}) {
          const Ids ids = reader.words(line, cache);
          wrong_road += ids.has_value() != by_plain.has_value();
          wrong += ids && ids != want;
        }
        ++by_words;
      }
      wrong += reader.normalized(reader.normalizer.normalise(line)) != want;
      defined += !reader.symbols.empty();
    }
  }
  MESSAGE(plain << " plain lines, " << by_words << " by words, " << defined << " beside user-defined symbols");
  CHECK(wrong == 0);
  CHECK(wrong_road == 0);
  CHECK(plain > 3000);
  CHECK(by_words > 500);
  CHECK(defined > 1000);
}

TEST_CASE("bpe fast: notes are read in blocks up to what is no note, wherever it stands") {
  for (const bool remove_extra : {true, false}) {
    SpmModel model = word_model();
    model.normalizer.remove_extra_whitespaces = remove_extra;
    model.normalizer.precompiled_charsmap =
        compile_charsmap({{"\xF0\x9F\x8E\xB5", " "}, {"\xF0\x9F\x8E\xB6", "b"}});  // U+1F3B5, U+1F3B6
    Reader reader(model);
    REQUIRE(reader.fast);
    std::size_t wrong = 0;
    for (const std::string_view between : {"", " ", "  ", "a", "\xC3\xA9", "\xE2\x96\x82", "\xF0\x9F\x8E\xB5",
                                           "\xF0\x9F\x8E\xB6", "\xFF", "\xF1\x80\x8C", "\xF8\x80\x8C\xA1"}) {
      const bool readable = utf8_first_invalid(between) == std::string::npos && between != "\xF0\x9F\x8E\xB6";
      for (const std::size_t notes : {0u, 1u, 31u, 32u, 33u, 65u}) {
        for (std::size_t at = 0; at <= notes; at += at % 32 == 1 && at + 30 <= notes ? 29 : 1) {
          std::string text;
          for (std::size_t i = 0; i < notes; ++i) (text += i == at ? between : "") += k_note;
          if (at == notes) text += between;
          const Ids want = readable ? Ids(reader.want(text)) : std::nullopt;
          wrong += reader.plain(text) != want;
          wrong += reader.words(text) != want;
        }
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("bpe fast: words of every length with a space at every place, before every byte") {
  for (const bool remove_extra : {true, false}) {
    SpmModel model = word_model();
    model.normalizer.remove_extra_whitespaces = remove_extra;
    Reader reader(model);
    REQUIRE(reader.fast->words_apart());
    std::size_t wrong = 0;
    for (std::size_t size = 0; size <= 36; ++size) {
      for (std::size_t at = 0; at <= size; ++at) {
        for (const char after : {'b', '!', ' ', '\x1F', '\x7F'}) {
          std::string text;
          while (text.size() < size) text += text.size() % 2 == 0 ? 'a' : 'b';
          if (at < size) text[at] = ' ';
          if (at + 1 < size) text[at + 1] = after;
          const auto want = reader.want(text);
          wrong += reader.words(text) != want;
          wrong += reader.words(text, &reader.cache) != want;
          wrong += reader.plain(text) != want;
        }
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("bpe fast: no text is no piece, spaces alone are none or each one") {
  SpmModel model = word_model();
  for (const bool remove_extra : {true, false}) {
    model.normalizer.remove_extra_whitespaces = remove_extra;
    Reader reader(model);
    for (std::size_t n = 0; n < 4; ++n) {
      const std::vector<std::int32_t> want(remove_extra || n == 0 ? 0 : n + 1, 1);
      CHECK(reader.plain(std::string(n, ' ')) == want);
      CHECK(reader.words(std::string(n, ' ')) == want);
      CHECK(reader.want(std::string(n, ' ')) == want);
    }
    CHECK(reader.normalized("") == std::vector<std::int32_t>{});
  }
}

TEST_CASE("bpe fast: words are read apart only where a space begins each and stands first in its pieces") {
  const auto apart = [](const SpmModel& model) {
    const Reader reader(model);
    REQUIRE(reader.fast);
    return reader.fast->words_apart();
  };
  const std::string mark(k_space_mark);
  SpmModel model = word_model();
  CHECK(apart(model));
  model.normalizer.remove_extra_whitespaces = false;
  CHECK(apart(model));
  model.normalizer.add_dummy_prefix = false;
  CHECK_FALSE(apart(model));
  model = word_model();
  model.pieces[1].piece = "x";  // the space itself is unknown
  CHECK_FALSE(apart(model));
  for (const std::string& text : {"b" + mark, mark + mark, mark + "b" + mark, "a" + mark + "b"}) {
    model = word_model();
    model.pieces.push_back({text, -99.0f});
    CHECK_FALSE(apart(model));
  }
  model = word_model();
  model.pieces.push_back({" x", 0.0f, PieceType::user_defined});
  CHECK_FALSE(apart(model));
  model.pieces.back().piece = "x";
  CHECK(apart(model));
  model = word_model();
  model.normalizer.escape_whitespaces = false;
  CHECK_FALSE(apart(model));
  CHECK_FALSE(Reader(model).plain("ab"));
  model = word_model();
  model.trainer.treat_whitespace_as_suffix = true;
  CHECK_FALSE(apart(model));
  CHECK_FALSE(Reader(model).plain("ab"));
}

TEST_CASE("bpe fast: a model for the general encoder has none") {
  SpmModel model = word_model();
  CHECK(Reader(model).fast);
  model.pieces[3].score = model.pieces[2].score;
  CHECK_FALSE(Reader(model).fast);
}

TEST_CASE("bpe fast: the cache answers for short words that are no piece, and learns those it is asked for") {
  Reader reader(word_model());
  const auto cached = [&](std::string_view word) {
    const WordCache::Found found = reader.cache.find(WordKey::of(word, word.size()));
    return std::vector(found.ids, found.ids + found.count);
  };
  for (const std::string_view word : {"b", "ba", "b?", "bbbbbbbbbb", "bbbbbbbbbbb", "babababababbaba", "\xC3\xA9"}) {
    CAPTURE(word);
    CHECK(cached(word).empty());
    const auto ids = reader.words(std::string("a ").append(word) + " ab", &reader.cache);
    CHECK(ids == reader.want(std::string("a ").append(word) + " ab"));
    CHECK(cached(word) ==
          (reader.want(word).size() <= WordCache::k_max_ids ? reader.want(word) : std::vector<std::int32_t>{}));
  }
  const std::string_view sixteen = "bababababababbab";
  CHECK(reader.words(sixteen, &reader.cache) == reader.want(sixteen));
  CHECK(cached("a").empty());
  CHECK(cached("ab").empty());
  CHECK(cached(sixteen.substr(0, 15)).empty());
  CHECK(reader.cache.find(WordKey{}).count == 0);  // a long word has no key to be kept under

  const std::vector<std::int32_t> told = {700, 701};  // what only the cache can know
  reader.cache.insert(WordKey::of("bb", 2), told);
  reader.cache.insert(WordKey::of("ab", 2), told);
  const std::int32_t ab = 6;
  REQUIRE(reader.vocab.piece(ab) == std::string(k_space_mark) + "ab");
  CHECK(reader.words("bb ab bb", &reader.cache) == std::vector<std::int32_t>{700, 701, ab, 700, 701});
  CHECK(reader.words("bb") == reader.want("bb"));
}

TEST_CASE("bpe fast: put is asked for the pieces of the words that are none, and of no others") {
  Reader reader(word_model());
  std::size_t asked = 0;
  const auto words = [&](std::string_view text, WordCache* cache) {
    asked = 0;
    const auto put = [&](Symbols pieces, std::int32_t* out) {
      ++asked;
      return reader.put(pieces, out);
    };
    return reader.first(reader.fast->encode_words(text, reader.scratch, cache, reader.ids, put));
  };
  const std::string note(k_note);
  CHECK(words("a ab " + note + " aab ababab a", nullptr) == reader.want("a ab " + note + " aab ababab a"));
  CHECK(asked == 0);
  CHECK(words("abababababababb", nullptr) == reader.want("abababababababb"));
  CHECK(asked == 0);
  CHECK(reader.want("abababababababab").size() == 1);
  CHECK(words("abababababababab", nullptr) == reader.want("abababababababab"));
  CHECK(asked == 1);  // a piece, but longer than the words that are noted
  for (std::size_t size = 1; size < 40; ++size) {
    const std::string text = std::string(size, 'b') + " ba a a a a a a a a a";
    CHECK(words(text, nullptr) == reader.want(text));
    CHECK(asked == 2);
  }
  CHECK(words("ba a ba", nullptr) == reader.want("ba a ba"));
  CHECK(asked == 2);
  CHECK(words("ba a ba", &reader.cache) == reader.want("ba a ba"));
  CHECK(asked == 1);
}

TEST_CASE("bpe fast: each unknown character can take as many ids as it has bytes, in memory that is just enough") {
  SpmModel model = word_model();
  model.trainer.byte_fallback = true;
  for (int b = 0; b < 256; ++b) {
    static constexpr char k_digits[] = "0123456789ABCDEF";
    model.pieces.push_back({std::string("<0x") + k_digits[b / 16] + k_digits[b % 16] + ">", 0.0f, PieceType::byte});
  }
  std::size_t wrong = 0;
  for (const std::string_view one : {"?", "\xC2\x80", "\xE2\x96\x82", "\xF4\x8F\xBF\xBF", "? ", "\xF4\x8F\xBF\xBF "}) {
    std::string text;
    for (int n = 0; n < 70; ++n, text += one) {
      Reader reader(model);
      wrong += reader.plain(text) != reader.want(text);
      Reader other(model);
      wrong += other.words(text, n % 2 == 0 ? &other.cache : nullptr) != other.want(text);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("bpe fast: rules that make spaces are read on the way, all others leave the text to the normaliser") {
  SpmModel model = word_model();
  model.normalizer.precompiled_charsmap =
      compile_charsmap({{"\t", " "}, {"\xE3\x80\x80", " "}, {"A", "a"}, {"e\xCC\x81", "\xC3\xA9"}, {"z", "z"}});
  static constexpr std::string_view k_parts[] = {"a", "b", " ", "\t", "\xE3\x80\x80", "e", "z", "A", "\xCC\x81"};
  std::size_t wrong = 0, plain = 0;
  for (const bool remove_extra : {true, false}) {
    model.normalizer.remove_extra_whitespaces = remove_extra;
    Reader reader(model);
    REQUIRE(reader.fast->words_apart());
    for (std::size_t i = 0; i < 9 * 9 * 9 * 9; ++i) {
      std::string text;
      for (std::size_t k = 0, rest = i; k < 4; ++k, rest /= 9) text += k_parts[rest % 9];
      const bool readable = text.find('A') == std::string::npos && text.find(k_parts[8]) == std::string::npos;
      const Ids want = readable ? Ids(reader.want(text)) : std::nullopt;
      wrong += reader.plain(text) != want;
      wrong += reader.words(text) != want;
      plain += readable;
    }
  }
  CHECK(plain == 2 * 7 * 7 * 7 * 7);
  CHECK(wrong == 0);
}

TEST_CASE("bpe fast: ill-formed normalised text is refused, user-defined symbols are told with their sizes") {
  SpmModel model = word_model();
  for (const char* text : {"[M]", "[M]]", "a["}) model.pieces.push_back({text, 0.0f, PieceType::user_defined});
  Reader reader(model);
  REQUIRE(reader.fast);
  for (const std::string_view text : {"[M]", "ab[M]]b", "[M][M]ab", "a[M]", "[M", "aba[M]]"}) {
    CAPTURE(text);
    CHECK(reader.normalized(text) == naive::bpe(reader.naive, text));
  }
  for (const std::string_view text : {"\xFF", "ab\xC3", "[M]\xFF[M]", "\xED\xA0\x80", "ab\xF1\x80\x8C"}) {
    CAPTURE(text);
    CHECK_FALSE(reader.normalized(text));
  }
}
