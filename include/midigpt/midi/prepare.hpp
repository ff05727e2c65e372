// midi/prepare.hpp - making a data set of scores: clean them, find doubles by what sounds, vary them.
#pragma once

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/midi/edit.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

struct CleanOptions {
  bool drop_drums = true;
  bool one_instrument = true;    // every note in one track, on channel 0, by one programme; else tracks stay as they are
  std::uint8_t program = 0;      // of that instrument; 0 is the grand piano
  std::int64_t shortest = 1;     // notes of fewer ticks get as many; 0 keeps notes without length
  bool drop_silence = true;      // the first note moves to tick 0, what follows the last note goes
};

/// Music alone, as the seed system's cleaning step makes it: drums out, all other notes in one piano, tempos, metas and the
/// meter kept. Unlike there any format is taken, and notes stand in order.
[[nodiscard]] inline Score clean(Score score, const CleanOptions& options = {}) {
  if (options.drop_drums) score = drop_drums(std::move(score));
  if (options.one_instrument) {
    score = merge_tracks(std::move(score));
    Track& t = score.tracks.front();
    for (Note& n : t.notes) n.channel = 0;
    t.events.clear();
    t.events.push_back({0, 0xC0, static_cast<std::uint8_t>(options.program & 0x7F), 0});
    sort_stably(t.notes, [](const Note& a, const Note& b) {
      if (a.tick != b.tick) return a.tick < b.tick;
      if (a.pitch != b.pitch) return a.pitch < b.pitch;
      return a.velocity != b.velocity ? a.velocity > b.velocity : a.duration < b.duration;
    });
    // unisons of several instruments become one note
    const auto same = [](const Note& a, const Note& b) { return a.tick == b.tick && a.pitch == b.pitch && a.duration == b.duration; };
    t.notes.erase(std::unique(t.notes.begin(), t.notes.end(), same), t.notes.end());
    t.name.clear();
  }
  std::int64_t first = last_note_tick(score);
  for (Track& t : score.tracks) {
    for (Note& n : t.notes) {
      n.duration = (std::max)(n.duration, options.shortest);
      t.end_tick = (std::max)(t.end_tick, n.tick + n.duration);
      first = (std::min)(first, n.tick);
    }
  }
  return options.drop_silence ? trim(score, first, last_note_tick(score)) : score;
}

struct MusicHashOptions {
  bool any_key = false;        // transpositions are the same piece
  int steps_per_quarter = 48;  // times are compared on this grid, counted from the first note
};

/// A hash of what sounds: onsets and lengths in quarters (for SMPTE in half seconds), pitches, drums or not. Resolution,
/// tempo, velocities, programmes, tracks, channels and names do not matter.
[[nodiscard]] inline std::uint64_t music_hash(const Score& score, const MusicHashOptions& options = {}) {
  const Score* source = &score;
  Score converted;
  if (score.division.is_smpte()) {
    converted = with_tpq(score, 480);
    source = &converted;
  }
  std::int64_t first = last_note_tick(*source);
  int lowest = 127;
  for (const Track& t : source->tracks) {
    for (const Note& n : t.notes) {
      first = (std::min)(first, n.tick);
      if (n.channel != k_drum_channel) lowest = (std::min)(lowest, int{n.pitch});
    }
  }
  const std::int64_t tpq = (std::max)(source->division.tpq, std::uint16_t{1});
  const auto step = [&](std::int64_t ticks) { return detail::midi_edit::scaled(ticks, (std::max)(options.steps_per_quarter, 1), tpq); };
  struct Heard {
    std::int64_t onset, length;
    int pitch;

    auto operator<=>(const Heard&) const = default;
  };
  std::vector<Heard> notes;
  notes.reserve(count_notes(*source));
  for (const Track& t : source->tracks) {
    for (const Note& n : t.notes) {
      const bool drum = n.channel == k_drum_channel;
      const int pitch = drum ? 256 + n.pitch : options.any_key ? n.pitch - lowest : n.pitch;
      notes.push_back({step(n.tick - first), drum ? 0 : step(n.duration), pitch});
    }
  }
  sort_stably(notes);
  notes.erase(std::unique(notes.begin(), notes.end()), notes.end());
  ByteWriter bytes;
  bytes.reserve(notes.size() * 18);
  for (const auto& [onset, length, pitch] : notes) {
    bytes.le(static_cast<std::uint64_t>(onset));
    bytes.le(static_cast<std::uint64_t>(length));
    bytes.le(static_cast<std::uint16_t>(pitch));
  }
  return hash_bytes(bytes.bytes());
}

/// Remembers the pieces it has seen, eight bytes and some each: for data sets that stream.
class SeenMusic {
 public:
  explicit SeenMusic(const MusicHashOptions& options = {}) : options_(options) {}

  /// True the first time a piece comes; false for a double, and for a score without notes.
  [[nodiscard]] bool is_new(const Score& score) { return count_notes(score) != 0 && seen_.insert(music_hash(score, options_)).second; }
  [[nodiscard]] std::size_t size() const noexcept { return seen_.size(); }

 private:
  MusicHashOptions options_;
  std::unordered_set<std::uint64_t> seen_;
};

struct AugmentOptions {
  int lowest_transposition = -5, highest_transposition = 6;  // semitones; one whole octave of keys
  double velocity = 0.1;                                     // loudness by a factor within 1 +- this
  double tempo = 0.1;                                        // speed likewise
};

/// A variation: another key, loudness and speed, drawn uniformly. Notes are never lost: the key is drawn among those in which
/// every pitch fits.
[[nodiscard]] inline Score augment(Score score, const AugmentOptions& options, Rng& rng) {
  int lowest = 127, highest = 0;
  for (const Track& t : score.tracks) {
    for (const Note& n : t.notes) {
      if (n.channel == k_drum_channel) continue;
      lowest = (std::min)(lowest, int{n.pitch});
      highest = (std::max)(highest, int{n.pitch});
    }
  }
  if (lowest > highest) lowest = highest = 64;
  const int down = (std::max)(options.lowest_transposition, -lowest);
  const int up = (std::max)((std::min)(options.highest_transposition, 127 - highest), down);
  const auto factor = [&](double spread) { return 1.0 + spread * (2.0 * rng.uniform() - 1.0); };
  score = transpose(std::move(score), rng.between(down, up));
  score = scale_velocity(std::move(score), factor(options.velocity));
  return scale_tempo(std::move(score), factor(options.tempo));
}

}  // namespace v0
}  // namespace midigpt
