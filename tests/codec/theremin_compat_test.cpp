#include <doctest/doctest.h>

#include <midigpt/codec/theremin_compat.hpp>

#include <cstdlib>
#include <limits>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/file.hpp>

using namespace midigpt;

namespace {

Note note(std::int64_t tick, std::int64_t duration, int pitch, int channel = 0) {
  return {.tick = tick,
          .duration = duration,
          .channel = static_cast<std::uint8_t>(channel),
          .pitch = static_cast<std::uint8_t>(pitch),
          .velocity = 80};
}

}  // namespace

TEST_CASE("codec: the author's 436 vectors, bit for bit, in both directions") {
  const auto file = read_file(MIDIGPT_SOURCE_DIR "/tests/golden/midichar-vectors.tsv");
  REQUIRE(file);
  const std::string rows(as_chars(*file));
  std::size_t row_count = 0, wrong_code = 0, wrong_bytes = 0, wrong_note = 0;
  for (std::size_t at = 0; at < rows.size();) {
    const std::size_t end = rows.find('\n', at);
    const std::string row = rows.substr(at, end - at);
    at = end + 1;
    if (row.empty() || row[0] == '#') continue;
    ++row_count;
    const char* p = row.c_str();
    char* next = nullptr;
    const auto real = [&] {
      const double v = std::strtod(p, &next);
      p = next;
      return v;
    };
    const auto whole = [&](int base) {
      const unsigned long v = std::strtoul(p, &next, base);
      p = next;
      return v;
    };
    SecondsNote n;
    n.velocity = static_cast<int>(whole(10));
    n.pitch = static_cast<int>(whole(10));
    const double previous = real();
    n.start = real();
    n.end = real();
    const auto word = whole(16);
    const auto code = static_cast<char32_t>(whole(16));
    SecondsNote want;
    want.velocity = static_cast<int>(whole(10));
    want.pitch = static_cast<int>(whole(10));
    want.start = real();
    want.end = real();

    const char32_t got = theremin_compat_pack(n, previous);
    wrong_code += got != code;
    std::string utf8;
    utf8_append(utf8, got);
    wrong_bytes += load_be<std::uint32_t>(as_byte_span(utf8).data()) != word;
    wrong_note += !(theremin_compat_unpack(code, previous) == want);
  }
  CHECK(row_count == 436);
  CHECK(wrong_code == 0);
  CHECK(wrong_bytes == 0);
  CHECK(wrong_note == 0);
}

TEST_CASE("codec: the first instrument is that of the note that ends first in the first track with notes") {
  Score s;
  s.tracks.resize(3);
  s.tracks[1].events = {{.tick = 0, .status = 0xC1, .data1 = 5}, {.tick = 480, .status = 0xC1, .data1 = 6}};
  s.tracks[1].notes = {note(0, 960, 40, 0), note(0, 480, 50, 1), note(480, 480, 51, 1), note(960, 0, 52, 1)};
  s.tracks[2].notes = {note(0, 10, 60)};
  TextReport report;
  const auto text = utf8_code_points(theremin_compat_text(s, {}, &report));
  REQUIRE(text.size() == 1);  // the programme changes at 480, after the note that ends there
  CHECK((text[0] & 127u) == 50);
  CHECK(report.notes_dropped == 4);
}

TEST_CASE("codec: the window is 256 notes, or what is asked for") {
  Score s;
  s.tracks.resize(1);
  for (int i = 0; i < 300; ++i) s.tracks[0].notes.push_back(note(i * 240, 240, i % 128));
  CHECK(theremin_compat_text(s).size() == 256 * 4);
  CHECK(theremin_compat_text(s, {.window = 16}).size() == 16 * 4);
}

TEST_CASE("codec: the first step is 0, every duration has bit 2, a file past ten million ticks is refused") {
  Score s;
  s.tracks.resize(1);
  s.tracks[0].notes = {note(4800, 10, 60), note(5040, 480, 62)};
  const auto text = utf8_code_points(theremin_compat_text(s));
  CHECK(text == std::u32string{PackedNote::pack({2, 0, 4, 60}), PackedNote::pack({2, 16, 6, 62})});
  s.tracks[0].end_tick = 10'000'000;
  TextReport report;
  CHECK(theremin_compat_text(s, {}, &report).empty());
  CHECK(report.notes_dropped == 2);
}

TEST_CASE("codec: his decoder loses the rhythm, the repaired one keeps it") {
  Score s;
  s.tracks.resize(1);
  for (int i = 0; i < 50; ++i) s.tracks[0].notes.push_back(note(i * 240, 1240, 40 + i));
  const std::string text = theremin_compat_text(s);

  const Score his = theremin_compat_score(text);
  CHECK(his.division.tpq == 220);
  CHECK(his.key_signatures.size() == 1);
  REQUIRE(count_notes(his) == 50);
  CHECK(his.tracks[0].notes[2].tick == 685);  // 2 * 0.6510417 s and 16/63 s, at 440 ticks a second
  CHECK(his.tracks[0].notes[0].velocity == 25);

  const Score repaired = theremin_compat_score(text, DecodeQuirks::none);
  REQUIRE(count_notes(repaired) == 50);
  CHECK(repaired.tracks[0].notes[0].velocity == 85);
  for (std::size_t i = 0; i < 50; ++i) {
    CHECK(std::abs(static_cast<double>(repaired.tracks[0].notes[i].tick) / 440 - static_cast<double>(i) * 16 / 63) <
          0.002);
    CHECK(repaired.tracks[0].notes[i].pitch == 40 + i);
  }
  CHECK(theremin_compat_text(repaired) == text);
}

TEST_CASE("codec: to his decoder a space is a note; the repaired one skips and counts it") {
  TextReport report;
  const Score his = theremin_compat_score(" \xE2\x81\x87", DecodeQuirks::author, &report);
  REQUIRE(count_notes(his) == 2);
  CHECK(his.tracks[0].notes[0].pitch == 32);
  CHECK(his.tracks[0].notes[1].pitch == 71);
  CHECK(his.tracks[0].notes[0].velocity == 10);
  CHECK(report.foreign == 2);
  CHECK(count_notes(theremin_compat_score(" \xE2\x81\x87", DecodeQuirks::none)) == 0);
}

TEST_CASE("codec: compat survives times no file can hold") {
  Score s;
  s.tracks.resize(1);
  constexpr std::int64_t big = (std::numeric_limits<std::int64_t>::max)();
  s.tracks[0].notes = {note(big / 2, big / 4, 60)};
  CHECK(theremin_compat_text(s).empty());
}
