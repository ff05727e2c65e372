#include <midigpt/midi/read.hpp>

#include <string>

#include <doctest/doctest.h>

#include "midi_support.hpp"

using namespace midigpt;
using midi_test::hex;
using midi_test::smf;

namespace {

std::vector<Note> notes_of(const Bytes& file, Pairing pairing = Pairing::fifo, ReadReport* report = nullptr) {
  const auto score = parse_midi(file, {.repair = false, .pairing = pairing}, report);
  REQUIRE(score);
  return score->tracks.at(0).notes;
}

}  // namespace

TEST_CASE("midi read: everything a file says is in the Score") {
  const Bytes file = smf({
      "00 FF 03 03 41 42 43  00 FF 51 03 07 A1 20  00 FF 58 04 06 03 24 08  00 FF 59 02 FD 01  10 FF 06 02 41 42"
      "10 F0 03 43 12 F7  00 F7 02 F3 01  20 FF 7F 02 00 41  00 FF 05 02 6C 61",
      "00 C1 05  00 91 3C 64  10 B1 40 7F  00 E1 00 40  00 A1 3C 11  00 D1 22  50 81 3C 30",
  });
  const auto score = parse_midi(file);
  REQUIRE(score);
  CHECK(score->format == 1);
  CHECK(score->division == Division{});
  CHECK(score->tempos == std::vector<Tempo>{{0, 500000}});
  CHECK(score->time_signatures == std::vector<TimeSignature>{{0, 6, 3, 36, 8}});
  CHECK(score->key_signatures == std::vector<KeySignature>{{0, -3, true}});
  REQUIRE(score->tracks.size() == 2);
  const Track& a = score->tracks[0];
  CHECK(a.name == "ABC");
  using namespace std::string_literals;
  CHECK(a.metas == std::vector<MetaEvent>{{16, 0x06, "AB"}, {32, 0xF0, "\x43\x12\xF7"}, {32, 0xF7, "\xF3\x01"}, {64, 0x7F, "\0A"s}, {64, 0x05, "la"}});
  CHECK(a.end_tick == 64);
  const Track& b = score->tracks[1];
  CHECK(b.notes == std::vector<Note>{{0, 96, 1, 60, 100, 48}});
  CHECK(b.events == std::vector<ChannelEvent>{{0, 0xC1, 5, 0}, {16, 0xB1, 64, 127}, {16, 0xE1, 0, 64}, {16, 0xA1, 60, 17}, {16, 0xD1, 34, 0}});
}

TEST_CASE("midi read: maps are gathered from all tracks, the last of one tick holds") {
  const auto score = parse_midi(smf({"60 FF 51 03 00 00 01", "00 FF 51 03 00 00 02  60 FF 51 03 00 00 03"}));
  REQUIRE(score);
  CHECK(score->tempos == std::vector<Tempo>{{0, 2}, {96, 3}});
}

TEST_CASE("midi read: overlapping notes of one pitch pair by the chosen rule") {
  // on 0 (v10), on 100 (v20), off 200, off 300
  const Bytes file = smf({"00 90 3C 0A  64 90 3C 14  64 80 3C 01  64 80 3C 02"});
  CHECK(notes_of(file) == std::vector<Note>{{0, 200, 0, 60, 10, 1}, {100, 200, 0, 60, 20, 2}});
  CHECK(notes_of(file, Pairing::lifo) == std::vector<Note>{{0, 300, 0, 60, 10, 2}, {100, 100, 0, 60, 20, 1}});
  CHECK(notes_of(file, Pairing::pretty_midi) == std::vector<Note>{{0, 200, 0, 60, 10, 1}, {100, 100, 0, 60, 20, 1}});
  ReadReport report;
  CHECK(notes_of(file, Pairing::fifo, &report).size() == 2);
  CHECK(report.overlapping_notes == 1);
}

