#include <midigpt/core/utf8.hpp>

#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("utf8: every scalar value survives encode and decode") {
  int wrong = 0;
  std::string text;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (!is_scalar_value(c)) continue;
    text.clear();
    utf8_append(text, c);
    const Utf8Char got = utf8_decode(text, 0);
    if (!got.valid || got.code_point != c || got.size != text.size() || utf8_size(c) != text.size()) ++wrong;
  }
  CHECK(wrong == 0);
}

namespace {
/// Unicode 15 table 3-7, written as the table stands there: the oracle for one to four bytes.
int well_formed_size(const unsigned char* b, int n) {
  const auto in = [&](int i, int low, int high) { return i < n && b[i] >= low && b[i] <= high; };
  if (in(0, 0x00, 0x7F)) return 1;
  if (in(0, 0xC2, 0xDF) && in(1, 0x80, 0xBF)) return 2;
  if (in(0, 0xE0, 0xE0) && in(1, 0xA0, 0xBF) && in(2, 0x80, 0xBF)) return 3;
  if (in(0, 0xE1, 0xEC) && in(1, 0x80, 0xBF) && in(2, 0x80, 0xBF)) return 3;
  if (in(0, 0xED, 0xED) && in(1, 0x80, 0x9F) && in(2, 0x80, 0xBF)) return 3;
  if (in(0, 0xEE, 0xEF) && in(1, 0x80, 0xBF) && in(2, 0x80, 0xBF)) return 3;
  if (in(0, 0xF0, 0xF0) && in(1, 0x90, 0xBF) && in(2, 0x80, 0xBF) && in(3, 0x80, 0xBF)) return 4;
  if (in(0, 0xF1, 0xF3) && in(1, 0x80, 0xBF) && in(2, 0x80, 0xBF) && in(3, 0x80, 0xBF)) return 4;
  if (in(0, 0xF4, 0xF4) && in(1, 0x80, 0x8F) && in(2, 0x80, 0xBF) && in(3, 0x80, 0xBF)) return 4;
  return 0;
}
}  // namespace

TEST_CASE("utf8: well-formed is what table 3-7 of the standard says, for all prefixes of all first two bytes") {
  int wrong = 0;
  const int tails[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
  for (int b0 = 0; b0 < 256; ++b0) {
    for (int b1 = 0; b1 < 256; ++b1) {
      for (const int b2 : tails) {
        for (const int b3 : tails) {
          const unsigned char b[4] = {static_cast<unsigned char>(b0), static_cast<unsigned char>(b1),
                                      static_cast<unsigned char>(b2), static_cast<unsigned char>(b3)};
          const std::string text(b, b + 4);
          for (int n = 1; n <= 4; ++n) {
            const Utf8Char got = utf8_decode(std::string_view(text).substr(0, static_cast<std::size_t>(n)), 0);
            const int want = well_formed_size(b, n);
            if (got.valid != (want > 0) || (want > 0 && static_cast<int>(got.size) != want)) ++wrong;
            if (!got.valid && (got.size != 1 || got.code_point != 0xFFFD)) ++wrong;
          }
        }
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("utf8: text to code points and back; ill-formed bytes are counted one by one") {
  const std::u32string points = U"a\u00E9\u2581\U0004033C\U000FFFFF";
  const std::string text = utf8_encode(points);
  CHECK(utf8_code_points(text) == points);
  CHECK(utf8_first_invalid(text) == std::string::npos);
  const std::string broken = "ab\xF1\x80\x8C" "c";
  CHECK(utf8_first_invalid(broken) == 2);
  CHECK(utf8_code_points(broken) == U"ab\uFFFD\uFFFD\uFFFDc");
}

TEST_CASE("utf8: long texts are encoded, decoded and checked in blocks with the same result as one by one") {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Rng rng(seed);
    std::u32string points;
    const double wide = seed % 4 == 0 ? 1.0 : 0.98;
    for (int i = rng.between(0, 300); i > 0; --i) {
      const auto any = [&] { return rng.chance(wide) ? 0x10000 + rng.below(0x100000) : rng.below(0xD800); };
      points.push_back(static_cast<char32_t>(any()));
    }
    std::string text;
    for (const char32_t c : points) utf8_append(text, c);
    wrong += utf8_encode(points) != text || utf8_code_points(text) != points || utf8_first_invalid(text) != std::string::npos;

    if (text.empty()) continue;
    text[rng.below(static_cast<std::uint32_t>(text.size()))] = static_cast<char>(rng.below(256));
    std::u32string slow;
    std::size_t first_invalid = std::string::npos;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Char c = utf8_decode(text, at);
      if (!c.valid && first_invalid == std::string::npos) first_invalid = at;
      slow.push_back(c.code_point);
      at += c.size;
    }
    wrong += utf8_code_points(text) != slow || utf8_first_invalid(text) != first_invalid;
  }
  CHECK(wrong == 0);
}

TEST_CASE("utf8: every 4-byte character and every wrong byte in it is the same inside a block") {
  std::size_t wrong = 0;
  std::u32string points;
  std::string text;
  for (char32_t c = 0x10000; c <= 0x10FFFF; ++c) {
    points.push_back(c);
    utf8_append(text, c);
  }
  wrong += utf8_encode(points) != text || utf8_code_points(text) != points || utf8_first_invalid(text) != std::string::npos;
  const std::string note = "\xF1\x80\x8C\xBC";
  for (int position = 0; position < 4; ++position) {
    for (int second = 0x80; second <= 0xBF; ++second) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string block;
        for (int i = 0; i < 40; ++i) block += note;
        block[45] = static_cast<char>(second);
        block[44 + static_cast<std::size_t>(position)] = static_cast<char>(byte);
        std::size_t first_invalid = std::string::npos;
        for (std::size_t at = 0; at < block.size() && first_invalid == std::string::npos;) {
          const Utf8Char c = utf8_decode(block, at);
          if (!c.valid) first_invalid = at;
          at += c.size;
        }
        wrong += utf8_first_invalid(block) != first_invalid;
      }
    }
  }
  CHECK(wrong == 0);
}
