#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/midi/procedural.hpp>
#include <midigpt/report/wav.hpp>
#include <report/odd_scores.hpp>

using namespace midigpt;

namespace {

struct Sound {
  int channels = 0, rate = 0;
  std::vector<double> samples;  // interleaved, -1..1

  double peak(double from, double to) const {
    double p = 0;
    for (std::size_t i = index(from); i < index(to); ++i) p = std::fmax(p, std::fabs(samples[i]));
    return p;
  }
  double rms() const {
    double sum = 0;
    for (const double s : samples) sum += s * s;
    return std::sqrt(sum / static_cast<double>(samples.size()));
  }
  double seconds() const { return static_cast<double>(samples.size()) / channels / rate; }
  std::size_t index(double seconds) const {
    return static_cast<std::size_t>(seconds * rate) * static_cast<std::size_t>(channels);
  }
};

/// A strict reader of the one layout that is written; samples stay empty where anything is off.
Sound read_wav(const Bytes& b) {
  Sound sound;
  const std::string_view s = as_chars(b);
  if (b.size() < 44 || s.substr(0, 4) != "RIFF" || s.substr(8, 8) != "WAVEfmt " || s.substr(36, 4) != "data")
    return sound;
  const auto u32 = [&](std::size_t at) { return load_le<std::uint32_t>(b.data() + at); };
  const auto u16 = [&](std::size_t at) { return load_le<std::uint16_t>(b.data() + at); };
  sound.channels = u16(22), sound.rate = static_cast<int>(u32(24));
  const auto frame = static_cast<std::uint32_t>(sound.channels * 2);
  if (u32(4) != b.size() - 8 || u32(16) != 16 || u16(20) != 1 || u16(34) != 16 || u32(40) != b.size() - 44)
    return sound;
  if (u16(32) != frame || u32(28) != frame * u32(24) || u32(40) % frame != 0) return sound;
  for (std::size_t at = 44; at < b.size(); at += 2)
    sound.samples.push_back(static_cast<std::int16_t>(u16(at)) / 32768.0);
  return sound;
}

Score one_note(int pitch, double seconds, int program = 0, int channel = 0) {
  Score score;
  score.tempos = {{0, 500000}};
  score.tracks.resize(1);
  score.tracks[0].events = {
      {.tick = 0, .status = static_cast<std::uint8_t>(0xC0 | channel), .data1 = static_cast<std::uint8_t>(program)}};
  score.tracks[0].notes = {{.tick = 0,
                            .duration = static_cast<std::int64_t>(seconds * 960),
                            .channel = static_cast<std::uint8_t>(channel),
                            .pitch = static_cast<std::uint8_t>(pitch),
                            .velocity = 100}};
  return score;
}

/// The power of one frequency in a span of samples (Goertzel's sum, written out).
double power_at(const Sound& sound, double hz, double from, double to) {
  double re = 0, im = 0;
  for (std::size_t i = sound.index(from); i < sound.index(to); ++i) {
    const double angle = 2 * 3.14159265358979323846 * hz * static_cast<double>(i) / sound.rate;
    re += sound.samples[i] * std::cos(angle), im += sound.samples[i] * std::sin(angle);
  }
  return re * re + im * im;
}

}  // namespace

TEST_CASE("wav: the header is what players expect, in mono and stereo") {
  for (const bool stereo : {false, true}) {
    const Sound sound = read_wav(wav_bytes(one_note(60, 1), {.sample_rate = 22050, .stereo = stereo}));
    CHECK(sound.channels == (stereo ? 2 : 1));
    CHECK(sound.rate == 22050);
    CHECK(sound.seconds() == doctest::Approx(3.0));  // the note, then two seconds to fade
  }
}

TEST_CASE("wav: the A above middle C sounds at 440 Hz") {
  const Sound sound = read_wav(wav_bytes(one_note(69, 1), {.sample_rate = 44100, .stereo = false, .room = false}));
  const double here = power_at(sound, 440, 0.1, 0.6);
  CHECK(here > 100 * power_at(sound, 440 * 1.0595, 0.1, 0.6));
  CHECK(here > 100 * power_at(sound, 440 / 1.0595, 0.1, 0.6));
}

TEST_CASE("wav: a band is loud, never clips, has no direct current and ends in silence") {
  for (const std::uint64_t seed : {1u, 2u, 7u}) {
    const Sound sound = read_wav(wav_bytes(dice({.seed = seed}), {.sample_rate = 22050}));
    REQUIRE(sound.channels == 2);
    CAPTURE(seed);
    CHECK(sound.peak(0, sound.seconds()) < 0.99);
    CHECK(sound.peak(0, sound.seconds()) > 0.6);
    CHECK(sound.rms() > 0.08);
    CHECK(sound.peak(sound.seconds() - 0.05, sound.seconds()) < 0.002);
    double mean = 0;
    for (const double s : sound.samples) mean += s;
    CHECK(std::fabs(mean / static_cast<double>(sound.samples.size())) < 0.005);
  }
}

TEST_CASE("wav: a thousand loud notes at once stay below full scale") {
  Score score;
  score.tracks.resize(1);
  for (int i = 0; i < 1000; ++i) {
    score.tracks[0].notes.push_back({.tick = 0,
                                     .duration = 480,
                                     .channel = static_cast<std::uint8_t>(i % 16),
                                     .pitch = static_cast<std::uint8_t>(i % 128),
                                     .velocity = 127});
  }
  const Sound sound = read_wav(wav_bytes(score, {.sample_rate = 11025}));
  REQUIRE(!sound.samples.empty());
  CHECK(sound.peak(0, sound.seconds()) < 0.99);
}

