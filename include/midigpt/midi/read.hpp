// midi/read.hpp - a Standard MIDI File as a Score, in one pass: notes paired, nothing else lost.
//   Strict by default: the first malformed byte is an Error with its offset. With `repair` it is mended and listed.
//   Notes pair per track, channel and pitch; docs/midi.md has every rule.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/sort.hpp>
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
  /// Uninitialised room for T, kept from file to file. Elements are written before they are read.
  template <class T>
  class Pile {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= alignof(std::max_align_t));

   public:
    [[nodiscard]] T* data() noexcept { return static_cast<T*>(static_cast<void*>(bytes_.get())); }
    [[nodiscard]] std::size_t room() const noexcept { return room_; }
    /// Half as much again, or `wanted`; the first `used` elements stay.
    void grow(std::size_t used, std::size_t wanted) {
      const std::size_t room = (std::max)(wanted, room_ + room_ / 2 + 16);
      auto bigger = std::make_unique_for_overwrite<std::byte[]>(room * sizeof(T));
      if (used != 0) std::memcpy(bigger.get(), bytes_.get(), used * sizeof(T));
      bytes_ = std::move(bigger);
      room_ = room;
    }

   private:
    std::unique_ptr<std::byte[]> bytes_;
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

  template <bool k_pretty_midi>
  [[gnu::noinline]] void read_channel_messages(EventCursor& events, Call& call);  // alone, its variables fit the registers
  void add(std::int64_t tick, std::uint32_t word, Call& call);
  void queue(std::uint32_t& slot, std::uint32_t id, Call& call) noexcept;
  void end_queued(std::uint32_t& slot, std::int64_t tick, std::uint32_t word, Call& call);
  [[nodiscard]] Note& note(std::uint32_t id) noexcept { return notes_.data()[id - base_]; }

  // A slot of open_ holds the id of the note that the next note-off of its channel and pitch ends: base_ + index. Ids below
  // base_ belong to earlier tracks: the slot is empty, and nothing has to be cleared. If k_queue is set, end_queued() decides:
  // several notes are open (one, by pretty_midi's rule). An open note keeps the id of the next one, and the first also that
  // of the last, in its duration.
  static constexpr std::uint32_t k_queue = std::uint32_t{1} << 31;
  static constexpr std::uint32_t k_id = k_queue - 1;
  static constexpr std::int64_t k_open = (std::numeric_limits<std::int64_t>::min)();

  [[nodiscard]] static constexpr std::int64_t link(std::uint32_t next, std::uint32_t last) noexcept {
    return k_open | std::int64_t{last} << 31 | std::int64_t{next};
  }
  [[nodiscard]] static constexpr std::uint32_t next_id(const Note& n) noexcept { return static_cast<std::uint32_t>(n.duration & k_id); }
  [[nodiscard]] static constexpr std::uint32_t last_id(const Note& n) noexcept {
    return static_cast<std::uint32_t>(n.duration >> 31 & k_id);
  }

  static constexpr std::uint8_t k_most_denominator_log2 = 10;

  [[nodiscard]] static constexpr std::size_t slot_of(std::uint32_t word) noexcept { return (word & 0x7F00u) >> 4 | (word & 0x0Fu); }

  /// An open note, from the word of its note-on.
  static void begin(Note& n, std::int64_t tick, std::uint32_t word) noexcept {
    n.tick = tick;
    n.duration = k_open;
    if constexpr (std::endian::native == std::endian::little && offsetof(Note, off_velocity) == offsetof(Note, channel) + 3) {
      const std::uint32_t bytes = (word & 0x7F7F0Fu) | 64u << 24;  // one store for four members
      std::memcpy(static_cast<std::byte*>(static_cast<void*>(&n)) + offsetof(Note, channel), &bytes, 4);
    } else {
      n.channel = static_cast<std::uint8_t>(word & 0x0Fu);
      n.pitch = static_cast<std::uint8_t>(word >> 8 & 0x7Fu);
      n.velocity = static_cast<std::uint8_t>(word >> 16 & 0x7Fu);
      n.off_velocity = 64;
    }
  }
  /// True for a note without length.
  static bool end(Note& n, std::int64_t tick, std::uint32_t word) noexcept {
    if ((word & 0x10u) == 0) n.off_velocity = static_cast<std::uint8_t>(word >> 16 & 0x7Fu);  // else 64, as begun
    n.duration = tick - n.tick;
    return n.duration == 0;
  }

  Pile<Note> notes_;
  Pile<Note> closed_;  // pretty_midi: notes in the order in which they ended
  Pile<ChannelEvent> events_;
  std::vector<std::uint32_t> open_ = std::vector<std::uint32_t>(std::size_t{16} * 128);  // by pitch and channel
  std::uint32_t base_ = 1;
  // of the current track
  std::uint32_t count_ = 0;      // in notes_
  std::size_t event_count_ = 0;  // in events_
  std::size_t ended_ = 0;        // notes with a note-off; in closed_ for pretty_midi
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
    return Error{Errc::too_large, options.max_bytes, concat({"larger than ", options.max_bytes, " bytes"})};
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
  score.tracks.push_back({});
  Track& track = score.tracks.back();
  const std::size_t most = events.bytes_left() / 3 + 1;  // notes or events: two data bytes and a delta time each
  if (most >= k_queue - base_) {
    std::fill(open_.begin(), open_.end(), 0u);
    base_ = 1;
  }
  count_ = 0;
  event_count_ = 0;
  ended_ = 0;
  const std::uint64_t zero_length_before = call.counts.zero_length_notes;
  MidiEvent e;
  for (;;) {
    if (call.options.pairing == Pairing::pretty_midi) {
      read_channel_messages<true>(events, call);
    } else {
      read_channel_messages<false>(events, call);
    }
    if (count_ == notes_.room()) {
      notes_.grow(count_, (std::min)(most, events.bytes_left() / 8 + 64));
    } else if (event_count_ == events_.room()) {
      events_.grow(event_count_, (std::min)(most, events.bytes_left() / 8 + 64));
    } else if (!events.next_checked(e)) {
      break;
    } else if (e.status >= 0xF0) {
      read_meta(e, score, track, call);
      if (call.error) return;
    } else {
      add(e.tick, e.status | std::uint32_t{e.data1} << 8 | std::uint32_t{e.data2} << 16, call);
    }
  }
  track.end_tick = events.end_tick();
  track.events.assign(events_.data(), events_.data() + event_count_);
  Note* notes = notes_.data();
  if (call.options.pairing == Pairing::pretty_midi) {
    call.counts.unclosed_notes += count_ - ended_ - (call.counts.zero_length_notes - zero_length_before);
    notes = closed_.data();
    sort_stably(std::span(notes, ended_), [](const Note& a, const Note& b) { return a.tick < b.tick; });
  } else if (ended_ != count_) {
    for (Note* n = notes; n != notes + count_; ++n) {
      if (n->duration < 0) n->duration = track.end_tick - n->tick;
    }
    call.counts.unclosed_notes += count_ - ended_;
    ended_ = count_;
  }
  track.notes.assign(notes, notes + ended_);
  base_ += count_;
}

