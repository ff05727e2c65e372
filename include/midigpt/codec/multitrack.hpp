// codec/multitrack.hpp - a whole score as text: the default for real music.
//   Notes are the characters of codec/layout.hpp: the step counts grid units (24 a quarter) since the note before, the
//   duration is an entry of a table of musical lengths. Everything else is a control of codec/controls.hpp, written
//   only where something changes: parts are interleaved by time, and a part stands until another takes over. Canonical
//   order, whatever order events came in: by time; at one time metre, tempo, then the part that spoke last, then the
//   others by number; in a part from the highest pitch down, then by length. Decoding canonical text and packing again
//   gives the same text.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/codec/controls.hpp>
#include <midigpt/codec/grid.hpp>
#include <midigpt/codec/layout.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

struct MultitrackOptions {
  bool keep_tracks = false;  // true: tracks of one programme stay apart; false: a part is an instrument
  bool bar_lines = false;    // true: a control where a bar begins
  bool split_notes = false;  // true: two characters a note, velocity | step | duration and pitch: a small alphabet
};

namespace detail::multitrack {

inline constexpr std::int64_t k_max_gap = std::int64_t{k_max_rest} * k_units_per_rest + k_units_per_rest - 1;
inline constexpr int k_max_bars = 16;  // bar lines in a row; a longer pause is written as rests
inline constexpr int k_common_time = 4 * 8 + 2;
inline constexpr int k_default_bpm = 120;

/// Units in a bar; at least one.
[[nodiscard]] constexpr std::int64_t bar_units(int signature) noexcept {
  return (std::max)(std::int64_t{signature / 8 * 4 * k_units_per_quarter >> signature % 8}, std::int64_t{1});
}

/// Finds the programme of a note: the last change on its channel in its own track, else in any track, else 0.
class Programs {
 public:
  explicit Programs(const Score& score) : own_(score.tracks.size() * 16) {
    for (std::size_t t = 0; t < score.tracks.size(); ++t) {
      for (const ChannelEvent& e : score.tracks[t].events) {
        if (e.kind() != 0xC0) continue;
        own_[t * 16 + e.channel()].emplace_back(e.tick, e.data1 & 0x7F);
        any_[e.channel()].emplace_back(e.tick, e.data1 & 0x7F);
      }
    }
    const auto by_tick = [](const Change& a, const Change& b) { return a.first < b.first; };
    for (auto& list : own_) sort_stably(list, by_tick);
    for (auto& list : any_) sort_stably(list, by_tick);
  }
  [[nodiscard]] int at(std::size_t track, const Note& note) const noexcept {
    const std::size_t channel = note.channel & 0x0Fu;
    const int own = last(own_[track * 16 + channel], note.tick);
    if (own >= 0) return own;
    return (std::max)(last(any_[channel], note.tick), 0);
  }

 private:
  using Change = std::pair<std::int64_t, int>;

  static int last(const std::vector<Change>& list, std::int64_t tick) noexcept {
    const auto after =
        std::upper_bound(list.begin(), list.end(), tick, [](std::int64_t t, const Change& c) { return t < c.first; });
    return after == list.begin() ? -1 : std::prev(after)->second;
  }

  std::vector<std::vector<Change>> own_;
  std::array<std::vector<Change>, 16> any_;
};

/// A note with everything that orders it, from the high bits down: unit 36, part 14, falling pitch 7, duration 5,
/// velocity 2.
struct NoteKey {
  std::uint64_t bits = 0;

  constexpr NoteKey(std::int64_t unit, int part, int pitch, int duration, int velocity) noexcept
      : bits(static_cast<std::uint64_t>(unit) << 28 | static_cast<std::uint64_t>(part) << 14 |
             static_cast<std::uint64_t>(127 - pitch) << 7 | static_cast<std::uint64_t>(duration) << 2 |
             static_cast<std::uint64_t>(velocity)) {}
  [[nodiscard]] constexpr std::int64_t unit() const noexcept { return static_cast<std::int64_t>(bits >> 28); }
  [[nodiscard]] constexpr int part() const noexcept { return static_cast<int>(bits >> 14 & 0x3FFF); }
  [[nodiscard]] constexpr int pitch() const noexcept { return 127 - static_cast<int>(bits >> 7 & 0x7F); }
  [[nodiscard]] constexpr int duration() const noexcept { return static_cast<int>(bits >> 2 & 0x1F); }
  [[nodiscard]] constexpr int velocity() const noexcept { return static_cast<int>(bits & 3); }
  friend constexpr auto operator<=>(const NoteKey&, const NoteKey&) = default;
};
static_assert(k_part_count <= 1 << 14);

/// A change of tempo (order 1) or metre (order 0) on the grid.
struct Change {
  std::int64_t unit = 0;
  int order = 0;
  Control control;
};

class Encoder {
 public:
  Encoder(const Score& score, const MultitrackOptions& options, TextReport& report)
      : score_(score), options_(options), report_(report), grid_(score.division) {}

