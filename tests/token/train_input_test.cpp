#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/pretokenize.hpp>
#include <midigpt/token/train_input.hpp>
#include <midigpt/token/train_text.hpp>

using namespace midigpt;

namespace {

TokenTrainOptions wide_options() {
  TokenTrainOptions o;
  o.spec.character_coverage = 1.0f;
  return o;
}

std::vector<std::string> words_of(TrainCorpus& corpus) {
  REQUIRE(corpus.finish());
  std::vector<std::string> out;
  for (const auto& w : corpus.words()) out.push_back(std::string(w.text) + ":" + std::to_string(w.count));
  return out;
}

}  // namespace

TEST_CASE("train input: words are counted, most frequent first, then by bytes") {
  auto corpus = TrainCorpus::create(wide_options());
  REQUIRE(corpus);
  for (const char* line : {"b a", "a c", "a"}) corpus->add_line(line);
  CHECK(words_of(*corpus) == std::vector<std::string>{"\xE2\x96\x81" "a:3", "\xE2\x96\x81" "b:1", "\xE2\x96\x81" "c:1"});
}

TEST_CASE("train input: a meta piece in the text is a boundary, whatever its type") {
  TokenTrainOptions o = wide_options();
  o.spec.user_defined_symbols = {"th", "tha"};
  auto corpus = TrainCorpus::create(o);
  REQUIRE(corpus);
  corpus->add_line("that<s>x<unk>");
  CHECK(words_of(*corpus) == std::vector<std::string>{"\xE2\x96\x81\tt\tx\t:1"});
}

TEST_CASE("train input: a file gives the lines that add_line gives, cut at LF only") {
  const std::string path = "train_input_test.tmp";
  std::string text = "one\r\ntwo\n\nlast without end";
  text += std::string(300000, 'x') + "\nafter a long line";
  REQUIRE(write_file_atomic(path, text));
  TokenTrainOptions o = wide_options();
  o.spec.max_sentence_length = 400000;
  auto from_file = TrainCorpus::create(o);
  REQUIRE(from_file);
  REQUIRE(from_file->add_file(path));
  auto from_lines = TrainCorpus::create(o);
  REQUIRE(from_lines);
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t lf = rest.find('\n');
    from_lines->add_line(rest.substr(0, lf));
    rest.remove_prefix(lf == std::string_view::npos ? rest.size() : lf + 1);
  }
  CHECK(words_of(*from_file) == words_of(*from_lines));
  CHECK(from_file->report().lines == 5);
  std::remove(path.c_str());
  CHECK(from_file->add_file("no such file").error().code == Errc::io);
}

TEST_CASE("train input: TSV rows carry counts, a bad row is an error") {
  const std::string path = "train_input_test.tmp";
  TokenTrainOptions o = wide_options();
  o.spec.input_format = "tsv";
  REQUIRE(write_file_atomic(path, std::string_view("a b\t3\na\t10\n")));
  auto corpus = TrainCorpus::create(o);
  REQUIRE(corpus);
  REQUIRE(corpus->add_file(path));
  CHECK(words_of(*corpus) == std::vector<std::string>{"\xE2\x96\x81" "a:13", "\xE2\x96\x81" "b:3"});
  for (const char* bad : {"a\n", "a\t\n", "a\t0\n", "a\t-1\n", "a\t1x\n", "a\t1\t2\n", "a\t123456789012345678901\n"}) {
    CAPTURE(bad);
    REQUIRE(write_file_atomic(path, std::string_view(bad)));
    auto refused = TrainCorpus::create(o);
    REQUIRE(refused);
    CHECK(!refused->add_file(path));
  }
  std::remove(path.c_str());
}

TEST_CASE("train input: sampling keeps input_sentence_size lines, the same ones for the same seed, about evenly") {
  TokenTrainOptions o = wide_options();
  o.spec.input_sentence_size = 200;
  const auto draw = [&](std::uint32_t seed, bool shuffle) {
    o.sampling_seed = seed;
    o.spec.shuffle_input_sentence = shuffle;
    auto corpus = TrainCorpus::create(o);
    REQUIRE(corpus);
    for (int i = 0; i < 2000; ++i) corpus->add_line(std::to_string(i));
    const auto words = words_of(*corpus);
    CHECK(corpus->report().lines_not_drawn == 1800);
    return std::set<std::string>(words.begin(), words.end());
  };
  CHECK(draw(1, true) == draw(1, true));
  CHECK(draw(1, true) != draw(2, true));
  const auto first = draw(1, false);
  CHECK(first.contains("\xE2\x96\x81" "199:1"));
  CHECK(!first.contains("\xE2\x96\x81" "200:1"));
  int late = 0;
  for (const std::string& w : draw(3, true)) late += std::stoi(w.substr(3)) >= 1000;
  CHECK(late > 60);
  CHECK(late < 140);
}

