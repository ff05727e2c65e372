// Pieces a second for the generators, rendered seconds a second for the synthesiser.
#include <cstdint>

#include <benchmark/benchmark.h>

#include <midigpt/midi/procedural.hpp>
#include <midigpt/midi/v0_author.hpp>
#include <midigpt/report/metrics.hpp>
#include <midigpt/report/svg.hpp>
#include <midigpt/report/wav.hpp>

namespace {

void compose(benchmark::State& state, midigpt::DiceOptions options) {
  std::size_t notes = 0;
  for (auto _ : state) {
    ++options.seed;
    const midigpt::Score score = midigpt::dice(options);
    notes += midigpt::count_notes(score);
    benchmark::DoNotOptimize(score.tracks.data());
  }
  state.SetItemsProcessed(state.iterations());  // pieces
  state.counters["notes/s"] = benchmark::Counter(static_cast<double>(notes), benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(compose, band_8, midigpt::DiceOptions{.bars = 8})->Name("procedural/dice/band/8_bars");
BENCHMARK_CAPTURE(compose, band_16, midigpt::DiceOptions{.bars = 16})->Name("procedural/dice/band/16_bars");
BENCHMARK_CAPTURE(compose, melody_8, midigpt::DiceOptions{.bars = 8, .style = midigpt::DiceStyle::melody})
    ->Name("procedural/dice/melody/8_bars");
BENCHMARK_CAPTURE(compose, played_16, midigpt::DiceOptions{.bars = 16, .humanise = true})
    ->Name("procedural/dice/humanised/16_bars");

void original(benchmark::State& state) {
  midigpt::V0Options options;
  for (auto _ : state) {
    ++options.seed;
    benchmark::DoNotOptimize(midigpt::v0_author(options).tracks.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(original)->Name("procedural/v0_author/8_bars");

void render(benchmark::State& state) {
  const midigpt::Score score = midigpt::dice({.seed = 1, .bars = 16});
  for (auto _ : state) benchmark::DoNotOptimize(midigpt::wav_bytes(score).data());
  state.counters["music_s/s"] =
      benchmark::Counter(midigpt::duration_seconds(score), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(render)->Name("report/wav/16_bars_stereo_44k")->Unit(benchmark::kMillisecond);

void draw(benchmark::State& state) {
  const midigpt::Score score = midigpt::dice({.seed = 1, .bars = 16});
  for (auto _ : state) benchmark::DoNotOptimize(midigpt::piano_roll_svg(score).data());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(draw)->Name("report/piano_roll/16_bars");

}  // namespace
