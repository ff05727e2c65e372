#include <doctest/doctest.h>

#include <midigpt/codec/multitrack.hpp>

#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

Note note(std::int64_t tick, std::int64_t duration, int pitch, int velocity = 85, int channel = 0) {
  return {.tick = tick,
          .duration = duration,
          .channel = static_cast<std::uint8_t>(channel),
          .pitch = static_cast<std::uint8_t>(pitch),
          .velocity = static_cast<std::uint8_t>(velocity)};
}

ChannelEvent program(std::int64_t tick, int channel, int number) {
  return {
      .tick = tick, .status = static_cast<std::uint8_t>(0xC0 | channel), .data1 = static_cast<std::uint8_t>(number)};
}

/// Any music: several tracks, channels, programmes, off the grid, in no order.
Score wild_score(std::uint64_t seed) {
  Rng rng(seed, 77);
  Score s;
  s.division.tpq = static_cast<std::uint16_t>(rng.between(1, 1000));
  const int tracks = rng.between(0, 20);
  for (int t = 0; t < tracks; ++t) {
    Track track;
    const int notes = rng.between(0, 30);
    const int spread = rng.chance(0.1) ? 1000000 : rng.between(1, 40) * s.division.tpq;
    for (int i = 0; i < notes; ++i) {
      track.notes.push_back(note(rng.between(0, spread), rng.between(0, 5 * s.division.tpq), rng.between(0, 127),
                                 rng.between(1, 127), rng.chance(0.2) ? 9 : rng.between(0, 15)));
    }
    for (int i = rng.between(0, 4); i > 0; --i) {
      track.events.push_back(
          program(rng.chance(0.5) ? 0 : rng.between(0, spread), rng.between(0, 15), rng.between(0, 127)));
    }
    s.tracks.push_back(track);
  }
  for (int i = rng.between(0, 5); i > 0; --i) {
    s.tempos.push_back(
        {.tick = rng.between(0, 20000), .us_per_quarter = static_cast<std::uint32_t>(rng.between(1, 16777215))});
    s.time_signatures.push_back({.tick = rng.between(0, 20000),
                                 .numerator = static_cast<std::uint8_t>(rng.between(0, 255)),
                                 .denominator_log2 = static_cast<std::uint8_t>(rng.between(0, 9))});
  }
  return s;
}

std::vector<MultitrackOptions> all_options() {
  std::vector<MultitrackOptions> all;
  for (int bits = 0; bits < 8; ++bits) all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0});
  return all;
}

std::u32string points(const Score& s, const MultitrackOptions& o = {}) {
  return utf8_code_points(multitrack_text(s, o));
}

}  // namespace

TEST_CASE("codec: two quarter notes are two characters and an end") {
  Score s;
  s.tracks.resize(1);
  s.tracks[0].notes = {note(0, 480, 60), note(480, 479, 64, 120)};
  TextReport report;
  const std::string text = multitrack_text(s, {}, &report);
  CHECK(utf8_code_points(text) ==
        std::u32string{PackedNote::pack({2, 0, 16, 60}), PackedNote::pack({3, 24, 16, 64}), 0x34080});
  CHECK(report == TextReport{.notes = 2, .controls = 1, .durations_rounded = 1, .velocities_rounded = 1});

  const Score back = multitrack_score(text);
  CHECK(back.division.tpq == 480);
  REQUIRE(back.tracks.size() == 1);
  CHECK(back.tracks[0].notes == std::vector<Note>{note(0, 480, 60), note(480, 480, 64, 117)});
  CHECK(back.tracks[0].events == std::vector<ChannelEvent>{program(0, 0, 0)});
  CHECK(back.tracks[0].end_tick == 960);
  CHECK(back.tempos == std::vector<Tempo>{{0, 500000}});
}

TEST_CASE("codec: parts, drums, tempo, metre and long rests are controls before the note they concern") {
  Score s;
  s.tracks.resize(2);
  s.tracks[0].notes = {note(0, 240, 60), note(480 * 5, 240, 62)};
  s.tracks[0].events = {program(0, 0, 40)};
  s.tracks[1].notes = {note(0, 60, 36, 85, 9)};
  s.tempos = {{0, 857143}, {480, 600000}};
  s.time_signatures = {{.tick = 0, .numerator = 3}};
  const auto control = [](ControlKind k, int v) { return control_character({k, v}); };
  const std::u32string want{control(ControlKind::time_signature, 3 * 8 + 2),
                            control(ControlKind::tempo, 70),
                            control(ControlKind::part, 40),
                            PackedNote::pack({2, 0, 10, 60}),
                            control(ControlKind::part, 128),
                            PackedNote::pack({2, 0, 2, 36}),
                            control(ControlKind::advance, 24),
                            control(ControlKind::tempo, 100),
                            control(ControlKind::rest, 2),
                            control(ControlKind::part, 40),
                            PackedNote::pack({2, 0, 10, 62}),
                            control(ControlKind::end, 0)};
  CHECK(points(s) == want);

  const Score back = multitrack_score(multitrack_text(s));
  REQUIRE(back.tracks.size() == 2);
  CHECK(back.tracks[0].notes == s.tracks[0].notes);
  CHECK(back.tracks[1].notes == s.tracks[1].notes);
  CHECK(back.tempos == s.tempos);
  CHECK(back.time_signatures == s.time_signatures);
}

