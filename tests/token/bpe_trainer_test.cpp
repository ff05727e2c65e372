#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/model.hpp>

namespace {

using namespace midigpt;

// The greedy rule as one would write it down: strings, a map, everything counted again after each merge. A pair that was
// ever seen stays a candidate, even at frequency 0.
std::vector<std::string> naive_bpe(const std::vector<std::string>& lines, const TrainerSpec& spec, std::size_t wanted) {
  std::map<std::string, std::uint64_t> counts;
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    for (std::size_t at = 0; at < line.size();) {
      std::size_t end = line.find(' ', at);
      end = end == std::string::npos ? line.size() : end;
      if (end > at) ++counts["\xE2\x96\x81" + line.substr(at, end - at)];
      at = end + 1;
    }
  }
  struct Word {
    std::vector<std::string> symbols;
    std::uint64_t count;
  };
  std::vector<Word> words;
  for (const auto& [text, count] : counts) {
    Word w{{}, count};
    for (const char32_t c : utf8_code_points(text)) w.symbols.push_back(utf8_encode(std::u32string(1, c)));
    words.push_back(w);
  }
  using Pair = std::pair<std::string, std::string>;  // texts name symbols: a text is produced once
  std::set<Pair> seen, gone;
  std::set<std::string> produced;
  std::vector<std::string> out;
  const auto characters = [](const std::string& s) { return utf8_code_points(s).size(); };
  const auto see = [&] {
    for (const Word& w : words) {
      for (std::size_t i = 0; i + 1 < w.symbols.size(); ++i) {
        const std::string text = w.symbols[i] + w.symbols[i + 1];
        if (characters(text) <= static_cast<std::size_t>(spec.max_sentencepiece_length)) seen.insert({w.symbols[i], w.symbols[i + 1]});
      }
    }
  };
  while (out.size() < wanted) {
    see();
    std::map<Pair, std::uint64_t> frequency;
    for (const Pair& p : seen) {
      if (!gone.contains(p)) frequency[p] = 0;
    }
    for (const Word& w : words) {
      for (std::size_t i = 0; i + 1 < w.symbols.size(); ++i) {
        const auto at = frequency.find({w.symbols[i], w.symbols[i + 1]});
        if (at != frequency.end()) at->second += w.count;
      }
    }
    if (frequency.empty()) break;
    const auto rank = [&](const auto& f) {
      const std::string text = f.first.first + f.first.second;
      return std::tuple(~f.second, characters(text), text);
    };
    auto best = frequency.begin();
    for (auto f = frequency.begin(); f != frequency.end(); ++f) {
      if (rank(*f) < rank(*best)) best = f;
    }
    const Pair pair = best->first;
    gone.insert(pair);
    if (!produced.insert(pair.first + pair.second).second) continue;
    out.push_back(pair.first + pair.second);
    for (Word& w : words) {
      for (std::size_t i = 0; i + 1 < w.symbols.size(); ++i) {
        if (w.symbols[i] != pair.first || w.symbols[i + 1] != pair.second) continue;
        w.symbols[i] += pair.second;
        w.symbols.erase(w.symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        see();  // also the pairs that the next replacement takes away again
      }
    }
  }
  return out;
}

std::vector<std::string> learnt_pieces(const SpmModel& model, std::size_t merges) {
  std::vector<std::string> out;
  for (const SpmPiece& p : model.pieces) {
    if (p.type == PieceType::normal && out.size() < merges) out.push_back(p.piece);
  }
  return out;
}

std::vector<std::string> random_lines(Rng& rng, int alphabet) {
  std::vector<std::string> lines;
  const int count = rng.between(1, 12);
  for (int i = 0; i < count; ++i) {
    std::string line;
    const int length = rng.between(0, 30);
    for (int k = 0; k < length; ++k) {
      if (rng.chance(0.15)) {
        line += ' ';
      } else if (rng.chance(0.2) && !line.empty() && line.back() != ' ') {
        line += line.back();
      } else {
        line += static_cast<char>('a' + rng.between(0, alphabet - 1));
      }
    }
    lines.push_back(line);
  }
  return lines;
}

}  // namespace

