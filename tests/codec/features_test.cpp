#include <doctest/doctest.h>

#include <midigpt/codec/features.hpp>

#include <set>

using namespace midigpt;

TEST_CASE("codec: notes with different fields have different features, all in range") {
  std::set<std::vector<std::int32_t>> seen;
  std::size_t wrong = 0;
  for (char32_t c = 0x40000; c <= 0xFFFFF; c += 13) {
    std::vector<std::int32_t> f;
    append_features(c, 2, f);
    wrong += f.size() != 5 || !seen.insert(f).second;
    for (const std::int32_t i : f) wrong += i < 2 * 256 || i >= 3 * 256;
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: the two characters of a split note have the features of the note") {
  for (const int pitch : {0, 60, 127}) {
    std::vector<std::int32_t> whole, halves;
    append_features(PackedNote::pack({2, 12, 10, pitch}), 0, whole);
    append_features(PackedNote::pack({2, 12, 10, 0}), 0, halves, true);
    append_features(control_character({ControlKind::pitch, pitch}), 0, halves, true);
    std::sort(whole.begin(), whole.end());
    std::sort(halves.begin(), halves.end());
    CHECK(whole == halves);
  }
}

TEST_CASE("codec: a control has its kind, a foreign character nothing, later characters share the last slot") {
  std::vector<std::int32_t> f;
  append_features(0x34080, 0, f);
  append_features(U'x', 0, f);
  append_features(0x38000 + 40, 9, f);
  CHECK(f == std::vector<std::int32_t>{242, 3 * 256 + 248});
  CHECK(feature_count() == 1024);
}
