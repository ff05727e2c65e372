#include <midigpt/generate/constraints.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <generate/music_fixture.hpp>
#include <midigpt/generate/sampler.hpp>

using namespace midigpt;

namespace {

struct Walk {
  std::string text;
  std::vector<std::int32_t> ids;
  std::size_t byte_ids = 0;
  bool ended = false, stuck = false;
};

/// Draws ids uniformly among those allowed; `bytes` forces byte pieces wherever one is allowed.
Walk walk(const Tokenizer& tokenizer, CodecKind codec, const ConstraintOptions& options, std::uint64_t seed,
          std::size_t length, bool bytes) {
  MusicConstraint constraint(tokenizer, codec, options);
  Walk w;
  Rng rng(seed);
  std::vector<std::int32_t> choices;
  while (w.ids.size() < length && !constraint.ended()) {
    const auto allowed = constraint.allowed();
    choices.clear();
    bool has_bytes = false;
    const bool want_bytes = bytes && rng.chance(0.7);
    for (std::size_t id = 0; id < allowed.size(); ++id) {
      if (allowed[id] == 0) continue;
      const bool is_byte = tokenizer.model().pieces[id].type == PieceType::byte;
      if (want_bytes && is_byte && !std::exchange(has_bytes, true)) choices.clear();
      if (!want_bytes || is_byte || !has_bytes) choices.push_back(static_cast<std::int32_t>(id));
    }
    if (choices.empty()) {
      w.stuck = true;
      break;
    }
    const std::int32_t id = choices[rng.below(static_cast<std::uint32_t>(choices.size()))];
    w.byte_ids += tokenizer.model().pieces[static_cast<std::size_t>(id)].type == PieceType::byte ? 1u : 0u;
    w.ids.push_back(id);
    constraint.push(id);
  }
  w.ended = constraint.ended();
  w.ids.resize(constraint.complete());
  w.text = tokenizer.decode(w.ids);
  return w;
}

constexpr CodecKind k_all[] = {CodecKind::multitrack, CodecKind::split, CodecKind::theremin,
                               CodecKind::theremin_compat};

}  // namespace

TEST_CASE("constraints: whatever is drawn is a text of the codec, byte pieces or not") {
  for (const CodecKind codec : k_all) {
    CAPTURE(codec_name(codec));
    const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
    std::size_t wrong = 0, byte_ids = 0, ended = 0, notes = 0;
    for (std::uint64_t seed = 0; seed < 150; ++seed) {
      const Walk w = walk(tokenizer, codec, {}, seed, 120, seed % 2 == 0);
      TextReport report;
      const Score score = from_text(w.text, codec, &report);
      wrong += !w.stuck && utf8_first_invalid(w.text) == std::string::npos && report.foreign == 0 &&
                       report.out_of_range == 0 && report.after_end == 0 &&
                       w.text.find("\xEF\xBF\xBD") == std::string::npos
                   ? 0u
                   : 1u;
      wrong += count_notes(score) == count_text_notes(w.text, codec) ? 0u : 1u;
      notes += count_notes(score);
      byte_ids += w.byte_ids;
      ended += w.ended ? 1u : 0u;
    }
    CHECK(wrong == 0);
    CHECK(byte_ids > 1000);
    CHECK(ended > 10);
    CHECK(notes > 1000);
  }
}

TEST_CASE("constraints: key, range and polyphony hold for every note, drums are free of the first two") {
  const ConstraintOptions options{
      .key = parse_key("Eb").value(), .lowest_pitch = 50, .highest_pitch = 80, .polyphony = 2};
  const std::uint16_t scale = scale_mask(*options.key);
  for (const CodecKind codec : {CodecKind::multitrack, CodecKind::split}) {
    CAPTURE(codec_name(codec));
    const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
    std::size_t wrong = 0, notes = 0, drums = 0, crowded = 0;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const Score score = from_text(walk(tokenizer, codec, options, seed, 100, seed % 2 == 0).text, codec);
      std::vector<Note> all;
      for (const Track& t : score.tracks) {
        for (const Note& n : t.notes) {
          ++notes;
          all.push_back(n);
          drums += n.channel == 9 ? 1u : 0u;
          if (n.channel != 9) wrong += n.pitch >= 50 && n.pitch <= 80 && (scale >> (n.pitch % 12) & 1) != 0 ? 0u : 1u;
        }
      }
      for (const Note& n : all) {
        const auto sounding = std::count_if(
            all.begin(), all.end(), [&](const Note& m) { return m.tick <= n.tick && n.tick < m.tick + m.duration; });
        crowded += sounding > 2 ? 1u : 0u;
      }
    }
    CHECK(wrong == 0);
    CHECK(crowded == 0);
    CHECK(notes > 200);
    CHECK(drums > 0);
  }
}

TEST_CASE("constraints: a piece does not end before its least number of notes, and nothing follows the end") {
  for (const CodecKind codec : k_all) {
    CAPTURE(codec_name(codec));
    const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
    std::size_t wrong = 0, ended = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      const Walk w = walk(tokenizer, codec, {.min_notes = 20}, seed, 400, false);
      if (!w.ended) continue;
      ++ended;
      wrong += count_text_notes(w.text, codec) >= 20 ? 0u : 1u;
    }
    CHECK(wrong == 0);
    CHECK(ended > 0);
    MusicConstraint constraint(tokenizer, codec);
    constraint.push(tokenizer.eos_id());
    CHECK(constraint.ended());
    CHECK(std::count(constraint.allowed().begin(), constraint.allowed().end(), 1) == 0);
    constraint.reset();
    CHECK(!constraint.ended());
    CHECK(constraint.allowed()[static_cast<std::size_t>(tokenizer.eos_id())] == 0);
    for (const std::int32_t id : {tokenizer.unk_id(), tokenizer.bos_id(), tokenizer.pad_id()})
      CHECK(constraint.allowed()[static_cast<std::size_t>(id)] == 0);
  }
}

TEST_CASE("constraints: a prompt is followed even where it breaks the rules, and cut where it breaks off") {
  const CodecKind codec = CodecKind::multitrack;
  const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
  MusicConstraint constraint(tokenizer, codec, {.lowest_pitch = 100});
  for (const std::int32_t id : tokenizer.encode(music_fixture(codec).texts[0])) constraint.push(id);
  CHECK(constraint.notes() == count_text_notes(music_fixture(codec).texts[0], codec));
  CHECK(constraint.ended());  // the text's own end control
  constraint.reset();
  const auto byte = [&](unsigned char b) { return tokenizer.vocab().byte_id(b); };
  constraint.push(byte(0xF1));
  constraint.push(byte(0x80));
  CHECK(constraint.complete() == 0);
  constraint.push(byte(0x80));
  constraint.push(byte(0xA4));
  CHECK(constraint.complete() == 4);
  CHECK(constraint.notes() == 1);
  constraint.push(byte(0xF0));
  constraint.push(byte(0xB4));
  CHECK(constraint.complete() == 4);
  const auto allowed = constraint.allowed();
  for (std::size_t id = 0; id < allowed.size(); ++id) {
    if (allowed[id] != 0) CHECK(tokenizer.model().pieces[id].type == PieceType::byte);
  }
}