TEST_CASE("codec: packing what was read gives the same text, and reading that the same score") {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const Score s = wild_score(seed);
    for (const MultitrackOptions& o : all_options()) {
      TextReport written, read;
      const std::string text = multitrack_text(s, o, &written);
      const Score back = multitrack_score(text, o.split_notes, &read);
      const bool good =
          multitrack_text(back, o) == text && multitrack_score(multitrack_text(back, o), o.split_notes) == back &&
          read == TextReport{.notes = written.notes, .controls = written.controls} && written.notes == count_notes(s) &&
          count_notes(back) == count_notes(s) && utf8_first_invalid(text) == std::string_view::npos;
      if (!good)
        MESSAGE("seed " << seed << " tracks " << o.keep_tracks << " bars " << o.bar_lines << " split "
                        << o.split_notes);
      wrong += !good;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: the order of equal-time events and of tracks of different instruments does not matter") {
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Score s = wild_score(seed);
    for (Track& t : s.tracks) t.events.clear();
    const std::string text = multitrack_text(s);
    Rng rng(seed, 5);
    for (Track& t : s.tracks) rng.shuffle(std::span<Note>(t.notes));
    rng.shuffle(std::span<Track>(s.tracks));
    wrong += multitrack_text(s) != text;
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: onset and length are off by at most half a unit and half a gap of the table") {
  Score s;
  s.division.tpq = 480;
  s.tracks.resize(1);
  for (int i = 0; i < 8000; ++i) s.tracks[0].notes.push_back(note(i * 37, i, i % 128));
  const Score back = multitrack_score(multitrack_text(s));
  REQUIRE(back.tracks.size() == 1);
  std::vector<Note> got = back.tracks[0].notes;
  // pitch i % 128 and onsets 37 apart: each note is the only one of its pitch nearby
  std::size_t wrong = 0;
  for (const Note& n : s.tracks[0].notes) {
    const auto hit = std::find_if(got.begin(), got.end(),
                                  [&](const Note& g) { return g.pitch == n.pitch && std::abs(g.tick - n.tick) <= 10; });
    if (hit == got.end()) {
      ++wrong;
      continue;
    }
    std::int64_t nearest = 1 << 20;
    for (const std::int64_t units : k_duration_units) nearest = (std::min)(nearest, std::abs(units * 20 - n.duration));
    wrong += std::abs(hit->duration - n.duration) != nearest;
  }
  CHECK(wrong == 0);
}

TEST_CASE("codec: a duration one tick short of the grid snaps to it in every division") {
  for (int tpq = 24; tpq <= 32767; ++tpq) {
    const Division d{.tpq = static_cast<std::uint16_t>(tpq)};
    const BeatGrid grid(d);
    const int quarter = nearest_duration((tpq - 1) * grid.num(), grid.den());
    if (k_duration_units[static_cast<std::size_t>(quarter)] != 24) FAIL(tpq);
  }
}

TEST_CASE("codec: the programme of a note is its own track's, else any track's, at that time") {
  Score s;
  s.tracks.resize(2);
  s.tracks[0].events = {program(0, 1, 7), program(480, 1, 8)};
  s.tracks[1].notes = {note(0, 480, 60, 85, 1), note(480, 480, 60, 85, 1), note(960, 480, 60, 85, 1)};
  s.tracks[1].events = {program(960, 1, 9)};
  const Score back = multitrack_score(multitrack_text(s));
  REQUIRE(back.tracks.size() == 3);
  CHECK(back.tracks[0].events == std::vector<ChannelEvent>{program(0, 0, 7)});
  CHECK(back.tracks[1].events == std::vector<ChannelEvent>{program(0, 1, 8)});
  CHECK(back.tracks[2].events == std::vector<ChannelEvent>{program(0, 2, 9)});
}

TEST_CASE("codec: tracks of one instrument are one part, or kept when asked") {
  Score s;
  s.tracks.resize(2);
  s.tracks[0].notes = {note(0, 480, 60)};
  s.tracks[1].notes = {note(0, 480, 48, 85, 1)};
  CHECK(multitrack_score(multitrack_text(s)).tracks.size() == 1);
  const Score kept = multitrack_score(multitrack_text(s, {.keep_tracks = true}));
  REQUIRE(kept.tracks.size() == 2);
  CHECK(kept.tracks[0].notes == s.tracks[0].notes);
  CHECK(kept.tracks[1].notes == s.tracks[1].notes);
}

TEST_CASE("codec: more instruments than channels share channels and keep their programmes") {
  Score s;
  s.tracks.resize(40);
  for (int i = 0; i < 40; ++i) {
    s.tracks[static_cast<std::size_t>(i)].notes = {note(0, 480, 60, 85, i % 9), note(960, 480, 60, 85, i % 9)};
    s.tracks[static_cast<std::size_t>(i)].events = {program(0, i % 9, i)};
  }
  const std::string text = multitrack_text(s);
  const Score back = multitrack_score(text);
  CHECK(back.tracks.size() == 40);
  CHECK(multitrack_text(back) == text);
  for (const Track& t : back.tracks) {
    for (const Note& n : t.notes) CHECK(n.channel != 9);
  }
}

TEST_CASE("codec: a SMPTE score keeps its seconds") {
  for (const Division d :
       {Division{.smpte_fps = 25, .ticks_per_frame = 40}, Division{.smpte_fps = 29, .ticks_per_frame = 100}}) {
    Score s;
    s.division = d;
    s.tempos = {{0, 1000000}};  // means nothing here
    const std::int64_t second = d.smpte_fps == 29 ? 2997 : 1000;
    s.tracks.resize(1);
    s.tracks[0].notes = {note(second, second, 60), note(second * 10, second / 2, 60)};
    const Score back = multitrack_score(multitrack_text(s));
    REQUIRE(back.tracks.size() == 1);
    CHECK(back.tempos == std::vector<Tempo>{{0, 500000}});
    CHECK(back.tracks[0].notes == std::vector<Note>{note(960, 960, 60), note(9600, 480, 60)});
  }
}

TEST_CASE("codec: a hostile score neither overflows nor writes rests without end") {
  Score s;
  s.division.tpq = 1;
  s.tracks.resize(1);
  constexpr std::int64_t big = (std::numeric_limits<std::int64_t>::max)();
  s.tracks[0].notes = {note(-5, -7, 60), note(big, big, 61), note(big - 1, 3, 255, 255, 255), note(1 << 30, 5, 62)};
  s.time_signatures = {{.tick = 3, .numerator = 1, .denominator_log2 = 7},
                       {.tick = 1000000, .numerator = 0, .denominator_log2 = 200}};
  s.tempos = {{.tick = big, .us_per_quarter = 0}};
  for (const MultitrackOptions& o : all_options()) {
    TextReport report;
    const std::string text = multitrack_text(s, o, &report);
    CHECK(text.size() < 1000);
    CHECK(report.steps_clamped > 0);
    CHECK(multitrack_text(multitrack_score(text, o.split_notes), o) == text);
  }
}

TEST_CASE("codec: an empty score is an end, and no text is an empty score") {
  CHECK(points(Score{}) == std::u32string{0x34080});
  CHECK(multitrack_score("") == multitrack_score(multitrack_text(Score{})));
  CHECK(multitrack_score("").tracks.empty());
}

TEST_CASE("codec: what a text holds beside music is skipped and counted") {
  const std::u32string text{U'A',
                            0x2581,
                            PackedNote::pack({1, 5, 16, 60}),
                            0x34FFF,
                            0x34000 + 60,
                            control_character({ControlKind::rest, 1}),
                            0x10FFFF,
                            PackedNote::pack({1, 5, 16, 60}),
                            control_character({ControlKind::tempo, 90}),
                            0x34080,
                            U'x',
                            U'y'};
  TextReport report;
  const Score s = multitrack_score(utf8_encode(text) + "\xF1\x80", false, &report);
  CHECK(count_notes(s) == 2);
  CHECK(s.tempos.size() == 1);
  CHECK(report ==
        TextReport{.notes = 2, .controls = 3, .foreign = 4, .out_of_range = 1, .noteless_controls = 1, .after_end = 4});
}

TEST_CASE("codec: half notes of the split form are skipped and counted") {
  const char32_t stem = PackedNote::pack({1, 5, 16, 0});
  const char32_t pitch = 0x34000 + 60;
  TextReport report;
  const Score s = multitrack_score(
      utf8_encode(std::u32string{stem, stem, pitch, pitch, PackedNote::pack({1, 5, 16, 7}), pitch, stem}), true,
      &report);
  CHECK(count_notes(s) == 1);
  CHECK(report.foreign == 5);
}

TEST_CASE("codec: any prefix and any changed byte of a text is read without a crash") {
  const std::string text = multitrack_text(wild_score(11), {.bar_lines = true});
  std::size_t notes = 0;
  for (std::size_t n = 0; n <= text.size(); ++n) {
    const std::size_t now = count_notes(multitrack_score(std::string_view(text).substr(0, n)));
    CHECK(now >= notes);
    notes = now;
  }
  Rng rng(3);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string bad = text;
    bad[i] = static_cast<char>(rng.below(256));
    const Score s = multitrack_score(bad);
    const std::string again = multitrack_text(s);
    CHECK(multitrack_text(multitrack_score(again)) == again);
  }
}
