// report/wav.hpp - a small synthesiser: a Score as a 16-bit WAV file that any player opens.
//   Additive wavetables, one family per eight General MIDI programmes, each with a body and a bright part that fades
//   sooner; drums from noise and swept tones; a little room; a soft limiter, so nothing clips. Integers from the tempo
//   map's seconds onward: the same score gives the same bytes everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/tempo_map.hpp>
#include <midigpt/report/timbre.hpp>

namespace midigpt {
inline namespace v0 {

struct WavOptions {
  int sample_rate = 44100;  // 8000..96000
  bool stereo = true;
  bool room = true;          // reverberation
  double max_seconds = 900;  // what comes later is not rendered
};

namespace detail::wav {

/// What is rendered: one note with its times in samples.
struct Voice {
  std::int64_t start = 0, hold = 0;  // samples
  std::uint8_t program = 0, pitch = 60;
  bool drum = false;
  int gain = 0;  // 0..4096
  int pan = 64;  // 0 left .. 127 right
};

struct Mix {
  std::vector<std::int32_t> left, right;  // right is empty in mono
};

class Synth {
 public:
  Synth(int rate, Mix& mix) : rate_(rate), mix_(mix), sine_(sine_table()) {}

  void play(const Voice& voice) {
    if (voice.drum) {
      play_drum(voice);
      return;
    }
    const Timbre& timbre = timbre_of(voice.program);
    const std::uint32_t step = phase_step(voice.pitch, rate_);
    if (timbre.chorus == 0) {
      play_tone(voice, timbre, step, voice.pan, voice.gain);
    } else {  // two of them, a little apart in pitch and place
      const std::uint32_t apart = step / 1024 * timbre.chorus;
      play_tone(voice, timbre, step + apart, (std::max)(voice.pan - 30, 0), voice.gain * 5 / 8);
      play_tone(voice, timbre, step - apart, (std::min)(voice.pan + 30, 127), voice.gain * 5 / 8);
    }
  }

 private:
  struct Made {
    const std::array<std::uint8_t, 12>* partials;
    std::size_t count;
    Wave wave;
  };
  static constexpr int block = 32;  // samples between envelope points

  [[nodiscard]] std::int64_t samples(std::int64_t milliseconds) const {
    return (std::max)(milliseconds * rate_ / 1000, std::int64_t{1});
  }

  /// Per block, Q30: halves in `half` samples. ln 2 = 744261118 / 2^30.
  [[nodiscard]] static std::int64_t decay_factor(std::int64_t half) {
    return (std::int64_t{1} << 30) -
           (std::min)(std::int64_t{744261118} * block / (std::max)(half, std::int64_t{block}), std::int64_t{1} << 29);
  }

  /// The wave of a timbre with as many partials as stay below the Nyquist frequency at this step.
  const Wave& wave(const std::array<std::uint8_t, 12>& partials, std::uint32_t step) {
    std::size_t count = 1;
    while (count < partials.size() && std::uint64_t{step} * (count + 1) < 0x73333333u) ++count;  // 0.45 of the rate
    for (const auto& w : waves_) {
      if (w->partials == &partials && w->count == count) return w->wave;
    }
    waves_.push_back(std::make_unique<Made>(Made{&partials, count, make_wave(sine_, partials, count)}));
    return waves_.back()->wave;
  }

  /// Adds to both sides; balance is linear.
  void add(std::size_t at, std::int32_t value, std::int32_t left, std::int32_t right) {
    if (mix_.right.empty()) {
      mix_.left[at] += value;
    } else {
      mix_.left[at] += value * left >> 6;
      mix_.right[at] += value * right >> 6;
    }
  }

  void play_tone(const Voice& voice, const Timbre& timbre, std::uint32_t step, int pan, int gain) {
    const Wave& body = wave(timbre.body, step);
    const Wave& bright = wave(timbre.bright, step);
    const std::int64_t attack = samples(timbre.attack_ms), release = samples(timbre.release_ms);
    const int key_scale = (std::max)(120 - voice.pitch, 20);  // higher strings are shorter
    const std::int64_t body_decay =
        timbre.body_half_ms == 0 ? 0 : decay_factor(samples(timbre.body_half_ms * key_scale / 60));
    const std::int64_t bright_decay = decay_factor(samples(timbre.bright_half_ms * key_scale / 60));
    const std::int64_t bright_floor = (std::int64_t{1} << 30) * timbre.bright_floor / 100;
    const std::int64_t release_decay = decay_factor((std::max)(release / 6, std::int64_t{1}));
    const auto size = static_cast<std::int64_t>(mix_.left.size());
    const std::int64_t end = (std::min)(voice.start + voice.hold + release, size);
    const std::int32_t left = (std::min)(127 - pan, 63) + 1, right = (std::min)(pan, 63) + 1;

    std::int64_t body_level = std::int64_t{1} << 30, bright_level = std::int64_t{1} << 30, fade = std::int64_t{1} << 30;
    std::int64_t body_now = 0, bright_now = 0;  // what sounds, Q30
    std::uint32_t phase = 0;
    for (std::int64_t at = voice.start; at < end; at += block) {
      const std::int64_t age = at - voice.start + block;
      if (body_decay != 0) body_level = body_level * body_decay >> 30;
      bright_level = bright_floor + ((bright_level - bright_floor) * bright_decay >> 30);
      if (age > voice.hold) fade = fade * release_decay >> 30;
      std::int64_t shape = fade;
      if (age < attack) shape = shape * age / attack;
      if (at + block >= end) shape = 0;
      const std::int64_t body_next = body_level * shape >> 30;
      const std::int64_t bright_next = (bright_level * shape >> 30) * timbre.bright_gain / 100;
      std::int64_t body_gain = body_now * gain >> 14, bright_gain = bright_now * gain >> 14;  // Q28: 4096 is 1
      const std::int64_t body_slope = ((body_next * gain >> 14) - body_gain) / block;
      const std::int64_t bright_slope = ((bright_next * gain >> 14) - bright_gain) / block;
      std::uint32_t now_step = step;
      if (timbre.vibrato > 0 && age > samples(250)) {  // 5.5 Hz, a triangle
        const std::int64_t turn = (age * 11 / 2) * 4096 / rate_ & 4095;
        const std::int64_t swing = (turn < 2048 ? turn : 4095 - turn) - 1024;
        now_step =
            static_cast<std::uint32_t>(step + static_cast<std::int64_t>(step) * swing * timbre.vibrato / (1024 * 2048));
      }
      const auto count = (std::min)(std::int64_t{block}, end - at);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t cell = phase >> (32 - wave_bits);
        const std::int32_t part = static_cast<std::int32_t>(phase >> (32 - wave_bits - 12) & 0xFFF);
        const std::int32_t b = body[cell] + ((body[cell + 1] - body[cell]) * part >> 12);
        const std::int32_t h = bright[cell] + ((bright[cell + 1] - bright[cell]) * part >> 12);
        add(static_cast<std::size_t>(at + i), static_cast<std::int32_t>((b * body_gain + h * bright_gain) >> 31), left,
            right);
        body_gain += body_slope;
        bright_gain += bright_slope;
        phase += now_step;
      }
      body_now = body_next, bright_now = bright_next;
      if (body_next + bright_next < 1 << 14 && age > attack) break;  // inaudible
    }
  }

  void play_drum(const Voice& voice) {
    const DrumSound& drum = drum_sound(voice.pitch);
    const auto size = static_cast<std::int64_t>(mix_.left.size());
    const std::int64_t tone_decay = decay_factor(samples(drum.tone_half_ms)),
                       noise_decay = decay_factor(samples(drum.noise_half_ms));
    const std::int64_t sweep_decay = decay_factor(samples(12));
    const auto hz = [&](int f) { return (std::int64_t{f} << 32) / rate_; };
    const std::int32_t left = (std::min)(127 - voice.pan, 63) + 1, right = (std::min)(voice.pan, 63) + 1;
    const std::int64_t length = samples(8 * (std::max)(drum.tone_half_ms, drum.noise_half_ms));
    const std::int64_t end = (std::min)(voice.start + length, size), attack = samples(1);
    std::int64_t tone = (std::int64_t{1} << 30) * drum.tone_gain / 100,
                 noise = (std::int64_t{1} << 30) * drum.noise_gain / 100;
    std::int64_t sweep = hz(drum.start_hz) - hz(drum.end_hz);
    std::uint32_t phase = 0;
    std::int32_t before = 0, before2 = 0;
    const Rng random(voice.pitch);
    for (std::int64_t at = voice.start; at < end; at += block) {
      const std::int64_t tone_next = tone * tone_decay >> 30, noise_next = noise * noise_decay >> 30;
      const auto step = static_cast<std::uint32_t>(hz(drum.end_hz) + sweep);
      const auto count = (std::min)(std::int64_t{block}, end - at);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t age = at - voice.start + i;
        const auto white = static_cast<std::int32_t>(random.at(static_cast<std::uint64_t>(age)) >> 49) - 16384;
        const std::int32_t high = drum.colour == 0   ? (white + before) / 2
                                  : drum.colour == 1 ? white - before
                                                     : white - before2;
        before2 = before;
        before = white;
        std::int64_t gain = voice.gain;
        if (age < attack) gain = gain * age / attack;
        if (end - at - i < attack) gain = gain * (end - at - i) / attack;
        const std::int64_t tone_now = tone + (tone_next - tone) * i / block,
                           noise_now = noise + (noise_next - noise) * i / block;
        const std::int64_t s = (sine_[phase >> (32 - wave_bits)] * tone_now + high * noise_now) >> 30;
        add(static_cast<std::size_t>(at + i), static_cast<std::int32_t>(s * gain >> 15), left, right);
        phase += step;
      }
      tone = tone_next, noise = noise_next;
      sweep = sweep * sweep_decay >> 30;
    }
  }

  int rate_;
  Mix& mix_;
  Wave sine_;
  std::vector<std::unique_ptr<Made>> waves_;
};

/// A small room: four combs and two allpasses a side (Schroeder 1962), delays in samples at 44.1 kHz.
inline void add_room(std::vector<std::int32_t>& side, const std::vector<std::int32_t>& dry, int rate, int spread) {
  constexpr int comb_delays[] = {1116, 1277, 1422, 1557};
  constexpr int allpass_delays[] = {225, 556};
  const auto delay = [&](int d) { return static_cast<std::size_t>(std::int64_t{d + spread} * rate / 44100 + 1); };
  std::vector<std::int32_t> wet(dry.size(), 0);
  for (const int d : comb_delays) {
    std::vector<std::int32_t> line(delay(d), 0);
    std::int32_t low = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < dry.size(); ++i) {
      const std::int32_t out = line[at];
      low += (out - low) / 2;  // walls swallow treble; division rounds to zero, so the tail dies
      line[at] = dry[i] / 8 + static_cast<std::int32_t>(std::int64_t{low} * 25 / 32);
      wet[i] += out;
      at = at + 1 == line.size() ? 0 : at + 1;
    }
  }
  for (const int d : allpass_delays) {
    std::vector<std::int32_t> line(delay(d), 0);
    std::size_t at = 0;
    for (std::int32_t& x : wet) {
      const std::int32_t held = line[at];
      line[at] = x + held / 2;
      x = held - x;
      at = at + 1 == line.size() ? 0 : at + 1;
    }
  }
  for (std::size_t i = 0; i < side.size(); ++i) side[i] += wet[i] / 3;
}

