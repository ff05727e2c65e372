#include <midigpt/token/unicode_tables.hpp>

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/normalization_rules.hpp>

using namespace midigpt;

namespace {

namespace tables = detail::unicode_tables;
using Table = std::map<char32_t, std::u32string>;

std::uint32_t script(char32_t c) {
  std::uint32_t now = 0;
  for (const std::uint32_t start : tables::k_script_starts) {
    if (start >> 8 > c) break;
    now = start & 0xFFu;
  }
  return now;
}

/// How many code points each script has; 0 has those without one too.
std::map<std::uint32_t, std::uint32_t> script_sizes() {
  std::map<std::uint32_t, std::uint32_t> sizes;
  std::uint32_t from = 0, now = 0;
  for (const std::uint32_t start : tables::k_script_starts) {
    sizes[now] += (start >> 8) - from;
    from = start >> 8;
    now = start & 0xFFu;
  }
  sizes[now] += 0x110000 - from;
  return sizes;
}

/// A packed table read out, and whether its code points ascend.
Table read(std::span<const std::string_view> packed, UnicodeVersion version = UnicodeVersion::v17) {
  Table table;
  bool ascending = true;
  detail::normalization_rules::for_each_entry(packed, version, [&](char32_t c, std::u32string_view to) {
    ascending = ascending && (table.empty() || table.rbegin()->first < c);
    table.emplace(c, to);
  });
  CHECK(ascending);
  return table;
}

/// One number of all entries: h 31 + x over code point, length and what it maps to.
std::uint32_t sum(const Table& table) {
  std::uint32_t h = 0;
  for (const auto& [c, to] : table) {
    h = (h * 31 + c) * 31 + static_cast<std::uint32_t>(to.size());
    for (const char32_t x : to) h = h * 31 + x;
  }
  return h;
}

bool is_hangul(char32_t c) { return c >= 0xAC00 && c < 0xD7A4; }

}  // namespace

TEST_CASE("unicode tables: script changes ascend, each is a change, and no script is missing") {
  std::uint32_t before = 0, wrong = 0;
  for (const std::uint32_t start : tables::k_script_starts) {
    wrong += start >> 8 <= before >> 8 || (start & 0xFFu) == (before & 0xFFu) || start >> 8 >= 0x110000 ? 1u : 0u;
    before = start;
  }
  CHECK(wrong == 0);
  CHECK((before & 0xFFu) == 0);         // nothing up to the last code point
  CHECK(script_sizes().size() == 172);  // of the 174 of Unicode 17.0 Han, Hiragana and Katakana are one
  CHECK(script_sizes().rbegin()->first == 171);
}

TEST_CASE("unicode tables: known characters have the scripts that Unicode 17.0 gives them") {
  struct Row {
    const char* name;
    std::vector<char32_t> characters;  // first and last of a range, mostly
    std::uint32_t size;                // the total that Scripts.txt states
  };
  const std::vector<Row> rows{
      {"Inherited", {0x300, 0x341, 0x485, 0x64B, 0x200C, 0x200D, 0x20D0, 0x3099, 0xFE0F, 0xE0100}, 684},
      {"Han, Hiragana, Katakana",
       {0x2E80, 0x3005, 0x3041, 0x3096, 0x30A1, 0x30FA, 0x30FD, 0x4E00, 0x9FFF, 0xFF71, 0x1F200, 0x2EBF0, 0x33479},
       103351 + 381 + 321},
      {"Latin", {'A', 'Z', 'a', 'z', 0xAA, 0xF8, 0x2B8, 0x212A, 0x212B, 0x2160, 0xA7F1, 0xFB06, 0xFF21, 0xFF5A}, 1492},
      {"Greek", {0x370, 0x3A9, 0x3B1, 0x3C9, 0x3FF, 0x1FFE, 0x2126, 0xAB65}, 518},
      {"Cyrillic", {0x400, 0x431, 0x484, 0x487, 0x52F, 0x1C8A, 0xA640, 0x1E030, 0x1E08F}, 508},
      {"Armenian", {0x531, 0x556, 0x561, 0x58F, 0xFB13, 0xFB17}, 96},
      {"Hebrew", {0x591, 0x5D0, 0x5EA, 0xFB1D, 0xFB4F}, 134},
      {"Arabic", {0x600, 0x604, 0x620, 0x641, 0x88F, 0x8FF, 0xFDFA}, 1413},
      {"Devanagari", {0x900, 0x950, 0x955, 0x97F, 0xA8FF, 0x11B00, 0x11B09}, 164},
      {"Thai", {0xE01, 0xE3A, 0xE40, 0xE5B}, 86},
      {"Georgian", {0x10A0, 0x10FA, 0x10FC, 0x1CBF, 0x2D2D}, 173},
      {"Hangul", {0x1100, 0x11FF, 0x302E, 0x3131, 0xAC00, 0xD7A3, 0xFFDC}, 11739},
      {"Ethiopic", {0x1200}, 523},
      {"Cherokee", {0x13A0, 0xABBF}, 172},
      {"Kawi", {0x11F00}, 87},
      {"Sidetic", {0x10940, 0x10959}, 26},  // this one and the next three came with 17.0
      {"Tolong Siki", {0x11DB0, 0x11DDB, 0x11DE9}, 54},
      {"Beria Erfe", {0x16EA0, 0x16ED3}, 50},
      {"Tai Yo", {0x1E6C0, 0x1E6FF}, 55},
  };
  const auto sizes = script_sizes();
  std::set<std::uint32_t> numbers{0};
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const std::uint32_t number = script(row.characters[0]);
    CHECK(numbers.insert(number).second);  // not that of another row
    for (const char32_t c : row.characters) {
      CAPTURE(static_cast<std::uint32_t>(c));
      CHECK(script(c) == number);
    }
    CHECK(sizes.at(number) == row.size);
  }
  CHECK(script(0x300) == 1);
  CHECK(script(0x4E00) == 2);
  CHECK(0x110000 - sizes.at(0) == 150743);  // all that have a script which is not Common
  // Common, or no script at all: signs, digits, music, what stands beside a range, private use, the notes' planes
  for (const int c : {0x0,    0x20,   0x31,    0x40,    0x5B,    0x60,    0x7B,    0xD7,    0xF7,   0x2B9,
                      0x37E,  0x3000, 0x30FB,  0x30FC,  0x530,   0xE00,   0xE3F,   0xE5C,   0x2581, 0x266D,
                      0xD7A4, 0xE000, 0x1D11E, 0x1F600, 0x3347A, 0x40000, 0xFFFFF, 0x10FFFF}) {
    CAPTURE(c);
    CHECK(script(static_cast<char32_t>(c)) == 0);
  }
}