TEST_CASE("wav: the limiter is straight below the knee, rising above it, and never reaches full scale") {
  for (const std::int64_t x : {std::int64_t{0}, std::int64_t{100}, std::int64_t{-22938}, std::int64_t{22938}})
    CHECK(detail::wav::soft_limit(x) == x);
  std::int32_t before = 0;
  bool rising = true;
  for (std::int64_t x = 0; x < 200000; x += 10) {
    rising = rising && detail::wav::soft_limit(x) >= before;
    before = detail::wav::soft_limit(x);
    rising = rising && detail::wav::soft_limit(-x) == -before;
  }
  CHECK(rising);
  CHECK(before < 32767);
  CHECK(detail::wav::soft_limit(std::int64_t{1} << 45) < 32767);
}

TEST_CASE("wav: every programme and every drum key is heard, and stops after its note") {
  for (int program = 0; program < 128; program += 1) {
    const Sound sound =
        read_wav(wav_bytes(one_note(60, 0.5, program), {.sample_rate = 8000, .stereo = false, .room = false}));
    CAPTURE(program);
    REQUIRE(!sound.samples.empty());
    CHECK(sound.peak(0.0, 0.5) > 0.3);
    CHECK(sound.peak(1.5, 2.4) < 0.02);
  }
  for (int key = 27; key <= 87; ++key) {
    const Sound sound =
        read_wav(wav_bytes(one_note(key, 0.1, 0, 9), {.sample_rate = 8000, .stereo = false, .room = false}));
    CAPTURE(key);
    REQUIRE(!sound.samples.empty());
    CHECK(sound.peak(0.0, 0.2) > 0.2);
  }
}

TEST_CASE("wav: a louder velocity, a higher volume and pan are heard") {
  Score score = one_note(60, 0.5);
  score.tracks[0].notes.push_back({.tick = 960, .duration = 480, .channel = 0, .pitch = 60, .velocity = 40});
  const Sound soft = read_wav(wav_bytes(score, {.sample_rate = 22050, .stereo = false, .room = false}));
  CHECK(soft.peak(0, 0.5) > 2 * soft.peak(1.0, 1.5));
  score.tracks[0].notes[1].velocity = 100;
  score.tracks[0].events.push_back({.tick = 960, .status = 0xB0, .data1 = 7, .data2 = 20});
  const Sound faded = read_wav(wav_bytes(score, {.sample_rate = 22050, .stereo = false, .room = false}));
  CHECK(faded.peak(0, 0.5) > 3 * faded.peak(1.0, 1.5));

  Score panned = one_note(60, 0.5);
  panned.tracks[0].events.push_back({.tick = 0, .status = 0xB0, .data1 = 10, .data2 = 0});
  const Sound left = read_wav(wav_bytes(panned, {.sample_rate = 22050, .stereo = true, .room = false}));
  double l = 0, r = 0;
  for (std::size_t i = 0; i + 1 < left.samples.size(); i += 2)
    l += left.samples[i] * left.samples[i], r += left.samples[i + 1] * left.samples[i + 1];
  CHECK(l > 100 * r);
}

TEST_CASE("wav: the tempo map places the notes") {
  Score score = one_note(60, 0.1);
  score.tempos = {{0, 500000}, {960, 1000000}};
  score.tracks[0].notes.push_back(
      {.tick = 1440, .duration = 96, .channel = 0, .pitch = 72, .velocity = 127});  // 1 s + 1 s
  const Sound sound = read_wav(wav_bytes(score, {.sample_rate = 22050, .stereo = false, .room = false}));
  CHECK(sound.peak(1.5, 1.99) < 0.01);
  CHECK(sound.peak(2.0, 2.1) > 0.3);
}

TEST_CASE("wav: the same score gives the same bytes, whoever compiled it") {
  const Bytes bytes = wav_bytes(dice({.seed = 4, .bars = 4, .humanise = true}), {.sample_rate = 22050});
  CHECK(bytes == wav_bytes(dice({.seed = 4, .bars = 4, .humanise = true}), {.sample_rate = 22050}));
  CHECK(hash_bytes(bytes) == 15858668494513160143u);
}

TEST_CASE("wav: nothing, and more than there is time for") {
  const Sound empty = read_wav(wav_bytes(Score{}));
  CHECK(empty.seconds() == doctest::Approx(0.5));
  CHECK(empty.peak(0, 0.5) == 0.0);
  Score far = one_note(60, 0.5);
  far.tracks[0].notes[0].duration = std::int64_t{1} << 60;
  far.tracks[0].notes.push_back({.tick = std::int64_t{1} << 60, .duration = std::int64_t{1} << 60});
  const Sound cut = read_wav(wav_bytes(far, {.sample_rate = 8000, .max_seconds = 3}));
  CHECK(cut.seconds() < 6.5);
  CHECK(read_wav(wav_bytes(one_note(127, 1), {.sample_rate = 1})).rate == 8000);
}

TEST_CASE("wav: any score within its types gives a file that does not clip") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const WavOptions options{.sample_rate = 8000, .stereo = seed % 2 == 0, .room = seed % 3 == 0, .max_seconds = 1};
    const Sound sound = read_wav(wav_bytes(odd_score(seed), options));
    wrong += sound.samples.empty() || sound.peak(0, sound.seconds()) > 0.999;
  }
  CHECK(wrong == 0);
}
