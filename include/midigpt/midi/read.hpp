// midi/read.hpp - a Standard MIDI File as a Score, in one pass: notes paired, nothing else lost.
//   Strict by default: the first malformed byte is an Error with its offset. With `repair` it is mended and listed.
//   Notes pair per track, channel and pitch; docs/midi.md has every rule.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/view.hpp>

namespace midigpt {
inline namespace v0 {

/// Which open note of its channel and pitch a note-off ends.
enum class Pairing : std::uint8_t {
  fifo,         // the oldest
  lifo,         // the newest
  pretty_midi,  // all that began on another tick, as pretty_midi: notes without length vanish, unclosed notes vanish,
                // and notes of one tick stand in the order in which they ended
};

struct ReadOptions {
  bool repair = false;
  Pairing pairing = Pairing::fifo;
  std::uint64_t max_bytes = std::uint64_t{1} << 30;  // a larger input is Errc::too_large
};

struct ReadReport {
  std::vector<Mend> mends;           // the first 256
  std::uint64_t mend_count = 0;      // all of them
  std::uint64_t unclosed_notes = 0;  // no note-off: ended at the end of their track
  std::uint64_t stray_note_offs = 0; // no open note: dropped
  std::uint64_t overlapping_notes = 0;   // began while their pitch was sounding on their channel
  std::uint64_t zero_length_notes = 0;   // kept (pretty_midi: dropped)

  friend bool operator==(const ReadReport&, const ReadReport&) = default;
};

/// Reads files one after another into storage that it keeps: for loaders. Not for use by two threads at once.
class MidiReader {
 public:
  /// Format 0 or 1. A format 2 file is Errc::unsupported: it holds pieces of their own, see parse_sequences().
  [[nodiscard]] Result<Score> parse(ByteSpan bytes, const ReadOptions& options = {}, ReadReport* report = nullptr) {
    Score score;
    auto done = read(bytes, options, report, &score, nullptr);
    if (!done) return std::move(done).error();
    return score;
  }

  /// Any format: the sequences of a format 2 file, each a Score of one track; otherwise the one Score.
  [[nodiscard]] Result<std::vector<Score>> parse_sequences(ByteSpan bytes, const ReadOptions& options = {}, ReadReport* report = nullptr) {
    std::vector<Score> scores;
    auto done = read(bytes, options, report, nullptr, &scores);
    if (!done) return std::move(done).error();
    return scores;
  }

 private:
  /// Uninitialised room for T, kept from file to file. Written by index after make_room.
  template <class T>
  class Pile {
   public:
    [[nodiscard]] T* data() noexcept { return data_.get(); }
    [[nodiscard]] std::size_t room() const noexcept { return room_; }
    /// At least twice the room; the first `used` elements stay.
    void grow(std::size_t used, std::size_t wanted) {
      const std::size_t room = (std::max)(wanted, room_ + room_ / 2);
      auto bigger = std::make_unique_for_overwrite<T[]>(room);
      std::copy_n(data_.get(), used, bigger.get());
      data_ = std::move(bigger);
      room_ = room;
    }

   private:
    std::unique_ptr<T[]> data_;
    std::size_t room_ = 0;
  };

  /// What one call needs besides the storage.
  struct Call {
    const ReadOptions& options;
    ByteSpan bytes;
    MendList mends;
    ReadReport counts;
    std::optional<Error> error;
  };

  [[nodiscard]] Result<void> read(ByteSpan bytes, const ReadOptions& options, ReadReport* report, Score* one,
                                  std::vector<Score>* many);
  void read_track(EventCursor& events, Score& score, Call& call);
  void read_meta(const MidiEvent& e, Score& score, Track& track, Call& call) const;

  // An open note keeps its place in the queue of its channel and pitch in its duration: bit 63, and two ids of 31 bits.
  // An id is base_ + index; a slot with an id below base_ belongs to an earlier track and is empty.
  [[nodiscard]] static constexpr std::int64_t link(std::uint32_t next, std::uint32_t last) noexcept {
    return (std::numeric_limits<std::int64_t>::min)() | std::int64_t{last} << 31 | std::int64_t{next};
  }
  [[nodiscard]] static constexpr std::uint32_t next_id(const Note& n) noexcept {
    return static_cast<std::uint32_t>(n.duration & 0x7FFFFFFF);
  }
  [[nodiscard]] static constexpr std::uint32_t last_id(const Note& n) noexcept {
    return static_cast<std::uint32_t>(n.duration >> 31 & 0x7FFFFFFF);
  }

  static constexpr std::uint8_t k_most_denominator_log2 = 10;
  static constexpr std::uint32_t k_most_ids = std::uint32_t{1} << 31;

  Pile<Note> notes_;
  Pile<Note> closed_;  // pretty_midi: notes in the order in which they ended
  Pile<ChannelEvent> events_;
  std::vector<std::uint32_t> open_ = std::vector<std::uint32_t>(std::size_t{16} * 128);  // id of the note to end next, by channel and pitch
  std::uint32_t base_ = 1;
};

/// Reads a file of format 0 or 1. One call; a loader keeps a MidiReader.
[[nodiscard]] inline Result<Score> parse_midi(ByteSpan bytes, const ReadOptions& options = {}, ReadReport* report = nullptr) {
  return MidiReader().parse(bytes, options, report);
}

/// Reads a file of any format: the sequences of a format 2 file, or the one Score of another.
[[nodiscard]] inline Result<std::vector<Score>> parse_midi_sequences(ByteSpan bytes, const ReadOptions& options = {},
                                                                     ReadReport* report = nullptr) {
  return MidiReader().parse_sequences(bytes, options, report);
}

[[nodiscard]] inline Result<Score> read_midi(const std::string& path, const ReadOptions& options = {}, ReadReport* report = nullptr) {
  const auto bytes = read_file(path, options.max_bytes);
  if (!bytes) return bytes.error();
  return parse_midi(*bytes, options, report);
}

inline Result<void> MidiReader::read(ByteSpan bytes, const ReadOptions& options, ReadReport* report, Score* one,
                                     std::vector<Score>* many) {
  if (bytes.size() > options.max_bytes) {
    return Error{Errc::too_large, options.max_bytes, "larger than " + std::to_string(options.max_bytes) + " bytes"};
  }
  Call call{options, bytes, {}, {}, {}};
  auto view = MidiView::open(bytes, options.repair, &call.mends);
  if (!view) return std::move(view).error();
  const MidiHeader& header = view->header();
  if (header.format == 2 && many == nullptr) {
    return Error{Errc::unsupported, 8, "format 2 holds pieces of their own: use parse_midi_sequences"};
  }
  Score score;
  const auto fresh = [&] {
    score = Score{};
    score.format = header.format == 1 ? 1 : 0;
    score.division = header.division;
  };
  fresh();
  EventCursor events;
  while (!call.error && view->next_track(events)) {
    if (header.format == 0 && !score.tracks.empty() && score.format == 0) {
      if (!options.repair) return Error{Errc::bad_value, events.offset() - 8, "format 0 with more than one track"};
      call.mends.add(events.offset() - 8, "format 0 with more than one track: read as format 1");
      score.format = 1;
    }
    read_track(events, score, call);
    if (header.format == 2 && many != nullptr) {  // never null here; g++ -O2 cannot see it
      settle_maps(score);
      many->push_back(std::move(score));
      fresh();
    }
  }
  if (!call.error) call.error = view->error();
  if (report != nullptr) {
    *report = call.counts;
    report->mends = std::move(call.mends.mends);
    report->mend_count = call.mends.count;
  }
  if (call.error) return *std::move(call.error);
  if (header.format != 2) {
    settle_maps(score);
    if (one != nullptr) {
      *one = std::move(score);
    } else {
      many->push_back(std::move(score));
    }
  }
  return {};
}

inline void MidiReader::read_track(EventCursor& events, Score& score, Call& call) {
  Track& track = score.tracks.emplace_back();
  const std::size_t most_notes = events.bytes_left() / 3 + 1;
  if (most_notes >= k_most_ids - base_) {
    std::fill(open_.begin(), open_.end(), 0u);
    base_ = 1;
  }
  const std::uint32_t base = base_;
  const Pairing pairing = call.options.pairing;
  std::size_t count = 0, event_count = 0, closed_count = 0;
  std::uint64_t zero_length = 0, overlapping = 0, stray = 0;
  MidiEvent e;

  while (events.next(e)) {
    switch (e.status >> 4) {
      case 0x9:
        if (e.data2 != 0) {
          if (count == notes_.room()) notes_.grow(count, (std::min)(most_notes, events.bytes_left() / 8 + 64));
          std::uint32_t& slot = open_[std::size_t{e.status & 0x0Fu} << 7 | e.data1];
          const auto id = static_cast<std::uint32_t>(base + count);
          Note* const notes = notes_.data();
          std::int64_t queue = link(0, id);
          if (slot >= base) {
            ++overlapping;
            if (pairing == Pairing::lifo) {
              queue = link(slot, 0);
              slot = id;
            } else {
              Note& first = notes[slot - base];
              const std::uint32_t last = last_id(first);
              if (last != slot) notes[last - base].duration = link(id, 0);
              first.duration = link(last == slot ? id : next_id(first), id);
            }
          } else {
            slot = id;
          }
          notes[count++] = Note{e.tick, queue, static_cast<std::uint8_t>(e.status & 0x0F), e.data1, e.data2, 64};
          break;
        }
        [[fallthrough]];
      case 0x8: {
        std::uint32_t& slot = open_[std::size_t{e.status & 0x0Fu} << 7 | e.data1];
        if (slot < base) {
          ++stray;
          break;
        }
        const std::uint8_t off_velocity = e.status >= 0x90 ? std::uint8_t{64} : e.data2;
        Note* const notes = notes_.data();
        if (pairing != Pairing::pretty_midi) {
          Note& note = notes[slot - base];
          const std::uint32_t next = next_id(note);
          if (pairing == Pairing::fifo && next != 0) {
            Note& heir = notes[next - base];
            heir.duration = link(next_id(heir), last_id(note));
          }
          slot = next;
          note.duration = e.tick - note.tick;
          note.off_velocity = off_velocity;
          zero_length += note.duration == 0 ? 1u : 0u;
          break;
        }
        // Those that began on this tick stay open if another one ends here, else they vanish.
        std::uint32_t kept = 0, kept_last = 0;
        bool any = false;
        for (std::uint32_t id = slot; id != 0;) {
          Note& note = notes[id - base];
          const std::uint32_t next = next_id(note);
          if (note.tick != e.tick) {
            any = true;
            note.duration = e.tick - note.tick;
            note.off_velocity = off_velocity;
            if (closed_count == closed_.room()) closed_.grow(closed_count, count + 64);
            closed_.data()[closed_count++] = note;
          } else {
            if (kept == 0) kept = id;
            kept_last = id;
          }
          id = next;
        }
        if (!any) {
          for (std::uint32_t id = slot; id != 0; id = next_id(notes[id - base])) ++zero_length;
          kept = 0;
        }
        slot = kept;  // notes of one tick stand side by side in the queue
        if (kept != 0) notes[kept - base].duration = link(kept == kept_last ? 0 : next_id(notes[kept - base]), kept_last);
        break;
      }
      case 0xF:
        read_meta(e, score, track, call);
        if (call.error) return;
        break;
      default:
        if (event_count == events_.room()) events_.grow(event_count, (std::min)(most_notes, events.bytes_left() / 8 + 64));
        events_.data()[event_count++] = ChannelEvent{e.tick, e.status, e.data1, e.data2};
    }
  }
  base_ = static_cast<std::uint32_t>(base + count);
  call.counts.zero_length_notes += zero_length;
  call.counts.overlapping_notes += overlapping;
  call.counts.stray_note_offs += stray;

  track.end_tick = events.end_tick();
  track.events.assign(events_.data(), events_.data() + event_count);
  Note* first = notes_.data();
  std::size_t size = count;
  if (pairing == Pairing::pretty_midi) {
    first = closed_.data();
    size = closed_count;
    std::stable_sort(first, first + size, [](const Note& a, const Note& b) { return a.tick < b.tick; });
    call.counts.unclosed_notes += count - closed_count - zero_length;
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      if (first[i].duration >= 0) continue;
      first[i].duration = track.end_tick - first[i].tick;
      ++call.counts.unclosed_notes;
    }
  }
  track.notes.assign(first, first + size);
}

inline void MidiReader::read_meta(const MidiEvent& e, Score& score, Track& track, Call& call) const {
  if (e.status != 0xFF) {
    track.metas.push_back({e.tick, e.status, std::string(as_chars(e.data))});
    return;
  }
  const auto data = [&](std::size_t i) { return std::to_integer<std::uint8_t>(e.data[i]); };
  const auto wrong = [&](const char* what) {
    const auto offset = static_cast<std::uint64_t>(e.data.data() - call.bytes.data());
    if (call.options.repair) {
      call.mends.add(offset, std::string(what) + ": dropped");
    } else {
      call.error = Error{Errc::bad_value, offset, "track " + std::to_string(score.tracks.size() - 1) + ": " + what};
    }
  };
  switch (e.data1) {
    case 0x03:
      if (e.tick != 0 || !track.name.empty()) break;
      track.name = as_chars(e.data);
      return;
    case 0x51: {
      if (e.data.size() < 3) return wrong("tempo of less than three bytes");
      const std::uint32_t us = load_be<std::uint16_t>(e.data.data()) * 256u + data(2);
      if (us == 0) return wrong("tempo 0");
      score.tempos.push_back({e.tick, us});
      return;
    }
    case 0x58:
      if (e.data.size() < 4) return wrong("time signature of less than four bytes");
      if (data(0) == 0 || data(1) > k_most_denominator_log2) return wrong("time signature out of range");
      score.time_signatures.push_back({e.tick, data(0), data(1), data(2), data(3)});
      return;
    case 0x59: {
      if (e.data.size() < 2) return wrong("key signature of less than two bytes");
      const auto sharps = static_cast<std::int8_t>(data(0));
      if (sharps < -7 || sharps > 7 || data(1) > 1) return wrong("key signature out of range");
      score.key_signatures.push_back({e.tick, sharps, data(1) == 1});
      return;
    }
    case 0x7F:
      if (e.data.empty()) return;  // a spacer, as the writer uses for a gap that no delta time can hold
      break;
    default: break;
  }
  track.metas.push_back({e.tick, e.data1, std::string(as_chars(e.data))});
}

}  // namespace v0
}  // namespace midigpt
