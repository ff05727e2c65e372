#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/charsmap.hpp>
#include <midigpt/token/charsmap_builder.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalization_rules.hpp>

using namespace midigpt;

namespace {

std::string mapped(const Charsmap& map, std::string_view text) {
  const CharsmapMatch m = map.longest(text);
  return m.bytes == text.size() ? std::string(m.replacement) : "(" + std::to_string(m.bytes) + ")";
}

}  // namespace

TEST_CASE("normalisation rules: the compiled maps are the very bytes inside models of SentencePiece 0.2.0 (Unicode 13)") {
  struct Row {
    const char* rule;
    const char* model;
  };
  for (const Row& row : {Row{"nmt_nfkc", "notes_s_nfkc"}, Row{"nfkc", "fullwidth_nfkc"}, Row{"nfkc_cf", "fullwidth_cf"},
                         Row{"nmt_nfkc_cf", "fullwidth_nmt_cf"}}) {
    CAPTURE(row.rule);
    const auto model = read_spm_model(std::string(MIDIGPT_SHARED_DIR "/golden/out/") + row.model + ".model");
    if (!model) {
      MESSAGE("skipped: no golden data beside the checkout");
      return;
    }
    REQUIRE(model->normalizer.name == row.rule);
    const auto rules = normalization_rules(row.rule, UnicodeVersion::v13);
    REQUIRE(rules);
    CHECK(compile_charsmap(*rules) == model->normalizer.precompiled_charsmap);
  }
}

TEST_CASE("normalisation rules: composed, decomposed and compatible forms meet") {
  const auto map = Charsmap::create(compile_charsmap(*normalization_rules("nmt_nfkc")));
  REQUIRE(map);
  CHECK(mapped(*map, "\xEF\xBC\xA1") == "A");                          // U+FF21
  CHECK(mapped(*map, "A\xCC\x82\xCC\x80") == "\xE1\xBA\xA6");          // A + U+0302 + U+0300 = U+1EA6
  CHECK(mapped(*map, "\xEA\x9F\xB1") == "S");                          // U+A7F1 is Unicode 17
  CHECK(mapped(*map, "\xE1\x84\x80\xE1\x85\xA1") == "\xEA\xB0\x80");   // two jamo = U+AC00
  CHECK(mapped(*map, "\xE2\x96\x81") == " ");
  CHECK(mapped(*map, "\x7F").empty());
  CHECK(mapped(*map, "\xEF\xBD\x9E") == "(0)");                        // U+FF5E stays
  const auto folded = Charsmap::create(compile_charsmap(*normalization_rules("nfkc_cf")));
  REQUIRE(folded);
  CHECK(mapped(*folded, "\xEF\xBC\xA1") == "a");
  CHECK(mapped(*folded, "Z") == "z");
  const auto old = Charsmap::create(compile_charsmap(*normalization_rules("nfkc", UnicodeVersion::v13)));
  REQUIRE(old);
  CHECK(mapped(*old, "\xEA\x9F\xB1") == "(0)");
}

TEST_CASE("normalisation rules: every note code point is a fixed point of every rule") {
  for (const char* rule : {"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"}) {
    const auto map = Charsmap::create(compile_charsmap(*normalization_rules(rule)));
    REQUIRE(map);
    std::size_t touched = 0;
    for (char32_t c = 0x40000; c <= 0xFFFFF; ++c) touched += map->longest(utf8_encode(std::u32string_view(&c, 1))).bytes != 0;
    CHECK(touched == 0);
  }
}

TEST_CASE("normalisation rules: TSV rows, and what is wrong with one") {
  const auto rules = normalization_rules_from_tsv("41\t42\tA to B\n\nU+63 68\t10 11\n61 301\t\n62\n");
  REQUIRE(rules);
  CHECK(*rules == CharsmapRules{{"A", "B"}, {"ch", "\x10\x11"}, {"a\xCC\x81", ""}, {"b", ""}});
  for (const char* bad : {"41\t42\nxyz\t1\n", "\t41\n", "D800\t41\n", "110000\t41\n", "0\t41\n", "1234567\t41\n", "U+\t41\n"}) {
    CAPTURE(bad);
    CHECK(!normalization_rules_from_tsv(bad));
  }
  CHECK(normalization_rules_from_tsv("41\t42\nxyz\t1\n").error().offset == 6);
  CHECK(normalization_rules("nfkx").error().what.find("nfkx") != std::string::npos);
}
