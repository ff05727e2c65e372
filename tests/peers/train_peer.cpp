// What tests/peers/torch_train.py repeats: one training run on real or generated music, with everything it saw.
//   train_peer FOLDER STEPS PRESET T B [MIDI]   writes FOLDER/start.safetensors, data.safetensors (all batches, the
//   held-out windows), model.safetensors, and prints one JSON line. FEATURES=1 in the environment turns token features
//   on.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <midigpt/midi/folder.hpp>
#include <midigpt/pipeline/corpus.hpp>
#include <midigpt/pipeline/music_tokenizer.hpp>
#include <midigpt/train/trainer.hpp>

int main(int argc, char** argv) {
  using namespace midigpt;
  if (argc < 6) return std::fprintf(stderr, "train_peer FOLDER STEPS PRESET T B [MIDI]\n"), 2;
  const std::string folder = argv[1];
  const int steps = std::atoi(argv[2]), T = std::atoi(argv[4]), B = std::atoi(argv[5]);
  const bool with_features = std::getenv("FEATURES") != nullptr;
  const Corpus corpus = argc > 6 ? corpus_from_files(find_midi_files(argv[6]).value()) : corpus_from_generator(120, 1);
  const Tokenizer tokenizer = train_music_tokenizer(corpus).value();
  const EncodedCorpus encoded = encode_corpus(corpus, tokenizer).value();

  Gpt<float> model(gpt_preset(argv[3], tokenizer.vocab_size(), T).value(),
                   with_features ? token_features(tokenizer, corpus.codec) : SparseFeatures{});
  model.init(1);
  Dataset data(encoded.train, {.block_size = T, .bos_id = tokenizer.bos_id(), .eos_id = tokenizer.eos_id()});
  const EvalSet held_out(encoded.held_out, T, tokenizer.bos_id(), tokenizer.eos_id());
  save_model(folder + "/start.safetensors", model).value();

  std::vector<std::int32_t> tokens, targets, eval_tokens, eval_targets;
  Batch batch;
  for (int s = 0; s < steps; ++s) {
    data.fill(static_cast<std::uint64_t>(s), B, batch);
    tokens.insert(tokens.end(), batch.tokens.begin(), batch.tokens.end());
    targets.insert(targets.end(), batch.targets.begin(), batch.targets.end());
  }
  for (const EvalWindow& w : held_out.windows()) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(T); ++i) {
      const bool inside = i + 1 < w.tokens.size();
      eval_tokens.push_back(inside ? w.tokens[i] : 0);
      eval_targets.push_back(inside && i + 1 >= w.first_scored ? w.tokens[i + 1] : k_ignore);
    }
  }
  const auto n = [](std::size_t x) { return static_cast<std::uint64_t>(x); };
  const std::vector<std::uint64_t> shape{n(static_cast<std::size_t>(steps)), n(static_cast<std::size_t>(B)),
                                         n(static_cast<std::size_t>(T))};
  const std::vector<std::uint64_t> eval_shape{n(held_out.windows().size()), n(static_cast<std::size_t>(T))};
  const auto tensor = [](const char* name, const std::vector<std::uint64_t>& s, const std::vector<std::int32_t>& v) {
    return stored<std::int32_t>(name, s, std::span<const std::int32_t>(v));
  };
  const std::vector<StoredTensor> seen{tensor("tokens", shape, tokens), tensor("targets", shape, targets),
                                       tensor("eval_tokens", eval_shape, eval_tokens),
                                       tensor("eval_targets", eval_shape, eval_targets)};
  write_safetensors(folder + "/data.safetensors", seen).value();

  std::string losses;
  TrainOptions options;
  options.steps = steps;
  options.batch_size = B;
  options.eval_every = 0;
  options.folder = folder;
  options.schedule = {.lr = 1e-3, .final_fraction = 0.1, .warmup = 20};
  options.on_step = [&](const StepReport& r) { losses += (losses.empty() ? "" : ",") + json_number(r.loss); };
  ThreadPool pool(1);
  Trainer trainer(model, data, held_out, pool, options);
  const TrainResult result = trainer.run().value();
  std::printf("{\"held_out\":%.9g,\"tokens\":%zu,\"notes\":%zu,\"seconds\":%.3f,\"vocab\":%d,\"losses\":[%s]}\n",
              result.held_out.mean(), result.held_out.count, encoded.held_out_notes, result.seconds,
              tokenizer.vocab_size(), losses.c_str());
}
