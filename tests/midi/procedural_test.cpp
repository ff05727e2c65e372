#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <midigpt/midi/procedural.hpp>

using namespace midigpt;

TEST_CASE("procedural: the same options give the same piece, another seed another one") {
  CHECK(dice({.seed = 5}) == dice({.seed = 5}));
  CHECK(dice({.seed = 5}) != dice({.seed = 6}));
  CHECK(dice({.seed = 5, .humanise = true}) == dice({.seed = 5, .humanise = true}));
}

TEST_CASE("procedural: a style selects roles, each the same as in the band") {
  const Score band = dice({.seed = 9, .bars = 16});
  REQUIRE(band.tracks.size() == 4);
  const Score melody = dice({.seed = 9, .bars = 16, .style = DiceStyle::melody});
  const Score chords = dice({.seed = 9, .bars = 16, .style = DiceStyle::chords});
  const Score drums = dice({.seed = 9, .bars = 16, .style = DiceStyle::drums});
  REQUIRE(melody.tracks.size() == 1);
  CHECK(melody.tracks[0].notes == band.tracks[0].notes);
  CHECK(chords.tracks[0].notes == band.tracks[1].notes);
  CHECK(drums.tracks[0].notes == band.tracks[3].notes);
}

TEST_CASE("procedural: what is asked for is what the piece has") {
  const Score score = dice({.seed = 3, .bars = 12, .key = *parse_key("F#m"), .feel = Feel::waltz, .bpm = 90});
  CHECK(score.division.tpq == 480);
  CHECK(score.tempos == std::vector<Tempo>{{0, 666666}});
  CHECK(score.key_signatures == std::vector<KeySignature>{{0, 3, true}});
  CHECK(score.time_signatures[0].numerator == 3);
  for (const Track& track : score.tracks) CHECK(track.end_tick == 12 * 3 * 480);
  const std::string& facts = score.tracks[0].metas.at(0).data;
  CHECK(facts.find("seed=3 bars=12 style=band key=F#m feel=waltz bpm=90") != std::string::npos);
  CHECK(score.tracks[0].metas.at(1).data.find("CC0") != std::string::npos);
}
