#include <midigpt/train/trainer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

using namespace midigpt;

namespace {

/// Pieces with a rule to learn: each id is the one before plus a step that the piece's first id tells.
IdPieces walks(std::size_t count, std::uint64_t seed) {
  IdPieces pieces;
  Rng rng(seed);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t step = rng.between(1, 3);
    std::vector<std::int32_t> piece{3 + step};
    std::int32_t at = rng.between(0, 9);
    for (int n = rng.between(10, 40); n > 0; --n) {
      piece.push_back(8 + at);
      at = (at + step) % 10;
    }
    pieces.add(piece);
  }
  return pieces;
}

struct Folder {
  std::string path;
  explicit Folder(const std::string& name) : path("trainer_test." + name) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] Bytes file(const std::string& name) const {
    auto bytes = read_file(path + "/" + name);
    return bytes ? *std::move(bytes) : Bytes{};
  }
};

SparseFeatures some_features() {
  SparseFeatures f{.n_features = 4, .row_begin = {0}, .column = {}, .value = {}};
  for (std::int32_t v = 0; v < 18; ++v) {
    if (v >= 8) f.column.push_back(v % 4);
    f.row_begin.push_back(static_cast<std::int32_t>(f.column.size()));
  }
  f.value.assign(f.column.size(), 1.0f);
  return f;
}

/// Everything a run needs, made anew each time.
struct Run {
  IdPieces pieces = walks(60, 1), held_pieces = walks(12, 2);
  Gpt<float> model;
  Dataset data;
  EvalSet held_out;
  ThreadPool pool;

  explicit Run(std::size_t threads = 1, float dropout = 0.1f, std::uint64_t seed = 1)
      : model({.n_layer = 2, .n_head = 2, .n_embd = 16, .block_size = 32, .vocab_size = 18, .dropout = dropout}, some_features()),
        data(pieces, {.block_size = 32, .bos_id = 1, .eos_id = 2, .seed = seed}), held_out(held_pieces, 32, 1, 2), pool(threads) {
    model.init(seed);
  }
  static TrainOptions options(const std::string& folder = {}) {
    TrainOptions o;
    o.steps = 30;
    o.batch_size = 4;
    o.accumulation = 2;
    o.schedule = {.lr = 3e-3, .warmup = 5};
    o.eval_every = 10;
    o.eval_batch = 5;
    o.folder = folder;
    return o;
  }
};