TEST_CASE("unicode tables: entries of Unicode 13 sum up as in Python's unicodedata, those of 17 are all there") {
  // Python 3.11, over the characters that Unicode 13 has: NFKC; NFKD where NFKC changes nothing; str.casefold(),
  // lower() where that is longer, and the three simple foldings that 15.1 added to old characters
  const Table nfkc13 = read(tables::k_nfkc, UnicodeVersion::v13),
              composites13 = read(tables::k_composites, UnicodeVersion::v13),
              folding13 = read(tables::k_case_folding, UnicodeVersion::v13);
  CHECK(nfkc13.size() == 4807);
  CHECK(sum(nfkc13) == 0x8078EDFDu);
  CHECK(composites13.size() == 929);
  CHECK(sum(composites13) == 0xB3DD98DDu);
  CHECK(folding13.size() == 1417);
  CHECK(sum(folding13) == 0x1F00400Au);

  const Table nfkc = read(tables::k_nfkc), composites = read(tables::k_composites),
              folding = read(tables::k_case_folding);
  CHECK(nfkc.size() == 4965);                               // NFKC_Quick_Check=No
  CHECK(nfkc.size() + composites.size() + 11172 == 17086);  // NFKD_Quick_Check=No, the Hangul syllables among them
  CHECK(folding.size() == 1481 + 31);                       // statuses C and S
  for (const auto& [old, all] :
       {std::pair(&nfkc13, &nfkc), std::pair(&composites13, &composites), std::pair(&folding13, &folding)}) {
    std::size_t wrong = 0;
    for (const auto& [c, to] : *old) wrong += !all->contains(c) || all->at(c) != to ? 1u : 0u;
    CHECK(wrong == 0);
  }
}

TEST_CASE("unicode tables: characters that came after Unicode 13 map as their names say") {
  const Table nfkc = read(tables::k_nfkc), composites = read(tables::k_composites),
              folding = read(tables::k_case_folding);
  CHECK(nfkc.at(0xA7F1) == U"S");                            // modifier letter capital S, 17.0
  CHECK(nfkc.at(0xA7F2) == U"C");                            // modifier letter capital C, 14.0
  CHECK(nfkc.at(0x10781) == U"\u02D0");                      // modifier letter superscript triangular colon, 14.0
  CHECK(nfkc.at(0x1E030) == U"\u0430");                      // modifier letter Cyrillic small a, 15.0
  CHECK(nfkc.at(0x1CCD6) == U"A");                           // outlined Latin capital letter A, 16.0
  CHECK(composites.at(0x105C9) == U"\U000105D2\u0307");      // Todhri letter ei, 16.0
  CHECK(composites.at(0x11383) == U"\U00011382\U000113C9");  // Tulu-Tigalari letter ii, 16.0
  CHECK(composites.at(0x16121) == U"\U0001611E\U0001611E");  // Gurung Khema vowel sign u, 16.0
  CHECK(folding.at(0x1C89) == U"\u1C8A");                    // Cyrillic capital letter tje, 16.0
  CHECK(folding.at(0xA7CE) == U"\uA7CF");                    // Latin capital letter pharyngeal voiced fricative, 17.0
  CHECK(folding.at(0x16EA0) == U"\U00016EBB");               // Beria Erfe capital letter arkab, 17.0
}

TEST_CASE("unicode tables: what is normal stays, composites' parts do not fall apart, folding twice is folding once") {
  const Table nfkc = read(tables::k_nfkc), composites = read(tables::k_composites),
              folding = read(tables::k_case_folding);
  std::size_t wrong = 0;
  for (const auto& [c, to] : nfkc) {
    wrong += !is_scalar_value(c) || to.empty() || composites.contains(c) || is_hangul(c) ? 1u : 0u;
    for (const char32_t x : to) wrong += !is_scalar_value(x) || nfkc.contains(x) ? 1u : 0u;
  }
  CHECK(wrong == 0);
  std::set<std::u32string> parts;
  for (const auto& [c, to] : composites) {
    wrong += to.size() < 2 || to.size() > 4 || is_hangul(c) || !parts.insert(to).second ? 1u : 0u;
    for (const char32_t x : to) wrong += composites.contains(x) || nfkc.contains(x) || is_hangul(x) ? 1u : 0u;
  }
  CHECK(wrong == 0);
  for (const auto& [c, to] : folding) wrong += to.size() != 1 || to[0] == c || folding.contains(to[0]) ? 1u : 0u;
  CHECK(wrong == 0);
}
