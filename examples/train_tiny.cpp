// train_tiny [FOLDER]: the whole way. Music -> text -> vocabulary -> GPT -> new music, into out/.
//   Without a folder it composes its own training music.
#include <cstdio>
#include <string>
#include <thread>

#include <midigpt/midigpt.hpp>

using namespace midigpt;

namespace {

int fail(const std::string& what) {
  std::fprintf(stderr, "train_tiny: %s\n", what.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string out = "out";
  ThreadPool pool(std::thread::hardware_concurrency());

  // 1. Music -> text: one piece, one line; one note, one character.
  Corpus corpus;
  if (argc > 1) {
    const auto files = find_midi_files(argv[1]);
    if (!files) return fail(describe(files.error()));
    if (files->empty()) return fail(std::string(argv[1]) + ": no MIDI files here (.mid .midi .rmi)");
    corpus = corpus_from_files(*files);
  } else {
    corpus = corpus_from_generator(1500, 1);
  }
  for (const SkippedFile& s : corpus.skipped) std::fprintf(stderr, "skipped %s: %s\n", s.name.c_str(), s.reason.c_str());
  std::fprintf(stderr, "%s\n", summary(corpus).c_str());

  // 2. Text -> tokens -> a model of what follows what.
  RunSettings settings;
  if (argc == 1) {
    settings.steps = 240;  // about a minute on two cores
    settings.eval_every = 60;
    settings.keys = 1;  // the generator composes in every key itself
  }
  const auto result = train_run(corpus, settings, out, pool, progress_hooks());
  if (!result) return fail(describe(result.error()));

  // 3. The model -> new music.
  const auto music = load_music_model(out);
  if (!music) return fail(describe(music.error()));
  Generator generator(music->model);
  for (int i = 1; i <= 3; ++i) {
    GenerateOptions options;
    options.seed = static_cast<std::uint64_t>(i);
    const auto piece = generate_score(generator, music->tokenizer, music->codec, Score{}, options);
    if (!piece) return fail(describe(piece.error()));
    const std::string stem = out + "/piece-" + std::to_string(i);
    if (const auto written = write_music(stem, piece->score); !written) return fail(describe(written.error()));
    std::printf("%s.mid .wav .svg: %zu notes, %.1f s\n", stem.c_str(), piece->notes, duration_seconds(piece->score));
  }
  std::printf("\n%s\nnext: ./build/release/midigpt generate --model %s --seed 4 -o %s/another.mid\n", figures_table(corpus, *result).c_str(), out.c_str(), out.c_str());
  return 0;
}
