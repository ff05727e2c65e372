// Bytes a second of the MIDI wing, on generated pieces: parse to paired notes, walk lazily, write.
#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>

#include <midigpt/core/rng.hpp>
#include <midigpt/midi/edit.hpp>
#include <midigpt/midi/prepare.hpp>
#include <midigpt/midi/read.hpp>
#include <midigpt/midi/write.hpp>

namespace {

using namespace midigpt;

/// Four voices of random steps, `notes` notes each, now and then a controller.
Score piece(int notes) {
  Rng rng(7);
  Score score;
  score.tempos = {{0, 500000}};
  for (std::uint8_t channel = 0; channel < 4; ++channel) {
    Track& t = score.tracks.emplace_back();
    std::int64_t tick = 0;
    for (int i = 0; i < notes; ++i) {
      const std::int64_t length = 120 * rng.between(1, 4);
      t.notes.push_back({tick, length - 1, channel, static_cast<std::uint8_t>(rng.between(40, 80)), static_cast<std::uint8_t>(rng.between(40, 100)), 64});
      if (rng.chance(0.1)) t.events.push_back({tick, static_cast<std::uint8_t>(0xB0 | channel), 7, static_cast<std::uint8_t>(rng.between(0, 127))});
      tick += length;
    }
    t.end_tick = tick;
  }
  return score;
}

void rate(benchmark::State& state, const Bytes& bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes.size()));
}

void parse(benchmark::State& state) {
  const Bytes bytes = midi_bytes(piece(static_cast<int>(state.range(0))));
  MidiReader reader;
  for (auto _ : state) benchmark::DoNotOptimize(reader.parse(bytes));
  rate(state, bytes);
}
BENCHMARK(parse)->Name("midi/parse")->Arg(64)->Arg(1024)->Arg(16384);

void walk(benchmark::State& state) {
  const Bytes bytes = midi_bytes(piece(static_cast<int>(state.range(0))));
  for (auto _ : state) {
    auto view = MidiView::open(bytes);
    EventCursor events;
    MidiEvent e;
    std::uint64_t sum = 0;
    while (view->next_track(events)) {
      while (events.next(e)) sum += e.data1;
    }
    benchmark::DoNotOptimize(sum);
  }
  rate(state, bytes);
}
BENCHMARK(walk)->Name("midi/walk")->Arg(64)->Arg(1024)->Arg(16384);

void write(benchmark::State& state) {
  const Score score = piece(static_cast<int>(state.range(0)));
  const Bytes bytes = midi_bytes(score);
  for (auto _ : state) benchmark::DoNotOptimize(midi_bytes(score));
  rate(state, bytes);
}
BENCHMARK(write)->Name("midi/write")->Arg(64)->Arg(1024)->Arg(16384);

void hash(benchmark::State& state) {
  const Score score = piece(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(music_hash(score));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(count_notes(score)));
}
BENCHMARK(hash)->Name("midi/music_hash")->Arg(1024);

}  // namespace