/// The hot loop: channel messages with all of their state in registers. Returns at whatever is something else: a meta or
/// sysex event, the last bytes of the track, a full store, anything malformed.
template <bool k_pretty_midi>
void MidiReader::read_channel_messages(EventCursor& events, Call& call) {
  const std::byte* at = events.at_;
  const std::byte* const fast_end = events.end_ - (std::min)(detail::midi_view::k_longest_message - 1, events.end_ - at);
  std::uint32_t running = events.running_;
  std::int64_t tick = events.tick_;
  Note* const notes = notes_.data();
  std::uint32_t* const open = open_.data();
  const std::uint32_t base = base_;
  const std::size_t room = notes_.room();
  std::uint32_t count = count_;
  std::size_t ended = ended_;
  while (at < fast_end) {
    const detail::midi_view::Message m = detail::midi_view::decode(at, running);
    if (m.is_note()) [[likely]] {
      std::uint32_t& slot = open[slot_of(m.word)];
      if ((m.word & 0x10u) != 0 && (m.word & 0x7F0000u) != 0) {
        if (count == room) [[unlikely]] break;
        tick += m.delta;
        begin(notes[count], tick, m.word);
        const std::uint32_t id = base + count++;
        if (slot < base) [[likely]] {
          slot = k_pretty_midi ? id | k_queue : id;
        } else {
          queue(slot, id, call);
        }
      } else {
        tick += m.delta;
        const std::uint32_t index = slot - base;
        if (!k_pretty_midi && index < count) [[likely]] {
          slot = 0;
          ++ended;
          if (end(notes[index], tick, m.word)) [[unlikely]] ++call.counts.zero_length_notes;
        } else {
          ended_ = ended;
          end_queued(slot, tick, m.word, call);
          ended = ended_;
        }
      }
      at = m.rest + 2;
    } else if (m.is_other() && event_count_ < events_.room()) {
      tick += m.delta;
      at = m.rest + (m.is_single() ? 1 : 2);
      events_.data()[event_count_++] = ChannelEvent{tick, static_cast<std::uint8_t>(m.word), static_cast<std::uint8_t>(m.word >> 8),
                                                    m.is_single() ? std::uint8_t{0} : static_cast<std::uint8_t>(m.word >> 16)};
    } else {
      break;
    }
    running = m.word & 0xFFu;
  }
  events.at_ = at;
  events.running_ = running;
  events.tick_ = tick;
  count_ = count;
  ended_ = ended;
}

