// Text of notes: UTF-8 beside memcpy, and scores to text and back. Rates are of UTF-8 bytes and of notes.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/core/rng.hpp>

namespace {

using namespace midigpt;

std::u32string random_notes(std::size_t n) {
  Rng rng(1);
  std::u32string points(n, U' ');
  for (char32_t& c : points) c = static_cast<char32_t>(0x40000 + rng.below(0xC0000));
  return points;
}

/// A band: two melodies, chords and drums on the 16th grid.
Score random_score(int quarters) {
  Rng rng(2);
  Score s;
  s.tracks.resize(4);
  for (int t = 0; t < 4; ++t) {
    Track& track = s.tracks[static_cast<std::size_t>(t)];
    const auto channel = static_cast<std::uint8_t>(t == 3 ? 9 : t);
    track.events.push_back(
        {.tick = 0, .status = static_cast<std::uint8_t>(0xC0u | channel), .data1 = static_cast<std::uint8_t>(t * 20)});
    for (int i = 0; i < quarters * 4; ++i) {
      for (int k = rng.between(0, t == 2 ? 3 : 1); k > 0; --k) {
        track.notes.push_back({.tick = i * 120,
                               .duration = 120 * rng.between(1, 4) - 1,
                               .channel = channel,
                               .pitch = static_cast<std::uint8_t>(rng.between(36, 84)),
                               .velocity = static_cast<std::uint8_t>(rng.between(1, 127))});
      }
    }
  }
  return s;
}

void count_bytes(benchmark::State& state, std::size_t n) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(n));
}

void copy(benchmark::State& state) {
  const std::string text = utf8_encode(random_notes(static_cast<std::size_t>(state.range(0))));
  std::string out(text.size(), ' ');
  for (auto _ : state) {
    std::memcpy(out.data(), text.data(), text.size());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state, text.size());
}

void encode_utf8(benchmark::State& state) {
  const std::u32string points = random_notes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(utf8_encode(points));
  count_bytes(state, points.size() * 4);
}

void decode_utf8(benchmark::State& state) {
  const std::string text = utf8_encode(random_notes(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state) benchmark::DoNotOptimize(utf8_code_points(text));
  count_bytes(state, text.size());
}

void validate_utf8(benchmark::State& state) {
  const std::string text = utf8_encode(random_notes(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state) benchmark::DoNotOptimize(utf8_first_invalid(text));
  count_bytes(state, text.size());
}

void count_notes_in_text(benchmark::State& state) {
  const std::string text = utf8_encode(random_notes(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state) benchmark::DoNotOptimize(count_text_notes(text, CodecKind::multitrack));
  count_bytes(state, text.size());
}

void pack(benchmark::State& state, CodecKind kind) {
  const Score score = random_score(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(to_text(score, kind));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count_notes(score)));
}

void unpack(benchmark::State& state, CodecKind kind) {
  const std::string text = to_text(random_score(static_cast<int>(state.range(0))), kind);
  for (auto _ : state) benchmark::DoNotOptimize(from_text(text, kind));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count_text_notes(text, kind)));
}

}  // namespace

BENCHMARK(copy)->Name("codec/memcpy")->Arg(1 << 12)->Arg(1 << 20);
BENCHMARK(encode_utf8)->Name("codec/encode_utf8")->Arg(1 << 12)->Arg(1 << 20);
BENCHMARK(decode_utf8)->Name("codec/decode_utf8")->Arg(1 << 12)->Arg(1 << 20);
BENCHMARK(validate_utf8)->Name("codec/validate_utf8")->Arg(1 << 12)->Arg(1 << 20);
BENCHMARK(count_notes_in_text)->Name("codec/count_text_notes")->Arg(1 << 12)->Arg(1 << 20);
BENCHMARK_CAPTURE(pack, multitrack, CodecKind::multitrack)->Name("codec/multitrack_to_text")->Arg(256);
BENCHMARK_CAPTURE(unpack, multitrack, CodecKind::multitrack)->Name("codec/multitrack_from_text")->Arg(256);
BENCHMARK_CAPTURE(pack, theremin, CodecKind::theremin)->Name("codec/theremin_to_text")->Arg(256);
BENCHMARK_CAPTURE(unpack, theremin, CodecKind::theremin)->Name("codec/theremin_from_text")->Arg(256);