bool same_parameters(const Gpt<float>& a, const Gpt<float>& b) {
  for (std::size_t i = 0; i < a.parameters().size(); ++i) {
    if (!(a.parameters()[i].value == b.parameters()[i].value)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("trainer: it learns a rule, far below the uniform loss, and reports what it did") {
  Run run(1, 0.0f);
  auto options = Run::options();
  options.steps = 300;
  options.eval_every = 100;
  options.schedule.lr = 1e-2;
  std::int64_t steps = 0;
  std::vector<EvalReport> evals;
  options.on_step = [&](const StepReport& r) {
    CHECK(r.step == ++steps);
    CHECK(r.steps == 300);
    CHECK(std::isfinite(r.loss));
  };
  options.on_eval = [&](const EvalReport& r) { evals.push_back(r); };
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  const double before = trainer.evaluate().mean();
  auto result = trainer.run();
  REQUIRE(result);
  CHECK(before == doctest::Approx(std::log(18.0)).epsilon(0.1));
  CHECK(result->ending == Ending::steps);
  CHECK(result->step == 300);
  CHECK(steps == 300);
  REQUIRE(evals.size() == 3);
  CHECK(evals[2].held_out.count == run.held_out.count());
  CHECK(evals[2].held_out.mean() < 0.6);
  CHECK(result->best.mean() <= evals[2].held_out.mean());
  CHECK(result->tokens > 0);
}

TEST_CASE("trainer: evaluation is exact: every held-out token once, whatever the batch") {
  Run run;
  auto options = Run::options();
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  const Loss batched = trainer.evaluate();
  CHECK(batched.count == run.held_out.count());
  double nats = 0;
  GptWorkspace<float> workspace;
  for (const EvalWindow& w : run.held_out.windows()) {
    const std::size_t n = w.tokens.size() - 1, V = 18;
    std::vector<float> logits(n * V);
    run.model.logits(w.tokens.first(n), 1, n, logits, workspace, run.pool);
    for (std::size_t i = w.first_scored; i <= n; ++i) {
      double sum = 0;
      for (std::size_t v = 0; v < V; ++v) sum += std::exp(static_cast<double>(logits[(i - 1) * V + v]));
      nats += std::log(sum) - static_cast<double>(logits[(i - 1) * V + static_cast<std::size_t>(w.tokens[i])]);
    }
  }
  CHECK(batched.nats == doctest::Approx(nats).epsilon(1e-5));
  options.eval_batch = 1;
  Trainer one(run.model, run.data, run.held_out, run.pool, options);
  CHECK(one.evaluate().nats == doctest::Approx(nats).epsilon(1e-5));
}

TEST_CASE("trainer: accumulating micro-batches is the gradient of the whole batch") {
  std::vector<Gpt<float>> models;
  for (const int parts : {1, 2, 4}) {
    Run run(1, 0.0f);
    auto options = Run::options();
    options.batch_size = 8 / parts;
    options.accumulation = parts;
    Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
    for (int i = 0; i < 5; ++i) REQUIRE(trainer.step());
    models.push_back(run.model);
  }
  for (std::size_t m = 1; m < 3; ++m) {
    double worst = 0;
    for (std::size_t i = 0; i < models[0].parameters().size(); ++i) {
      for (std::size_t j = 0; j < models[0].parameters()[i].value.size(); ++j) {
        worst = (std::max)(worst, static_cast<double>(std::abs(models[0].parameters()[i].value[j] - models[m].parameters()[i].value[j])));
      }
    }
    CHECK(worst < 2e-3);  // AdamW turns the rounding of a gradient near zero into a step of some size
  }
}

TEST_CASE("trainer: the same seed gives the same files on 1, 2, 4 and 8 threads") {
  Folder first("threads1");
  std::vector<Bytes> want;
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    CAPTURE(threads);
    Folder folder("threads");
    Run run(threads);
    Trainer trainer(run.model, run.data, run.held_out, run.pool, Run::options(folder.path));
    REQUIRE(trainer.run());
    const std::vector<Bytes> files{folder.file("model.safetensors"), folder.file("resume.safetensors"), folder.file("log.csv")};
    if (want.empty()) want = files;
    CHECK(files == want);
    CHECK(!files[0].empty());
  }
  Folder other("seed");
  Run run(1, 0.1f, 2);
  Trainer trainer(run.model, run.data, run.held_out, run.pool, Run::options(other.path));
  REQUIRE(trainer.run());
  CHECK(other.file("model.safetensors") != want[0]);
}

TEST_CASE("trainer: stopped anywhere and resumed, it ends with the bytes of a run that never stopped") {
  Folder whole("whole");
  Run reference;
  {
    Trainer trainer(reference.model, reference.data, reference.held_out, reference.pool, Run::options(whole.path));
    REQUIRE(trainer.run());
  }
  for (const std::int64_t at : {1, 9, 10, 11, 29}) {
    CAPTURE(at);
    Folder folder("parts");
    std::atomic<bool> stop{false};
    {
      Run run;
      auto options = Run::options(folder.path);
      options.stop = &stop;
      options.on_step = [&](const StepReport& r) { stop = r.step == at; };
      Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
      auto result = trainer.run();
      REQUIRE(result);
      CHECK(result->ending == Ending::stopped);
      CHECK(result->step == at);
      CHECK(!folder.file("model.safetensors").empty());
    }
    Run run(2, 0.1f);
    run.model.init(77);  // what it holds before does not matter
    Trainer trainer(run.model, run.data, run.held_out, run.pool, Run::options(folder.path));
    REQUIRE(trainer.resume());
    CHECK(trainer.step_count() == at);
    auto result = trainer.run();
    REQUIRE(result);
    CHECK(result->step == 30);
    CHECK(same_parameters(run.model, reference.model));
    for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"}) {
      CAPTURE(name);
      CHECK(folder.file(name) == whole.file(name));
    }
  }
}

TEST_CASE("trainer: it does not resume another run, a broken state or none") {
  Folder folder("other");
  Run run;
  {
    Trainer trainer(run.model, run.data, run.held_out, run.pool, Run::options(folder.path));
    REQUIRE(!trainer.resume());
    REQUIRE(trainer.run());
  }
  auto options = Run::options(folder.path);
  options.seed = 5;
  CHECK(!Trainer(run.model, run.data, run.held_out, run.pool, options).resume());
  options = Run::options(folder.path);
  options.batch_size = 3;
  CHECK(!Trainer(run.model, run.data, run.held_out, run.pool, options).resume());
  Dataset data(walks(50, 9), run.data.options());
  CHECK(!Trainer(run.model, data, run.held_out, run.pool, Run::options(folder.path)).resume());
  Bytes bytes = folder.file("resume.safetensors");
  bytes.resize(bytes.size() - 1);
  REQUIRE(write_file_atomic(folder.path + "/resume.safetensors", bytes));
  CHECK(!Trainer(run.model, run.data, run.held_out, run.pool, Run::options(folder.path)).resume());
}

TEST_CASE("trainer: the best model is kept, not the last, and patience ends the run") {
  Folder folder("best");
  Run run(1, 0.0f);
  auto options = Run::options(folder.path);
  options.steps = 4000;
  options.accumulation = 1;
  options.schedule = {.kind = Schedule::constant, .lr = 1e-2, .warmup = 5};
  options.patience = 3;
  Dataset two(walks(2, 1), run.data.options());  // so little that it must overfit
  Trainer trainer(run.model, two, run.held_out, run.pool, options);
  auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->ending == Ending::patience);
  CHECK(result->step == result->best_step + 30);
  CHECK(result->best.mean() < result->held_out.mean());
  auto best = load_model(folder.path + "/model.safetensors");
  REQUIRE(best);
  CHECK(best->metadata.at("midigpt.steps") == std::to_string(result->best_step));
  Run again;
  Trainer judge(best->model, again.data, again.held_out, again.pool, Run::options());
  CHECK(judge.evaluate().mean() == doctest::Approx(result->best.mean()).epsilon(1e-5));
}