  [[nodiscard]] std::u32string run() {
    collect_notes();
    collect_changes();
    out_.reserve(notes_.size() * (options_.split_notes ? 2 : 1) + notes_.size() / 4 + 16);
    std::size_t change = 0;
    for (std::size_t i = 0; i < notes_.size();) {
      const std::int64_t unit = notes_[i].unit();
      for (; change < changes_.size() && changes_[change].unit <= unit; ++change) write_change(change);
      std::size_t end = i;
      while (end < notes_.size() && notes_[end].unit() == unit) ++end;
      write_chord(i, end);
      i = end;
    }
    report_.events_dropped += changes_.size() - change;
    put({ControlKind::end, 0});
    return std::move(out_);
  }

 private:
  void collect_notes() {
    const Programs programs(score_);
    notes_.reserve(count_notes(score_));
    for (std::size_t t = 0; t < score_.tracks.size(); ++t) {
      const Track& track = score_.tracks[t];
      for (const Note& n : track.notes) add_note(n, part_of(t, n, programs));
      report_.events_dropped += track.metas.size();
      for (const ChannelEvent& e : track.events) report_.events_dropped += e.kind() != 0xC0;
    }
    report_.events_dropped += score_.key_signatures.size();
    merge_sort(notes_, [](const auto& a, const auto& b) { return a < b; });
  }

  [[nodiscard]] int part_of(std::size_t track, const Note& n, const Programs& programs) {
    const int program = n.channel == 9 ? 128 : programs.at(track, n);
    if (!options_.keep_tracks) return part_number({program, 0});
    const std::uint64_t lane = std::uint64_t{track} << 16 | static_cast<std::uint64_t>(program) << 8 | n.channel;
    const auto [at, is_new] = lanes_.try_emplace(lane, 0);
    if (is_new) {
      int& used = lanes_used_[static_cast<std::size_t>(program)];
      report_.values_clamped += used == k_part_lanes;
      at->second = part_number({program, (std::min)(used, k_part_lanes - 1)});
      used = (std::min)(used + 1, k_part_lanes);
    }
    return at->second;
  }

  void add_note(const Note& n, int part) {
    report_.onsets_rounded += !grid_.exact(n.tick);
    const std::int64_t length = std::clamp(n.duration, std::int64_t{0}, k_max_grid_tick);
    const int duration = nearest_duration(length * grid_.num(), grid_.den());
    const std::int64_t units = k_duration_units[static_cast<std::size_t>(duration)];
    report_.durations_rounded += length * grid_.num() != units * grid_.den();
    report_.durations_clamped += length * grid_.num() > k_duration_units.back() * grid_.den();
    const int velocity = velocity_class(n.velocity);
    report_.velocities_rounded += n.velocity != class_velocity(velocity);
    notes_.emplace_back(grid_.units(n.tick), part, n.pitch & 0x7F, duration, velocity);
  }

  void collect_changes() {
    for (const TimeSignature& t : score_.time_signatures) {
      const int value = signature_value(t);
      report_.values_clamped += t.numerator == 0 || t.denominator_log2 > 7;
      changes_.push_back({grid_.units(t.tick), 0, {ControlKind::time_signature, value}});
    }
    if (!score_.division.is_smpte()) {
      for (const Tempo& t : score_.tempos) {
        const int bpm = tempo_bpm(t.us_per_quarter);
        const std::uint32_t us = bpm_us_per_quarter(bpm);
        report_.tempos_rounded += us + 1 < t.us_per_quarter || us > t.us_per_quarter + 1;
        changes_.push_back({grid_.units(t.tick), 1, {ControlKind::tempo, bpm}});
      }
    }
    sort_stably(changes_, [](const Change& a, const Change& b) {
      return a.unit != b.unit ? a.unit < b.unit : a.order < b.order;
    });
  }

  void write_change(std::size_t i) {
    const Change& c = changes_[i];
    if (i + 1 < changes_.size() && changes_[i + 1].unit == c.unit && changes_[i + 1].order == c.order)
      return;  // the last one holds
    int& now = c.order == 0 ? signature_ : bpm_;
    if (now == c.control.value) return;
    if (const int left = pass_to(c.unit); left > 0) {
      put({ControlKind::advance, left});
      cursor_ += left;
    }
    put(c.control);
    now = c.control.value;
    if (c.order == 0) bar_start_ = cursor_;
  }

