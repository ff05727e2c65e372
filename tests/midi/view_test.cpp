#include <midigpt/midi/view.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/midi/read.hpp>

#include "midi_support.hpp"

using namespace midigpt;
using midi_test::hex;
using midi_test::smf;

namespace {

struct Seen {
  std::int64_t tick;
  int status, data1, data2;
  std::string data;
  friend bool operator==(const Seen&, const Seen&) = default;
};

std::vector<Seen> walk(const Bytes& file) {
  auto view = MidiView::open(file);
  REQUIRE(view);
  std::vector<Seen> seen;
  EventCursor events;
  MidiEvent e;
  while (view->next_track(events)) {
    while (events.next(e)) seen.push_back({e.tick, e.status, e.data1, e.data2, e.status < 0xF0 ? "" : std::string(as_chars(e.data))});
  }
  REQUIRE_FALSE(view->error());
  return seen;
}

}  // namespace

TEST_CASE("midi view: events come as they stand, running status resolved, deltas summed") {
  CHECK(walk(smf({"00 90 3C 40  60 3C 00  83 60 C1 07  00 08  FF FF FF 7F E2 01 02", "05 FF 01 02 68 69  00 F0 02 01 F7"})) ==
        std::vector<Seen>{{0, 0x90, 60, 64, ""},
                          {96, 0x90, 60, 0, ""},
                          {576, 0xC1, 7, 0, ""},
                          {576, 0xC1, 8, 0, ""},
                          {576 + 0x0FFFFFFF, 0xE2, 1, 2, ""},
                          {5, 0xFF, 1, 0, "hi"},
                          {5, 0xF0, 0, 0, "\x01\xF7"}});
}

TEST_CASE("midi view: a delta time of one to four bytes, canonical or padded, is the number it says") {
  const std::string rest = " 90 3C 40";
  CHECK(walk(smf({"7F" + rest}))[0].tick == 0x7F);
  CHECK(walk(smf({"81 00" + rest}))[0].tick == 0x80);
  CHECK(walk(smf({"80 80 80 60" + rest}))[0].tick == 0x60);
  CHECK(walk(smf({"81 80 00" + rest}))[0].tick == 0x4000);
  CHECK(walk(smf({"FF FF FF 7F" + rest}))[0].tick == 0x0FFFFFFF);
}

TEST_CASE("midi view: a track may be left early, the next one is found all the same") {
  const Bytes file = smf({"00 90 3C 40  60 3C 00", "00 90 3D 40", ""});
  auto view = MidiView::open(file);
  EventCursor events;
  MidiEvent e;
  REQUIRE(view->next_track(events));
  REQUIRE(events.next(e));
  REQUIRE(view->next_track(events));
  REQUIRE(events.next(e));
  CHECK(e.data1 == 0x3D);
  REQUIRE(view->next_track(events));
  CHECK_FALSE(events.next(e));
  CHECK_FALSE(view->next_track(events));
  CHECK_FALSE(view->next_track(events));
  CHECK(view->tracks_read() == 3);
}

TEST_CASE("midi view: an error of a track is an error of the view, and ends the walk") {
  const Bytes file = smf({"00 90 3C 40  60 3C C0", "00 90 3D 40"});
  auto view = MidiView::open(file);
  EventCursor events;
  MidiEvent e;
  REQUIRE(view->next_track(events));
  CHECK(events.next(e));
  CHECK_FALSE(events.next(e));
  CHECK_FALSE(events.next(e));
  REQUIRE(events.error());
  CHECK_FALSE(view->next_track(events));
  REQUIRE(view->error());
  CHECK(view->error()->offset == 28);
  CHECK(view->error()->what == "track 0: data byte above 127");
}

TEST_CASE("midi view: unknown chunks are passed over, stray bytes before a track are not") {
  Bytes file = smf({});
  const auto append = [&](const Bytes& more) { file.insert(file.end(), more.begin(), more.end()); };
  append(hex("58 46 49 48 00 00 00 02 AA BB"));  // "XFIH"
  append(hex("4D 54 72 6B 00 00 00 04 00 FF 2F 00"));
  auto view = MidiView::open(file);
  EventCursor events;
  CHECK(view->next_track(events));
  MidiEvent e;
  CHECK_FALSE(events.next(e));
  CHECK_FALSE(view->next_track(events));
  CHECK_FALSE(view->error());
  append(hex("00"));
  append(hex("4D 54 72 6B 00 00 00 04 00 FF 2F 00"));
  CHECK(parse_midi(file).error().offset == 36);
  ReadReport report;
  CHECK(parse_midi(file, {.repair = true}, &report)->tracks.size() == 2);
  CHECK(report.mends[0] == Mend{36, "stray bytes before a track chunk: skipped"});
}

TEST_CASE("midi view: repair finds the header behind other bytes, and tracks behind wrong lengths") {
  Bytes file(100, std::byte{0});
  Bytes inner = smf({"00 90 3C 40  60 3C 00", "00 90 3D 40  60 3D 00"});
  inner[21] = std::byte{200};  // the first track claims the second one too
  file.insert(file.end(), inner.begin(), inner.end());
  const auto score = parse_midi(file, {.repair = true});
  REQUIRE(score);
  REQUIRE(score->tracks.size() == 2);
  CHECK(count_notes(*score) == 2);
  CHECK(parse_midi(file).error() == Error{Errc::bad_magic, 0, "no MThd: not a Standard MIDI File"});
}
