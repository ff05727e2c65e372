#include <midigpt/token/count_trainer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

std::string random_line(Rng& rng) {
  std::string line;
  for (std::uint32_t n = 1 + rng.below(12); n > 0; --n) {
    if (!line.empty()) line += ' ';
    for (std::uint32_t k = 1 + rng.below(3); k > 0; --k) line += static_cast<char>('a' + rng.below(4));
  }
  return line;
}

/// What learning must find: texts by count, the more frequent first, then by their bytes.
std::vector<std::pair<std::string, int>> ranked(const std::map<std::string, int>& counts) {
  std::vector<std::pair<std::string, int>> out(counts.begin(), counts.end());
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

/// Compares the pieces behind the three fixed ones with `want`; with `cut` the vocabulary has room for that many.
void check_model(ModelType type, const std::vector<std::string>& lines, const std::map<std::string, int>& counts,
                 std::size_t cut) {
  TokenTrainOptions options;
  options.spec.model_type = type;
  options.spec.character_coverage = 1.0f;
  options.spec.vocab_size = static_cast<std::int32_t>(3 + cut);
  options.normalizer.name = "identity";
  auto corpus = TrainCorpus::create(options);
  REQUIRE(corpus);
  for (const std::string& line : lines) corpus->add_line(line);
  const auto model = train_by_count(*std::move(corpus));
  REQUIRE(model);
  const auto want = ranked(counts);
  float sum = 0;
  for (const auto& [text, count] : want) sum += static_cast<float>(count);
  REQUIRE(model->pieces.size() == 3 + cut);
  for (std::size_t i = 0; i < cut; ++i) {
    CHECK(model->pieces[3 + i].piece == want[i].first);
    CHECK(model->pieces[3 + i].score == doctest::Approx(std::log(static_cast<float>(want[i].second) / sum)));
  }
}

}  // namespace

TEST_CASE("count trainer: words and characters stand by their counts, with the logarithm of their share") {
  const std::string mark = "\xE2\x96\x81";
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    Rng rng(seed, 1);
    std::vector<std::string> lines;
    std::map<std::string, int> words, characters;
    for (int i = 0; i < 50; ++i) {
      lines.push_back(random_line(rng));
      for (std::size_t at = 0; at <= lines.back().size();) {
        const std::size_t end = (std::min)(lines.back().find(' ', at), lines.back().size());
        const std::string word = lines.back().substr(at, end - at);
        ++words[mark + word];
        ++characters[mark];
        for (const char c : word) ++characters[std::string(1, c)];
        at = end + 1;
      }
    }
    check_model(ModelType::word, lines, words, words.size());
    check_model(ModelType::word, lines, words, words.size() / 2);
    check_model(ModelType::character, lines, characters, characters.size());
  }
}

TEST_CASE("count trainer: a vocabulary without room for the fixed pieces is refused") {
  TokenTrainOptions options;
  options.spec.model_type = ModelType::word;
  options.spec.vocab_size = 4;
  options.spec.user_defined_symbols = {"x", "y", "z"};
  options.normalizer.name = "identity";
  auto corpus = TrainCorpus::create(options);
  REQUIRE(corpus);
  corpus->add_line("a b c");
  CHECK_FALSE(train_by_count(*std::move(corpus)));
}
