// Tokens per second of a training step, an evaluation and decoding with a cache, by preset; windows per second of V1+.
#include <benchmark/benchmark.h>

#include <string>
#include <thread>
#include <vector>

#include <midigpt/nn/gpt.hpp>
#include <midigpt/nn/lstm.hpp>

using namespace midigpt;

namespace {

constexpr const char* k_presets[] = {"nano", "tiny", "small"};

struct World {
  Gpt<float> model;
  std::vector<std::int32_t> ids;
  World(std::int64_t preset, int vocab_size, std::size_t tokens)
      : model(gpt_preset(k_presets[preset], vocab_size, 256).value()) {
    model.init(1);
    Rng rng(2);
    for (std::size_t i = 0; i < tokens; ++i) ids.push_back(rng.between(0, vocab_size - 1));
  }
};

/// preset, threads.
void train_step(benchmark::State& state) {
  World world(state.range(0), 2048, 16 * 256);
  state.SetLabel(k_presets[state.range(0)]);
  ThreadPool pool(static_cast<std::size_t>(state.range(1)));
  GptWorkspace<float> workspace;
  for (auto _ : state)
    benchmark::DoNotOptimize(world.model.loss_and_gradients({world.ids, world.ids, 16, 256}, workspace, pool).nats);
  state.SetItemsProcessed(state.iterations() * 16 * 256);
}

void evaluate(benchmark::State& state) {
  World world(state.range(0), 2048, 16 * 256);
  state.SetLabel(k_presets[state.range(0)]);
  ThreadPool pool(static_cast<std::size_t>(state.range(1)));
  GptWorkspace<float> workspace;
  for (auto _ : state)
    benchmark::DoNotOptimize(world.model.loss({world.ids, world.ids, 16, 256}, workspace, pool).nats);
  state.SetItemsProcessed(state.iterations() * 16 * 256);
}

void decode(benchmark::State& state) {
  World world(state.range(0), 2048, 256);
  state.SetLabel(k_presets[state.range(0)]);
  KvCache<float> cache(world.model.config());
  std::vector<float> logits(2048);
  for (auto _ : state) {
    cache.clear();
    for (const std::int32_t id : world.ids) world.model.step(id, cache, std::span<float>(logits));
    benchmark::DoNotOptimize(logits.data());
  }
  state.SetItemsProcessed(state.iterations() * 256);
}

/// V1+ over 64 windows of 25 notes and the one that follows.
void lstm_step(benchmark::State& state) {
  FieldLstm<float> model;
  model.init(1);
  std::vector<std::int32_t> notes;
  Rng rng(2);
  for (int i = 0; i < 64 * 26; ++i)
    notes.insert(notes.end(), {rng.between(0, 63), rng.between(0, 127), rng.between(1, 31), rng.between(1, 3)});
  Tape<float> tape;
  for (auto _ : state) benchmark::DoNotOptimize(model.loss_and_gradients(notes, tape).nats);
  state.SetItemsProcessed(state.iterations() * 64);
}

}  // namespace

BENCHMARK(train_step)
    ->Name("maths/train_step")
    ->ArgsProduct({{0, 1, 2}, {1, 2}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(evaluate)
    ->Name("maths/evaluate")
    ->ArgsProduct({{0, 1, 2}, {1, 2}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(decode)->Name("maths/decode")->DenseRange(0, 2)->Unit(benchmark::kMillisecond);
BENCHMARK(lstm_step)->Name("maths/lstm_step")->Unit(benchmark::kMillisecond);
