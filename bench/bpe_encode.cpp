// Encoding unseen lines, one thread and two, and one long segment; beside the installed SentencePiece where there is one.
// Interleave the peers: --benchmark_enable_random_interleaving=true --benchmark_repetitions=10
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/tokenizer.hpp>

#include "corpus.hpp"

#if __has_include(<sentencepiece_processor.h>)
#include <sentencepiece_processor.h>
#endif

namespace {

using namespace midigpt;

enum class Kind { notes, prose, markdown };

/// The prose in the clothes of a README: headings, lists, links, emphasis, code.
std::vector<std::string> markdown_lines(std::size_t bytes, std::uint64_t seed) {
  Rng rng(seed, 9);
  std::vector<std::string> out;
  for (const std::string& line : bench::prose_lines(bytes, seed)) {
    const std::string word = line.substr(0, line.find_first_of(" ,."));
    switch (rng.below(8)) {
      case 0: out.push_back(std::string(1 + rng.below(4), '#') + " " + line); break;
      case 1: out.push_back("- **" + word + "**: " + line); break;
      case 2: out.push_back(line + " See [" + word + "](https://example.org/docs/" + word + ".html#L" + std::to_string(rng.below(900)) + ")."); break;
      case 3: out.push_back("    const auto " + word + "_" + std::to_string(rng.below(90)) + " = make<" + word + ">(" + std::to_string(rng.below(9999)) + ");"); break;
      case 4: out.push_back("| `" + word + "` | " + line + " |"); break;
      default: out.push_back(line); break;
    }
  }
  return out;
}

std::vector<std::string> lines_of(Kind kind, std::size_t bytes, std::uint64_t seed) {
  switch (kind) {
    case Kind::notes: return bench::note_lines(bytes, seed);
    case Kind::prose: return bench::prose_lines(bytes, seed);
    case Kind::markdown: break;
  }
  return markdown_lines(bytes, seed);
}

/// A tokenizer trained on 10 MB of one kind, and 4 MB of unseen lines.
struct World {
  World(Kind kind, std::int32_t vocab_size) : lines(lines_of(kind, 4000000, 2)) {
    TokenTrainOptions options;
    options.spec.model_type = ModelType::bpe;
    options.spec.vocab_size = vocab_size;
    options.spec.character_coverage = kind == Kind::notes ? 0.98f : 0.9995f;
    const std::vector<std::string> train = lines_of(kind, 10000000, 1);
    SpmModel model = train_bpe(std::span<const std::string>(train), options).value();
    model_bytes = std::string(as_chars(spm_model_bytes(model)));
    tokenizer = std::make_unique<Tokenizer>(Tokenizer::create(std::move(model)).value());
    for (const std::string& line : lines) bytes += line.size() + 1;
  }

  std::vector<std::string> lines;
  std::string model_bytes;
  std::unique_ptr<Tokenizer> tokenizer;
  std::size_t bytes = 0;
};

const World& world(Kind kind, std::int32_t vocab_size) {
  static std::map<std::pair<Kind, std::int32_t>, std::unique_ptr<World>> worlds;
  auto& w = worlds[{kind, vocab_size}];
  if (!w) w = std::make_unique<World>(kind, vocab_size);
  return *w;
}

void encode(benchmark::State& state, Kind kind, std::int32_t vocab_size) {
  const World& w = world(kind, vocab_size);
  Tokenizer::Encoder encoder(*w.tokenizer);
  std::vector<std::int32_t> ids;
  std::size_t tokens = 0;
  for (auto _ : state) {
    for (const std::string& line : w.lines) {
      encoder.encode(line, ids);
      tokens += ids.size();
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(w.bytes) * state.iterations());
  state.SetItemsProcessed(static_cast<std::int64_t>(tokens));
}

void encode_batch(benchmark::State& state, Kind kind, std::int32_t vocab_size) {
  const World& w = world(kind, vocab_size);
  const std::vector<std::string_view> views(w.lines.begin(), w.lines.end());
  ThreadPool pool(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(w.tokenizer->encode_batch(views, pool));
  state.SetBytesProcessed(static_cast<std::int64_t>(w.bytes) * state.iterations());
}

void decode(benchmark::State& state, Kind kind, std::int32_t vocab_size) {
  const World& w = world(kind, vocab_size);
  std::vector<std::vector<std::int32_t>> ids;
  for (const std::string& line : w.lines) ids.push_back(w.tokenizer->encode(line));
  for (auto _ : state) {
    for (const auto& line : ids) benchmark::DoNotOptimize(w.tokenizer->decode(line));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(w.bytes) * state.iterations());
}

/// Prose without its spaces: one segment of the given size, the worst case for a merge encoder.
void one_segment(benchmark::State& state) {
  const World& w = world(Kind::prose, 8000);
  std::string text;
  for (std::size_t i = 0; text.size() < static_cast<std::size_t>(state.range(0)); i = (i + 1) % w.lines.size()) {
    for (const char c : w.lines[i]) {
      if (c >= 'a' && c <= 'z') text += c;
    }
  }
  text.resize(static_cast<std::size_t>(state.range(0)));
  std::vector<std::int32_t> ids;
  for (auto _ : state) w.tokenizer->encode(text, ids);
  state.SetBytesProcessed(state.range(0) * state.iterations());
}

#if __has_include(<sentencepiece_processor.h>)
void sentencepiece_encode(benchmark::State& state, Kind kind, std::int32_t vocab_size) {
  const World& w = world(kind, vocab_size);
  sentencepiece::SentencePieceProcessor processor;
  if (!processor.LoadFromSerializedProto(w.model_bytes).ok()) return state.SkipWithError("the model is refused");
  std::vector<int> ids;
  for (auto _ : state) {
    for (const std::string& line : w.lines) {
      if (!processor.Encode(line, &ids).ok()) return state.SkipWithError("not encoded");
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(w.bytes) * state.iterations());
}
#endif

const bool k_registered = [] {
  for (const auto& row : {std::pair{"notes", Kind::notes}, {"prose", Kind::prose}, {"markdown", Kind::markdown}}) {
    const auto name = row.first;  // clang 14 cannot capture structured bindings
    const Kind kind = row.second;
    for (const std::int32_t vocab_size : {8000, 32000}) {
      const std::string label = std::string(name) + (vocab_size == 8000 ? "/8k" : "/32k");
      const auto add = [&](const std::string& verb, auto run) {
        const Kind k = kind;
        return benchmark::RegisterBenchmark((verb + "/" + label).c_str(), [=](benchmark::State& s) { run(s, k, vocab_size); });
      };
      add("bpe/encode", encode);
#if __has_include(<sentencepiece_processor.h>)
      add("sentencepiece/encode", sentencepiece_encode);
#endif
      if (vocab_size == 8000) {
        add("bpe/decode", decode);
        add("bpe/encode_batch", encode_batch)->Arg(1)->Arg(2)->UseRealTime();
      }
    }
  }
  benchmark::RegisterBenchmark("bpe/encode_one_segment", one_segment)->RangeMultiplier(4)->Range(1 << 18, 1 << 24);
  return true;
}();

}  // namespace
