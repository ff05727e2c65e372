// Generation: tokens a second through the cache with and without constraints, and the draw alone.
#include <benchmark/benchmark.h>

#include <vector>

#include <midigpt/generate/generate.hpp>
#include <midigpt/pipeline/corpus.hpp>
#include <midigpt/pipeline/music_tokenizer.hpp>

namespace {

using namespace midigpt;

void run_model(benchmark::State& state, const char* preset, const ConstraintOptions* constraints) {
  static const Tokenizer tokenizer =
      train_music_tokenizer(corpus_from_generator(60, 1, {.bars = 16}, {.held_out = 0}), {.vocab_size = 4096}).value();
  Gpt<float> model(gpt_preset(preset, tokenizer.vocab_size(), 256).value());
  model.init(1);
  Generator generator(model);
  const std::vector<std::int32_t> prompt{tokenizer.bos_id()};
  std::size_t tokens = 0;
  for (auto _ : state) {
    GenerateOptions options{.max_tokens = 200, .sampler = {.temperature = 0.9, .top_k = 40, .top_p = 0.95}};
    if (constraints == nullptr) {
      tokens += generator.run(prompt, options).size();
    } else {
      options.constraint = *constraints;
      auto piece = generate_score(generator, tokenizer, CodecKind::multitrack, {}, options);
      tokens += piece->ids.size();
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(tokens));
}

void free_run(benchmark::State& state, const char* preset) { run_model(state, preset, nullptr); }
void legal(benchmark::State& state, const char* preset) {
  const ConstraintOptions options{.min_notes = 100000};
  run_model(state, preset, &options);
}
void polyphonic(benchmark::State& state, const char* preset) {
  const ConstraintOptions options{.key = parse_key("C").value(), .polyphony = 4, .min_notes = 100000};
  run_model(state, preset, &options);
}
BENCHMARK_CAPTURE(free_run, nano, "nano")->Name("generate/free/nano")->UseRealTime();
BENCHMARK_CAPTURE(free_run, tiny, "tiny")->Name("generate/free/tiny")->UseRealTime();
BENCHMARK_CAPTURE(free_run, small, "small")->Name("generate/free/small")->UseRealTime();
BENCHMARK_CAPTURE(legal, tiny, "tiny")->Name("generate/legal/tiny")->UseRealTime();
BENCHMARK_CAPTURE(polyphonic, tiny, "tiny")->Name("generate/polyphony/tiny")->UseRealTime();

void draw(benchmark::State& state, const SamplerOptions& options) {
  std::vector<float> logits(static_cast<std::size_t>(state.range(0)));
  Rng noise(1);
  for (float& x : logits) x = static_cast<float>(2 * noise.normal());
  Sampler sampler(options);
  Rng rng(2);
  for (auto _ : state) benchmark::DoNotOptimize(sampler.sample(logits, rng));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(draw, plain, SamplerOptions{})->Name("generate/draw/plain")->Arg(8192)->Arg(50257);
BENCHMARK_CAPTURE(draw, top_k, SamplerOptions{.top_k = 40})->Name("generate/draw/top_k_40")->Arg(8192)->Arg(50257);
BENCHMARK_CAPTURE(draw, top_p, SamplerOptions{.top_p = 0.9})->Name("generate/draw/top_p_0.9")->Arg(8192)->Arg(50257);

}  // namespace
