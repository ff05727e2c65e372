// bench/bpe_train.cpp - training a vocabulary: bytes of text per second.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/token/charsmap_builder.hpp>
#include <midigpt/token/normalization_rules.hpp>
#include <midigpt/token/trainer.hpp>

#include "corpus.hpp"

namespace {

std::int64_t bytes_of(const std::vector<std::string>& lines) {
  std::int64_t sum = 0;
  for (const std::string& line : lines) sum += std::ssize(line) + 1;
  return sum;
}

midigpt::TokenTrainOptions options(std::int32_t vocab_size, float coverage) {
  midigpt::TokenTrainOptions o;
  o.spec.vocab_size = vocab_size;
  o.spec.character_coverage = coverage;
  return o;
}

void train_notes(benchmark::State& state) {
  const auto lines = bench::note_lines(static_cast<std::size_t>(state.range(0)));
  const auto o = options(static_cast<std::int32_t>(state.range(1)), 0.98f);
  for (auto _ : state) benchmark::DoNotOptimize(midigpt::train_bpe(std::span(lines), o));
  state.SetBytesProcessed(state.iterations() * bytes_of(lines));
}
BENCHMARK(train_notes)->Name("bpe/train_notes")->Args({1000000, 8000})->Args({10000000, 8000})->Args({10000000, 32000})->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void train_prose(benchmark::State& state) {
  const auto lines = bench::prose_lines(static_cast<std::size_t>(state.range(0)));
  const auto o = options(static_cast<std::int32_t>(state.range(1)), 0.9995f);
  for (auto _ : state) benchmark::DoNotOptimize(midigpt::train_bpe(std::span(lines), o));
  state.SetBytesProcessed(state.iterations() * bytes_of(lines));
}
BENCHMARK(train_prose)->Name("bpe/train_prose")->Args({7000000, 8000})->UseRealTime()->Unit(benchmark::kMillisecond);

void train_unigram_notes(benchmark::State& state) {
  const auto lines = bench::note_lines(static_cast<std::size_t>(state.range(0)));
  const auto o = options(8000, 0.98f);
  for (auto _ : state) benchmark::DoNotOptimize(midigpt::train_unigram(std::span(lines), o));
  state.SetBytesProcessed(state.iterations() * bytes_of(lines));
}
BENCHMARK(train_unigram_notes)->Name("unigram/train_notes")->Arg(1000000)->UseRealTime()->Unit(benchmark::kMillisecond);

void compile_rules(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(midigpt::compile_charsmap(*midigpt::normalization_rules("nmt_nfkc")));
}
BENCHMARK(compile_rules)->Name("normalizer/compile_nmt_nfkc")->Unit(benchmark::kMillisecond);

}  // namespace