TEST_CASE("midi read: three deep, FIFO and LIFO keep their queues") {
  const Bytes file = smf({"00 90 3C 01  01 3C 02  01 3C 03  01 3C 00  01 3C 04  01 3C 00  01 3C 00  01 3C 00"});
  CHECK(notes_of(file) == std::vector<Note>{{0, 3, 0, 60, 1, 64}, {1, 4, 0, 60, 2, 64}, {2, 4, 0, 60, 3, 64}, {4, 3, 0, 60, 4, 64}});
  CHECK(notes_of(file, Pairing::lifo) ==
        std::vector<Note>{{0, 7, 0, 60, 1, 64}, {1, 5, 0, 60, 2, 64}, {2, 1, 0, 60, 3, 64}, {4, 1, 0, 60, 4, 64}});
}

TEST_CASE("midi read: zero-length, unclosed and stray notes follow the rule and are counted") {
  const Bytes file = smf({"00 90 3C 40  00 80 3C 40  00 90 3E 40  10 80 40 40  10 90 41 40"});
  ReadReport report;
  CHECK(notes_of(file, Pairing::fifo, &report) == std::vector<Note>{{0, 0, 0, 60, 64, 64}, {0, 32, 0, 62, 64, 64}, {32, 0, 0, 65, 64, 64}});
  CHECK(report.zero_length_notes == 1);
  CHECK(report.unclosed_notes == 2);
  CHECK(report.stray_note_offs == 1);
  CHECK(notes_of(file, Pairing::pretty_midi, &report).empty());
  CHECK(report.zero_length_notes == 1);
  CHECK(report.unclosed_notes == 2);
}

TEST_CASE("midi read: pretty_midi keeps what began on the tick of a note-off only if the note-off ended another") {
  // on 0, on 96, off 96 ends the first; the second stays for the off at 192
  CHECK(notes_of(smf({"00 90 3C 40  60 3C 41  00 3C 00  60 3C 00"}), Pairing::pretty_midi) ==
        std::vector<Note>{{0, 96, 0, 60, 64, 64}, {96, 96, 0, 60, 65, 64}});
  // on 0 and off 0: nothing else ends, it vanishes, and the off at 96 finds nothing
  CHECK(notes_of(smf({"00 90 3C 40  00 3C 00  60 3C 00"}), Pairing::pretty_midi).empty());
  // notes of one tick stand in the order of their ends
  CHECK(notes_of(smf({"00 90 3C 40  00 3D 40  10 3D 00  10 3C 00"}), Pairing::pretty_midi) ==
        std::vector<Note>{{0, 16, 0, 61, 64, 64}, {0, 32, 0, 60, 64, 64}});
}

TEST_CASE("midi read: a note-off in another track ends nothing") {
  ReadReport report;
  CHECK(notes_of(smf({"00 90 3C 40  10 FF 01 00", "10 80 3C 40"}), Pairing::fifo, &report) == std::vector<Note>{{0, 16, 0, 60, 64, 64}});
  CHECK(report.unclosed_notes == 1);
  CHECK(report.stray_note_offs == 1);
}

TEST_CASE("midi read: a reader gives the same for a file whatever it read before") {
  MidiReader reader;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    // unclosed notes of one file must not be found by the next
    Bytes file = smf({"00 90 3C 40 00 3D 40 00 3E 40"});
    CHECK(count_notes(*reader.parse(file)) == 3);
    file = smf({"00 80 3C 40 00 3D 40 00 90 3E 40"});
    CHECK(count_notes(*reader.parse(file)) == 1);
  }
}

TEST_CASE("midi read: SMPTE divisions are kept, other frame rates refused") {
  CHECK(parse_midi(smf({""}, 1, 0xE728))->division == Division{.smpte_fps = 25, .ticks_per_frame = 40});
  CHECK(parse_midi(smf({""}, 1, 0xE350))->division == Division{.smpte_fps = 29, .ticks_per_frame = 80});
  for (const auto division : {std::uint16_t{0xE700}, std::uint16_t{0xFF28}, std::uint16_t{0x8028}}) {
    const auto r = parse_midi(smf({""}, 1, division), {.repair = true});
    REQUIRE_FALSE(r);
    CHECK(r.error().code == Errc::bad_value);
    CHECK(r.error().offset == 12);
  }
}