TEST_CASE("trainer: numbers that stop being sound end the run by name and leave the saved model") {
  Folder folder("diverged");
  Run run(1, 0.0f);
  auto options = Run::options(folder.path);
  bool broken = false;
  options.on_eval = [&](const EvalReport&) {
    if (!std::exchange(broken, true)) run.model.parameters()[5].value[0] = std::numeric_limits<float>::quiet_NaN();
  };
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->ending == Ending::diverged);
  CHECK(result->step == 10);
  CAPTURE(result->message);
  CHECK(result->message.starts_with("step 11: "));
  CHECK(result->message.find(run.model.parameters()[5].name) != std::string::npos);
  CHECK(result->message.find("learning rate") != std::string::npos);
  CHECK(load_model(folder.path + "/model.safetensors"));
  Run fresh;
  Trainer next(fresh.model, fresh.data, fresh.held_out, fresh.pool, Run::options(folder.path));
  CHECK(!next.resume());  // dropout differs
  Run same(1, 0.0f);
  Trainer goes_on(same.model, same.data, same.held_out, same.pool, Run::options(folder.path));
  REQUIRE(goes_on.resume());
  CHECK(goes_on.step_count() == 10);
  CHECK(goes_on.run()->ending == Ending::steps);
}

TEST_CASE("trainer: a rate far too high is noticed") {
  Run run(1, 0.0f);
  auto options = Run::options();
  options.steps = 500;
  options.clip = 0;
  options.schedule = {.kind = Schedule::constant, .lr = 1e4, .warmup = 0};
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->ending == Ending::diverged);
  CHECK(result->message.find("lower learning rate") != std::string::npos);
}

TEST_CASE("trainer: a time limit ends it, a folder that is not there is an error, long rows are refused") {
  Run run;
  auto options = Run::options();
  options.steps = 1000000000;
  options.seconds = 0.2;
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->ending == Ending::seconds);
  CHECK(result->seconds < 5);
  auto none = Trainer(run.model, run.data, run.held_out, run.pool, Run::options("no/such/folder")).run();
  REQUIRE(!none);
  CHECK(none.error().code == Errc::io);
  Dataset wide(walks(5, 1), {.block_size = 33});
  CHECK_THROWS_AS(Trainer(run.model, wide, run.held_out, run.pool, Run::options()), ShapeError);
}
