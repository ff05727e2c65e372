#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/midi/procedural.hpp>
#include <midigpt/midi/v0_author.hpp>

using namespace midigpt;

namespace {

/// Every field of a score in one number.
std::uint64_t fingerprint(const Score& score, std::uint64_t seed) {
  ByteWriter w;
  const auto put = [&](auto v) { w.le(static_cast<std::uint64_t>(static_cast<std::int64_t>(v))); };
  put(score.format), put(score.division.tpq), put(score.division.smpte_fps), put(score.division.ticks_per_frame);
  for (const Tempo& t : score.tempos) put(t.tick), put(t.us_per_quarter);
  for (const TimeSignature& t : score.time_signatures) {
    put(t.tick), put(t.numerator), put(t.denominator_log2), put(t.clocks_per_click), put(t.thirty_seconds_per_quarter);
  }
  for (const KeySignature& k : score.key_signatures) put(k.tick), put(k.sharps), put(k.minor);
  for (const Track& t : score.tracks) {
    w.raw(t.name);
    for (const Note& n : t.notes)
      put(n.tick), put(n.duration), put(n.channel), put(n.pitch), put(n.velocity), put(n.off_velocity);
    for (const ChannelEvent& e : t.events) put(e.tick), put(e.status), put(e.data1), put(e.data2);
    for (const MetaEvent& m : t.metas) put(m.tick), put(m.type), w.raw(m.data);
    put(t.end_tick);
  }
  return hash_bytes(w.bytes(), seed);
}

/// The key that a piece was written in, from its text event.
Key key_of(const Score& score) {
  const std::string& facts = score.tracks[0].metas[0].data;
  const std::size_t from = facts.find(" key=") + 5;
  return parse_key(facts.substr(from, facts.find(" feel=") - from)).value();
}

std::int64_t bar_ticks_of(const Score& score) { return score.time_signatures[0].numerator == 4 ? 1920 : 1440; }

std::vector<Note> notes_between(const Track& track, std::int64_t from, std::int64_t to) {
  std::vector<Note> out;
  for (Note n : track.notes) {
    if (n.tick < from || n.tick >= to) continue;
    n.tick -= from;
    out.push_back(n);
  }
  return out;
}

}  // namespace

TEST_CASE("procedural: 50 pieces are the same on every platform") {
  std::uint64_t plain = 0, played = 0, original = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const int bars = 4 + static_cast<int>(seed % 5) * 3;
    plain = fingerprint(dice({.seed = seed, .bars = bars}), plain);
    played = fingerprint(dice({.seed = seed, .bars = bars, .humanise = true}), played);
    original =
        fingerprint(v0_author({.seed = seed, .role = static_cast<V0Role>(seed % 4), .jazz = seed % 3 == 0}), original);
  }
  CHECK(plain == 8808039662479727708u);
  CHECK(played == 8598592175054475883u);
  CHECK(original == 13938019655320908101u);
}

TEST_CASE("procedural: the same options give the same piece, another seed another one") {
  CHECK(dice({.seed = 5}) == dice({.seed = 5}));
  CHECK(dice({.seed = 5}) != dice({.seed = 6}));
}

TEST_CASE("procedural: a style selects roles, each the same as in the band") {
  const Score band = dice({.seed = 9, .bars = 16});
  REQUIRE(band.tracks.size() == 4);
  const Score melody = dice({.seed = 9, .bars = 16, .style = DiceStyle::melody});
  const Score chords = dice({.seed = 9, .bars = 16, .style = DiceStyle::chords});
  const Score drums = dice({.seed = 9, .bars = 16, .style = DiceStyle::drums});
  REQUIRE(melody.tracks.size() == 1);
  CHECK(melody.tracks[0].notes == band.tracks[0].notes);
  CHECK(chords.tracks[0].notes == band.tracks[1].notes);
  CHECK(drums.tracks[0].notes == band.tracks[3].notes);
}

