#include <midigpt/midi/score.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <vector>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

/// What settle_maps() promises, the simple way: a std::map keeps one entry a tick, the last one put in.
template <class T>
std::vector<T> settled(const std::vector<T>& given) {
  std::map<std::int64_t, T> by_tick;
  for (const T& item : given) by_tick.insert_or_assign(item.tick, item);
  std::vector<T> out;
  for (const auto& [tick, item] : by_tick) out.push_back(item);
  return out;
}

/// Maps in no order, many entries at one tick, every entry with a value of its own.
Score shuffled_maps(std::uint64_t seed) {
  Rng rng(seed, 5);
  Score score;
  score.tracks.resize(rng.below(3));
  for (Track& t : score.tracks) t.end_tick = rng.below(20);
  const auto tick = [&] { return std::int64_t{rng.below(12)}; };
  for (std::uint32_t n = rng.below(15); n > 0; --n) score.tempos.push_back({tick(), n + 1});
  for (std::uint32_t n = rng.below(15); n > 0; --n) {
    score.time_signatures.push_back({.tick = tick(), .numerator = static_cast<std::uint8_t>(n + 1)});
  }
  for (std::uint32_t n = rng.below(15); n > 0; --n) {
    score.key_signatures.push_back({.tick = tick(), .sharps = static_cast<std::int8_t>(n - 7)});
  }
  return score;
}

}  // namespace

TEST_CASE("score: settled maps are in order, with one entry a tick, the last one given") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Score given = shuffled_maps(seed);
    Score score = given;
    settle_maps(score);
    wrong += score.tempos != settled(given.tempos);
    wrong += score.time_signatures != settled(given.time_signatures);
    wrong += score.key_signatures != settled(given.key_signatures);
    const Score once = score;
    settle_maps(score);
    wrong += score != once;
  }
  CHECK(wrong == 0);
}

TEST_CASE("score: settling makes the first track last as long as the maps, and touches nothing else") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Score given = shuffled_maps(seed);
    Score score = given;
    settle_maps(score);
    std::int64_t last = given.tracks.empty() ? 0 : given.tracks[0].end_tick;
    for (const Tempo& t : given.tempos) last = (std::max)(last, t.tick);
    for (const TimeSignature& t : given.time_signatures) last = (std::max)(last, t.tick);
    for (const KeySignature& t : given.key_signatures) last = (std::max)(last, t.tick);
    std::vector<Track> tracks = given.tracks;
    if (!tracks.empty()) tracks[0].end_tick = last;
    wrong += score.tracks != tracks;
  }
  CHECK(wrong == 0);
}

TEST_CASE("score: what happens at one tick keeps its order") {
  std::vector<MetaEvent> metas{{5, 1, "b"}, {2, 1, "x"}, {5, 2, "a"}, {2, 3, "y"}, {5, 1, "c"}};
  detail::midi_score::sort_by_tick(metas);
  CHECK(metas == std::vector<MetaEvent>{{2, 1, "x"}, {2, 3, "y"}, {5, 1, "b"}, {5, 2, "a"}, {5, 1, "c"}});
}

TEST_CASE("score: the status byte of every channel message says its kind and its channel") {
  int wrong = 0;
  for (unsigned kind = 0x8; kind <= 0xE; ++kind) {
    for (unsigned channel = 0; channel < 16; ++channel) {
      const ChannelEvent e{.status = static_cast<std::uint8_t>(kind << 4 | channel)};
      wrong += e.kind() != kind * 16 || e.channel() != channel;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("score: notes are counted over all tracks") {
  Score score;
  CHECK(count_notes(score) == 0);
  score.tracks.resize(3);
  score.tracks[0].notes.resize(2);
  score.tracks[2].notes.resize(5);
  CHECK(count_notes(score) == 7);
}

TEST_CASE("score: what a file may leave out has the values of the MIDI standard") {
  CHECK(Tempo{}.us_per_quarter == 500000);  // 120 quarters a minute
  CHECK(TimeSignature{} == TimeSignature{.tick = 0,
                                         .numerator = 4,
                                         .denominator_log2 = 2,
                                         .clocks_per_click = 24,
                                         .thirty_seconds_per_quarter = 8});
  CHECK(KeySignature{} == KeySignature{.tick = 0, .sharps = 0, .minor = false});
  CHECK(Note{}.off_velocity == 64);
  CHECK_FALSE(Division{}.is_smpte());
  CHECK(Division{.tpq = 0, .smpte_fps = 25, .ticks_per_frame = 40}.is_smpte());
}
