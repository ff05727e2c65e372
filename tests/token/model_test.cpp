#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/token/model.hpp>

using namespace midigpt;
using namespace std::string_view_literals;

namespace {

std::vector<std::string> golden_models() {
  std::vector<std::string> out;
  for (const char* folder : {"out", "out-0.2.2", "out-0.1.97"}) {
    const std::filesystem::path path = std::filesystem::path(MIDIGPT_SHARED_DIR) / "golden" / folder;
    std::error_code absent;
    for (const auto& entry : std::filesystem::directory_iterator(path, absent)) {
      if (entry.path().extension() == ".model") out.push_back(entry.path().string());
    }
  }
  return out;
}

SpmModel small_model() {
  SpmModel m;
  m.pieces = {{"<unk>", 0.0f, PieceType::unknown}, {"<s>", 0.0f, PieceType::control}, {"ab", -0.0f}, {"a", -1.0f}, {"b", -1e6f}};
  m.trainer.model_type = ModelType::bpe;
  m.trainer.vocab_size = 5;
  m.trainer.pad_id = -1;
  m.trainer.present = k_spm_train_trainer_fields;
  m.trainer.user_defined_symbols = {"x", ""};
  m.normalizer.name = "identity";
  m.normalizer.present = k_spm_train_normalizer_fields;
  m.self_test = {{"ab", "\xE2\x96\x81 ab"}};
  return m;
}

}  // namespace

TEST_CASE("model: every real model is written back byte for byte") {
  const auto paths = golden_models();
  if (paths.empty()) MESSAGE("skipped: no ../shared/golden");
  for (const std::string& path : paths) {
    CAPTURE(path);
    const Bytes bytes = read_file(path).value();
    const SpmModel model = parse_spm_model(bytes).value();
    CHECK(model.pieces.size() > 10);
    CHECK(spm_model_bytes(model) == bytes);
  }
}

TEST_CASE("model: .vocab text equals the real program's") {
  std::size_t compared = 0;
  for (std::string path : golden_models()) {
    const SpmModel model = read_spm_model(path).value();
    path.replace(path.size() - 5, 5, "vocab");
    const auto want = read_file(path);
    if (!want) continue;  // not kept when it is large
    CAPTURE(path);
    CHECK(vocab_text(model) == as_chars(*want));
    ++compared;
  }
  if (compared == 0) MESSAGE("skipped: no ../shared/golden");
}

TEST_CASE("model: values survive the round trip, presence and -0.0 included") {
  const SpmModel model = small_model();
  const SpmModel back = parse_spm_model(spm_model_bytes(model)).value();
  CHECK(back.pieces[2].piece == "ab");
  CHECK(std::signbit(back.pieces[2].score));
  CHECK(back.trainer.pad_id == -1);
  CHECK(back.trainer.user_defined_symbols == model.trainer.user_defined_symbols);
  CHECK((back.trainer.present & k_spm_train_trainer_fields) == k_spm_train_trainer_fields);
  CHECK(back.self_test == model.self_test);
  CHECK(!back.denormalizer);
  CHECK(spm_model_bytes(back) == spm_model_bytes(model));
  CHECK(vocab_text(back) == "<unk>\t0\n<s>\t0\nab\t-0\na\t-1\nb\t-1e+06\n");
}

TEST_CASE("model: a field is written when it is present or differs from its default") {
  SpmModel m;
  CHECK(spm_model_bytes(m).empty());
  m.trainer.vocab_size = 8001;
  CHECK(as_chars(spm_model_bytes(m)) == "\x12\x03\x20\xC1\x3E"sv);
  m.trainer.vocab_size = 8000;
  CHECK(spm_model_bytes(m).empty());
  m.trainer.present = spec_bit(4);
  CHECK(as_chars(spm_model_bytes(m)) == "\x12\x03\x20\xC0\x3E"sv);
}

TEST_CASE("model: unknown fields, wrong wire types and unknown enum values are kept as they stood") {
  // model: field 200 varint, trainer { 3: enum 9, 4 as bytes, 99 fixed64 }, a group 15 { 1: varint }
  const auto bytes = "\x12\x11\x18\x09\x22\x01\x41\x99\x06\x01\x02\x03\x04\x05\x06\x07\x08\x20\x05\xC0\x0C\x01\x7B\x08\x01\x7C"sv;
  const SpmModel m = parse_spm_model(as_byte_span(bytes)).value();
  CHECK(m.trainer.model_type == ModelType::unigram);
  CHECK(m.trainer.vocab_size == 5);
  CHECK(m.trainer.unknown.size() == 15);
  CHECK(m.unknown == "\xC0\x0C\x01\x7B\x08\x01\x7C"sv);
  CHECK(parse_spm_model(spm_model_bytes(m)).value() == m);
}

TEST_CASE("model: broken wire data is an error with its offset") {
  struct Row {
    const char* name;
    std::string_view bytes;
    Errc code;
    std::uint64_t offset;
  };
  for (const auto& row : {
           Row{"tag without payload", "\x0A"sv, Errc::truncated, 1},
           Row{"length past the end", "\x0A\x05\x0A"sv, Errc::truncated, 2},
           Row{"length 2^63", "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"sv, Errc::truncated, 10},
           Row{"inner length past the outer end", "\x0A\x02\x0A\x05"sv, Errc::truncated, 4},
           Row{"field number 0", "\x02\x00"sv, Errc::bad_value, 0},
           Row{"wire type 7", "\x0F"sv, Errc::bad_value, 0},
           Row{"varint of 11 bytes", "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv, Errc::bad_value, 11},
           Row{"a group that does not end", "\x0B\x08\x01"sv, Errc::truncated, 3},
           Row{"a group that did not begin", "\x0C"sv, Errc::bad_value, 0},
           Row{"score cut", "\x0A\x03\x15\x00\x00"sv, Errc::truncated, 3},
       }) {
    CAPTURE(row.name);
    const auto r = parse_spm_model(as_byte_span(row.bytes));
    REQUIRE(!r);
    CHECK(r.error().code == row.code);
    CHECK(r.error().offset == row.offset);
  }
  const std::string deep(100000, '\x0B');
  CHECK(parse_spm_model(as_byte_span(deep)).error().code == Errc::too_large);
}

TEST_CASE("model: cut at every length or with any byte replaced, it parses or is an error") {
  const Bytes bytes = spm_model_bytes(small_model());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const auto r = parse_spm_model(ByteSpan(bytes).first(n));
    if (r) CHECK(r->pieces.size() <= 5);
    if (!r) CHECK(r.error().offset <= n);
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int v = 0; v < 256; ++v) {
      Bytes bad = bytes;
      bad[i] = static_cast<std::byte>(v);
      if (const auto r = parse_spm_model(bad)) {
        const Bytes again = spm_model_bytes(*r);
        if (parse_spm_model(again).value().pieces != r->pieces) FAIL("byte " << i << " = " << v);
      }
    }
  }
}
