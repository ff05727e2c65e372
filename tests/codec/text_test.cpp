#include <doctest/doctest.h>

#include <midigpt/codec/text.hpp>

#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

Score scale(int notes) {
  Score s;
  s.tracks.resize(1);
  for (int i = 0; i < notes; ++i) {
    s.tracks[0].notes.push_back(
        {.tick = i * 240, .duration = 240, .pitch = static_cast<std::uint8_t>(40 + i % 50), .velocity = 85});
  }
  return s;
}

}  // namespace

TEST_CASE("codec: each kind has a name that leads back to it") {
  for (const CodecName& codec : k_codec_names) {
    const CodecKind kind = codec.kind;
    CHECK(codec_name(kind) == codec.name);
    CHECK(codec_from_name(codec.name) == kind);
  }
  CHECK_FALSE(codec_from_name("morse"));
}

TEST_CASE("codec: windows without a stride are the text, none too long, no character split") {
  const std::string text = to_text(scale(1000), CodecKind::multitrack) + "aé€";
  for (const std::size_t size : {4u, 5u, 6u, 7u, 100u, 4192u, 100000u}) {
    std::string joined;
    for (const std::string_view w : text_windows(text, size, 0)) {
      CHECK(w.size() <= size);
      CHECK(utf8_first_invalid(w) == std::string_view::npos);
      joined += w;
    }
    CHECK(joined == text);
    CHECK(text_windows(text, size, 0) == text_windows(text, size, size));
  }
  CHECK(text_windows("", 10, 0).empty());
}

TEST_CASE("codec: windows with a stride overlap and end with the text") {
  const std::string text = to_text(scale(999), CodecKind::multitrack);  // 1,000 characters
  const auto windows = text_windows(text, 400, 200);
  CHECK(windows.size() == 19);
  for (std::size_t i = 0; i < windows.size(); ++i) CHECK(windows[i] == std::string_view(text).substr(i * 200, 400));
}

TEST_CASE("codec: windows over bytes that are no text still end") {
  const std::string bytes(1000, '\x80');
  for (const std::string& bad : {bytes, "\xF0" + bytes, "a\xF0" + bytes + "\xC0\x80\x80\x80\x80\x80\x80"}) {
    for (const std::size_t size : {4u, 5u, 7u}) {
      std::string joined;
      for (const std::string_view w : text_windows(bad, size, 0)) joined += w;
      CHECK(joined == bad);
    }
  }
}

TEST_CASE("codec: windows of notes hold so many notes in every kind") {
  for (const CodecName& codec : k_codec_names) {
    const CodecKind kind = codec.kind;
    CAPTURE(codec.name);
    const std::string text = to_text(scale(100), kind);
    std::string joined;
    for (const std::string_view w : note_windows(text, 16)) {
      CHECK(count_text_notes(w, kind) <= 16);
      joined += w;
    }
    CHECK(joined == text);
    const auto sliding = note_windows(text, 16, 4);
    CHECK(sliding.size() == 22);
    for (const std::string_view w : sliding) CHECK(count_text_notes(w, kind) == 16);
    CHECK(note_windows(text, 200).size() == 1);
  }
  CHECK(note_windows("", 16).empty());
}

TEST_CASE("codec: every kind counts the notes it wrote and reads them back") {
  for (const CodecName& codec : k_codec_names) {
    CAPTURE(codec.name);
    TextReport report;
    const std::string text = to_text(scale(100), codec.kind, &report);
    CHECK(report.notes == 100);
    CHECK(count_text_notes(text, codec.kind) == 100);
    const Score back = from_text(text, codec.kind);
    CHECK(count_notes(back) == 100);
    if (codec.kind != CodecKind::theremin_compat) CHECK(to_text(back, codec.kind) == text);
  }
}

TEST_CASE("codec: the characters of a made score are pinned, for every compiler and every later version of v0") {
  Rng rng(2026);
  Score s;
  s.division.tpq = 384;
  s.tempos = {{0, 600000}, {5000, 461538}};
  s.time_signatures = {{.tick = 0, .numerator = 6, .denominator_log2 = 3}};
  s.tracks.resize(4);
  for (std::size_t t = 0; t < 4; ++t) {
    const auto channel = static_cast<std::uint8_t>(t == 3 ? 9 : t);
    s.tracks[t].events.push_back(
        {.tick = 0, .status = static_cast<std::uint8_t>(0xC0u | channel), .data1 = static_cast<std::uint8_t>(t * 33)});
    for (std::int64_t tick = 0; tick < 40000; tick += rng.between(1, 900)) {
      s.tracks[t].notes.push_back({.tick = tick,
                                   .duration = rng.between(1, 2000),
                                   .channel = channel,
                                   .pitch = static_cast<std::uint8_t>(rng.between(0, 127)),
                                   .velocity = static_cast<std::uint8_t>(rng.between(1, 127))});
    }
  }
  const std::vector<std::pair<CodecKind, std::uint64_t>> pinned{{CodecKind::multitrack, 12580791476976954735u},
                                                                {CodecKind::split, 11457466410926520338u},
                                                                {CodecKind::theremin, 18334818632610178859u},
                                                                {CodecKind::theremin_compat, 12325881440119005138u}};
  for (const auto& row : pinned) CHECK(hash_bytes(as_byte_span(to_text(s, row.first))) == row.second);
  CHECK(hash_bytes(as_byte_span(multitrack_text(s, {.keep_tracks = true, .bar_lines = true}))) ==
        15054760030221011813u);
}
