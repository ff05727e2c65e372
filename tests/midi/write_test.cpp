#include <midigpt/midi/write.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

#include <doctest/doctest.h>

#include <midigpt/midi/read.hpp>

#include "midi_support.hpp"

using namespace midigpt;
using midi_test::hex;

TEST_CASE("midi write: the bytes of a small score") {
  Score score;
  score.tempos = {{0, 500000}};
  Track& t = score.tracks.emplace_back();
  t.name = "A";
  t.events = {{0, 0xC0, 5, 0}};
  t.notes = {{0, 96, 0, 60, 100, 64}, {96, 480, 0, 60, 80, 64}};
  t.end_tick = 600;
  const Bytes want = hex(
      "4D546864 00000006 0001 0001 01E0 4D54726B 00000021"
      "00 FF 03 01 41  00 FF 51 03 07 A1 20  00 C0 05  00 90 3C 64  60 3C 00  00 3C 50  83 60 3C 00  18 FF 2F 00");
  CHECK(midi_bytes(score) == want);
  CHECK(midi_bytes(score, {.running_status = false}).size() == want.size() + 3);
  CHECK(parse_midi(want).value() == score);
}

TEST_CASE("midi write: parse(write(s)) == s for random canonical scores, with and without running status") {
  const std::uint64_t count = std::getenv("MIDIGPT_SLOW_TESTS") != nullptr ? 10000 : 2000;
  std::uint64_t wrong = 0;
  for (std::uint64_t seed = 0; seed < count; ++seed) {
    const Score score = midi_test::random_score(seed);
    for (const bool running : {true, false}) {
      const Bytes bytes = midi_bytes(score, {.running_status = running});
      ReadReport report;
      const auto back = parse_midi(bytes, {}, &report);
      if (!back || *back != score || report.mend_count != 0 || report.unclosed_notes != 0) {
        if (wrong++ == 0) MESSAGE("seed " << seed << ": " << (back ? "differs" : describe(back.error())));
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("midi write: what was read is written to a fixed point, and read back equal") {
  int files = 0, wrong = 0;
  for (const char* folder : {"data/midi", "data/midi-nasty"}) {
    for (const std::string& path : midi_test::shared_files(folder)) {
      const auto scores = parse_midi_sequences(*read_file(path), {.repair = true});
      if (!scores) continue;
      for (const Score& score : *scores) {
        const Bytes once = midi_bytes(score);
        const auto back = parse_midi(once);
        ++files;
        if (!back || *back != score || midi_bytes(*back) != once) ++wrong;
      }
    }
  }
  if (files == 0) MESSAGE("skipped: no ../shared/data");
  CHECK(wrong == 0);
}

TEST_CASE("midi write: gaps that no delta time holds are crossed") {
  Score score;
  Track& t = score.tracks.emplace_back();
  t.notes = {{std::int64_t{5} << 30, std::int64_t{1} << 33, 3, 60, 100, 20}};
  t.end_tick = std::int64_t{1} << 35;
  CHECK(*parse_midi(midi_bytes(score)) == score);
}

TEST_CASE("midi write: what MIDI cannot hold is made to fit") {
  Score score;
  score.division.tpq = 0;
  score.tempos = {{0, 0}, {10, 0xFFFFFFFF}};
  score.time_signatures = {{0, 0, 200, 24, 8}};
  score.key_signatures = {{0, 100, false}};
  Track& t = score.tracks.emplace_back();
  t.notes = {{100, -5, 200, 200, 0, 200}, {-7, 20, 0, 1, 255, 64}};
  t.events = {{0, 0x12, 200, 200}, {5, 0xB1, 255, 128}};
  t.metas = {{3, 0x2F, "no"}, {2, 0x90, "no"}, {1, 0x01, "yes"}};
  const auto back = parse_midi(midi_bytes(score));
  REQUIRE(back);
  CHECK(back->division.tpq == 1);
  CHECK(back->tempos == std::vector<Tempo>{{0, 1}, {10, 0xFFFFFF}});
  CHECK(back->time_signatures[0].numerator == 1);
  CHECK(back->key_signatures[0].sharps == 7);
  CHECK(back->tracks[0].notes == std::vector<Note>{{0, 13, 0, 1, 127, 64}, {100, 0, 8, 72, 1, 127}});
  CHECK(back->tracks[0].events == std::vector<ChannelEvent>{{5, 0xB1, 127, 0}});
  CHECK(back->tracks[0].metas == std::vector<MetaEvent>{{1, 0x01, "yes"}});
  CHECK(parse_midi(midi_bytes(Score{})));
}

TEST_CASE("midi write: several tracks as format 0 become one") {
  Score score;
  score.tracks.resize(2);
  score.tracks[0].name = "left";
  score.tracks[1].name = "right";
  score.tracks[0].notes = {{0, 10, 0, 60, 1, 64}, {20, 10, 0, 61, 2, 64}};
  score.tracks[1].notes = {{10, 10, 1, 62, 3, 64}};
  const auto back = parse_midi(midi_bytes(score, {.format = 0}));
  REQUIRE(back);
  CHECK(back->format == 0);
  REQUIRE(back->tracks.size() == 1);
  CHECK(back->tracks[0].name == "left");
  CHECK(back->tracks[0].metas == std::vector<MetaEvent>{{0, 0x01, "right"}});
  CHECK(back->tracks[0].notes == std::vector<Note>{{0, 10, 0, 60, 1, 64}, {10, 10, 1, 62, 3, 64}, {20, 10, 0, 61, 2, 64}});
  Score maps_alone;
  maps_alone.tempos = {{5, 400000}};
  CHECK(parse_midi(midi_bytes(maps_alone))->tempos == maps_alone.tempos);
}

TEST_CASE("midi write: a file is replaced whole, and a folder that is not there is an error") {
  const std::string path = (std::filesystem::temp_directory_path() / ("midigpt_write_" + std::to_string(::getpid()) + ".mid")).string();
  const Score score = midi_test::random_score(3);
  REQUIRE(write_midi(path, score));
  CHECK(*read_midi(path) == score);
  std::remove(path.c_str());
  CHECK(write_midi("/no/such/folder/x.mid", score).error().code == Errc::io);
}
