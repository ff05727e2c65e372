#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/tokenizer.hpp>
#include <midigpt/token/vocab.hpp>

#include <token/token_texts.hpp>

using namespace midigpt;
using namespace std::string_literals;

namespace {

SpmModel model_of(std::vector<SpmPiece> pieces, ModelType type = ModelType::bpe) {
  SpmModel m;
  m.trainer.model_type = type;
  m.pieces = std::move(pieces);
  return m;
}

const SpmPiece k_unk{"<unk>", 0.0f, PieceType::unknown};

}  // namespace

TEST_CASE("vocab: what SentencePiece refuses is an error that names the piece") {
  struct Row {
    const char* name;
    SpmModel model;
    std::string_view what;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  SpmModel missing_bytes = model_of({k_unk, {"<0x00>", 0.0f, PieceType::byte}});
  missing_bytes.trainer.byte_fallback = true;
  SpmModel bad_byte = model_of({k_unk, {"<0x0g>", 0.0f, PieceType::byte}});
  bad_byte.trainer.byte_fallback = true;
  for (const auto& row : {
           Row{"no piece", model_of({}), "without pieces"},
           Row{"no unknown", model_of({{"a", 0.0f}}), "without an unknown"},
           Row{"two unknown", model_of({k_unk, {"x", 0.0f, PieceType::unknown}}), "piece 1: a second unknown"},
           Row{"empty", model_of({k_unk, {"", 0.0f}}), "piece 1: empty"},
           Row{"repeated", model_of({k_unk, {"a", 0.0f}, {"a", 1.0f}}), "piece 2: `a` is already"},
           Row{"NaN", model_of({k_unk, {"a", nan}}), "piece 1: its score"},
           Row{"infinite", model_of({k_unk, {"a", inf}}), "piece 1: its score"},
           Row{"byte piece without byte_fallback", model_of({k_unk, {"<0x00>", 0.0f, PieceType::byte}}), "byte_fallback is false"},
           Row{"bytes missing", missing_bytes, "not all 256"},
           Row{"no byte", bad_byte, "piece 1: not the text"},
           Row{"too long", model_of({k_unk, {std::string(8001, 'a'), 0.0f}}), "piece 1: longer than"},
       }) {
    CAPTURE(row.name);
    const auto v = Vocab::create(row.model);
    REQUIRE(!v);
    CHECK(v.error().what.find(row.what) != std::string::npos);
    CHECK(!Tokenizer::create(row.model));
  }
}

TEST_CASE("vocab: special ids come from the pieces' names and types") {
  SpmModel m = model_of({{"<pad>", 0.0f, PieceType::control}, k_unk, {"[B]", 0.0f, PieceType::control}, {"</s>", 0.0f, PieceType::normal}});
  m.trainer.bos_piece = "[B]";
  const Vocab v = Vocab::create(m).value();
  CHECK(v.pad_id() == 0);
  CHECK(v.unk_id() == 1);
  CHECK(v.bos_id() == 2);
  CHECK(v.eos_id() == -1);  // there, but not a control piece
  CHECK(v.id("</s>") == 3);
  CHECK(v.id("nothing") == 1);
  CHECK(v.find_matchable("<pad>") == -1);
}

TEST_CASE("vocab: odd pieces of hostile models are carried, and match as in SentencePiece or never") {
  for (const ModelType type : {ModelType::bpe, ModelType::unigram, ModelType::word, ModelType::character}) {
    SpmModel m = model_of({k_unk, {"a\0b"s, -1.0f}, {"\0"s, -2.0f}, {"\xFF\xFE"s, -3.0f}, {std::string(8000, 'a'), -4.0f}, {"a", -5.0f},
                           {"aa", 1e30f}, {"b", -1e30f}, {"\xE2\x96\x81", -6.0f}, {"<unk>", -7.0f}},
                          type);
    const Tokenizer t = Tokenizer::create(m).value();
    for (const std::string& text : {"a\0b"s, "\xFF\xFE"s, std::string(8203, 'a'), "<unk>"s, std::string(3000, '\0')}) {
      const auto ids = t.encode(text);
      CHECK(!ids.empty());
      for (const std::int32_t id : ids) CHECK((id >= 0 && id < t.vocab_size()));
      (void)t.decode(ids);
      (void)t.encode_pieces(text);
    }
  }
}

TEST_CASE("vocab: a model cut or changed anywhere gives an error or a tokenizer that works") {
  SpmModel small = token_texts::random_model(5, ModelType::bpe, true);
  small.pieces.resize(24);
  small.trainer.byte_fallback = false;
  const Bytes bytes = spm_model_bytes(small);
  const auto use = [](ByteSpan b) {
    auto model = parse_spm_model(b);
    if (!model) return;
    const auto t = Tokenizer::create(*std::move(model));
    if (!t) return;
    for (const std::int32_t id : t->encode("abab a,d[M]e\xF1\x80\x8C\xA1 z")) CHECK((id >= 0 && id < t->vocab_size()));
  };
  for (std::size_t n = 0; n < bytes.size(); ++n) use(ByteSpan(bytes).first(n));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int v : {0, 1, 2, 3, 4, 6, 8, 0x12, 0x7F, 0x80, 0xFF}) {
      Bytes bad = bytes;
      bad[i] = static_cast<std::byte>(v);
      use(bad);
    }
  }
}

TEST_CASE("vocab: a restricted vocabulary splits what it does not allow") {
  SpmModel m = model_of({k_unk, {"ab", -1.0f}, {"abc", -2.0f}, {"a", -3.0f}, {"b", -4.0f}, {"c", -5.0f}});
  m.normalizer.add_dummy_prefix = false;
  CHECK(Tokenizer::create(m).value().encode("abcab") == std::vector<std::int32_t>{2, 1});
  const Tokenizer t = Tokenizer::create(restrict_vocabulary(m, {"ab"}).value()).value();
  CHECK(t.encode("abcab") == std::vector<std::int32_t>{1, 5, 1});
  const Tokenizer none = Tokenizer::create(restrict_vocabulary(m, {}).value()).value();
  CHECK(none.encode("abc") == std::vector<std::int32_t>{3, 4, 5});
  m.trainer.model_type = ModelType::word;
  CHECK(restrict_vocabulary(m, {}).error().code == Errc::unsupported);
}
