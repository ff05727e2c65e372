#include <midigpt/pipeline/run.hpp>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/generate/generate.hpp>

using namespace midigpt;
namespace fs = std::filesystem;

namespace {

struct TempRun {
  fs::path root = fs::temp_directory_path() / ("midigpt_run_test_" + std::to_string(::getpid()));
  TempRun() { fs::remove_all(root); }
  ~TempRun() { fs::remove_all(root); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (root / name).string(); }
};

const Corpus& small_corpus() {
  static const Corpus corpus = corpus_from_generator(40, 1, {.bars = 4});
  return corpus;
}

RunSettings small_settings() {
  RunSettings s;
  s.preset = "nano";
  s.block_size = 64;
  s.batch_size = 5;
  s.steps = 12;
  s.eval_every = 5;
  s.seed = 4;
  return s;
}

std::string bytes_of(const std::string& path) {
  const auto bytes = read_file(path);
  REQUIRE_MESSAGE(bytes, path);
  return std::string(as_chars(*bytes));
}

/// What a run resumed must share with one that never stopped.
void check_same_run(const std::string& a, const std::string& b) {
  for (const char* file : {"/model.safetensors", "/resume.safetensors", "/log.csv"}) {
    CAPTURE(file);
    CHECK(bytes_of(a + file) == bytes_of(b + file));
  }
}

void check_makes_music(const MusicModel& music) {
  Generator generator(music.model);
  GenerateOptions options;
  options.max_tokens = 60;
  const auto piece = generate_score(generator, music.tokenizer, music.codec, Score{}, options);
  REQUIRE(piece);
  CHECK(piece->notes > 0);
}

/// What a resumed run says when `to` stands in its settings for `from`; they are put back.
std::string why_refused(const Corpus& corpus, const std::string& folder, std::string_view from, std::string_view to, ThreadPool& pool) {
  const std::string path = folder + "/settings.json", saved = bytes_of(path);
  const std::size_t at = saved.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(write_file_atomic(path, std::string(saved).replace(at, from.size(), to)));
  const auto run = train_run(corpus, RunSettings{}, folder, pool, {}, true);
  REQUIRE_FALSE(run);
  REQUIRE(write_file_atomic(path, saved));
  return run.error().what;
}

}  // namespace

TEST_CASE("run: the same settings give the same bytes, on one thread and on three") {
  const TempRun dir;
  ThreadPool one(1), three(3);
  const auto a = train_run(small_corpus(), small_settings(), dir / "a", one);
  const auto b = train_run(small_corpus(), small_settings(), dir / "b", three);
  REQUIRE(a);
  REQUIRE(b);
  for (const char* file : {"/model.safetensors", "/resume.safetensors", "/tokenizer.model", "/tokenizer.vocab", "/log.csv", "/curve.svg", "/settings.json"}) {
    CAPTURE(file);
    CHECK(bytes_of(dir / "a" + file) == bytes_of(dir / "b" + file));
  }
  CHECK(a->train.step == 12);
  CHECK(a->keys == 12);
  CHECK(a->notes == small_corpus().notes());
  CHECK(read_settings(dir / "a")->keys == 12);  // what was chosen is what a resumed run reads
  CHECK(a->held_out.model.count == a->held_out.tokens);
  CHECK(a->held_out.model.mean() < a->held_out.uniform.mean());
  CHECK(bytes_of(dir / "a/model.safetensors").find(dir.root.string()) == std::string::npos);  // no path inside
}

TEST_CASE("run: 10,000 steps on the generator's music: the loss falls and stays finite, the memory stays flat") {
  const TempRun dir;
  ThreadPool pool(2);
  const Corpus corpus = corpus_from_generator(400, 1, {.bars = 8, .style = DiceStyle::melody});
  RunSettings settings{.preset = "nano", .block_size = 32, .batch_size = 2, .steps = 10000, .token_features = false, .keys = 1, .eval_every = 1000};
  const auto resident = [] {  // bytes; 0 where the system does not say
    std::size_t total = 0, pages = 0;
    if (std::FILE* f = std::fopen("/proc/self/statm", "r"); f != nullptr) {
      if (std::fscanf(f, "%zu %zu", &total, &pages) != 2) pages = 0;
      std::fclose(f);
    }
    return pages * 4096;
  };
  std::size_t early = 0, late = 0, unsound = 0;
  double first = 0, last = 0;  // mean loss of 1,000 steps
  RunHooks hooks;
  hooks.on_step = [&](const StepReport& r) {
    if (r.step == 1001) early = resident();
    if (r.step == 10000) late = resident();
    unsound += std::isfinite(r.loss) && std::isfinite(r.grad_norm) ? 0u : 1u;
    if (r.step <= 1000) first += r.loss / 1000;
    if (r.step > 9000) last += r.loss / 1000;
  };
  const auto result = train_run(corpus, settings, dir / "long", pool, hooks);
  REQUIRE(result);
  CHECK(result->train.step == 10000);
  CHECK(unsound == 0);
  CHECK(last < 0.7 * first);
  CHECK(late <= early + (std::size_t{1} << 20));
  MESSAGE("training loss " << first << " to " << last << " nats per token, resident " << early / 1024 << " to " << late / 1024 << " KiB");
}

