#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/tokenizer.hpp>
#include <midigpt/token/trie.hpp>

#include <token/naive_encode.hpp>
#include <token/token_texts.hpp>

using namespace midigpt;

namespace {

SpmModel model_of(std::vector<SpmPiece> pieces) {
  SpmModel m;
  m.trainer.model_type = ModelType::unigram;
  m.normalizer.add_dummy_prefix = false;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}};
  m.pieces.insert(m.pieces.end(), pieces.begin(), pieces.end());
  return m;
}

std::vector<std::int32_t> ids_of(const std::vector<EncodedPiece>& pieces) {
  std::vector<std::int32_t> ids;
  for (const EncodedPiece& p : pieces) ids.push_back(p.id);
  return ids;
}

}  // namespace

TEST_CASE("unigram: the best path = the naive best path on random models and lines") {
  const std::size_t models = std::getenv("MIDIGPT_SLOW_TESTS") != nullptr ? 2500 : 60;
  std::size_t wrong = 0, compared = 0;
  for (std::uint64_t seed = 0; seed < models; ++seed) {
    SpmModel model = token_texts::random_model(seed, ModelType::unigram, seed % 2 == 1);
    std::erase_if(model.pieces, [](const SpmPiece& p) { return p.type == PieceType::byte; });
    model.trainer.byte_fallback = false;
    const Tokenizer t = Tokenizer::create(model).value();
    const naive::Vocabulary v(t.model());
    Rng rng(seed, 5);
    for (int i = 0; i < 40; ++i, ++compared) {
      const std::string line = token_texts::random_line(rng);
      wrong += t.encode(line) != naive::unigram(v, t.normalizer().normalise(line));
    }
  }
  MESSAGE(compared << " lines");
  CHECK(wrong == 0);
}

TEST_CASE("unigram: n best are all different, in falling order, begin with the best, and are all there are") {
  const Tokenizer t = Tokenizer::create(model_of({{"a", -1.0f}, {"b", -1.5f}, {"ab", -2.25f}, {"ba", -2.0f}, {"aba", -3.0f}})).value();
  const auto best = t.n_best("abab", 100).value();
  CHECK(best.size() == 6);  // a b a b, ab a b, a ba b, a b ab, ab ab, aba b
  std::set<std::vector<std::int32_t>> seen;
  for (std::size_t i = 0; i < best.size(); ++i) {
    CHECK(seen.insert(ids_of(best[i].pieces)).second);
    if (i > 0) CHECK(best[i].score <= best[i - 1].score);
    std::string text;
    float sum = 0.0f;
    for (const EncodedPiece& p : best[i].pieces) {
      text += p.piece;
      sum += t.vocab().score(p.id);
    }
    CHECK(text == "abab");
    CHECK(std::abs(sum - best[i].score) < 1e-5f);
  }
  CHECK(ids_of(best[0].pieces) == t.encode("abab"));
  CHECK(t.n_best("abab", 2).value().size() == 2);
  CHECK(t.n_best("", 5).value().size() == 1);
}

TEST_CASE("unigram: samples follow exp(alpha * score)") {
  const Tokenizer t = Tokenizer::create(model_of({{"a", -1.0f}, {"b", -1.5f}, {"ab", -2.0f}})).value();
  // two paths: a|b at -2.5, ab at -2.0
  for (const double alpha : {0.0, 0.5, 2.0}) {
    for (const int nbest : {-1, 2}) {
      Rng rng(7);
      int whole = 0;
      constexpr int draws = 20000;
      for (int i = 0; i < draws; ++i) whole += t.sample("ab", rng, {.alpha = alpha, .nbest_size = nbest}).size() == 1;
      const double want = 1.0 / (1.0 + std::exp(-0.5 * alpha));
      CHECK(std::abs(whole / double{draws} - want) < 0.015);
    }
  }
  Rng rng(1);
  CHECK(t.sample("ab", rng, {.alpha = 0.1, .nbest_size = 1}) == t.encode("ab"));
}

TEST_CASE("unigram: unused pieces are not taken, user-defined ones always") {
  const Tokenizer t = Tokenizer::create(model_of({{"a", -1.0f}, {"b", -1.0f}, {"ab", -0.1f, PieceType::unused}, {"ba", 0.0f, PieceType::user_defined}})).value();
  CHECK(t.encode("ab") == std::vector<std::int32_t>{1, 2});
  CHECK(t.encode("aba") == std::vector<std::int32_t>{1, 4});
}

TEST_CASE("trie: every key is found by its bytes and nothing else") {
  Rng rng(3);
  std::map<std::string, std::int32_t> keys;
  std::size_t bytes = 0;
  while (keys.size() < 2000) {
    std::string key;
    for (std::uint32_t n = 1 + rng.below(6); n > 0; --n) key += static_cast<char>(static_cast<unsigned char>(rng.below(8) * 31));
    if (keys.emplace(key, static_cast<std::int32_t>(keys.size())).second) bytes += key.size();
  }
  ByteTrie trie(bytes);
  for (const auto& [key, value] : keys) trie.insert(key, value);
  std::size_t wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::uint32_t n = 1 + rng.below(6); n > 0; --n) text += static_cast<char>(static_cast<unsigned char>(rng.below(8) * 31));
    std::uint32_t node = ByteTrie::k_root;
    for (std::size_t k = 0; k < text.size() && node != ByteTrie::k_none; ++k) node = trie.step(node, static_cast<unsigned char>(text[k]));
    const auto it = keys.find(text);
    wrong += (node == ByteTrie::k_none ? -1 : trie.value(node)) != (it == keys.end() ? -1 : it->second);
  }
  CHECK(wrong == 0);
}
