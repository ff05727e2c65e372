// midi/edit.hpp - editing as functions on values: each takes a Score and returns another.
//   Everything in a Score moves together: notes, channel events, metas, maps and the ends of tracks.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/sort.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/tempo_map.hpp>

namespace midigpt {
inline namespace v0 {

inline constexpr std::uint8_t k_drum_channel = 9;

namespace detail::midi_edit {

/// Moves every tick of a Score by `move`, a function that never swaps two ticks; notes keep at least `shortest` ticks
/// of what had a length.
template <class Move>
void move_ticks(Score& score, const Move& move, std::int64_t shortest = 0) {
  for (Track& track : score.tracks) {
    for (Note& n : track.notes) {
      const std::int64_t end = move(n.tick + n.duration);
      const bool had_length = n.duration > 0;
      n.tick = move(n.tick);
      n.duration = end - n.tick;
      if (had_length) n.duration = (std::max)(n.duration, shortest);
    }
    for (ChannelEvent& e : track.events) e.tick = move(e.tick);
    for (MetaEvent& m : track.metas) m.tick = move(m.tick);
    track.end_tick = move(track.end_tick);
    for (const Note& n : track.notes) track.end_tick = (std::max)(track.end_tick, n.tick + n.duration);
  }
  for (Tempo& t : score.tempos) t.tick = move(t.tick);
  for (TimeSignature& t : score.time_signatures) t.tick = move(t.tick);
  for (KeySignature& k : score.key_signatures) k.tick = move(k.tick);
  settle_maps(score);
}

/// value * numerator / denominator to the nearest integer, halves up. Requires: value >= 0, denominator > 0.
[[nodiscard]] constexpr std::int64_t scaled(std::int64_t value, std::int64_t numerator, std::int64_t denominator) noexcept {
  const std::int64_t whole = value / denominator, rest = value % denominator;
  return whole * numerator + (rest * numerator + denominator / 2) / denominator;
}

template <class Keep>
[[nodiscard]] Score only_channels(Score score, const Keep& keep) {
  for (Track& t : score.tracks) {
    std::erase_if(t.notes, [&](const Note& n) { return !keep(n.channel); });
    std::erase_if(t.events, [&](const ChannelEvent& e) { return !keep(e.channel()); });
  }
  return score;
}

}  // namespace detail::midi_edit

/// All tracks as one, equal ticks in the order of the tracks. The names of all but the first become text events.
[[nodiscard]] inline Score merge_tracks(Score score) {
  if (score.tracks.size() == 1) {
    score.format = 0;
    return score;
  }
  Track all;
  for (Track& t : score.tracks) {
    if (&t == &score.tracks.front()) {
      all.name = std::move(t.name);
    } else if (!t.name.empty()) {
      all.metas.push_back({0, 0x01, std::move(t.name)});
    }
    for (const Note& n : t.notes) all.notes.push_back(n);
    for (const ChannelEvent& e : t.events) all.events.push_back(e);
    for (MetaEvent& m : t.metas) all.metas.push_back(std::move(m));
    all.end_tick = (std::max)(all.end_tick, t.end_tick);
  }
  detail::midi_score::sort_by_tick(all.notes);
  detail::midi_score::sort_by_tick(all.events);
  detail::midi_score::sort_by_tick(all.metas);
  score.tracks.clear();
  score.tracks.push_back(std::move(all));
  score.format = 0;
  return score;
}

/// One track a channel (and one for what has no channel, if there is any), in the order of first use.
[[nodiscard]] inline Score split_channels(const Score& score) {
  Score out = score;
  out.format = 1;
  out.tracks.clear();
  for (const Track& t : score.tracks) {
    std::array<std::size_t, 16> place{};  // index in out.tracks + 1
    std::size_t first = 0;
    const auto of_channel = [&](std::uint8_t channel) -> Track& {
      std::size_t& at = place[channel & 15u];
      if (at == 0) {
        out.tracks.push_back({});
        at = out.tracks.size();
        if (first == 0) first = at;
        out.tracks.back().name = t.name;
        out.tracks.back().end_tick = t.end_tick;
      }
      return out.tracks[at - 1];
    };
    for (const Note& n : t.notes) of_channel(n.channel).notes.push_back(n);
    for (const ChannelEvent& e : t.events) of_channel(e.channel()).events.push_back(e);
    if (first == 0) {
      out.tracks.push_back(t);
    } else {
      out.tracks[first - 1].metas = t.metas;
    }
  }
  return out;
}

/// Without the notes and events of the drum channel; tracks stay, even when they are left empty.
[[nodiscard]] inline Score drop_drums(Score score) {
  return detail::midi_edit::only_channels(std::move(score), [](std::uint8_t channel) { return channel != k_drum_channel; });
}

/// With the notes and events of the drum channel alone.
[[nodiscard]] inline Score only_drums(Score score) {
  return detail::midi_edit::only_channels(std::move(score), [](std::uint8_t channel) { return channel == k_drum_channel; });
}

/// Without the tracks that have neither notes nor channel events nor metas.
[[nodiscard]] inline Score drop_empty_tracks(Score score) {
  std::erase_if(score.tracks, [&](const Track& t) { return t.notes.empty() && t.events.empty() && t.metas.empty(); });
  return score;
}

/// Moves notes and key signatures by semitones, drums aside. A note that would leave 0..127 goes an octave back.
[[nodiscard]] inline Score transpose(Score score, int semitones) {
  for (Track& t : score.tracks) {
    const auto moved = [&](std::uint8_t pitch) {
      int p = pitch + semitones;
      while (p < 0) p += 12;
      while (p > 127) p -= 12;
      return static_cast<std::uint8_t>(p);
    };
    for (Note& n : t.notes) {
      if (n.channel != k_drum_channel) n.pitch = moved(n.pitch);
    }
    for (ChannelEvent& e : t.events) {
      if (e.kind() == 0xA0 && e.channel() != k_drum_channel) e.data1 = moved(e.data1);
    }
  }
  for (KeySignature& k : score.key_signatures) {
    // up a semitone is up seven fifths; keep to the twelve keys of at most six accidentals
    int fifths = ((k.sharps + 7 * (semitones % 12)) % 12 + 12) % 12;
    if (fifths > 6) fifths -= 12;
    if (semitones % 12 != 0) k.sharps = static_cast<std::int8_t>(fifths);
  }
  return score;
}

/// What sounds in [begin, end) moved to tick 0: notes are cut at both ends, and the tempo, meter, key, programmes,
/// controllers and bends that hold at `begin` are set at 0.
[[nodiscard]] inline Score trim(const Score& score, std::int64_t begin, std::int64_t end) {
  begin = (std::max)(begin, std::int64_t{0});
  end = (std::max)(end, begin);
  Score out;
  out.format = score.format;
  out.division = score.division;
  const auto cut_map = [&](const auto& from, auto& to) {
    for (auto entry : from) {
      if (entry.tick >= end && entry.tick > begin) break;
      entry.tick = (std::max)(entry.tick - begin, std::int64_t{0});
      if (entry.tick == 0) to.clear();
      to.push_back(entry);
    }
  };
  cut_map(score.tempos, out.tempos);
  cut_map(score.time_signatures, out.time_signatures);
  cut_map(score.key_signatures, out.key_signatures);
  for (const Track& t : score.tracks) {
    out.tracks.push_back({});
    Track& to = out.tracks.back();
    to.name = t.name;
    for (Note n : t.notes) {
      const std::int64_t last = n.tick + n.duration;
      const bool inside = n.tick >= begin && n.tick < end;
      if (!inside && !(n.tick < begin && last > begin)) continue;
      const std::int64_t from = (std::max)(n.tick, begin);
      n.duration = (std::min)(last, end) - from;
      n.tick = from - begin;
      to.notes.push_back(n);
    }
    std::vector<ChannelEvent> state;  // the last of each kind before `begin`, in the order of their last change
    for (ChannelEvent e : t.events) {
      if (e.tick >= end) break;
      if (e.tick >= begin) {
        e.tick -= begin;
        to.events.push_back(e);
        continue;
      }
      const bool by_number = e.kind() == 0xA0 || e.kind() == 0xB0;
      std::erase_if(state, [&](const ChannelEvent& s) { return s.status == e.status && (!by_number || s.data1 == e.data1); });
      e.tick = 0;
      state.push_back(e);
    }
    to.events.insert(to.events.begin(), state.begin(), state.end());
    for (const MetaEvent& m : t.metas) {
      if (m.tick >= begin && m.tick < end) to.metas.push_back({m.tick - begin, m.type, m.data});
    }
    to.end_tick = (std::clamp)(t.end_tick, begin, end) - begin;
  }
  settle_maps(out);
  return out;
}

/// The same music at another resolution, to the nearest tick. SMPTE time becomes 120 quarters a minute.
/// Requires: 1 <= tpq <= 32767.
[[nodiscard]] inline Score with_tpq(Score score, std::uint16_t tpq) {
  if (score.division.is_smpte()) {
    const TempoMap map(score);
    score.division = Division{.tpq = tpq};
    detail::midi_edit::move_ticks(score, [&](std::int64_t tick) { return std::llround(map.seconds(tick) * 2.0 * tpq); }, 1);
    score.tempos.clear();
    score.tempos.push_back({});
    return score;
  }
  const std::int64_t old = (std::max)(score.division.tpq, std::uint16_t{1});
  score.division.tpq = tpq;
  if (old == tpq) return score;
  detail::midi_edit::move_ticks(score, [&](std::int64_t tick) { return detail::midi_edit::scaled(tick, tpq, old); }, 1);
  return score;
}

struct QuantiseOptions {
  int steps_per_quarter = 4;   // the grid; 4: sixteenths, 12: sixteenths and triplets
  double swing = 0.5;          // where the second of two steps falls: 0.5 even, 2/3 triplet swing
  bool straighten = false;     // swung steps are written as even ones
  bool durations = true;       // note ends too; a note keeps at least one step. Otherwise notes keep their length
  std::uint16_t tpq = 0;       // the resolution of the result; 0: unchanged (480 for SMPTE)
};

/// Moves notes to the nearest grid step. Events, metas and maps stay where they are.
[[nodiscard]] inline Score quantise(Score score, const QuantiseOptions& options = {}) {
  if (score.division.is_smpte()) score = with_tpq(std::move(score), options.tpq != 0 ? options.tpq : std::uint16_t{480});
  const auto steps = static_cast<std::int64_t>((std::max)(options.steps_per_quarter, 1));
  const std::int64_t tpq = (std::max)(score.division.tpq, std::uint16_t{1});
  const double swing = std::clamp(options.swing, 0.05, 0.95);
  // Step k stands at k * tpq / steps; the odd ones are late by (2 * swing - 1) steps.
  const double step = static_cast<double>(tpq) / static_cast<double>(steps);
  const double late = (2.0 * swing - 1.0) * step;
  const auto place = [&](std::int64_t k) { return static_cast<double>(k) * step + (k % 2 != 0 ? late : 0.0); };
  const auto nearest = [&](std::int64_t tick) {
    const auto t = static_cast<double>(tick);
    const auto guess = static_cast<std::int64_t>(t / step);
    std::int64_t best = guess;
    for (std::int64_t k = (std::max)(guess - 1, std::int64_t{0}); k <= guess + 1; ++k) {
      if (std::abs(place(k) - t) < std::abs(place(best) - t)) best = k;
    }
    return best;
  };
  const auto tick_of = [&](std::int64_t k) {
    return options.straighten ? detail::midi_edit::scaled(k, tpq, steps) : static_cast<std::int64_t>(std::floor(place(k) + 0.5));
  };
  for (Track& t : score.tracks) {
    for (Note& n : t.notes) {
      const std::int64_t first = nearest(n.tick);
      const std::int64_t tick = tick_of(first);
      if (options.durations) n.duration = tick_of((std::max)(nearest(n.tick + n.duration), first + 1)) - tick;
      n.tick = tick;
      t.end_tick = (std::max)(t.end_tick, n.tick + n.duration);
    }
    detail::midi_score::sort_by_tick(t.notes);
  }
  return options.tpq != 0 ? with_tpq(std::move(score), options.tpq) : score;
}

/// Lengthens notes that end under a held pedal (controller 64 at 64 or above, per channel, of all tracks) to its release
/// or to the next onset of their pitch and channel, and removes the pedal events. A pedal never lifted holds to the end.
[[nodiscard]] inline Score apply_sustain(Score score) {
  struct Span {
    std::int64_t down, up;
  };
  std::array<std::vector<Span>, 16> held;
  std::array<std::vector<std::pair<std::int64_t, bool>>, 16> moves;
  for (Track& t : score.tracks) {
    std::erase_if(t.events, [&](const ChannelEvent& e) {
      if (e.kind() != 0xB0 || e.data1 != 64) return false;
      moves[e.channel()].emplace_back(e.tick, e.data2 >= 64);
      return true;
    });
  }
  const std::int64_t end = duration_ticks(score);
  for (std::size_t c = 0; c < 16; ++c) {
    sort_stably(moves[c], [](const auto& a, const auto& b) { return a.first < b.first; });
    bool down = false;
    for (const auto& [tick, press] : moves[c]) {
      if (press && !down) held[c].push_back({tick, end});
      if (!press && down) held[c].back().up = tick;
      down = press;
    }
  }
  // Notes by onset over all tracks, latest first, so that `next_onset` is known when a note is reached.
  std::vector<Note*> notes;
  for (Track& t : score.tracks) {
    for (Note& n : t.notes) notes.push_back(&n);
  }
  sort_stably(notes, [](const Note* a, const Note* b) { return a->tick < b->tick; });
  std::vector<std::pair<std::int64_t, std::int64_t>> onsets(std::size_t{16} * 128, {-1, -1});  // the onset seen last, and the one after it
  for (std::size_t i = notes.size(); i-- > 0;) {
    Note& n = *notes[i];
    auto& [onset, later] = onsets[(n.channel & 15u) * std::size_t{128} + (n.pitch & 127u)];
    if (onset != n.tick) {
      later = onset;
      onset = n.tick;
    }
    const auto& spans = held[n.channel & 15u];
    const std::int64_t off = n.tick + n.duration;
    const auto after = std::upper_bound(spans.begin(), spans.end(), off, [](std::int64_t t, const Span& s) { return t < s.down; });
    if (after == spans.begin() || (after - 1)->up <= off) continue;
    std::int64_t until = (after - 1)->up;
    if (later >= off) until = (std::min)(until, later);
    n.duration = (std::max)(until, off) - n.tick;
  }
  for (Track& t : score.tracks) {
    for (const Note& n : t.notes) t.end_tick = (std::max)(t.end_tick, n.tick + n.duration);
  }
  return score;
}

/// Everything later by a factor (2 is half as fast), tempos unchanged. Requires: factor > 0.
[[nodiscard]] inline Score stretch(Score score, double factor) {
  detail::midi_edit::move_ticks(
      score, [&](std::int64_t tick) { return static_cast<std::int64_t>(std::floor(static_cast<double>(tick) * factor + 0.5)); }, 1);
  return score;
}

/// The same ticks at another speed (2 is twice as fast). Requires: factor > 0, a division in quarters.
[[nodiscard]] inline Score scale_tempo(Score score, double factor) {
  if (score.tempos.empty() || score.tempos.front().tick > 0) score.tempos.insert(score.tempos.begin(), Tempo{});
  for (Tempo& t : score.tempos) {
    const double us = std::floor(t.us_per_quarter / factor + 0.5);
    t.us_per_quarter = static_cast<std::uint32_t>((std::clamp)(us, 1.0, 16777215.0));
  }
  return score;
}

/// velocity * factor + offset, within 1..127.
[[nodiscard]] inline Score scale_velocity(Score score, double factor, int offset = 0) {
  for (Track& t : score.tracks) {
    for (Note& n : t.notes) {
      const double v = std::floor(n.velocity * factor + offset + 0.5);
      n.velocity = static_cast<std::uint8_t>((std::clamp)(v, 1.0, 127.0));
    }
  }
  return score;
}

}  // namespace v0
}  // namespace midigpt