TEST_CASE("procedural: what is asked for is what the piece has") {
  const Score score = dice({.seed = 3, .bars = 12, .key = *parse_key("F#m"), .feel = Feel::waltz, .bpm = 90});
  CHECK(score.format == 1);
  CHECK(score.division.tpq == 480);
  CHECK(score.tempos == std::vector<Tempo>{{0, 666666}});
  CHECK(score.key_signatures == std::vector<KeySignature>{{0, 3, true}});
  CHECK(score.time_signatures[0].numerator == 3);
  for (const Track& track : score.tracks) CHECK(track.end_tick == 12 * 3 * 480);
  const std::string& facts = score.tracks[0].metas.at(0).data;
  CHECK(facts == "midigpt dice 1: seed=3 bars=12 style=band key=F#m feel=waltz bpm=90 form=" +
                     facts.substr(facts.find("form=") + 5, 3) + " humanise=0");
  CHECK(score.tracks[0].metas.at(1).data.find("CC0") != std::string::npos);
  CHECK(score.tracks[0].name == "Melody");
  CHECK(score.tracks[3].name == "Drums");
}

TEST_CASE(
    "procedural: every piece is sound: notes in every role, on the grid, in range, in order, none into the next of its "
    "pitch") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    for (const int bars : {1, 2, 3, 4, 7, 8, 16}) {
      const Score score = dice({.seed = seed, .bars = bars});
      const std::int64_t end = bars * bar_ticks_of(score);
      for (const Track& track : score.tracks) {
        wrong += track.notes.empty() || track.end_tick != end;
        std::map<int, std::int64_t> busy_until;
        std::int64_t before = 0;
        for (const Note& n : track.notes) {
          wrong += n.tick < before || n.tick % 20 != 0 || n.duration % 20 != 0 || n.duration < 20;
          wrong += n.tick + n.duration > end || n.velocity < 20 || n.velocity > 127 || n.tick < busy_until[n.pitch];
          busy_until[n.pitch] = n.tick + n.duration;
          before = n.tick;
        }
      }
      for (const Note& n : score.tracks[0].notes) wrong += n.channel != 0 || n.pitch < 60 || n.pitch > 84;
      for (const Note& n : score.tracks[1].notes) wrong += n.channel != 1 || n.pitch < 48 || n.pitch > 76;
      for (const Note& n : score.tracks[2].notes) wrong += n.channel != 2 || n.pitch < 28 || n.pitch > 54;
      for (const Note& n : score.tracks[3].notes) wrong += n.channel != 9;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("procedural: humanised pieces stay sound and keep their notes") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Score plain = dice({.seed = seed});
    const Score played = dice({.seed = seed, .humanise = true});
    const std::int64_t us_per_quarter = plain.tempos[0].us_per_quarter;
    for (std::size_t t = 0; t < plain.tracks.size(); ++t) {
      wrong += plain.tracks[t].notes.size() != played.tracks[t].notes.size();
      std::map<int, std::int64_t> busy_until;
      std::map<int, std::vector<std::int64_t>> written, heard;
      for (const Note& n : plain.tracks[t].notes) written[n.pitch].push_back(n.tick);
      for (const Note& n : played.tracks[t].notes) {
        heard[n.pitch].push_back(n.tick);
        wrong += n.tick < busy_until[n.pitch] || n.duration < 1 || n.velocity < 1;
        busy_until[n.pitch] = n.tick + n.duration;
      }
      for (const auto& [pitch, ticks] : written) {
        wrong += heard[pitch].size() != ticks.size();
        for (std::size_t i = 0; i < (std::min)(ticks.size(), heard[pitch].size()); ++i) {
          const std::int64_t moved = std::abs(heard[pitch][i] - ticks[i]) * us_per_quarter / 480;
          wrong += moved > 20000 + 18000 + 30 * us_per_quarter / 480;  // lean and jitter, strum, swing
        }
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(dice({.seed = 5, .humanise = true}) != dice({.seed = 5}));
}

TEST_CASE(
    "procedural: the form can be heard: a letter that returns brings back its chords, bass, drums and most of its "
    "tune") {
  int pieces = 0;
  double same_tune = 0, other_tune = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Score score = dice({.seed = seed, .bars = 16});
    const std::string& facts = score.tracks[0].metas[0].data;
    if (facts.find("form=AABA ") == std::string::npos) continue;
    ++pieces;
    const std::int64_t bar = bar_ticks_of(score);
    const auto tune = [&](int from) { return notes_between(score.tracks[0], from * bar, (from + 2) * bar); };
    const auto shared = [](const std::vector<Note>& a, const std::vector<Note>& b) {
      std::size_t n = 0;
      for (const Note& x : a)
        n += std::ranges::any_of(b, [&](const Note& y) { return x.tick == y.tick && x.pitch == y.pitch; });
      return static_cast<double>(n) / static_cast<double>((std::max)(a.size(), b.size()));
    };
    same_tune += shared(tune(0), tune(4));
    other_tune += shared(tune(0), tune(8));
    const std::int64_t span =
        score.time_signatures[0].numerator == 3 ? bar : 2 * bar;       // a waltz cadence begins in bar 3
    for (const std::size_t role : {std::size_t{1}, std::size_t{2}}) {  // chords and bass
      const auto first = notes_between(score.tracks[role], 0, span),
                 again = notes_between(score.tracks[role], 4 * bar, 4 * bar + span);
      CHECK(first == again);
    }
    CHECK(notes_between(score.tracks[3], bar, 3 * bar) == notes_between(score.tracks[3], 5 * bar, 7 * bar));
  }
  REQUIRE(pieces > 40);
  CHECK(same_tune / pieces > 0.75);
  CHECK(other_tune / pieces < 0.3);
}

TEST_CASE("procedural: pieces end at home: the tonic above, the root below, the tonic chord between") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const Score score = dice({.seed = seed, .bars = 8});
    const int tonic = key_of(score).tonic();
    wrong += score.tracks[0].notes.back().pitch % 12 != tonic;
    wrong += score.tracks[2].notes.back().pitch % 12 != tonic;
    wrong += std::ranges::none_of(notes_between(score.tracks[1], 7 * bar_ticks_of(score), 8 * bar_ticks_of(score)),
                                  [&](const Note& n) { return n.pitch % 12 == tonic; });
  }
  CHECK(wrong == 0);
}

