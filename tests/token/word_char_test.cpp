#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <midigpt/token/tokenizer.hpp>
#include <midigpt/token/word_char.hpp>

using namespace midigpt;

namespace {

Tokenizer tokenizer(ModelType type, std::vector<SpmPiece> pieces) {
  SpmModel m;
  m.trainer.model_type = type;
  m.normalizer.remove_extra_whitespaces = false;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}};
  m.pieces.insert(m.pieces.end(), pieces.begin(), pieces.end());
  return Tokenizer::create(m).value();
}

}  // namespace

TEST_CASE("word: each word begins at a U+2581; unknown words are unknown as a whole and join") {
  const std::string s = "\xE2\x96\x81";
  const Tokenizer t = tokenizer(ModelType::word, {{s + "ab", -1.0f}, {s, -2.0f}});
  CHECK(t.encode("ab ab") == std::vector<std::int32_t>{1, 1});
  CHECK(t.encode("ab  abc de ab") == std::vector<std::int32_t>{1, 2, 0, 1});
  CHECK(t.encode_pieces("x y")[0].piece == s + "x" + s + "y");
  CHECK(t.encode("").empty());
}

TEST_CASE("char: one piece per character, user-defined symbols whole") {
  const Tokenizer t = tokenizer(ModelType::character, {{"a", -1.0f}, {"\xE2\x96\x81", -2.0f}, {"[M]", 0.0f, PieceType::user_defined}});
  CHECK(t.encode("a[M]ab") == std::vector<std::int32_t>{2, 1, 3, 1, 0});
}
