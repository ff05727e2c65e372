#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/midi/procedural.hpp>
#include <midigpt/report/metrics.hpp>
#include <report/odd_scores.hpp>

using namespace midigpt;

namespace {

/// One track of (tick, pitch) in 4/4 with 4 ticks a quarter: a tick is a 16th, a bar 16 ticks. Every note lasts one
/// tick.
Score notes(const std::vector<std::pair<int, int>>& list, std::uint8_t channel = 0) {
  Score score;
  score.division.tpq = 4;
  score.tracks.resize(1);
  for (const auto& [tick, pitch] : list) {
    score.tracks[0].notes.push_back(
        {.tick = tick, .duration = 1, .channel = channel, .pitch = static_cast<std::uint8_t>(pitch)});
  }
  return score;
}

Score held(const std::vector<std::pair<int, int>>& spans) {  // (tick, duration), all on different pitches
  Score score = notes({});
  int pitch = 60;
  for (const auto& [tick, duration] : spans) {
    score.tracks[0].notes.push_back(
        {.tick = tick, .duration = duration, .channel = 0, .pitch = static_cast<std::uint8_t>(pitch++)});
  }
  return score;
}

}  // namespace

TEST_CASE("metrics: pitch-class entropy by hand") {
  CHECK(pitch_class_entropy(notes({})) == 0.0);
  CHECK(pitch_class_entropy(notes({{0, 60}, {1, 72}, {2, 0}})) == 0.0);           // one class, three octaves
  CHECK(pitch_class_entropy(notes({{0, 60}, {1, 67}})) == doctest::Approx(1.0));  // 1/2, 1/2
  CHECK(pitch_class_entropy(notes({{0, 60}, {1, 60}, {2, 64}, {3, 67}})) == doctest::Approx(1.5));  // 1/2, 1/4, 1/4
  std::vector<std::pair<int, int>> chromatic;
  for (int p = 0; p < 12; ++p) chromatic.emplace_back(p, 60 + p);
  CHECK(pitch_class_entropy(notes(chromatic)) == doctest::Approx(std::log2(12.0)));
  CHECK(pitch_class_entropy(notes({{0, 36}, {1, 42}}, 9)) == 0.0);  // drums have no pitch
}

TEST_CASE("metrics: in-scale rate by hand") {
  const Key c = *parse_key("C");
  CHECK(in_scale_rate(notes({}), c) == 0.0);
  CHECK(in_scale_rate(notes({{0, 60}, {1, 62}, {2, 61}, {3, 59}}), c) == doctest::Approx(0.75));
  CHECK(in_scale_rate(notes({{0, 36}}, 9), c) == 0.0);
}

TEST_CASE("metrics: stepwise rate by hand: repeats are no moves, chords count by their top") {
  CHECK(stepwise_rate(notes({}).tracks[0].notes) == 0.0);
  CHECK(stepwise_rate(notes({{0, 60}, {1, 60}}).tracks[0].notes) == 0.0);
  CHECK(stepwise_rate(notes({{0, 60}, {1, 62}, {2, 62}, {3, 61}, {4, 65}, {5, 53}}).tracks[0].notes) ==
        doctest::Approx(0.5));  // +2 0 -1 +4 -12
  CHECK(stepwise_rate(notes({{0, 48}, {0, 60}, {1, 61}, {1, 50}}).tracks[0].notes) == 1.0);
}

TEST_CASE("metrics: groove consistency by hand") {
  CHECK(groove_consistency(notes({})) == 0.0);
  CHECK(groove_consistency(notes({{0, 60}})) == 0.0);                               // one bar: no pair
  CHECK(groove_consistency(notes({{0, 60}, {4, 60}, {16, 60}, {20, 62}})) == 1.0);  // the same twice
  CHECK(groove_consistency(notes({{0, 60}, {4, 60}, {16, 60}, {24, 60}})) ==
        doctest::Approx(14.0 / 16));                                               // beat 2 against beat 3
  CHECK(groove_consistency(notes({{0, 60}, {0, 64}, {0, 67}, {16, 60}})) == 1.0);  // a chord is one onset
}

TEST_CASE("metrics: silence is not like a beat") {
  // four beats, silence, four beats: over ticks of 480 the usual formula says 1 - 4/1920 = 0.998 for each pair
  CHECK(groove_consistency(notes({{0, 60}, {4, 60}, {8, 60}, {12, 60}, {32, 60}, {36, 60}, {40, 60}, {44, 60}})) ==
        0.0);
  // of four bars (beat, silence, silence, beat) only two pairs count, and both are 0; a fifth like the fourth makes 1/3
  CHECK(groove_consistency(notes({{0, 60}, {48, 60}})) == 0.0);
  CHECK(groove_consistency(notes({{0, 60}, {48, 60}, {64, 60}})) == doctest::Approx(1.0 / 3));
}

