#include <midigpt/midi/harmony.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace midigpt;
using namespace midigpt::detail::dice;

namespace {

constexpr std::array k_modes{Mode::major,          Mode::minor,            Mode::dorian,          Mode::mixolydian,
                             Mode::harmonic_minor, Mode::major_pentatonic, Mode::minor_pentatonic};
constexpr std::array k_feels{Feel::ballad, Feel::pop,       Feel::dance, Feel::swing,
                             Feel::bossa,  Feel::half_time, Feel::waltz, Feel::jig};

/// "C", "Dm", "Bdim", "Fmaj7", "G7", "Am7", "Bm7b5" as a lead sheet spells them.
Chord spelled(std::string_view name) {
  constexpr std::array<std::uint8_t, 7> letters{9, 11, 0, 2, 4, 5, 7};  // A..G
  const int root = letters[static_cast<std::size_t>(name[0] - 'A')] + (name.size() > 1 && name[1] == '#' ? 1 : 0);
  name.remove_prefix(name.size() > 1 && name[1] == '#' ? 2 : 1);
  const std::map<std::string_view, std::vector<int>> kinds{
      {"", {0, 4, 7}},         {"m", {0, 3, 7}},     {"dim", {0, 3, 6}},      {"maj7", {0, 4, 7, 11}},
      {"7", {0, 4, 7, 10}},    {"m7", {0, 3, 7, 10}}, {"m7b5", {0, 3, 6, 10}},
  };
  Chord chord;
  for (const int interval : kinds.at(name)) {
    chord.pcs[chord.size++] = static_cast<std::uint8_t>((root + interval) % 12);
  }
  return chord;
}

Chord moved(Chord chord, int semitones) {
  for (std::size_t i = 0; i < chord.size; ++i) {
    chord.pcs[i] = static_cast<std::uint8_t>((chord.pcs[i] + semitones + 12) % 12);
  }
  return chord;
}

/// Without the seventh.
Chord triad(Chord chord) {
  chord.size = 3;
  chord.pcs[3] = 0;
  return chord;
}

bool is_triad_on(const Chord& chord, int root, int third) {
  return chord.size >= 3 && chord.pcs[0] == root % 12 && chord.pcs[1] == (root + third) % 12 &&
         chord.pcs[2] == (root + 7) % 12;
}

/// What a phrase's cadence stands on: V, major where the mode is minor; the flat seventh in dorian and mixolydian.
bool is_cadence_chord(const Chord& chord, Key key) {
  const bool flat_seventh = key.mode == Mode::dorian || key.mode == Mode::mixolydian;
  return is_triad_on(chord, key.tonic() + (flat_seventh ? 10 : 7), 4);
}

}  // namespace