TEST_CASE("train input: the coverage cut leaves the rarest characters out, required ones in") {
  TokenTrainOptions o;
  o.spec.character_coverage = 0.98f;
  o.spec.required_chars = "z";
  auto corpus = TrainCorpus::create(o);
  REQUIRE(corpus);
  for (int i = 0; i < 200; ++i) corpus->add_line("aab");
  corpus->add_line("xyz");
  REQUIRE(corpus->finish());
  std::u32string required;
  for (const auto& c : corpus->required()) required += c.code_point;
  CHECK((required == U"a\x2581" U"bz"));  // by count
  CHECK(corpus->report().distinct_characters == 6);
}

TEST_CASE("pretokenize: scripts, digits and the space mark decide what joins") {
  const auto joins = [](const TrainerSpec& spec, std::u32string_view text) {
    const PieceRules rules(spec);
    PieceShape shape = rules.shape(text[0]);
    for (const char32_t c : text.substr(1)) {
      const PieceShape next = rules.shape(c);
      if (!rules.joins(shape, next)) return false;
      shape = PieceRules::join(shape, next);
    }
    return true;
  };
  TrainerSpec s;
  CHECK(joins(s, U"\x2581""abc"));
  CHECK(!joins(s, U"a\x2581"));
  CHECK(!joins(s, U"a\x0416"));          // Latin, Cyrillic
  CHECK(joins(s, U"\x3042\x30A2\x4E00"));  // kana and ideographs are one script
  CHECK(joins(s, U"\x30FC\x4E00"));
  CHECK(joins(s, U"a\x0301""b"));        // a combining mark takes the script before it
  CHECK(!joins(s, U"a\x0301\x0416"));
  CHECK(!joins(s, U"a1"));               // a digit is Common
  CHECK(joins(s, U"\xE0100\x40000"));    // notes join whatever they are
  s.split_by_number = false;
  CHECK(joins(s, U"a1\x0416"));
  s.split_digits = true;
  CHECK(!joins(s, U"a1"));
  CHECK(!joins(s, U"12"));
  s = {};
  s.split_by_unicode_script = false;
  CHECK(joins(s, U"a\x0416"));
  s.max_sentencepiece_length = 2;
  CHECK(!joins(s, U"abc"));
  s = {};
  s.treat_whitespace_as_suffix = true;
  CHECK(joins(s, U"ab\x2581"));
  CHECK(!joins(s, U"\x2581""a"));
  s.split_by_whitespace = false;
  CHECK(joins(s, U"a\x2581""b"));
  CHECK(!joins(s, U"\x2581""a"));
  s = {};
  s.allow_whitespace_only_pieces = true;
  CHECK(joins(s, U"\x2581\x2581"));
  CHECK(!joins(s, U"\x2581\x2581""a"));
}

TEST_CASE("train text: places are sorted by their neighbour, ties ascending, whatever the count") {
  Rng rng(5);
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{200}, std::size_t{5000}}) {
    std::vector<std::uint32_t> next(n), places(n);
    const std::uint32_t limit = 70000;
    for (std::size_t i = 0; i < n; ++i) {
      next[i] = rng.below(limit);
      places[i] = static_cast<std::uint32_t>(i);
    }
    std::vector<std::uint64_t> scratch;
    detail::token_train::sort_places(std::span(places), limit, scratch, [&](std::uint32_t p) { return next[p]; });
    int wrong = 0;
    for (std::size_t i = 1; i < n; ++i) {
      wrong += next[places[i - 1]] > next[places[i]] || (next[places[i - 1]] == next[places[i]] && places[i - 1] > places[i]);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("train input: a corpus without rules learns the same, and refuses a rule") {
  TokenTrainOptions options;
  options.spec.model_type = ModelType::bpe;
  options.spec.vocab_size = 20;
  options.cap_vocab = true;
  const auto bytes = [&](Result<TrainCorpus> corpus) {
    REQUIRE(corpus);
    for (const char* line : {"abab abc", "abc cab", "abba"}) corpus->add_line(line);
    const auto model = train_bpe(*std::move(corpus));
    REQUIRE(model);
    return spm_model_bytes(*model);
  };
  CHECK(bytes(TrainCorpus::without_rules(options)) == bytes(TrainCorpus::create(options)));
  options.normalizer = normalizer_rule("nmt_nfkc");
  CHECK_FALSE(TrainCorpus::without_rules(options));
  CHECK(TrainCorpus::create(options));
  options.normalizer = normalizer_rule("identity");
  options.denormalization_rule_tsv = "rules.tsv";
  CHECK_FALSE(TrainCorpus::without_rules(options));
}