  /// The notes of one moment: the part that spoke last goes on, the others follow by number.
  void write_chord(std::size_t begin, std::size_t end) {
    const int speaking = part_;
    for (std::size_t i = begin; i < end; ++i) {
      if (notes_[i].part() == speaking) write_note(notes_[i]);
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (notes_[i].part() != speaking) write_note(notes_[i]);
    }
  }

  void write_note(NoteKey n) {
    const int step = pass_to(n.unit());
    cursor_ += step;
    if (n.part() != part_) {
      part_ = n.part();
      put({ControlKind::part, part_});
    }
    ++report_.notes;
    out_.push_back(PackedNote::pack({n.velocity(), step, n.duration(), options_.split_notes ? 0 : n.pitch()}));
    if (options_.split_notes) out_.push_back(control_character({ControlKind::pitch, n.pitch()}));
  }

  /// Writes bar lines and rests until `unit` is within one step; returns what is left.
  [[nodiscard]] int pass_to(std::int64_t unit) {
    const std::int64_t target = unit - cut_;
    if (options_.bar_lines) {
      const std::int64_t length = bar_units(signature_);
      for (int i = 0; i < k_max_bars; ++i) {
        const std::int64_t next = bar_start_ + ((cursor_ - bar_start_) / length + 1) * length;
        if (next > target) break;
        put({ControlKind::bar, 0});
        cursor_ = next;
      }
    }
    std::int64_t gap = target - cursor_;
    if (gap >= PackedNote::steps) {
      if (gap > k_max_gap) {
        ++report_.steps_clamped;
        cut_ += gap - k_max_gap;
        gap = k_max_gap;
      }
      const auto rests = static_cast<int>(gap / k_units_per_rest);
      put({ControlKind::rest, rests});
      cursor_ += std::int64_t{rests} * k_units_per_rest;
      gap %= k_units_per_rest;
    }
    return static_cast<int>(gap);
  }

  void put(Control c) {
    ++report_.controls;
    out_.push_back(control_character(c));
  }

  const Score& score_;
  const MultitrackOptions& options_;
  TextReport& report_;
  BeatGrid grid_;
  std::vector<NoteKey> notes_;
  std::vector<Change> changes_;
  std::map<std::uint64_t, int> lanes_;  // track, programme, channel -> part
  std::array<int, 129> lanes_used_{};
  std::u32string out_;
  std::int64_t cursor_ = 0, bar_start_ = 0;  // in written units: source units less what was cut
  std::int64_t cut_ = 0;
  int part_ = 0, signature_ = k_common_time, bpm_ = k_default_bpm;
};

class Decoder {
 public:
  Decoder(bool split_notes, TextReport& report) : split_notes_(split_notes), report_(report) {
    score_.tempos.push_back({.tick = 0, .us_per_quarter = bpm_us_per_quarter(k_default_bpm)});
    score_.time_signatures.push_back({});
  }

  [[nodiscard]] Score run(std::u32string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char32_t c = text[i];
      if (PackedNote::is_note(c)) {
        read_note(c, i + 1 < text.size() ? text[i + 1] : U'\0', i);
      } else if (!is_control(c)) {
        ++report_.foreign;
      } else if (read_control(parse_control(c))) {
        report_.after_end += text.size() - i - 1;
        break;
      }
    }
    report_.noteless_controls += pending_;
    return build();
  }

 private:
  void read_note(char32_t c, char32_t next, std::size_t& i) {
    NoteBits n = PackedNote::unpack(c);
    if (split_notes_) {
      const Control pitch = parse_control(next);
      if (n.pitch != 0 || pitch.kind != ControlKind::pitch) {
        ++report_.foreign;
        return;
      }
      n.pitch = pitch.value;
      ++i;
    }
    cursor_ += n.step;
    pending_ = 0;
    ++report_.notes;
    commit_changes();
    notes_.push_back({cursor_, part_, n});
  }

  /// True at the end of the piece.
  bool read_control(Control c) {
    if (c.kind == ControlKind::none) {
      ++report_.out_of_range;
      return false;
    }
    if (c.kind == ControlKind::pitch) {  // the second half of a note whose first half is missing
      ++report_.foreign;
      return false;
    }
    ++report_.controls;
    if (c.kind == ControlKind::end) return true;
    ++pending_;
    switch (c.kind) {
      case ControlKind::bar: {
        const std::int64_t length = bar_units(signature_);
        cursor_ = bar_start_ + ((cursor_ - bar_start_) / length + 1) * length;
        break;
      }
      case ControlKind::advance:
        cursor_ += c.value;
        break;
      case ControlKind::rest:
        cursor_ += std::int64_t{c.value} * k_units_per_rest;
        break;
      case ControlKind::part:
        part_ = c.value;
        break;
      case ControlKind::time_signature:
        signature_ = c.value;
        bar_start_ = cursor_;
        changes_.push_back({cursor_, 0, c});
        break;
      default:
        changes_.push_back({cursor_, 1, c});
        break;
    }
    return false;
  }