TEST_CASE("harmony: the chords on the degrees of a key are those of every lead sheet") {
  struct Row {
    std::string name;
    Key key;
    std::array<const char*, 7> triads, sevenths;
  };
  const Row rows[] = {
      {"C major", {0, Mode::major}, {"C", "Dm", "Em", "F", "G", "Am", "Bdim"}, {"Cmaj7", "Dm7", "Em7", "Fmaj7", "G7", "Am7", "Bm7b5"}},
      {"A minor", {3, Mode::minor}, {"Am", "Bdim", "C", "Dm", "Em", "F", "G"}, {"Am7", "Bm7b5", "Cmaj7", "Dm7", "Em7", "Fmaj7", "G7"}},
      {"D dorian", {2, Mode::dorian}, {"Dm", "Em", "F", "G", "Am", "Bdim", "C"}, {"Dm7", "Em7", "Fmaj7", "G7", "Am7", "Bm7b5", "Cmaj7"}},
      {"G mixolydian", {1, Mode::mixolydian}, {"G", "Am", "Bdim", "C", "Dm", "Em", "F"}, {"G7", "Am7", "Bm7b5", "Cmaj7", "Dm7", "Em7", "Fmaj7"}},
      {"E major", {4, Mode::major}, {"E", "F#m", "G#m", "A", "B", "C#m", "D#dim"}, {"Emaj7", "F#m7", "G#m7", "Amaj7", "B7", "C#m7", "D#m7b5"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    for (int degree = 0; degree < 7; ++degree) {
      CAPTURE(degree);
      CHECK(chord_on(row.key, degree, false) == spelled(row.triads[static_cast<std::size_t>(degree)]));
      CHECK(chord_on(row.key, degree, true) == spelled(row.sevenths[static_cast<std::size_t>(degree)]));
    }
  }
  CHECK(chord_on({3, Mode::minor}, 4, false, true) == spelled("E"));  // the dominant of A minor, raised
  CHECK(chord_on({3, Mode::minor}, 4, true, true) == spelled("E7"));
  CHECK(chord_on({0, Mode::major}, 1, true, true) == spelled("D7"));  // V7 of V
  for (int degree = 0; degree < 7; ++degree) {  // on any degree it is a dominant seventh
    const Chord raised = chord_on({0, Mode::major}, degree, true, true);
    CHECK(raised == moved(spelled("C7"), raised.pcs[0]));
  }
}

TEST_CASE("harmony: every key has the chords of C, moved; a pentatonic or harmonic key those of its parent") {
  int wrong = 0;
  for (const Mode mode : k_modes) {
    const Mode parent = mode == Mode::major_pentatonic ? Mode::major
                        : mode == Mode::harmonic_minor || mode == Mode::minor_pentatonic ? Mode::minor
                                                                                         : mode;
    for (int fifths = -7; fifths <= 7; ++fifths) {
      const Key key{static_cast<std::int8_t>(fifths), mode};
      for (int degree = 0; degree < 7; ++degree) {
        for (const bool seventh : {false, true}) {
          wrong += chord_on(key, degree, seventh) != moved(chord_on({0, parent}, degree, seventh), key.tonic());
        }
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("harmony: a chord has its pitch classes and no others") {
  const Chord chord = spelled("G7");
  for (int pc = 0; pc < 12; ++pc) CHECK(chord.has(pc) == (pc == 7 || pc == 11 || pc == 2 || pc == 5));
  CHECK_FALSE(triad(chord).has(5));
}

TEST_CASE("harmony: a weighted draw takes each index as often as its weight says, and never one of weight 0") {
  constexpr std::array<std::uint8_t, 6> weights{0, 5, 0, 1, 3, 0};
  constexpr int draws = 90000;
  std::array<int, 6> count{};
  Rng rng(7);
  for (int i = 0; i < draws; ++i) ++count[weighted(rng, weights)];
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double want = draws * weights[i] / 9.0;
    CHECK(std::abs(count[i] - want) <= 5 * std::sqrt(want));  // five deviations
  }
  int hits = 0;
  for (int i = 0; i < draws; ++i) hits += percent(rng, 30);
  CHECK(std::abs(hits - 0.3 * draws) <= 5 * std::sqrt(0.21 * draws));
}

TEST_CASE("harmony: every decision has a stream of its own") {
  std::set<std::uint64_t> first;
  for (int stream = 0; stream <= static_cast<int>(Stream::v0_draw); ++stream) {
    for (std::uint64_t part = 0; part < 300; ++part) {
      first.insert(stream_rng(3, static_cast<Stream>(stream), part).next());
    }
  }
  CHECK(first.size() == (static_cast<std::size_t>(Stream::v0_draw) + 1) * 300);
}

TEST_CASE("harmony: the phrases of a plan cover its bars, follow a form, and end on the cadence of their place") {
  int wrong = 0;
  std::set<std::string> forms;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    for (const int bars : {1, 2, 3, 4, 5, 8, 14, 16, 33}) {
      const Plan plan = make_plan({.seed = seed, .bars = bars});
      wrong += plan.bars.size() != static_cast<std::size_t>(bars);
      int next_bar = 0;
      std::string letters;
      std::map<char, int> visits;
      for (const Phrase& p : plan.phrases) {
        wrong += p.first_bar != next_bar || p.bars < 1 || p.bars > 4;
        wrong += p.visit != visits[p.letter]++;
        next_bar += p.bars;
        letters += p.letter;
        const bool last = next_bar == bars;
        wrong += p.bars < 4 && !last;
        const std::size_t place = letters.size() - 1;
        wrong += p.cadence != (last ? Cadence::last : place % 2 == 0 ? Cadence::half : Cadence::full);

        const Bar& end = plan.bars[static_cast<std::size_t>(next_bar) - 1];
        wrong += end.chords[0] != end.chords[1];
        if (p.cadence == Cadence::half) {
          wrong += !is_cadence_chord(end.chords[0], plan.key);
        } else {
          wrong += !is_triad_on(end.chords[0], plan.key.tonic(), is_minor(plan.key.mode) ? 3 : 4);
          if (p.bars > 1) wrong += !is_cadence_chord(plan.bars[static_cast<std::size_t>(next_bar) - 2].chords[1], plan.key);
        }
      }
      wrong += next_bar != bars;
      if (letters.size() >= 4) forms.insert(letters.substr(0, 4));
      for (std::size_t i = 4; i < letters.size(); ++i) wrong += letters[i] != letters[i - 4];
    }
  }
  CHECK(wrong == 0);
  CHECK(forms == std::set<std::string>{"AAAB", "AABA", "AABB", "ABAC"});
}

TEST_CASE("harmony: a letter that returns brings its chords back, up to the bar that leads into the cadence") {
  int wrong = 0, returns = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const Plan plan = make_plan({.seed = seed, .bars = 16});
    std::map<char, int> first_bar;
    for (const Phrase& p : plan.phrases) {
      const auto [at, stated] = first_bar.try_emplace(p.letter, p.first_bar);
      if (stated) continue;
      ++returns;
      const auto chord = [&](int bar, int half) { return plan.bars[static_cast<std::size_t>(bar)].chords[static_cast<std::size_t>(half)]; };
      for (int b = 0; b < 2; ++b) {
        for (int half = 0; half < 2; ++half) wrong += chord(p.first_bar + b, half) != chord(at->second + b, half);
      }
      if (plan.feel != Feel::waltz) wrong += chord(p.first_bar + 2, 0) != chord(at->second + 2, 0);
    }
  }
  CHECK(returns > 500);
  CHECK(wrong == 0);
}

TEST_CASE("harmony: chords belong to the key, or are its raised dominant, V7 of V or iv") {
  int foreign = 0, chords = 0, borrowed = 0, split_waltz = 0, split = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    const Plan plan = make_plan({.seed = seed, .bars = 16});
    std::vector<Chord> own;
    for (int degree = 0; degree < 7; ++degree) own.push_back(chord_on(plan.key, degree, false));
    for (const Bar& bar : plan.bars) {
      (plan.feel == Feel::waltz ? split_waltz : split) += bar.chords[0] != bar.chords[1];
      for (const Chord& c : bar.chords) {
        ++chords;
        if (std::ranges::find(own, triad(c)) != own.end() && (c.size == 3 || chord_on(plan.key, static_cast<int>(std::ranges::find(own, triad(c)) - own.begin()), true) == c)) continue;
        const int tonic = plan.key.tonic();
        const bool minor = is_minor(plan.key.mode);
        const bool dominant = minor && is_triad_on(c, tonic + 7, 4) && (c.size == 3 || c.pcs[3] == (tonic + 5) % 12);
        const bool double_dominant = !minor && c == moved(spelled("D7"), tonic);
        const bool minor_fourth = !minor && triad(c) == moved(spelled("Fm"), tonic) && c.size == 3;
        borrowed += double_dominant || minor_fourth;
        foreign += !dominant && !double_dominant && !minor_fourth;
      }
    }
  }
  CHECK(foreign == 0);
  CHECK(split_waltz == 0);
  CHECK(split > chords / 20);
  CHECK(borrowed > chords / 500);
  CHECK(borrowed < chords / 20);
}

TEST_CASE("harmony: the dominant leads home: what is drawn for it is V, vii or the flat seventh") {
  for (const Mode mode : k_modes) {
    CAPTURE(mode_name(mode));
    const Functions& f = functions_of(mode);
    for (std::size_t degree = 0; degree < 7; ++degree) {
      CHECK((f.dominant[degree] == 0 || degree == 4 || degree == 6));
      CHECK((f.tonic[degree] == 0 || degree == 0 || degree == 2 || degree == 5));
      CHECK((f.subdominant[degree] == 0 || degree == 1 || degree == 3 || degree == 5));
    }
    CHECK(f.tonic[0] > 0);
    CHECK(f.subdominant[3] > 0);
    CHECK(f.dominant[f.cadence] > 0);
    for (const auto& loop : loops_of(mode)) {
      for (const std::uint8_t degree : loop) CHECK(degree < 7);
      CHECK(std::ranges::find(loop, std::uint8_t{0}) != loop.end());  // every loop comes home
    }
  }
}

TEST_CASE("harmony: tempo and bar are those of the feel; what is given is kept and changes nothing else") {
  constexpr std::array<std::array<int, 2>, 8> usual{{{60, 84}, {88, 124}, {118, 132}, {110, 180}, {100, 144}, {68, 96}, {96, 168}, {126, 174}}};
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Plan drawn = make_plan({.seed = seed, .bars = 16});
    const auto feel_at = static_cast<std::size_t>(drawn.feel);
    wrong += drawn.bpm < usual[feel_at][0] || drawn.bpm > usual[feel_at][1];
    const Plan slow = make_plan({.seed = seed, .bars = 16, .bpm = 33});
    wrong += slow.bpm != 33 || slow.key != drawn.key || slow.feel != drawn.feel;

    const Key other{static_cast<std::int8_t>(drawn.key.fifths > 0 ? -3 : 4), drawn.key.mode};
    const Plan transposed = make_plan({.seed = seed, .bars = 16, .key = &other});
    wrong += transposed.key != other || transposed.feel != drawn.feel || transposed.bpm != drawn.bpm;
    const int up = (other.tonic() - drawn.key.tonic() + 12) % 12;
    for (std::size_t b = 0; b < drawn.bars.size(); ++b) {  // another tonic moves every chord, and that is all
      for (const std::size_t half : {std::size_t{0}, std::size_t{1}}) {
        wrong += slow.bars[b].chords[half] != drawn.bars[b].chords[half];
        wrong += transposed.bars[b].chords[half] != moved(drawn.bars[b].chords[half], up);
      }
    }
    for (const Feel feel : k_feels) {
      const Plan asked = make_plan({.seed = seed, .bars = 4, .feel = &feel});
      const bool three = feel == Feel::waltz || feel == Feel::jig;
      wrong += asked.feel != feel || asked.key != drawn.key || asked.bar_ticks != (three ? 1440 : 1920);
      wrong += asked.beats() * asked.beat_ticks() != asked.bar_ticks;
      wrong += asked.beat_ticks() != (feel == Feel::jig ? 720 : 480);  // a dotted quarter in 6/8
      wrong += asked.bpm < usual[static_cast<std::size_t>(feel)][0] || asked.bpm > usual[static_cast<std::size_t>(feel)][1];
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("harmony: the second half of a bar has the second chord") {
  Plan plan;
  plan.bars.resize(2);
  plan.bars[1].chords = {spelled("C"), spelled("G7")};
  CHECK(plan.chord_at(1, 0) == spelled("C"));
  CHECK(plan.chord_at(1, 959) == spelled("C"));
  CHECK(plan.chord_at(1, 960) == spelled("G7"));
  plan.bar_ticks = 1440;
  CHECK(plan.chord_at(1, 719) == spelled("C"));
  CHECK(plan.chord_at(1, 720) == spelled("G7"));
}