TEST_CASE("bpe trainer: learns the pieces that the naive rule learns, into the tail of frequency 0") {
  const std::uint64_t corpora = std::getenv("MIDIGPT_SLOW_TESTS") != nullptr ? 1000 : 150;
  int wrong = 0;
  std::size_t merges = 0;
  for (std::uint64_t seed = 0; seed < corpora; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto lines = random_lines(rng, rng.between(1, 6));
    TokenTrainOptions options;
    options.spec.vocab_size = rng.between(10, 90);
    options.spec.character_coverage = 1.0f;
    options.spec.max_sentencepiece_length = rng.between(2, 8);
    options.cap_vocab = true;
    TokenTrainReport report;
    const auto model = train_bpe(std::span(lines), options, nullptr, &report);
    REQUIRE(model);
    const std::size_t wanted = static_cast<std::size_t>(options.spec.vocab_size) - report.distinct_covered - 3;
    const auto want = naive_bpe(lines, options.spec, wanted);
    wrong += learnt_pieces(*model, report.merges) != want;
    merges += want.size();
  }
  MESSAGE(corpora << " corpora, " << merges << " merges");
  CHECK(merges > 10 * corpora);
  CHECK(wrong == 0);
}

TEST_CASE("bpe trainer: the number of threads does not change the model") {
  Rng rng(7);
  std::vector<std::string> lines;
  for (int i = 0; i < 400; ++i) {
    std::string line;
    for (int k = 0; k < 64; ++k) utf8_append(line, static_cast<char32_t>(0x40000 + rng.between(0, 30) * rng.between(0, 30)));
    lines.push_back(line);
  }
  TokenTrainOptions options;
  options.spec.vocab_size = 2000;
  const auto alone = train_bpe(std::span(std::as_const(lines)), options);
  ThreadPool pool(4);
  const auto together = train_bpe(std::span(std::as_const(lines)), options, &pool);
  REQUIRE(alone);
  REQUIRE(together);
  CHECK(*alone == *together);
  CHECK(alone->pieces.size() == 2000);
}

TEST_CASE("bpe trainer: a vocabulary that the text cannot fill is an error, or a cap") {
  const std::vector<std::string> lines{"ab ab abc"};
  TokenTrainOptions options;
  options.spec.vocab_size = 1000;
  options.spec.character_coverage = 1.0f;
  const auto refused = train_bpe(std::span(lines), options);
  REQUIRE(!refused);
  CHECK(refused.error().what.find("Vocabulary size too high (1000). Please set it to a value <= ") != std::string::npos);
  options.cap_vocab = true;
  TokenTrainReport report;
  const auto capped = train_bpe(std::span(lines), options, nullptr, &report);
  REQUIRE(capped);
  CHECK(capped->trainer.vocab_size == static_cast<std::int32_t>(capped->pieces.size()));
  CHECK(report.vocab_size == capped->trainer.vocab_size);
  CHECK(report.distinct_covered == 4);  // a b c and the space mark
}

TEST_CASE("bpe trainer: the report counts what was dropped and why") {
  const std::vector<std::string> lines{"abc", "", std::string(60, 'x'), "a\xE2\x96\x85" "b", "abcd"};
  TokenTrainOptions options;
  options.spec.vocab_size = 10;
  options.spec.max_sentence_length = 50;
  options.spec.character_coverage = 1.0f;
  TokenTrainReport report;
  REQUIRE(train_bpe(std::span(lines), options, nullptr, &report));
  CHECK(report.lines == 5);
  CHECK(report.lines_empty == 1);
  CHECK(report.lines_too_long == 1);
  CHECK(report.lines_reserved == 1);
  CHECK(report.characters == 9);
  CHECK(report.characters_covered == 9);
}
