#include <midigpt/midi/prepare.hpp>

#include <set>

#include <doctest/doctest.h>

#include <midigpt/midi/read.hpp>
#include <midigpt/midi/write.hpp>

#include "midi_support.hpp"

using namespace midigpt;

namespace {

/// A bar of rest, then two instruments and drums.
Score song() {
  Score score;
  score.tempos = {{0, 400000}};
  score.tracks.resize(3);
  score.tracks[0].notes = {{1920, 480, 0, 60, 80, 64}, {2400, 480, 0, 64, 80, 64}};
  score.tracks[0].events = {{0, 0xC0, 24, 0}};
  score.tracks[1].notes = {{1920, 480, 1, 48, 70, 64}, {1920, 480, 1, 60, 90, 64}, {2880, 0, 1, 50, 70, 64}};
  score.tracks[2].notes = {{1920, 10, 9, 36, 100, 64}};
  for (Track& t : score.tracks) t.end_tick = 9999;
  return score;
}

}  // namespace

TEST_CASE("midi prepare: clean leaves one piano without drums, from its first note to its last") {
  const Score cleaned = clean(song());
  REQUIRE(cleaned.tracks.size() == 1);
  CHECK(cleaned.tracks[0].notes ==
        std::vector<Note>{{0, 480, 0, 48, 70, 64}, {0, 480, 0, 60, 90, 64}, {480, 480, 0, 64, 80, 64}, {960, 1, 0, 50, 70, 64}});
  CHECK(cleaned.tracks[0].events == std::vector<ChannelEvent>{{0, 0xC0, 0, 0}});
  CHECK(cleaned.tempos == std::vector<Tempo>{{0, 400000}});
  CHECK(cleaned.tracks[0].end_tick == 961);
  CHECK(clean(cleaned) == cleaned);
  CHECK(*parse_midi(midi_bytes(cleaned)) == cleaned);
  const Score tracks = clean(song(), {.drop_drums = false, .one_instrument = false, .shortest = 0, .drop_silence = false});
  CHECK(tracks == song());
  CHECK(count_notes(clean(Score{})) == 0);
}

TEST_CASE("midi prepare: the hash hears music, not files") {
  const std::uint64_t hash = music_hash(song());
  CHECK(music_hash(with_tpq(song(), 96)) == hash);
  CHECK(music_hash(merge_tracks(song())) == hash);
  CHECK(music_hash(scale_tempo(scale_velocity(song(), 0.5), 2)) == hash);
  CHECK(music_hash(trim(song(), 960, 9000)) == hash);  // an earlier first note is no other music
  CHECK(music_hash(transpose(song(), 2)) != hash);
  CHECK(music_hash(transpose(song(), 2), {.any_key = true}) == music_hash(song(), {.any_key = true}));
  CHECK(music_hash(stretch(song(), 2)) != hash);
  CHECK(music_hash(drop_drums(song())) != hash);
  Score other = song();
  other.tracks[0].notes[1].pitch = 65;
  CHECK(music_hash(other) != hash);
}

TEST_CASE("midi prepare: doubles are found, pieces without notes are not new") {
  SeenMusic seen;
  CHECK(seen.is_new(song()));
  CHECK_FALSE(seen.is_new(merge_tracks(song())));
  CHECK_FALSE(seen.is_new(Score{}));
  CHECK(seen.is_new(transpose(song(), 1)));
  CHECK(seen.size() == 2);
}

TEST_CASE("midi prepare: variations keep every note and reach every key") {
  Rng rng(5);
  std::set<int> keys;
  for (int i = 0; i < 300; ++i) {
    const Score varied = augment(song(), {}, rng);
    REQUIRE(count_notes(varied) == count_notes(song()));
    const int by = varied.tracks[0].notes[0].pitch - 60;
    keys.insert(by);
    CHECK(varied.tracks[1].notes[0].pitch - 48 == by);
    CHECK(varied.tracks[2].notes[0].pitch == 36);
    CHECK(varied.tempos[0].us_per_quarter >= 363636);
    CHECK(varied.tempos[0].us_per_quarter <= 444445);
  }
  CHECK(keys == std::set<int>{-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6});
  Score wide = song();
  wide.tracks[0].notes[0].pitch = 127;
  wide.tracks[0].notes[1].pitch = 0;
  CHECK(augment(wide, {}, rng).tracks[0].notes[0].pitch == 127);
}