TEST_CASE("procedural: held melody notes hardly ever rub a semitone above a note of chords or bass") {
  int held = 0, rubbing = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Score score = dice({.seed = seed, .bars = 16});
    for (const Note& n : score.tracks[0].notes) {
      if (n.duration < 480) continue;
      ++held;
      bool rubs = false;
      for (const std::size_t role : {std::size_t{1}, std::size_t{2}}) {
        for (const Note& other : score.tracks[role].notes) {
          const std::int64_t together =
              (std::min)(n.tick + n.duration, other.tick + other.duration) - (std::max)(n.tick, other.tick);
          rubs = rubs || (together >= 240 && (n.pitch - other.pitch + 120) % 12 == 1);
        }
      }
      rubbing += rubs;
    }
  }
  CHECK(held > 5000);
  CHECK(rubbing < held / 30);
}

TEST_CASE("procedural: keys, modes, feels and meters come up as often as their weights say") {
  std::map<std::string, int> feels;
  std::array<int, 12> tonics{};
  int common_time = 0;
  constexpr int pieces = 3000;
  for (std::uint64_t seed = 0; seed < pieces; ++seed) {
    const detail::dice::Plan plan = detail::dice::make_plan({.seed = seed, .bars = 1});
    ++feels[std::string(feel_name(plan.feel))];
    ++tonics[static_cast<std::size_t>(plan.key.tonic())];
    common_time += plan.bar_ticks == 1920;
    CHECK(spellable(plan.key) == plan.key);
  }
  CHECK(feels.size() == 8);
  CHECK(common_time / double{pieces} == doctest::Approx(0.86).epsilon(0.04));
  for (const int n : tonics) CHECK(n > pieces / 12 / 2);
}

TEST_CASE("procedural: options outside their range are brought into it") {
  CHECK(dice({.bars = 0}).tracks[0].end_tick == dice({.bars = 1}).tracks[0].end_tick);
  CHECK(dice({.bars = -5, .bpm = -1}).tempos[0].us_per_quarter == 3000000);
  CHECK(dice({.bars = 1, .bpm = 100000}).tempos[0].us_per_quarter == 200000);
}