TEST_CASE("run: stopped and resumed ends in the bytes of never having stopped") {
  const TempRun dir;
  ThreadPool pool(2);
  REQUIRE(train_run(small_corpus(), small_settings(), dir / "whole", pool));
  for (const int stop_after : {1, 5, 8}) {
    CAPTURE(stop_after);
    const std::string folder = dir / ("half" + std::to_string(stop_after));
    std::atomic<bool> stop{false};
    RunHooks hooks;
    hooks.stop = &stop;
    hooks.on_step = [&](const StepReport& r) { stop = r.step >= stop_after; };
    const auto half = train_run(small_corpus(), small_settings(), folder, pool, hooks);
    REQUIRE(half);
    CHECK(half->train.ending == Ending::stopped);
    CHECK(half->train.step == stop_after);
    CHECK(load_music_model(folder));  // something usable is there at any time
    const auto rest = train_run(small_corpus(), RunSettings{}, folder, pool, {}, true);
    REQUIRE(rest);
    check_same_run(folder, dir / "whole");
  }
  const auto other = train_run(corpus_from_generator(40, 500, {.bars = 4}), RunSettings{}, dir / "whole", pool, {}, true);
  CHECK_FALSE(other);  // another corpus is another run
}

TEST_CASE("run: lines are the beginnings of the pieces, each as often as said; resumed, the same bytes; windows do not resume them") {
  const TempRun dir;
  ThreadPool pool(2);
  const Corpus corpus = corpus_from_generator(40, 1, {.bars = 4, .style = DiceStyle::chords});  // some longer than a line, some not
  RunSettings settings = small_settings();
  settings.packing = Packing::lines;
  settings.merges = false;
  settings.batch_size = 1;
  settings.steps = 0;  // twelve times through
  settings.keys = 1;
  settings.eval_every = 200;
  std::string said;
  RunHooks hooks;
  hooks.on_message = [&](const std::string& line) { said += line; };
  const auto whole = train_run(corpus, settings, dir / "whole", pool, hooks);
  REQUIRE(whole);
  const auto music = load_music_model(dir / "whole");
  REQUIRE(music);
  CHECK(music->model.config().block_size == 31);
  const auto encoded = encode_corpus(corpus, music->tokenizer);
  REQUIRE(encoded);
  std::size_t scored = 0, cut = 0;
  for (std::size_t i = 0; i < encoded->train.size(); ++i) {
    const std::size_t framed = encoded->train[i].size() + 2;
    scored += (std::min)(framed, std::size_t{32}) - 1;
    cut += framed > 32 ? 1u : 0u;
  }
  CHECK(cut > 0);
  CHECK(cut < encoded->train.size());
  CHECK(whole->train.step == static_cast<std::int64_t>(12 * encoded->train.size()));
  CHECK(whole->train.tokens == 12 * scored);
  CAPTURE(said);
  CHECK(said.find(concat({encoded->train.size(), " lines of 31 tokens to learn from in 1 key"})) != std::string::npos);
  CHECK(said.find(concat({whole->train.step, " steps of 1 x 31 tokens"})) != std::string::npos);
  CHECK(whole->held_out.model.count == whole->held_out.tokens);  // whole pieces
  CHECK(whole->held_out.model.mean() < whole->held_out.uniform.mean());
  check_makes_music(*music);

  std::atomic<bool> stop{false};
  hooks.stop = &stop;
  hooks.on_step = [&](const StepReport& r) { stop = r.step == 77; };
  REQUIRE(train_run(corpus, settings, dir / "half", pool, hooks));
  CHECK(why_refused(corpus, dir / "half", "\"lines\"", "\"packed\"", pool).find("packing") != std::string::npos);
  CHECK(why_refused(corpus, dir / "half", "\"lines\"", "\"circles\"", pool).find("unknown packing circles") != std::string::npos);
  REQUIRE(train_run(corpus, RunSettings{}, dir / "half", pool, {}, true));
  check_same_run(dir / "half", dir / "whole");
}

