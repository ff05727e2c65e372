// report/metrics.hpp - what music is like in numbers: pitch, rhythm, texture; and losses as perplexity and bits.
//   Definitions follow the literature where it has one (each names its source); every rate is 0 where nothing can be
//   counted.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <midigpt/core/sort.hpp>
#include <midigpt/midi/bars.hpp>
#include <midigpt/midi/key.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/tempo_map.hpp>

namespace midigpt {
inline namespace v0 {

/// The General MIDI percussion channel: its keys are not pitches.
[[nodiscard]] constexpr bool is_drum(const Note& note) noexcept { return note.channel == 9; }

namespace detail::metrics {

template <class Visit>
void each_note(const Score& score, Visit visit) {
  for (const Track& track : score.tracks) {
    for (const Note& note : track.notes) visit(note);
  }
}

[[nodiscard]] inline double ratio(std::size_t part, std::size_t whole) noexcept {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

struct Onset {
  std::size_t bar;
  std::int64_t step;
  friend auto operator<=>(const Onset&, const Onset&) = default;
};

/// How many steps two bars share. Both by step.
[[nodiscard]] inline std::size_t common_steps(std::span<const Onset> a, std::span<const Onset> b) noexcept {
  std::size_t common = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].step == b[j].step)
      ++common, ++i, ++j;
    else if (a[i].step < b[j].step)
      ++i;
    else
      ++j;
  }
  return common;
}

}  // namespace detail::metrics

/// Shannon entropy of the twelve pitch classes in bits, each note counted once, drums left out: 0 for one class,
/// log2(7) = 2.81 for an even seven-note scale, log2(12) = 3.58 at most. (Wu and Yang 2020, "H"; muspy
/// `pitch_class_entropy`.)
[[nodiscard]] inline double pitch_class_entropy(const Score& score) {
  std::array<std::size_t, 12> counts{};
  std::size_t total = 0;
  detail::metrics::each_note(score, [&](const Note& n) {
    if (!is_drum(n)) ++counts[n.pitch % 12u], ++total;
  });
  double bits = 0;
  for (const std::size_t c : counts) {
    if (c > 0) bits -= detail::metrics::ratio(c, total) * std::log2(detail::metrics::ratio(c, total));
  }
  return bits;
}

/// The share of notes whose pitch class belongs to the key, drums left out. (muspy `pitch_in_scale_rate`.)
[[nodiscard]] inline double in_scale_rate(const Score& score, Key key) {
  const unsigned mask = scale_mask(key);
  std::size_t inside = 0, total = 0;
  detail::metrics::each_note(score, [&](const Note& n) {
    if (is_drum(n)) return;
    ++total;
    inside += mask >> (n.pitch % 12u) & 1u;
  });
  return detail::metrics::ratio(inside, total);
}

/// Of the moves of a line, the share by 1 or 2 semitones. Repeated notes are no moves; of notes that begin together the
/// highest is the line.
[[nodiscard]] inline double stepwise_rate(std::span<const Note> notes) {
  std::vector<Note> line;
  for (const Note& n : notes) {
    if (!is_drum(n)) line.push_back(n);
  }
  sort_stably(
      line, [](const Note& a, const Note& b) { return a.tick != b.tick ? a.tick < b.tick : a.pitch > b.pitch; });
  std::size_t steps = 0, moves = 0;
  int before = -1;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (i > 0 && line[i].tick == line[i - 1].tick) continue;
    const int move = before < 0 ? 0 : std::abs(int{line[i].pitch} - before);
    before = line[i].pitch;
    moves += move != 0;
    steps += move == 1 || move == 2;
  }
  return detail::metrics::ratio(steps, moves);
}