/// One channel message that was read with care: the same as in the hot loop. Requires: room for a note and an event.
inline void MidiReader::add(std::int64_t tick, std::uint32_t word, Call& call) {
  if ((word & 0xE0u) != 0x80u) {
    events_.data()[event_count_++] = ChannelEvent{tick, static_cast<std::uint8_t>(word), static_cast<std::uint8_t>(word >> 8),
                                                  static_cast<std::uint8_t>(word >> 16)};
    return;
  }
  std::uint32_t& slot = open_[slot_of(word)];
  if ((word & 0x10u) != 0 && (word & 0x7F0000u) != 0) {
    begin(notes_.data()[count_], tick, word);
    queue(slot, base_ + count_++, call);
  } else {
    end_queued(slot, tick, word, call);
  }
}

/// Puts an open note in the queue of its channel and pitch.
inline void MidiReader::queue(std::uint32_t& slot, std::uint32_t id, Call& call) noexcept {
  const std::uint32_t first = slot & k_id;
  const bool pretty_midi = call.options.pairing == Pairing::pretty_midi;
  if (first < base_) {
    slot = pretty_midi ? id | k_queue : id;
    return;
  }
  ++call.counts.overlapping_notes;
  if (call.options.pairing == Pairing::lifo) {
    note(id).duration = link(first, 0);
    slot = id | k_queue;
    return;
  }
  Note& head = note(first);
  slot |= k_queue;
  if (next_id(head) == 0) {
    head.duration = link(id, id);
  } else {
    note(last_id(head)).duration = link(id, 0);
    head.duration = link(next_id(head), id);
  }
}

/// A note-off in full: of none, one or several open notes, by any rule.
inline void MidiReader::end_queued(std::uint32_t& slot, std::int64_t tick, std::uint32_t word, Call& call) {
  const std::uint32_t first = slot & k_id;
  if (first < base_) {
    ++call.counts.stray_note_offs;
    return;
  }
  Note& head = note(first);
  const std::uint32_t second = next_id(head), last = last_id(head);
  if (call.options.pairing == Pairing::pretty_midi) {
    // Notes that began on this tick stay if an earlier one ends here, else they vanish. They are the last of the queue.
    std::size_t ending = 0;
    std::uint64_t staying = 0;
    std::uint32_t stays = 0;
    for (std::uint32_t id = first; id != 0;) {
      Note& n = note(id);
      const std::uint32_t next = next_id(n);
      if (n.tick == tick) {
        if (staying++ == 0) stays = id;
      } else {
        end(n, tick, word);
        if (ended_ + ending == closed_.room()) closed_.grow(ended_ + ending, ended_ + ending + 64);
        closed_.data()[ended_ + ending++] = n;
      }
      id = next;
    }
    if (ending == 0) {
      call.counts.zero_length_notes += staying;
      stays = 0;
    }
    ended_ += ending;
    slot = stays | k_queue;
    if (stays != 0) note(stays).duration = staying > 1 ? link(next_id(note(stays)), last) : k_open;
    return;
  }
  if (second == 0) {
    slot = 0;
  } else if (call.options.pairing == Pairing::lifo) {
    slot = next_id(note(second)) != 0 ? second | k_queue : second;
  } else if (second == last) {
    slot = second;
  } else {
    note(second).duration = link(next_id(note(second)), last);
    slot = second | k_queue;
  }
  ++ended_;
  if (end(head, tick, word)) ++call.counts.zero_length_notes;
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
      call.error = Error{Errc::bad_value, offset, concat({"track ", score.tracks.size() - 1, ": ", what})};
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