/// Full scale is 32768. Straight up to 0.7, then ever flatter, below 1 for every input.
[[nodiscard]] constexpr std::int32_t soft_limit(std::int64_t x) noexcept {
  constexpr std::int64_t knee = 22938, room = 32700 - knee;
  const std::int64_t size = x < 0 ? -x : x;
  if (size <= knee) return static_cast<std::int32_t>(x);
  const std::int64_t over = size - knee;
  const std::int64_t y = knee + room * over / (room + over);
  return static_cast<std::int32_t>(x < 0 ? -y : y);
}

/// Where a part sits when no controller says so: the band spread over the stage, bass and drums in the middle.
[[nodiscard]] constexpr int usual_pan(int channel) noexcept {
  constexpr int places[] = {70, 44, 64, 86, 34, 94, 52, 76, 58, 64, 40, 90, 48, 80, 60, 68};
  return places[channel & 15];
}

[[nodiscard]] constexpr int drum_pan(int key) noexcept {
  return key == 42 || key == 44 || key == 46   ? 80
         : key == 51 || key == 59 || key == 49 ? 46
         : key == 70                           ? 88
         : key == 43 || key == 45              ? 52
         : key == 47 || key == 50              ? 74
                                               : 64;
}

/// The notes in order of time, with the programme, volume, expression and pan that hold when they begin.
[[nodiscard]] inline std::vector<Voice> voices_of(const Score& score, int rate, double max_seconds) {
  struct Channel {
    std::uint8_t program = 0;
    int volume = 100, expression = 127, pan = -1;
  };
  struct Event {
    std::int64_t tick;
    const ChannelEvent* control;  // null for a note
    const Note* note;
  };
  std::vector<Event> events;
  for (const Track& track : score.tracks) {
    for (const ChannelEvent& e : track.events) {
      const bool used = e.kind() == 0xC0 || (e.kind() == 0xB0 && (e.data1 == 7 || e.data1 == 10 || e.data1 == 11));
      if (used) events.push_back({e.tick, &e, nullptr});
    }
    for (const Note& n : track.notes) events.push_back({n.tick, nullptr, &n});
  }
  sort_stably(events, [](const Event& a, const Event& b) {
    return a.tick != b.tick ? a.tick < b.tick : (a.control != nullptr) > (b.control != nullptr);
  });

  const TempoMap tempo(score);
  const auto sample = [&](std::int64_t tick) {  // the odd offset keeps rounding away from the halves that tempi produce
    return static_cast<std::int64_t>(
        std::floor((std::min)(tempo.seconds(tick), max_seconds + 60) * rate + 0.50001234567));
  };
  std::array<Channel, 16> channels;
  std::vector<Voice> voices;
  for (const Event& e : events) {
    if (e.control != nullptr) {
      Channel& c = channels[e.control->channel()];
      if (e.control->kind() == 0xC0)
        c.program = e.control->data1;
      else if (e.control->data1 == 7)
        c.volume = e.control->data2;
      else if (e.control->data1 == 11)
        c.expression = e.control->data2;
      else
        c.pan = e.control->data2;
      continue;
    }
    const Note& n = *e.note;
    const Channel& c = channels[n.channel & 15u];
    if (tempo.seconds(n.tick) >= max_seconds) break;
    const bool drum = (n.channel & 15u) == 9;
    Voice v{.start = sample(n.tick),
            .hold = 0,
            .program = c.program,
            .pitch = static_cast<std::uint8_t>(n.pitch & 127u),
            .drum = drum};
    v.hold = (std::max)(sample(n.tick + n.duration) - v.start, std::int64_t{rate / 50});
    const std::int64_t touch = std::int64_t{n.velocity} * n.velocity * 3072 / (127 * 127) + 8 * n.velocity;
    v.gain = static_cast<int>(touch * c.volume * c.expression / (100 * 127));
    v.gain = (std::min)(v.gain, 5200);
    v.pan = c.pan >= 0 ? c.pan : drum ? drum_pan(n.pitch) : usual_pan(n.channel);
    voices.push_back(v);
  }
  return voices;
}

}  // namespace detail::wav

