#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/charsmap_builder.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>

using namespace midigpt;

namespace {

std::string shown(std::string text) {  // the space mark as _
  for (std::size_t at; (at = text.find(k_space_mark)) != std::string::npos;) text.replace(at, 3, "_");
  return text;
}

NormalizerSpec spec(bool prefix, bool trim, bool escape = true) {
  NormalizerSpec s;
  s.add_dummy_prefix = prefix;
  s.remove_extra_whitespaces = trim;
  s.escape_whitespaces = escape;
  return s;
}

}  // namespace

TEST_CASE("normalizer: spaces, the prefix and the suffix") {
  struct Row {
    const char* name;
    NormalizerSpec spec;
    bool suffix;
    const char* in;
    const char* want;
  };
  for (const Row& row : {Row{"default", spec(true, true), false, "  a  b ", "_a_b"}, Row{"empty", spec(true, true), false, "", ""},
                         Row{"only spaces", spec(true, true), false, "   ", ""}, Row{"no prefix", spec(false, true), false, " a b", "a_b"},
                         Row{"kept", spec(true, false), false, " a  b ", "__a__b_"}, Row{"suffix", spec(true, true), true, " a b ", "a_b_"},
                         Row{"unescaped", spec(true, true, false), false, " a  b ", " a b"},
                         Row{"typed mark", spec(true, true), false, "a\xE2\x96\x81", "_a"},
                         Row{"bad bytes", spec(false, true), false, "\xC3\x28\xED\xA0\x80", "\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
                         Row{"nul and tab", spec(false, true), false, "a\tb", "a\tb"}}) {
    CAPTURE(row.name);
    const auto n = Normalizer::create(row.spec, row.suffix);
    REQUIRE(n);
    CHECK(shown(n->normalise(row.in)) == row.want);
  }
}

TEST_CASE("normalizer: a replacement that is or holds spaces is trimmed like typed ones") {
  NormalizerSpec s = spec(true, true);
  s.precompiled_charsmap = compile_charsmap({{"x", " "}, {"yy", " p  q "}, {"z", ""}});
  const auto n = Normalizer::create(s);
  REQUIRE(n);
  CHECK(shown(n->normalise("xxa")) == "_a");
  CHECK(shown(n->normalise("axxb")) == "_a_b");
  CHECK(shown(n->normalise("ayyb")) == "_a_p__q_b");  // only leading spaces of a replacement are dropped
  CHECK(shown(n->normalise("zz")).empty());
  CHECK(shown(n->normalise("ayy")) == "_a_p__q");
}

TEST_CASE("normalizer: a user-defined symbol is copied verbatim, the longest first") {
  NormalizerSpec s = spec(true, true);
  s.precompiled_charsmap = compile_charsmap({{"t", "T"}});
  const auto n = Normalizer::create(s, false, {"th", "tha", "<x>"});
  REQUIRE(n);
  CHECK(shown(n->normalise("that t<x>h")) == "_thaT_T<x>h");
}

TEST_CASE("normalizer: offsets point to where each byte came from") {
  NormalizerSpec s = spec(true, true);
  s.precompiled_charsmap = compile_charsmap({{"ab", "x"}, {"c", "yz"}});
  const auto n = Normalizer::create(s);
  REQUIRE(n);
  const NormalizedText out = n->normalise_with_offsets("  abc  d ");
  CHECK(shown(out.text) == "_xyz_d");
  CHECK(out.norm_to_orig == std::vector<std::size_t>{2, 2, 2, 2, 4, 4, 5, 5, 5, 7, 8});
  CHECK(n->normalise_with_offsets("   ").norm_to_orig == std::vector<std::size_t>{3});
  CHECK(n->normalise_with_offsets("").norm_to_orig == std::vector<std::size_t>{0});
}

TEST_CASE("normalizer: with and without offsets the text is the same, and offsets ascend") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Rng rng(seed);
    NormalizerSpec s = spec(rng.chance(0.5), rng.chance(0.5), rng.chance(0.8));
    if (rng.chance(0.5)) s.precompiled_charsmap = compile_charsmap({{"a", " "}, {"ab", ""}, {"\xC3\xA4", "a e"}});
    const auto n = Normalizer::create(s, rng.chance(0.3), rng.chance(0.3) ? std::vector<std::string>{"b ", "c"} : std::vector<std::string>{});
    REQUIRE(n);
    std::string text;
    static constexpr std::string_view parts[] = {" ", "  ", "a", "b", "c", "\xC3\xA4", "\xFF", "\xF1\x80\x80\x80", "\xF3\xBF\xBF\xBF", "\xE2\x96\x81", "\xE2"};
    for (int i = rng.between(0, 20); i > 0; --i) text += parts[rng.below(11)];
    const NormalizedText with = n->normalise_with_offsets(text);
    wrong += with.text != n->normalise(text) || with.norm_to_orig.size() != with.text.size() + 1 || with.norm_to_orig.back() > text.size();
    for (std::size_t i = 1; i < with.norm_to_orig.size(); ++i) wrong += with.norm_to_orig[i - 1] > with.norm_to_orig[i];
  }
  CHECK(wrong == 0);
}
