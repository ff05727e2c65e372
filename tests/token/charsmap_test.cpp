#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>

#include <midigpt/token/charsmap.hpp>
#include <midigpt/token/charsmap_builder.hpp>

using namespace midigpt;

TEST_CASE("charsmap: the empty blob is the identity, a short or torn one is an error") {
  CHECK(Charsmap::create("")->is_identity());
  const std::string blob = compile_charsmap({{"a", "b"}, {"abc", ""}});
  for (std::size_t cut = 1; cut < blob.size(); ++cut) {
    const auto map = Charsmap::create(blob.substr(0, cut));
    if (map) CHECK(map->longest("abc").bytes <= 3);  // cut behind a NUL inside the replacements: still sound
  }
  CHECK(!Charsmap::create(std::string_view("\1\0\0\0a", 5)));          // not a multiple of 4
  CHECK(!Charsmap::create(std::string_view("\0\0\0\0a\0", 6)));        // no trie
  CHECK(!Charsmap::create(std::string_view("\xff\xff\xff\xff" "abc")));  // larger than the blob
}

TEST_CASE("charsmap: a map with any byte replaced never reads outside and never loops") {
  const std::string blob = compile_charsmap({{"a", "b"}, {"abc", ""}, {"\xC3\xA4", "ae"}});
  std::size_t matched = 0;
  for (std::size_t at = 0; at < blob.size(); ++at) {
    for (const int b : {0, 1, 0x7F, 0x80, 0xFF}) {
      std::string bad = blob;
      bad[at] = static_cast<char>(b);
      const auto map = Charsmap::create(bad);
      if (!map) continue;
      for (const char* text : {"abc", "\xC3\xA4x", "zzz"}) matched += map->longest(text).bytes;
      map->for_each([](std::string_view, std::string_view) {});
    }
  }
  CHECK(matched > 0);
}
