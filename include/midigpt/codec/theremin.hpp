// codec/theremin.hpp - one stream of notes in seconds: the author's layout, clean.
//   A step is 1/63 s (at most one second), a duration unit 0.31 s (at most 9.61 s), velocity three classes. All parts
//   are one stream; drums are left out, because a character cannot say that it is one. Both ways use the same units,
//   steps are measured on one lattice from the start of the piece, so rounding does not add up, and every text of notes
//   in canonical order (by step, pitch, falling velocity, length) is packed again as it was. Another layout and other
//   units are two template arguments: see docs/codec.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/codec/layout.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/tempo_map.hpp>

namespace midigpt {
inline namespace v0 {

/// Units of time in seconds, as fractions. Neither may be shorter than 1/480 s, a quarter of what 480 ticks tell apart.
struct SecondsGrid {
  std::int64_t step_num = 1, step_den = 63;
  std::int64_t duration_num = 31, duration_den = 100;

  [[nodiscard]] constexpr bool valid() const noexcept {
    const auto good = [](std::int64_t num, std::int64_t den) {
      return num > 0 && den > 0 && num <= 1000 && num * 480 >= den;
    };
    return good(step_num, step_den) && good(duration_num, duration_den);
  }
};

/// Scores as notes of layout L on grid G.
template <Layout L = k_note_layout, SecondsGrid G = SecondsGrid{}>
struct SecondsCodec {
  static_assert(G.valid(), "units of at least 1/480 s and fractions with a numerator of at most 1000");

  using Code = NoteCode<L>;

  [[nodiscard]] static std::string to_text(const Score& score, TextReport* report = nullptr) {
    TextReport unread;
    TextReport& count = report != nullptr ? *report : unread;
    std::vector<Placed> notes = placed_notes(score, count);
    merge_sort(notes, [](const Placed& a, const Placed& b) { return a < b; });

    std::u32string out;
    out.reserve(notes.size());
    std::int64_t before = 0, cut = 0;
    for (const Placed& n : notes) {
      const auto& [at, pitch, falling_velocity, duration] = n;
      std::int64_t step = at - cut - before;
      if (step >= Code::steps) {
        ++count.steps_clamped;
        cut += step - (Code::steps - 1);
        step = Code::steps - 1;
      }
      before += step;
      out.push_back(Code::pack({-falling_velocity, static_cast<int>(step), duration, pitch}));
    }
    count.notes += out.size();
    return utf8_encode(out);
  }

  /// A score of one piano track, 480 ticks a quarter, 120 quarters a minute. The shortest duration, 0, sounds for a
  /// quarter of a unit.
  [[nodiscard]] static Score from_text(std::string_view text, TextReport* report = nullptr) {
    TextReport unread;
    TextReport& count = report != nullptr ? *report : unread;
    Score score;
    score.tempos.push_back({.tick = 0, .us_per_quarter = 500000});
    score.time_signatures.push_back({});
    Track track;
    std::int64_t at = 0;
    for (const char32_t c : utf8_code_points(text)) {
      if (!Code::is_note(c)) {
        ++count.foreign;
        continue;
      }
      const NoteBits n = Code::unpack(c);
      at += n.step;
      ++count.notes;
      track.notes.push_back({.tick = ticks(at, G.step_num, G.step_den),
                             .duration = n.duration == 0
                                             ? (std::max)(ticks(1, G.duration_num, G.duration_den * 4), std::int64_t{1})
                                             : ticks(n.duration, G.duration_num, G.duration_den),
                             .channel = 0,
                             .pitch = static_cast<std::uint8_t>(n.pitch),
                             .velocity = class_velocity(n.velocity, Code::velocities)});
      track.end_tick = (std::max)(track.end_tick, track.notes.back().tick + track.notes.back().duration);
    }
    track.events.push_back({.tick = 0, .status = 0xC0, .data1 = 0});
    if (!track.notes.empty()) score.tracks.push_back(std::move(track));
    return score;
  }

 private:
  static constexpr std::int64_t k_far = std::int64_t{1} << 50;  // ticks; the end of time

  struct Placed {
    std::int64_t step;  // from the start
    int pitch, falling_velocity, duration;

    friend auto operator<=>(const Placed&, const Placed&) = default;
  };

  [[nodiscard]] static std::vector<Placed> placed_notes(const Score& score, TextReport& count) {
    const TempoMap time(score);
    std::vector<Placed> notes;
    notes.reserve(count_notes(score));
    for (const Track& track : score.tracks) {
      for (const Note& n : track.notes) {
        if (n.channel == 9 || n.pitch >= Code::pitches) {
          ++count.notes_dropped;
          continue;
        }
        const std::int64_t tick = (std::min)(n.tick, k_far);
        const double start = time.seconds(tick);
        const double step = units(start, G.step_num, G.step_den, count.onsets_rounded);
        const double length = units(time.seconds(tick + (std::min)(n.duration, k_far)) - start, G.duration_num,
                                    G.duration_den, count.durations_rounded);
        count.durations_clamped += length > Code::durations - 1;
        const int velocity = velocity_class(n.velocity, Code::velocities);
        count.velocities_rounded += class_velocity(velocity, Code::velocities) != n.velocity;
        notes.push_back({static_cast<std::int64_t>((std::min)(step, 0x1p50)), n.pitch, -velocity,
                         static_cast<int>((std::min)(length, Code::durations - 1.0))});
      }
      count.events_dropped += track.events.size() + track.metas.size();
    }
    count.events_dropped += score.key_signatures.size();
    return notes;
  }

  /// Half to even, as everywhere in this layout; the product is rounded before anything is added to it.
  [[nodiscard]] static double units(double seconds, std::int64_t num, std::int64_t den, std::size_t& rounded) noexcept {
    const double exact = (std::max)(seconds, 0.0) * static_cast<double>(den) / static_cast<double>(num);
    const double whole = std::nearbyint(exact);
    rounded += std::abs(exact - whole) > 1e-6;
    return whole;
  }

  /// 960 ticks a second, nearest.
  [[nodiscard]] static constexpr std::int64_t ticks(std::int64_t n, std::int64_t num, std::int64_t den) noexcept {
    return (2 * 960 * n * num + den) / (2 * den);
  }
};

using Theremin = SecondsCodec<>;

}  // namespace v0
}  // namespace midigpt