TEST_CASE("run: without token features it is a smaller net that learns, makes music and resumes to the same bytes") {
  const TempRun dir;
  ThreadPool pool(2);
  RunSettings settings = small_settings();
  const auto with = train_run(small_corpus(), settings, dir / "with", pool);
  REQUIRE(with);
  settings.token_features = false;
  const auto whole = train_run(small_corpus(), settings, dir / "whole", pool);
  REQUIRE(whole);
  const auto music = load_music_model(dir / "whole");
  REQUIRE(music);
  const auto n_features = static_cast<std::size_t>(token_features(music->tokenizer, music->codec).n_features);
  CHECK(n_features > 0);
  CHECK(with->parameters == whole->parameters + n_features * static_cast<std::size_t>(music->model.config().n_embd));
  CHECK(bytes_of(dir / "with/tokenizer.model") == bytes_of(dir / "whole/tokenizer.model"));
  CHECK(bytes_of(dir / "with/model.safetensors") != bytes_of(dir / "whole/model.safetensors"));
  CHECK(whole->held_out.model.count == with->held_out.model.count);
  CHECK(whole->held_out.model.mean() < whole->held_out.uniform.mean());
  check_makes_music(*music);

  std::atomic<bool> stop{false};
  RunHooks hooks;
  hooks.stop = &stop;
  hooks.on_step = [&](const StepReport& r) { stop = r.step == 7; };
  REQUIRE(train_run(small_corpus(), settings, dir / "half", pool, hooks));
  (void)why_refused(small_corpus(), dir / "half", "\"token_features\": false", "\"token_features\": true", pool);  // another net
  REQUIRE(train_run(small_corpus(), RunSettings{}, dir / "half", pool, {}, true));
  check_same_run(dir / "half", dir / "whole");
}

TEST_CASE("run: the model file alone makes music and is judged without what it has learnt from") {
  const TempRun dir;
  ThreadPool pool(2);
  const auto result = train_run(small_corpus(), small_settings(), dir / "r", pool);
  REQUIRE(result);
  fs::copy_file(dir / "r/model.safetensors", dir / "alone.safetensors");
  for (const std::string& path : {dir / "r", dir / "alone.safetensors"}) {
    const auto music = load_music_model(path);
    REQUIRE(music);
    Generator generator(music->model);
    GenerateOptions options;
    options.max_tokens = 60;
    const auto piece = generate_score(generator, music->tokenizer, music->codec, Score{}, options);
    REQUIRE(piece);
    CHECK(piece->notes > 0);
  }
  const auto music = load_music_model(dir / "r");
  std::size_t left_out = 0;
  const auto c = evaluate_music(*music, small_corpus(), dir / "r", pool, &left_out);
  REQUIRE(c);
  CHECK(left_out + c->pieces == small_corpus().pieces.size());
  CHECK(c->pieces == result->held_out.pieces);
  CHECK(c->notes == result->held_out.notes);
  CHECK(c->markov2.nats == doctest::Approx(result->held_out.markov2.nats));
  CHECK(c->model.nats == doctest::Approx(result->held_out.model.nats).epsilon(1e-5));  // folded features round differently
  const auto alone = evaluate_music(*music, small_corpus(), "", pool);
  REQUIRE(alone);
  CHECK(alone->pieces == small_corpus().pieces.size());
  CHECK(alone->markov2.count == 0);
}

TEST_CASE("run: what cannot be done is said, and nothing is left half-written") {
  const TempRun dir;
  ThreadPool pool(1);
  const auto one = train_run(corpus_from_generator(1, 1), small_settings(), dir / "one", pool);
  REQUIRE_FALSE(one);
  CHECK(one.error().what.find("at least two") != std::string::npos);
  CHECK_FALSE(fs::exists(dir / "one"));
  CHECK_FALSE(train_run(small_corpus(), RunSettings{}, dir / "none", pool, {}, true));
  CHECK_FALSE(fs::exists(dir / "none"));
  CHECK_FALSE(load_music_model(dir / "none"));
  fs::create_directories(dir.root);
  REQUIRE(write_file_atomic(dir / "settings.json", "{\"preset\": \"nano\", \"steps\": tomorrow}"));
  const auto settings = read_settings(dir.root.string());
  REQUIRE_FALSE(settings);
  CHECK(settings.error().offset == 28);
}

TEST_CASE("run: settings come back from their file as they were") {
  const TempRun dir;
  fs::create_directories(dir.root);
  RunSettings s = small_settings();
  s.learning_rate = 0.00123;
  s.packing = Packing::lines;
  s.token_features = false;
  s.merges = false;
  s.keys = 12;
  s.seconds = 12.5;
  s.seed = 0xFFFFFFFFFFFFFFFF;
  REQUIRE(write_file_atomic(dir / "settings.json", detail::run::settings_json(s, CodecKind::split)));
  CodecKind codec{};
  const auto back = read_settings(dir.root.string(), &codec);
  REQUIRE(back);
  CHECK(*back == s);
  CHECK(codec == CodecKind::split);
}
