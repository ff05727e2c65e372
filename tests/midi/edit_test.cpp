#include <midigpt/midi/edit.hpp>

#include <doctest/doctest.h>

#include "midi_support.hpp"

using namespace midigpt;

namespace {

Score one_track(std::vector<Note> notes, std::vector<ChannelEvent> events = {}) {
  Score score;
  Track& t = score.tracks.emplace_back();
  t.notes = std::move(notes);
  t.events = std::move(events);
  t.end_tick = last_note_tick(score);
  return score;
}

std::vector<Note> notes_of(const Score& score) { return score.tracks.at(0).notes; }

}  // namespace

TEST_CASE("midi edit: merging keeps every note and event, in order, and the other names as text") {
  Score score;
  score.tracks.resize(2);
  score.tracks[0] = {"left", {{0, 10, 0, 60, 1, 64}, {20, 10, 0, 61, 2, 64}}, {{5, 0xC0, 1, 0}}, {}, 40};
  score.tracks[1] = {"right", {{10, 10, 1, 62, 3, 64}}, {{5, 0xC1, 2, 0}, {0, 0xB1, 7, 9}}, {{3, 6, "A"}}, 90};
  const Score merged = merge_tracks(score);
  REQUIRE(merged.tracks.size() == 1);
  const Track& t = merged.tracks[0];
  CHECK(t.name == "left");
  CHECK(t.notes == std::vector<Note>{{0, 10, 0, 60, 1, 64}, {10, 10, 1, 62, 3, 64}, {20, 10, 0, 61, 2, 64}});
  CHECK(t.events == std::vector<ChannelEvent>{{0, 0xB1, 7, 9}, {5, 0xC0, 1, 0}, {5, 0xC1, 2, 0}});
  CHECK(t.metas == std::vector<MetaEvent>{{0, 1, "right"}, {3, 6, "A"}});
  CHECK(t.end_tick == 90);
  CHECK(merge_tracks(merged) == merged);
  const Score split = split_channels(merged);
  REQUIRE(split.tracks.size() == 2);
  CHECK(split.tracks[0].notes.size() == 2);
  CHECK(split.tracks[1].notes.size() == 1);
  CHECK(split.tracks[1].events == std::vector<ChannelEvent>{{0, 0xB1, 7, 9}, {5, 0xC1, 2, 0}});
  CHECK(count_notes(split) == 3);
}

TEST_CASE("midi edit: drums and the rest part without loss") {
  const Score score = one_track({{0, 1, 9, 36, 1, 64}, {0, 1, 8, 36, 1, 64}}, {{0, 0xB9, 7, 1}, {0, 0xB8, 7, 1}});
  CHECK(notes_of(drop_drums(score)) == std::vector<Note>{{0, 1, 8, 36, 1, 64}});
  CHECK(notes_of(only_drums(score)) == std::vector<Note>{{0, 1, 9, 36, 1, 64}});
  CHECK(only_drums(score).tracks[0].events == std::vector<ChannelEvent>{{0, 0xB9, 7, 1}});
  CHECK(drop_empty_tracks(only_drums(drop_drums(score))).tracks.empty());
}

TEST_CASE("midi edit: transposing leaves drums alone, folds at the ends and moves the key") {
  Score score = one_track({{0, 1, 0, 60, 1, 64}, {0, 1, 0, 127, 1, 64}, {0, 1, 0, 1, 1, 64}, {0, 1, 9, 36, 1, 64}}, {{0, 0xA0, 60, 5}});
  score.key_signatures = {{0, 0, false}, {5, -3, true}};
  const Score up = transpose(score, 2);
  CHECK(notes_of(up) == std::vector<Note>{{0, 1, 0, 62, 1, 64}, {0, 1, 0, 117, 1, 64}, {0, 1, 0, 3, 1, 64}, {0, 1, 9, 36, 1, 64}});
  CHECK(up.tracks[0].events[0].data1 == 62);
  CHECK(up.key_signatures == std::vector<KeySignature>{{0, 2, false}, {5, -1, true}});  // D major; D minor
  CHECK(notes_of(transpose(score, -3))[2].pitch == 10);
  CHECK(transpose(score, -1).key_signatures[0].sharps == 5);  // B major
  CHECK(transpose(score, 12).key_signatures == score.key_signatures);
  CHECK(transpose(score, 0) == score);
}

TEST_CASE("midi edit: trimming cuts notes and carries the state that holds at the cut") {
  Score score = one_track({{0, 100, 0, 60, 1, 64}, {90, 100, 0, 61, 1, 64}, {200, 10, 0, 62, 1, 64}},
                          {{0, 0xC0, 5, 0}, {0, 0xB0, 7, 1}, {50, 0xB0, 7, 2}, {60, 0xB0, 10, 3}, {120, 0xB0, 7, 4}, {190, 0xC0, 6, 0}});
  score.tempos = {{0, 1}, {80, 2}, {150, 3}, {300, 4}};
  score.tracks[0].metas = {{0, 1, "before"}, {100, 1, "in"}, {180, 1, "after"}};
  const Score part = trim(score, 95, 180);
  CHECK(notes_of(part) == std::vector<Note>{{0, 5, 0, 60, 1, 64}, {0, 85, 0, 61, 1, 64}});
  CHECK(part.tracks[0].events == std::vector<ChannelEvent>{{0, 0xC0, 5, 0}, {0, 0xB0, 7, 2}, {0, 0xB0, 10, 3}, {25, 0xB0, 7, 4}});
  CHECK(part.tempos == std::vector<Tempo>{{0, 2}, {55, 3}});
  CHECK(part.tracks[0].metas == std::vector<MetaEvent>{{5, 1, "in"}});
  CHECK(part.tracks[0].end_tick == 85);
  CHECK(count_notes(trim(score, 500, 400)) == 0);
}