TEST_CASE("metrics: groove snaps to the nearest 16th, over the bar line too") {
  Score score = notes({});
  score.division.tpq = 480;
  score.tracks[0].notes = {{.tick = 0, .duration = 10},
                           {.tick = 480 + 20, .duration = 10},
                           {.tick = 1920 - 30, .duration = 10},
                           {.tick = 2400 - 40, .duration = 10}};
  CHECK(groove_consistency(score) == 1.0);
}

TEST_CASE("metrics: polyphony by hand") {
  CHECK(polyphony(notes({})) == 0.0);
  CHECK(polyphony(held({{0, 4}})) == 1.0);
  CHECK(polyphony(held({{0, 4}, {0, 4}, {8, 4}})) ==
        doctest::Approx(1.5));  // 2 for 4 ticks, 1 for 4; the gap does not count
  CHECK(polyphony(held({{0, 4}, {2, 4}})) == doctest::Approx(8.0 / 6));
  CHECK(polyphony(held({{0, 0}})) == 0.0);
}

TEST_CASE("metrics: empty bars and density by hand") {
  CHECK(empty_bar_rate(notes({})) == 0.0);
  CHECK(empty_bar_rate(notes({{0, 60}, {48, 60}})) == doctest::Approx(0.5));  // bars 2 and 3 of 4
  CHECK(empty_bar_rate(held({{0, 33}, {48, 1}})) == doctest::Approx(0.0));    // a held note fills bars 2 and 3
  Score tail = notes({{0, 60}});
  tail.tracks[0].end_tick = 64;
  CHECK(empty_bar_rate(tail) == doctest::Approx(0.75));
  CHECK(notes_per_second(notes({{0, 60}, {3, 60}})) == doctest::Approx(4.0));  // 4 ticks at 120: half a second
  CHECK(notes_per_second(Score{}) == 0.0);
}

TEST_CASE("metrics: losses as perplexity and bits") {
  CHECK(perplexity(0) == 1.0);
  CHECK(perplexity(std::log(512.0)) == doctest::Approx(512));
  CHECK(nats_to_bits(std::log(2.0)) == doctest::Approx(1));
}

TEST_CASE("metrics: any score within its types has finite figures in their ranges") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const Score s = odd_score(seed);
    const auto outside = [](double x, double most) { return !(x >= 0 && x <= most); };
    wrong += outside(pitch_class_entropy(s), std::log2(12.0) + 1e-9) || outside(in_scale_rate(s, Key{}), 1);
    wrong += outside(groove_consistency(s), 1) || outside(empty_bar_rate(s), 1) || outside(polyphony(s), 100);
    wrong += !std::isfinite(notes_per_second(s));
    for (const Track& t : s.tracks) wrong += outside(stepwise_rate(t.notes), 1);
  }
  CHECK(wrong == 0);
}

TEST_CASE("metrics: a thousand generated pieces are music by the numbers") {
  for (const int bars : {8, 16}) {
    double in_scale = 0, entropy = 0, steps = 0, groove = 0, rests = 0, empty = 0;
    int silent_roles = 0;
    constexpr int pieces = 1000;
    for (std::uint64_t seed = 0; seed < pieces; ++seed) {
      const Score score = dice({.seed = seed, .bars = bars});
      const std::string& facts = score.tracks[0].metas[0].data;
      const std::size_t from = facts.find(" key=") + 5;
      const Key key = parse_key(facts.substr(from, facts.find(" feel=") - from)).value();
      const Score melody = dice({.seed = seed, .bars = bars, .style = DiceStyle::melody});
      in_scale += in_scale_rate(melody, key);
      entropy += pitch_class_entropy(score);
      steps += stepwise_rate(melody.tracks[0].notes);
      groove += groove_consistency(score);
      empty += empty_bar_rate(score);
      std::int64_t sounding = 0;
      for (const Note& n : melody.tracks[0].notes) sounding += n.duration;
      rests += 1 - static_cast<double>(sounding) / static_cast<double>(melody.tracks[0].end_tick);
      for (const Track& track : score.tracks) silent_roles += track.notes.empty();
    }
    CHECK(in_scale / pieces >= 0.95);
    CHECK(entropy / pieces >= 2.2);
    CHECK(entropy / pieces <= 2.9);
    CHECK(steps / pieces >= 0.60);
    CHECK(groove / pieces >= 0.85);
    CHECK(groove / pieces <= 0.99);
    CHECK(rests / pieces > 0.05);
    CHECK(rests / pieces < 0.25);
    CHECK(empty == 0.0);
    CHECK(silent_roles == 0);
    MESSAGE(bars << " bars: melody in scale " << in_scale / pieces << ", pitch-class entropy " << entropy / pieces
                 << " bits, stepwise " << steps / pieces << ", groove " << groove / pieces << ", rests "
                 << rests / pieces);
  }
}
