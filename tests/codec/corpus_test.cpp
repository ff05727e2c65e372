#include <doctest/doctest.h>

#include <midigpt/codec/text.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <midigpt/midi/folder.hpp>
#include <midigpt/midi/read.hpp>

using namespace midigpt;

namespace {

/// Errors of notes that went through text, in ticks of the source.
struct Errors {
  std::size_t notes = 0, exact = 0, within_one_tick = 0, onset_exact = 0, onset_within_one_tick = 0, duration_exact = 0,
              duration_within_one_tick = 0, snapped = 0;
  double onset_max = 0, onset_sum = 0, duration_max = 0, duration_sum = 0;

  void add(const Note& source, const Note& got, double ticks_per_tick, const BeatGrid& grid) {
    const double onset = std::abs(static_cast<double>(got.tick) * ticks_per_tick - static_cast<double>(source.tick));
    const double duration =
        std::abs(static_cast<double>(got.duration) * ticks_per_tick - static_cast<double>(source.duration));
    ++notes;
    exact += onset == 0 && duration == 0;
    within_one_tick += onset <= 1 && duration <= 1;
    onset_exact += onset == 0;
    onset_within_one_tick += onset <= 1;
    duration_exact += duration == 0;
    duration_within_one_tick += duration <= 1;
    snapped += grid.units(source.tick) * k_ticks_per_unit == got.tick &&
               grid.units(source.duration) * k_ticks_per_unit == got.duration;
    onset_max = (std::max)(onset_max, onset);
    duration_max = (std::max)(duration_max, duration);
    onset_sum += onset;
    duration_sum += duration;
  }
};

using PitchKey = std::pair<bool, int>;  // drums, pitch

/// Notes of each pitch in order of time: rounding keeps that order, so the n-th before is the n-th after.
std::map<PitchKey, std::vector<Note>> by_pitch(const Score& score) {
  std::map<PitchKey, std::vector<Note>> lists;
  for (const Track& t : score.tracks) {
    for (const Note& n : t.notes) lists[{n.channel == 9, n.pitch}].push_back(n);
  }
  for (auto& [key, list] : lists) {
    std::sort(list.begin(), list.end(),
              [](const Note& a, const Note& b) { return std::tie(a.tick, a.duration) < std::tie(b.tick, b.duration); });
  }
  return lists;
}

std::vector<Score> corpus(const std::string& name) {
  std::vector<Score> scores;
  const auto paths = find_midi_files(std::string(MIDIGPT_SHARED_DIR "/data/midi/") + name);
  if (!paths) return scores;
  for (const std::string& path : *paths) {
    if (auto score = read_midi(path)) scores.push_back(std::move(*score));
  }
  return scores;
}

double percent(std::size_t part, std::size_t whole) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

TEST_CASE("codec: multitrack keeps the onsets and lengths of real scores") {
  struct Row {
    const char* name;
    double within_one_tick, snapped;  // percent, at least
  };
  for (const Row& row : {Row{"js-fakes", 99.99, 99.99}, Row{"openscore-lieder", 94.9, 99.2}}) {
    const std::vector<Score> scores = corpus(row.name);
    if (scores.empty()) {
      MESSAGE("skipped: no ../shared/data/midi/" << row.name);
      continue;
    }
    Errors e;
    std::size_t characters = 0, not_same = 0;
    std::set<char32_t> alphabet;
    TextReport report;
    for (const Score& score : scores) {
      const std::string text = multitrack_text(score, {}, &report);
      for (const char32_t c : utf8_code_points(text)) {
        alphabet.insert(c);
        ++characters;
      }
      const Score back = multitrack_score(text);
      not_same += multitrack_text(back) != text || count_notes(back) != count_notes(score);
      auto source = by_pitch(score);
      auto got = by_pitch(back);
      for (const auto& [key, list] : source) {
        REQUIRE(got[key].size() == list.size());
        for (std::size_t i = 0; i < list.size(); ++i)
          e.add(list[i], got[key][i], score.division.tpq / 480.0, BeatGrid(score.division));
      }
    }
    const auto n = static_cast<double>(e.notes);
    MESSAGE(std::string(row.name) << ": " << scores.size() << " files, " << e.notes << " notes, "
                                  << static_cast<double>(characters) / n << " characters a note, alphabet "
                                  << alphabet.size() << "\n  onset error mean " << e.onset_sum / n << " max "
                                  << e.onset_max << " ticks; duration error mean " << e.duration_sum / n << " max "
                                  << e.duration_max << " ticks\n  onsets exact " << percent(e.onset_exact, e.notes)
                                  << " %, within one tick " << percent(e.onset_within_one_tick, e.notes)
                                  << " %; durations exact " << percent(e.duration_exact, e.notes)
                                  << " %, within one tick " << percent(e.duration_within_one_tick, e.notes)
                                  << " %\n  notes exact " << percent(e.exact, e.notes) << " %, within one tick "
                                  << percent(e.within_one_tick, e.notes) << " %, after snapping to the grid "
                                  << percent(e.snapped, e.notes) << " %");
    CHECK(not_same == 0);
    CHECK(e.notes == report.notes);
    CHECK(report.steps_clamped == 0);
    CHECK(percent(e.within_one_tick, e.notes) >= row.within_one_tick);
    CHECK(percent(e.snapped, e.notes) >= row.snapped);
    CHECK(e.onset_max <= scores.front().division.tpq / 48.0 + 1e-9);
  }
}