TEST_CASE("midi edit: quantising moves onsets and ends to the grid, and never to nothing") {
  const Score score = one_track({{3, 110, 0, 60, 1, 64}, {118, 5, 0, 61, 1, 64}, {250, 100, 0, 62, 1, 64}});
  CHECK(notes_of(quantise(score)) == std::vector<Note>{{0, 120, 0, 60, 1, 64}, {120, 120, 0, 61, 1, 64}, {240, 120, 0, 62, 1, 64}});
  CHECK(notes_of(quantise(score, {.durations = false}))[0] == Note{0, 110, 0, 60, 1, 64});
  const Score coarse = quantise(score, {.tpq = 4});
  CHECK(coarse.division.tpq == 4);
  CHECK(notes_of(coarse) == std::vector<Note>{{0, 1, 0, 60, 1, 64}, {1, 1, 0, 61, 1, 64}, {2, 1, 0, 62, 1, 64}});
  CHECK(quantise(quantise(score)) == quantise(score));
}

TEST_CASE("midi edit: a swung grid takes swung notes as they are, or straightens them") {
  const Score swung = one_track({{0, 150, 0, 60, 1, 64}, {160, 80, 0, 61, 1, 64}, {240, 160, 0, 62, 1, 64}});
  const QuantiseOptions swing{.steps_per_quarter = 4, .swing = 2.0 / 3, .straighten = false, .durations = true};
  CHECK(notes_of(quantise(swung, swing)) == std::vector<Note>{{0, 160, 0, 60, 1, 64}, {160, 80, 0, 61, 1, 64}, {240, 160, 0, 62, 1, 64}});
  QuantiseOptions straight = swing;
  straight.straighten = true;
  CHECK(notes_of(quantise(swung, straight)) == std::vector<Note>{{0, 120, 0, 60, 1, 64}, {120, 120, 0, 61, 1, 64}, {240, 120, 0, 62, 1, 64}});
}

TEST_CASE("midi edit: another resolution and back is the same music") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Score score = midi_test::random_score(seed);
    if (score.division.is_smpte() || score.division.tpq > 5000 || duration_ticks(score) > 1000000) continue;
    const std::uint16_t tpq = score.division.tpq;
    CHECK(with_tpq(with_tpq(score, static_cast<std::uint16_t>(tpq * 3)), tpq) == score);
  }
  Score smpte = one_track({{25 * 40, 500, 0, 60, 1, 64}});
  smpte.division = Division{.smpte_fps = 25, .ticks_per_frame = 40};
  const Score beats = with_tpq(smpte, 480);
  CHECK(notes_of(beats) == std::vector<Note>{{960, 480, 0, 60, 1, 64}});
  CHECK(TempoMap(beats).seconds(960) == 1.0);
}

TEST_CASE("midi edit: the pedal holds notes of its channel, to its release or the next onset of the pitch") {
  Score score = one_track({{0, 10, 0, 60, 1, 64}, {0, 10, 1, 60, 1, 64}, {5, 10, 0, 62, 1, 64}, {40, 10, 0, 62, 1, 64}, {120, 10, 0, 64, 1, 64}},
                          {{5, 0xB0, 64, 127}, {100, 0xB0, 64, 0}, {125, 0xB0, 64, 64}, {50, 0xB0, 7, 1}});
  score.tracks[0].end_tick = 200;
  const Score held = apply_sustain(score);
  CHECK(notes_of(held) == std::vector<Note>{{0, 100, 0, 60, 1, 64}, {0, 10, 1, 60, 1, 64}, {5, 35, 0, 62, 1, 64}, {40, 60, 0, 62, 1, 64}, {120, 80, 0, 64, 1, 64}});
  CHECK(held.tracks[0].events == std::vector<ChannelEvent>{{50, 0xB0, 7, 1}});
  CHECK(apply_sustain(held) == held);
}

TEST_CASE("midi edit: a pedal in another track holds its channel, a pedal of another channel does not") {
  Score score = one_track({{0, 10, 0, 60, 1, 64}, {0, 10, 1, 60, 1, 64}});
  score.tracks.emplace_back().events = {{0, 0xB1, 64, 0}, {5, 0xB0, 64, 127}, {90, 0xB0, 64, 0}};
  CHECK(notes_of(apply_sustain(score)) == std::vector<Note>{{0, 90, 0, 60, 1, 64}, {0, 10, 1, 60, 1, 64}});
}

TEST_CASE("midi edit: stretching moves ticks, scaling the tempo moves seconds") {
  Score score = one_track({{100, 50, 0, 60, 1, 64}});
  score.tempos = {{100, 400000}};
  const Score twice = stretch(score, 2);
  CHECK(notes_of(twice) == std::vector<Note>{{200, 100, 0, 60, 1, 64}});
  CHECK(twice.tempos[0].tick == 200);
  CHECK(twice.tracks[0].end_tick == 300);
  const Score fast = scale_tempo(score, 2);
  CHECK(fast.tempos == std::vector<Tempo>{{0, 250000}, {100, 200000}});
  CHECK(duration_seconds(fast) == doctest::Approx(duration_seconds(score) / 2));
  CHECK(notes_of(scale_velocity(one_track({{0, 1, 0, 60, 100, 64}}), 2, 5))[0].velocity == 127);
  CHECK(notes_of(scale_velocity(one_track({{0, 1, 0, 60, 100, 64}}), 0.5, -3))[0].velocity == 47);
}
