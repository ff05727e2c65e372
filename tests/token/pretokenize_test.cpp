#include <midigpt/token/pretokenize.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace midigpt;

namespace {

constexpr char32_t k_mark = 0x2581;
enum Script { any, common, latin, cyrillic, han };

/// The rule over a whole text, as SentencePiece states it (TrainerInterface::IsValidSentencePiece).
bool may_be_piece(const std::u32string& text, const TrainerSpec& spec) {
  if (text.size() > static_cast<std::size_t>(spec.max_sentencepiece_length)) return false;
  if (spec.allow_whitespace_only_pieces && text.find_first_not_of(k_mark) == text.npos) return true;
  const std::size_t last = text.size() - 1;
  Script before = any;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == k_mark) {
      if (spec.treat_whitespace_as_suffix) {
        if (spec.split_by_whitespace ? i < last : i < last && i == 0) return false;
      } else {
        if (spec.split_by_whitespace ? i > 0 : i > 0 && i == last) return false;
      }
      continue;
    }
    const bool digit = c == '1';
    if (spec.split_digits && digit && text.size() > 1) return false;
    Script script = c == 'a' ? latin : c == 0x431 ? cyrillic : c == 0x0301 ? before : han;
    if (digit) script = spec.split_by_number ? common : any;
    if (spec.split_by_unicode_script && script != any && before != any && script != before) return false;
    before = script;
  }
  return true;
}

}  // namespace

TEST_CASE("pretokenize: joining shapes from left to right agrees with the rule over the whole text, for every spec") {
  // Latin, Cyrillic, Han, hiragana (counts as Han), the long vowel mark, a combining accent, a digit, the space mark
  constexpr char32_t alphabet[] = {'a', 0x431, 0x6F22, 0x3042, 0x30FC, 0x0301, '1', k_mark};
  int wrong = 0, yes = 0, no = 0;
  for (unsigned bits = 0; bits < 64; ++bits) {
    TrainerSpec spec;
    spec.split_by_unicode_script = (bits & 1) != 0;
    spec.split_by_number = (bits & 2) != 0;
    spec.split_digits = (bits & 4) != 0;
    spec.split_by_whitespace = (bits & 8) != 0;
    spec.treat_whitespace_as_suffix = (bits & 16) != 0;
    spec.allow_whitespace_only_pieces = (bits & 32) != 0;
    spec.max_sentencepiece_length = 3;
    const PieceRules rules(spec);
    for (unsigned length = 2; length <= 4; ++length) {
      for (unsigned n = 0; n < 1u << 3 * length; ++n) {
        std::u32string text;
        for (unsigned i = 0; i < length; ++i) text += alphabet[n >> 3 * i & 7];
        PieceShape shape = rules.shape(text[0]);
        bool joined = true;
        for (unsigned i = 1; joined && i < length; ++i) {
          const PieceShape next = rules.shape(text[i]);
          joined = i + 1 < length ? rules.continues(shape, next) : rules.joins(shape, next);
          shape = PieceRules::join(shape, next);
        }
        const bool want = may_be_piece(text, spec);
        wrong += joined != want;
        (want ? yes : no) += 1;
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(yes > 1000);
  CHECK(no > 1000);
}

TEST_CASE("pretokenize: what never stands in a piece of two characters") {
  for (const char32_t c :
       {U'\0', U'\t', U' ', U'\u2585', static_cast<char32_t>(0xD800), static_cast<char32_t>(0x110000)})
    CHECK(detail::pretokenize::never_joins(c));
  for (const char32_t c : {U'a', U'\n', k_mark, U'\u2584', static_cast<char32_t>(0x10FFFF)})
    CHECK_FALSE(detail::pretokenize::never_joins(c));
}