/// How alike the rhythms of neighbouring bars are: the mean over adjacent bars of 1 - (positions that differ) /
/// (positions in a bar), onsets of all parts on a grid of `steps_per_quarter`. After Wu and Yang 2020 ("GS"), with two
/// differences, both because sparse grids flatter: the grid is in 16ths, not in ticks, and silence is like nothing - a
/// bar without onsets beside one with some counts 0, two of them are not counted. (Over ticks a bar of four notes is
/// 0.998 like silence.)
[[nodiscard]] inline double groove_consistency(const Score& score, int steps_per_quarter = 4) {
  if (score.division.is_smpte() || steps_per_quarter < 1) return 0;
  std::int64_t last = 0;
  detail::metrics::each_note(score, [&](const Note& n) { last = (std::max)(last, n.tick); });
  const auto bars = bar_starts(score, last);
  if (bars.size() < 2) return 0;
  const std::int64_t quarter = (std::max)(score.division.tpq, std::uint16_t{1});
  const auto steps_in = [&](std::int64_t ticks) {
    return (2 * ticks * steps_per_quarter + quarter) / (2 * quarter);
  };  // nearest

  using detail::metrics::Onset;
  std::vector<Onset> onsets;
  detail::metrics::each_note(score, [&](const Note& n) {
    auto bar = static_cast<std::size_t>(std::upper_bound(bars.begin(), bars.end(), n.tick) - bars.begin()) - 1;
    std::int64_t step = steps_in(n.tick - bars[bar]);
    if (bar + 1 < bars.size() && step >= steps_in(bars[bar + 1] - bars[bar]))
      ++bar, step = 0;  // just before the bar line
    onsets.push_back({bar, step});
  });
  sort_stably(onsets);
  onsets.erase(std::unique(onsets.begin(), onsets.end()), onsets.end());

  double sum = 0;
  std::size_t pairs = 0, at = 0;
  std::span<const Onset> before;
  for (std::size_t bar = 0; bar < bars.size(); ++bar) {
    const std::size_t first = at;
    while (at < onsets.size() && onsets[at].bar == bar) ++at;
    const std::span<const Onset> here = std::span<const Onset>(onsets).subspan(first, at - first);
    if (bar > 0 && (!before.empty() || !here.empty())) {
      ++pairs;
      if (!before.empty() && !here.empty()) {
        const std::size_t common = detail::metrics::common_steps(before, here);
        const std::int64_t last_step = steps_in(bars[bar] - bars[bar - 1]);
        const auto positions =
            static_cast<std::size_t>((std::max)({last_step, here.back().step + 1, before.back().step + 1}));
        sum += 1 - detail::metrics::ratio(before.size() + here.size() - 2 * common, positions);
      }
    }
    before = here;
  }
  return pairs == 0 ? 0 : sum / static_cast<double>(pairs);
}

/// The mean number of notes that sound, over the time in which at least one does; drums left out.
[[nodiscard]] inline double polyphony(const Score& score) {
  struct Edge {
    std::int64_t tick;
    int change;
  };
  std::vector<Edge> edges;
  detail::metrics::each_note(score, [&](const Note& n) {
    if (is_drum(n) || n.duration <= 0) return;
    edges.push_back({n.tick, 1});
    edges.push_back({n.tick + n.duration, -1});
  });
  sort_stably(edges, [](const Edge& a, const Edge& b) { return a.tick < b.tick; });
  double weighted = 0, busy = 0;
  int sounding = 0;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (i > 0 && sounding > 0) {
      const auto length = static_cast<double>(edges[i].tick - edges[i - 1].tick);
      weighted += length * sounding;
      busy += length;
    }
    sounding += edges[i].change;
  }
  return busy > 0 ? weighted / busy : 0;
}

/// The share of bars in which no note begins or sounds, of the bars up to the end of the score.
[[nodiscard]] inline double empty_bar_rate(const Score& score) {
  const std::int64_t end = duration_ticks(score);
  const auto bars = end > 0 ? bar_starts(score, end - 1) : std::vector<std::int64_t>{};
  std::vector<int> change(bars.size() + 1, 0);
  const auto bar_of = [&](std::int64_t tick) {
    return static_cast<std::size_t>(std::upper_bound(bars.begin(), bars.end(), tick) - bars.begin()) - 1;
  };
  detail::metrics::each_note(score, [&](const Note& n) {
    if (bars.empty()) return;
    ++change[bar_of(n.tick)];
    --change[bar_of((std::max)(n.tick, n.tick + n.duration - 1)) + 1];
  });
  std::size_t empty = 0;
  int sounding = 0;
  for (std::size_t b = 0; b < bars.size(); ++b) {
    sounding += change[b];
    empty += sounding == 0;
  }
  return detail::metrics::ratio(empty, bars.size());
}

/// Notes a second, drums included, over the whole score.
[[nodiscard]] inline double notes_per_second(const Score& score) {
  const double seconds = duration_seconds(score);
  return seconds > 0 ? static_cast<double>(count_notes(score)) / seconds : 0;
}

/// e^nats: how many equally likely tokens a mean loss of `nats` amounts to.
[[nodiscard]] inline double perplexity(double nats) { return std::exp(nats); }

[[nodiscard]] constexpr double nats_to_bits(double nats) noexcept { return nats * 1.4426950408889634; }

}  // namespace v0
}  // namespace midigpt
