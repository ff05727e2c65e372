#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <midigpt/token/hf_export.hpp>
#include <midigpt/token/tokenizer.hpp>

#include <token/token_texts.hpp>

using namespace midigpt;

namespace {

SpmModel small() {
  SpmModel m;
  m.trainer.model_type = ModelType::bpe;
  m.trainer.split_by_whitespace = false;
  m.trainer.bos_piece = "[CLS]";
  m.normalizer.add_dummy_prefix = m.normalizer.remove_extra_whitespaces = false;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}, {"[CLS]", 0.0f, PieceType::control}, {"[M]", 0.0f, PieceType::user_defined},
              {"ab", -0.0f}, {"abc", -1.0f}, {"\xF1\x80\x8C\xA1\"", -2.0f}, {"a", -3.0f}, {"b", -4.0f}, {"c", -5.0f},
              {"\xF1\x80\x8C\xA1", -6.0f}, {"\"", -7.0f}};
  return m;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++n;
  return n;
}

}  // namespace

TEST_CASE("hf: vocabulary, merges in rank order, notes as surrogate pairs, special tokens") {
  const HfTokenizer hf = hf_tokenizer(small()).value();
  CHECK(hf.tokenizer_json.find(R"("merges": [
      ["a", "b"],
      ["ab", "c"],
      ["\ud8c0\udf21", "\""]
    ])") != std::string::npos);
  CHECK(hf.tokenizer_json.find(R"("\ud8c0\udf21": 9)") != std::string::npos);
  CHECK(hf.tokenizer_json.find(R"("prepend_scheme": "never", "split": false)") != std::string::npos);
  CHECK(count(hf.tokenizer_json, R"("special": true)") == 2);
  CHECK(count(hf.tokenizer_json, R"("special": false)") == 1);
  CHECK(hf.tokenizer_config_json.find(R"("bos_token": "[CLS]")") != std::string::npos);
  CHECK(hf.tokenizer_config_json.find("eos_token") == std::string::npos);
}

TEST_CASE("hf: every joined piece that can be reached has one merge, and its halves are pieces") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const SpmModel m = token_texts::random_model(seed, ModelType::bpe);
    const Vocab vocab = Vocab::create(m).value();
    std::size_t last = 0;
    for (const auto& [left, right] : detail::hf_export::merges(vocab)) {
      CHECK(vocab.find_matchable(left) >= 0);
      CHECK(vocab.find_matchable(right) >= 0);
      const auto id = static_cast<std::size_t>(vocab.find_matchable(left + right));
      CHECK(id > last);
      last = id;
    }
  }
}

TEST_CASE("hf: unigram scores; what the format cannot say is an error") {
  SpmModel m = small();
  m.trainer.model_type = ModelType::unigram;
  CHECK(hf_tokenizer(m).value().tokenizer_json.find(R"(["abc", -1])") != std::string::npos);
  m.normalizer.precompiled_charsmap = "x";
  CHECK(hf_tokenizer(m).error().code == Errc::unsupported);
  m = small();
  m.trainer.model_type = ModelType::word;
  CHECK(hf_tokenizer(m).error().code == Errc::unsupported);
  m = small();
  m.pieces.push_back({"\xFF", 0.0f});
  CHECK(hf_tokenizer(m).error().code == Errc::unsupported);
  m = small();
  m.normalizer.remove_extra_whitespaces = true;
  CHECK(hf_tokenizer(m, false).error().code == Errc::unsupported);
}
