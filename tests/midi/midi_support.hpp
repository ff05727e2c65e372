// What the tests of the MIDI wing share: bytes by hand, random canonical scores, the files of ../shared.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/midi/folder.hpp>
#include <midigpt/midi/score.hpp>

namespace midi_test {

using namespace midigpt;

/// "90 3C 40" as bytes; spaces are free.
inline Bytes hex(std::string_view digits) {
  Bytes out;
  int high = -1;
  for (const char c : digits) {
    const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (v < 0) continue;
    if (high < 0) {
      high = v;
    } else {
      out.push_back(static_cast<std::byte>(high * 16 + v));
      high = -1;
    }
  }
  return out;
}

/// A file of the given tracks (hex, without the end-of-track event, which is added).
inline Bytes smf(std::initializer_list<std::string_view> tracks, std::uint16_t format = 1, std::uint16_t division = 480) {
  ByteWriter out;
  out.raw("MThd");
  out.be(std::uint32_t{6});
  out.be(format);
  out.be(static_cast<std::uint16_t>(tracks.size()));
  out.be(division);
  for (const std::string_view track : tracks) {
    Bytes body = hex(track);
    const Bytes end = hex("00 FF 2F 00");
    body.insert(body.end(), end.begin(), end.end());
    out.raw("MTrk");
    out.be(static_cast<std::uint32_t>(body.size()));
    out.raw(ByteSpan(body));
  }
  return std::move(out).take();
}

/// A score as parse_midi returns them: everything in order, notes of one key end in the order in which they begin.
inline Score random_score(std::uint64_t seed) {
  Rng rng(seed, 77);
  const auto below = [&](std::uint32_t n) { return rng.below(n); };
  const auto byte = [&](std::uint32_t n) { return static_cast<std::uint8_t>(below(n)); };
  const auto text = [&](std::uint32_t longest) {
    std::string s(below(longest + 1), ' ');
    for (char& c : s) c = static_cast<char>(byte(256) & 0xFF);
    return s;
  };
  Score score;
  score.format = below(4) == 0 ? 0 : 1;
  if (below(5) == 0) {
    constexpr std::array<std::uint8_t, 4> rates{24, 25, 29, 30};
    score.division.smpte_fps = rates[below(4)];
    score.division.ticks_per_frame = static_cast<std::uint8_t>(1 + below(255));
  } else {
    score.division.tpq = static_cast<std::uint16_t>(1 + below(32767));
  }
  const std::uint32_t gap = below(20) == 0 ? 400'000'000 : below(3) == 0 ? 3 : 700;
  const std::size_t tracks = score.format == 0 ? 1 : 1 + below(4);
  const std::uint32_t keys = below(2) == 0 ? 3 : 128;
  for (std::size_t k = 0; k < tracks; ++k) {
    Track& t = score.tracks.emplace_back();
    if (below(2) == 0) t.name = text(20);
    std::array<std::int64_t, 2048> key_end{};
    std::int64_t tick = below(2) * below(gap), last = 0;
    for (std::uint32_t i = below(60); i > 0; --i, tick += below(2) * std::int64_t{below(gap)}) {
      Note n;
      n.tick = tick;
      n.channel = byte(below(2) == 0 ? 1 : 16);
      n.pitch = byte(keys);
      n.velocity = static_cast<std::uint8_t>(1 + below(127));
      n.off_velocity = below(2) == 0 ? std::uint8_t{64} : byte(128);
      std::int64_t& end = key_end[n.channel * 128u + n.pitch];
      n.duration = (std::max)(below(8) == 0 ? 0 : std::int64_t{below(3 * gap)}, end - tick);
      end = tick + n.duration;
      last = (std::max)(last, end);
      t.notes.push_back(n);
    }
    tick = 0;
    for (std::uint32_t i = below(30); i > 0; --i, tick += below(2) * std::int64_t{below(gap)}) {
      const auto status = static_cast<std::uint8_t>(0xA0 + 16 * below(5) + below(16));
      const bool single = (status & 0xE0) == 0xC0;
      t.events.push_back({tick, status, byte(128), single ? std::uint8_t{0} : byte(128)});
      last = (std::max)(last, tick);
    }
    tick = 0;
    for (std::uint32_t i = below(10); i > 0; --i, tick += below(2) * std::int64_t{below(gap)}) {
      constexpr std::array<std::uint8_t, 9> types{0x01, 0x02, 0x04, 0x05, 0x06, 0x21, 0x7F, 0xF0, 0xF7};
      const std::uint8_t type = types[below(9)];
      t.metas.push_back({tick, type, (type == 0x7F ? "x" : "") + text(below(8) == 0 ? 300 : 12)});
      last = (std::max)(last, tick);
    }
    t.end_tick = last + below(2) * std::int64_t{below(gap)};
  }
  const auto map = [&](const auto& add) {
    std::int64_t tick = below(2) * below(gap);
    for (std::uint32_t i = below(6); i > 0; --i, tick += 1 + std::int64_t{below(gap)}) {
      add(tick);
      score.tracks[0].end_tick = (std::max)(score.tracks[0].end_tick, tick);
    }
  };
  map([&](std::int64_t tick) { score.tempos.push_back({tick, 1 + below(0xFFFFFF)}); });
  map([&](std::int64_t tick) {
    score.time_signatures.push_back({tick, static_cast<std::uint8_t>(1 + below(255)), byte(11), byte(255), byte(255)});
  });
  map([&](std::int64_t tick) {
    score.key_signatures.push_back({tick, static_cast<std::int8_t>(rng.between(-7, 7)), below(2) == 0});
  });
  return score;
}

/// The files under a folder of ../shared, or none where the checkout stands alone.
inline std::vector<std::string> shared_files(const std::string& folder) {
  const auto found = find_midi_files(std::string(MIDIGPT_SHARED_DIR) + "/" + folder);
  return found ? *found : std::vector<std::string>{};
}

}  // namespace midi_test
