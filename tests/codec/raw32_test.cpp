#include <doctest/doctest.h>

#include <midigpt/codec/raw32.hpp>

#include <limits>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("codec: a raw word holds velocity, step, duration and pitch, a byte each") {
  Score s;
  s.tracks.resize(1);
  s.tracks[0].notes = {{.tick = 480, .duration = 240, .pitch = 60, .velocity = 100},
                       {.tick = 480, .duration = 120, .channel = 9, .pitch = 36, .velocity = 127},
                       {.tick = 480 * 21, .duration = 20, .pitch = 61, .velocity = 1}};
  TextReport report;
  CHECK(raw32_words(s, &report) == std::vector<std::uint32_t>{0x64180C3C, 0x7F0006A4, 0x00FF0000, 0x01E1013D});
  CHECK(report == TextReport{.notes = 3, .controls = 1});
}

TEST_CASE("codec: any words are a score whose words read the same, and music on the grid comes back whole") {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    std::vector<std::uint32_t> words;
    for (int i = 0; i < 200; ++i)
      words.push_back(static_cast<std::uint32_t>(rng.next()) & (rng.chance(0.1) ? 0x00FF0000u : 0xFFFFFFFFu));
    const Score s = raw32_score(words);
    TextReport report;
    const auto again = raw32_words(s, &report);
    wrong += raw32_words(raw32_score(again)) != again || report.onsets_rounded != 0 || report.durations_rounded != 0;
    wrong += report.steps_clamped == 0 && count_notes(raw32_score(again)) != count_notes(s);
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: raw words of a hostile score are few") {
  Score s;
  s.tracks.resize(1);
  constexpr std::int64_t big = (std::numeric_limits<std::int64_t>::max)();
  s.tracks[0].notes = {{.tick = big, .duration = big, .channel = 255, .pitch = 255, .velocity = 255},
                       {.tick = -1, .duration = -1}};
  TextReport report;
  CHECK(raw32_words(s, &report).size() < 30);
  CHECK(report.steps_clamped == 1);
}