/// Renders a score. At most 256 notes sound at once; further ones are left out. Pedals and pitch bends are not heard:
/// apply_sustain() first where the pedal matters. The file ends in silence.
[[nodiscard]] inline Bytes wav_bytes(const Score& score, const WavOptions& options = {}) {
  namespace wav = detail::wav;
  constexpr std::size_t max_polyphony = 256;
  const int rate = std::clamp(options.sample_rate, 8000, 96000);
  const double max_seconds = std::clamp(options.max_seconds, 0.0, 7200.0);
  const auto voices = wav::voices_of(score, rate, max_seconds);

  std::int64_t last = 0;
  for (const wav::Voice& v : voices) last = (std::max)(last, v.start + v.hold);
  last = (std::min)(last, static_cast<std::int64_t>(max_seconds) * rate + rate);
  const auto frames = static_cast<std::size_t>(voices.empty() ? rate / 2 : last + 2 * rate);
  wav::Mix mix{std::vector<std::int32_t>(frames, 0), std::vector<std::int32_t>(options.stereo ? frames : 0, 0)};

  wav::Synth synth(rate, mix);
  constexpr auto later = [](std::int64_t a, std::int64_t b) { return a > b; };
  std::vector<std::int64_t> ends;  // of the notes that sound: a heap, the earliest first
  for (const wav::Voice& v : voices) {
    while (!ends.empty() && ends.front() <= v.start) {
      std::pop_heap(ends.begin(), ends.end(), later);
      ends.pop_back();
    }
    if (ends.size() >= max_polyphony) continue;
    ends.push_back(v.start + v.hold);
    std::push_heap(ends.begin(), ends.end(), later);
    synth.play(v);
  }
  if (options.room) {
    std::vector<std::int32_t> dry = mix.left;
    for (std::size_t i = 0; i < mix.right.size(); ++i) dry[i] = (mix.left[i] + mix.right[i]) / 2;
    wav::add_room(mix.left, dry, rate, 0);
    if (options.stereo) wav::add_room(mix.right, dry, rate, 23);
  }

  std::int64_t peak = 1;
  for (const auto* side : {&mix.left, &mix.right}) {
    for (const std::int32_t s : *side) peak = (std::max)(peak, std::int64_t{s < 0 ? -s : s});
  }
  const std::int64_t loudness = voices.empty() ? 0 : 36000;  // where the loudest sample lands before the limiter
  const std::size_t fade = (std::min)(frames, static_cast<std::size_t>(rate / 2));
  const std::size_t channels = options.stereo ? 2 : 1;
  const auto data_bytes = static_cast<std::uint32_t>(frames * channels * 2);

  ByteWriter out;
  out.reserve(44 + std::size_t{data_bytes});
  out.raw(std::string_view("RIFF"));
  out.le<std::uint32_t>(36 + data_bytes);
  out.raw(std::string_view("WAVEfmt "));
  out.le<std::uint32_t>(16);
  out.le<std::uint16_t>(1);  // PCM
  out.le<std::uint16_t>(static_cast<std::uint16_t>(channels));
  out.le<std::uint32_t>(static_cast<std::uint32_t>(rate));
  out.le<std::uint32_t>(static_cast<std::uint32_t>(static_cast<std::size_t>(rate) * channels * 2));
  out.le<std::uint16_t>(static_cast<std::uint16_t>(channels * 2));
  out.le<std::uint16_t>(16);
  out.raw(std::string_view("data"));
  out.le<std::uint32_t>(data_bytes);
  for (std::size_t i = 0; i < frames; ++i) {
    const std::size_t left_over = frames - 1 - i;
    for (const auto* side : {&mix.left, &mix.right}) {
      if (side->empty()) continue;
      std::int64_t s = (*side)[i] * loudness / peak;
      if (left_over < fade) s = s * static_cast<std::int64_t>(left_over) / static_cast<std::int64_t>(fade);
      out.le<std::uint16_t>(static_cast<std::uint16_t>(wav::soft_limit(s)));
    }
  }
  return std::move(out).take();
}

}  // namespace v0
}  // namespace midigpt