TEST_CASE("midi read: a format 2 file is a vector of scores with tempos of their own") {
  const Bytes file = smf({"00 FF 51 03 00 00 01  00 90 3C 40  10 3C 00", "00 FF 51 03 00 00 02  00 90 3E 40  20 3E 00"}, 2);
  const auto one = parse_midi(file);
  REQUIRE_FALSE(one);
  CHECK(one.error().code == Errc::unsupported);
  CHECK(one.error().what.find("parse_midi_sequences") != std::string::npos);
  const auto all = parse_midi_sequences(file);
  REQUIRE(all);
  REQUIRE(all->size() == 2);
  CHECK((*all)[0].format == 0);
  CHECK((*all)[0].tempos == std::vector<Tempo>{{0, 1}});
  CHECK((*all)[1].tempos == std::vector<Tempo>{{0, 2}});
  CHECK((*all)[1].tracks[0].notes[0].duration == 32);
  CHECK(parse_midi_sequences(smf({""}))->size() == 1);
}

TEST_CASE("midi read: an RMID file is read through its wrapper, odd chunks before the data too") {
  const Bytes inner = smf({"00 90 3C 40  10 3C 00"});
  ByteWriter out;
  out.raw("RIFF");
  out.le(static_cast<std::uint32_t>(4 + 8 + 4 + 8 + inner.size()));
  out.raw("RMIDDISP");
  out.le(std::uint32_t{3});
  out.raw(std::string_view("abc\0", 4));
  out.raw("data");
  out.le(static_cast<std::uint32_t>(inner.size()));
  out.raw(ByteSpan(inner));
  out.raw("LIST");
  const Bytes file = std::move(out).take();
  ReadReport report;
  REQUIRE(parse_midi(file, {}, &report));
  CHECK(count_notes(*parse_midi(file)) == 1);
  CHECK(report.mend_count == 0);
}

TEST_CASE("midi read: errors name the byte, the track and what was expected") {
  struct Row {
    const char* name;
    const char* track;
    Errc code;
    std::uint64_t offset;  // in the file; the track begins at 22
  };
  for (const Row& row : {
           Row{"no status", "00 3C 40", Errc::bad_value, 23},
           Row{"running status ends at a meta", "00 90 3C 40 00 FF 01 00 00 3C 00", Errc::bad_value, 31},
           Row{"data byte", "00 90 3C 40 00 90 3C C0", Errc::bad_value, 29},
           Row{"five-byte delta", "80 80 80 80 00 90 3C 40", Errc::bad_value, 22},
           Row{"system message", "00 F4", Errc::bad_value, 23},
           Row{"meta past its track", "00 FF 01 20", Errc::too_large, 25},
           Row{"tempo 0", "00 FF 51 03 00 00 00", Errc::bad_value, 26},
           Row{"short tempo", "00 FF 51 02 07 A1", Errc::bad_value, 26},
           Row{"meter denominator", "00 FF 58 04 04 40 18 08", Errc::bad_value, 26},
           Row{"key of 18 flats", "00 FF 59 02 EE 00", Errc::bad_value, 26},
           Row{"events after the end", "00 FF 2F 00 00 90 3C 40", Errc::bad_value, 26},
       }) {
    CAPTURE(row.name);
    const auto r = parse_midi(smf({row.track}));
    REQUIRE_FALSE(r);
    CHECK(r.error().code == row.code);
    CHECK(r.error().offset == row.offset);
    ReadReport report;
    CHECK(parse_midi(smf({row.track}), {.repair = true}, &report));
    CHECK(report.mend_count >= 1);
  }
}

TEST_CASE("midi read: a size limit is a limit") {
  const Bytes file = smf({""});
  CHECK(parse_midi(file, {.max_bytes = file.size()}));
  CHECK(parse_midi(file, {.max_bytes = file.size() - 1}).error().code == Errc::too_large);
}

TEST_CASE("midi read: a hostile file cannot turn its bytes into as many messages") {
  std::string track;
  for (int i = 0; i < 5000; ++i) track += "00 F4 ";
  ReadReport report;
  REQUIRE(parse_midi(smf({track}), {.repair = true}, &report));
  CHECK(report.mends.size() == MendList::k_most);
  CHECK(report.mend_count == 5000);
}