  /// A change counts once a note follows it.
  void commit_changes() {
    for (const Change& c : changes_) {
      const std::int64_t tick = c.unit * k_ticks_per_unit;
      if (c.order == 0) {
        put_change(score_.time_signatures,
                   TimeSignature{.tick = tick,
                                 .numerator = static_cast<std::uint8_t>(c.control.value / 8),
                                 .denominator_log2 = static_cast<std::uint8_t>(c.control.value % 8)});
      } else {
        put_change(score_.tempos, Tempo{.tick = tick, .us_per_quarter = bpm_us_per_quarter(c.control.value)});
      }
    }
    changes_.clear();
  }

  /// The last of several at one tick holds; what changes nothing is left out.
  template <class T>
  static void put_change(std::vector<T>& list, T value) {
    const auto same = [&](T last) {
      last.tick = value.tick;
      return last == value;
    };
    if (list.back().tick == value.tick && list.size() > 1) list.pop_back();
    if (list.back().tick == value.tick) {
      list.back() = value;
    } else if (!same(list.back())) {
      list.push_back(value);
    }
  }

  [[nodiscard]] Score build() {
    std::vector<int> parts;
    for (const Placed& p : notes_) {
      const auto place = std::lower_bound(parts.begin(), parts.end(), p.part);
      if (place == parts.end() || *place != p.part) parts.insert(place, p.part);
    }

    while (score_.tracks.size() < parts.size()) score_.tracks.push_back({});
    std::vector<std::uint8_t> channels(parts.size(), 9);
    for (std::size_t k = 0, melodic = 0; k < parts.size(); ++k) {
      if (numbered_part(parts[k]).is_drums()) continue;
      const std::size_t slot = melodic++ % 15;  // a sixteenth instrument shares a channel with the first
      channels[k] = static_cast<std::uint8_t>(slot < 9 ? slot : slot + 1);
    }
    std::array<int, 16> sounding{};
    sounding.fill(-1);
    sounding[9] = 128;
    std::int64_t end = 0;
    for (const Placed& p : notes_) {
      const auto k = static_cast<std::size_t>(std::lower_bound(parts.begin(), parts.end(), p.part) - parts.begin());
      const std::uint8_t channel = channels[k];
      const std::int64_t tick = p.unit * k_ticks_per_unit;
      const std::int64_t length = k_duration_units[static_cast<std::size_t>(p.note.duration)] * k_ticks_per_unit;
      const int program = numbered_part(p.part).program;
      int& now = sounding[channel];
      if (now != program || (program != 128 && score_.tracks[k].events.empty())) {
        score_.tracks[k].events.push_back({.tick = now < 0 ? 0 : tick,
                                           .status = static_cast<std::uint8_t>(0xC0u | channel),
                                           .data1 = static_cast<std::uint8_t>(program)});
        now = program;
      }
      score_.tracks[k].notes.push_back({.tick = tick,
                                        .duration = length,
                                        .channel = channel,
                                        .pitch = static_cast<std::uint8_t>(p.note.pitch),
                                        .velocity = class_velocity(p.note.velocity)});
      end = (std::max)(end, tick + length);
    }
    for (Track& t : score_.tracks) t.end_tick = end;
    return std::move(score_);
  }

  struct Placed {
    std::int64_t unit;
    int part;
    NoteBits note;
  };

  bool split_notes_;
  TextReport& report_;
  Score score_;
  std::vector<Placed> notes_;
  std::vector<Change> changes_;  // since the last note
  std::int64_t cursor_ = 0, bar_start_ = 0;
  std::size_t pending_ = 0;
  int part_ = 0, signature_ = k_common_time;
};

}  // namespace detail::multitrack

/// One score as text, with the end of the piece as its last character.
[[nodiscard]] inline std::string multitrack_text(const Score& score, const MultitrackOptions& options = {},
                                                 TextReport* report = nullptr) {
  TextReport unread;
  return utf8_encode(detail::multitrack::Encoder(score, options, report != nullptr ? *report : unread).run());
}

/// A score from text, 480 ticks a quarter, one track a part; reads everything up to the end of the piece and skips what
/// it does not know. `split_notes` must be what the text was written with; the other options need no saying.
[[nodiscard]] inline Score multitrack_score(std::string_view text, bool split_notes = false,
                                            TextReport* report = nullptr) {
  TextReport unread;
  return detail::multitrack::Decoder(split_notes, report != nullptr ? *report : unread).run(utf8_code_points(text));
}

}  // namespace v0
}  // namespace midigpt
