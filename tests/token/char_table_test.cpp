#include <midigpt/token/char_table.hpp>

#include <doctest/doctest.h>

#include <map>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("char table: every code point reads as what a std::map was told of it") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Rng rng(seed, 1);
    CharTable table;
    std::map<char32_t, std::uint32_t> twin;
    for (int i = 0; i < 3000; ++i) {
      const char32_t c = rng.below(rng.chance(0.3) ? 0x80u : 0x110000u);
      const std::uint32_t symbol = rng.below(CharTable::k_no_symbol);
      const std::uint32_t flags = rng.chance(0.2) ? CharTable::k_special : rng.chance(0.2) ? CharTable::k_space : 0u;
      table.cell(c) = twin[c] = symbol | flags;
    }
    int wrong = 0;
    for (char32_t c = 0; c < 0x110000; ++c) {
      const auto at = twin.find(c);
      const bool known = at != twin.end();
      wrong += table[c] != (known ? at->second : CharTable::k_no_symbol);
      wrong += table.symbol(c) != (known ? at->second & CharTable::k_no_symbol : k_unknown_symbol | static_cast<BpeSymbol>(c));
      if (c < 0x80) wrong += table.ascii(static_cast<unsigned char>(c)) != table[c];
    }
    CHECK(wrong == 0);
  }
}
