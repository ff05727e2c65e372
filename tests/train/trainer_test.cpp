#include <midigpt/train/trainer.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <support/worst.hpp>
#include <train/trainer_run.hpp>

using namespace midigpt;

TEST_CASE("trainer: it learns a rule, far below the uniform loss, and reports what it did") {
  TestRun run(1, 0.0f);
  auto options = TestRun::options();
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
  TestRun run;
  auto options = TestRun::options();
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
  double loss = 0, norm = 0;
  for (const int parts : {1, 2, 4}) {
    TestRun run(1, 0.0f);
    auto options = TestRun::options();
    options.batch_size = 8 / parts;
    options.accumulation = parts;
    Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
    for (int i = 0; i < 5; ++i) {
      REQUIRE(trainer.step());
      if (i > 0) continue;
      if (parts == 1) {
        loss = trainer.last_step().loss;
        norm = trainer.last_step().grad_norm;
      }
      CHECK(trainer.last_step().loss == doctest::Approx(loss).epsilon(1e-6));
      CHECK(trainer.last_step().grad_norm == doctest::Approx(norm).epsilon(1e-6));
    }
    models.push_back(run.model);
  }
  for (std::size_t m = 1; m < 3; ++m) {
    Worst worst;
    for (std::size_t i = 0; i < models[0].parameters().size(); ++i) {
      for (std::size_t j = 0; j < models[0].parameters()[i].value.size(); ++j) {
        worst(static_cast<double>(std::abs(models[0].parameters()[i].value[j] - models[m].parameters()[i].value[j])));
      }
    }
    CHECK(worst.error < 2e-3);  // AdamW turns the rounding of a gradient near zero into a step of some size
  }
}

TEST_CASE("trainer: the same seed gives the same files on 1, 2, 4 and 8 threads") {
  TestFolder first("threads1");
  std::vector<Bytes> want;
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    CAPTURE(threads);
    TestFolder folder("threads");
    TestRun run(threads);
    auto options = TestRun::options(folder.path);
    options.steps = 100;
    Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
    REQUIRE(trainer.run());
    const std::vector<Bytes> files{folder.file("model.safetensors"), folder.file("resume.safetensors"),
                                   folder.file("log.csv")};
    if (want.empty()) want = files;
    CHECK(files == want);
    CHECK(!files[0].empty());
  }
  TestFolder other("seed");
  TestRun run(1, 0.1f, 2);
  Trainer trainer(run.model, run.data, run.held_out, run.pool, TestRun::options(other.path));
  REQUIRE(trainer.run());
  CHECK(other.file("model.safetensors") != want[0]);
}

TEST_CASE("trainer: stopped anywhere and resumed, it ends with the bytes of a run that never stopped; an evaluation waits for the resumed run") {
  for (const std::int64_t eval_every : {10, 7}) {  // the last step is one of them or not
    CAPTURE(eval_every);
    TestFolder whole("whole");
    TestRun reference;
    {
      auto options = TestRun::options(whole.path);
      options.eval_every = eval_every;
      Trainer trainer(reference.model, reference.data, reference.held_out, reference.pool, options);
      REQUIRE(trainer.run());
    }
    for (const std::int64_t at : {1, 7, 9, 10, 11, 28, 29, 30}) {
      CAPTURE(at);
      TestFolder folder("parts");
      auto options = TestRun::options(folder.path);
      options.eval_every = eval_every;
      std::atomic<bool> stop{false};
      {
        TestRun run;
        std::int64_t evaluations = 0;
        options.stop = &stop;
        options.on_step = [&](const StepReport& r) { stop = r.step == at; };
        options.on_eval = [&](const EvalReport&) { ++evaluations; };
        Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
        auto result = trainer.run();
        REQUIRE(result);
        CHECK(result->ending == Ending::stopped);
        CHECK(result->step == at);
        CHECK(evaluations == (at - 1) / eval_every);
        CHECK(!folder.file("model.safetensors").empty());
      }
      options.on_step = nullptr;
      options.on_eval = nullptr;
      const Bytes state = folder.file("resume.safetensors"), log = folder.file("log.csv");
      {
        TestRun run;  // the flag is still set: nothing happens
        Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
        REQUIRE(trainer.resume());
        const TrainResult result = trainer.run().value();
        CHECK(result.ending == Ending::stopped);
        CHECK(folder.file("resume.safetensors") == state);
        CHECK(folder.file("log.csv") == log);
      }
      options.stop = nullptr;
      for (const bool killed : {false, true}) {  // after the log was written, before the state was
        CAPTURE(killed);
        if (killed) REQUIRE(write_file_atomic(folder.path + "/resume.safetensors", state));
        TestRun run(2, 0.1f);
        run.model.init(77);  // what it holds before does not matter
        Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
        REQUIRE(trainer.resume());
        CHECK(trainer.step_count() == at);
        auto result = trainer.run();
        REQUIRE(result);
        CHECK(result->ending == Ending::steps);
        CHECK(result->step == 30);
        CHECK(same_parameters(run.model, reference.model));
        for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"}) {
          CAPTURE(name);
          CHECK(folder.file(name) == whole.file(name));
        }
      }
    }
  }
}

TEST_CASE("trainer: the stop flag ends an evaluation between two batches, whoever set it in the middle") {
  TestRun run;
  const EvalSet large(walks(12000, 3), 32, 1, 2);
  GptWorkspace<float> workspace;
  Batch batch;
  std::atomic<bool> stop{false};
  const auto stop_after = [&](std::chrono::milliseconds wait) {
    return std::thread([&stop, wait] {
      std::this_thread::sleep_for(wait);
      stop = true;
    });
  };
  Loss part;
  for (int i = 0; i < 50 && (part.count == 0 || part.count == large.count()); ++i) {  // until it was in the middle
    stop = false;
    std::thread timer = stop_after(std::chrono::milliseconds(1 << i % 10));
    part = evaluate(run.model, large, workspace, run.pool, batch, 5, &stop);
    timer.join();
  }
  CHECK(part.count > 0);
  CHECK(part.count < large.count());
  std::size_t scored = 0, windows = 0;  // of whole batches
  while (scored < part.count) {
    for (int b = 0; b < 5; ++b, ++windows) scored += large.windows()[windows].tokens.size() - large.windows()[windows].first_scored;
  }
  CHECK(scored == part.count);
  MESSAGE("stopped after " << windows << " of " << large.windows().size() << " windows");

  TestFolder folder("stopped"), whole("whole");
  auto options = TestRun::options(whole.path);
  options.steps = options.eval_every = 2;
  REQUIRE(Trainer(run.model, run.data, large, run.pool, options).run());
  std::thread timer;
  options.folder = folder.path;
  options.stop = &stop;
  options.on_step = [&](const StepReport& r) {
    if (r.step == 2) timer = stop_after(std::chrono::milliseconds(5));
  };
  TrainResult stopped;
  for (int i = 0; i < 50 && stopped.ending != Ending::stopped; ++i) {  // a late timer finds the run at its end
    TestRun half;
    stop = false;
    stopped = Trainer(half.model, half.data, large, half.pool, options).run().value();
    timer.join();
  }
  CHECK(stopped.ending == Ending::stopped);
  CHECK(stopped.step == 2);
  CHECK(stopped.best_step == 0);
  options.stop = nullptr;
  options.on_step = nullptr;
  TestRun rest;
  Trainer trainer(rest.model, rest.data, large, rest.pool, options);
  REQUIRE(trainer.resume());
  CHECK(trainer.run().value().ending == Ending::steps);
  for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"}) {
    CAPTURE(name);
    CHECK(folder.file(name) == whole.file(name));
  }
}

TEST_CASE("trainer: the author's data set trains, padding among what is learnt; resumed, the same bytes") {
  TestFolder whole("author"), parts("author_parts");
  struct AuthorRun : TestRun {
    Dataset lines{pieces, author_dataset()};
    EvalSet lines_held_out{held_pieces, 31, -1, -1};
  };
  auto options = TestRun::options(whole.path);
  options.steps = 120;
  options.schedule.lr = 1e-2;
  double first = 0, last = 0;  // mean loss of 20 steps
  options.on_step = [&](const StepReport& r) {
    if (r.step <= 20) first += r.loss / 20;
    if (r.step > 100) last += r.loss / 20;
  };
  AuthorRun run;
  const TrainResult result = Trainer(run.model, run.lines, run.lines_held_out, run.pool, options).run().value();
  CHECK(last < 0.6 * first);
  CHECK(result.held_out.count == run.lines_held_out.count());
  CHECK(result.tokens == 120 * 4 * 2 * 31);  // every place of every row is scored
  std::map<std::vector<std::int32_t>, std::size_t> padding_of;  // by row of 32
  for (std::size_t i = 0; i < run.pieces.size(); ++i) {
    std::vector<std::int32_t> row(run.pieces[i].begin(), run.pieces[i].end());
    const std::size_t length = row.size();
    row.resize(32, 0);
    padding_of[row] = length < 32 ? 32 - length : 0;
  }
  std::size_t padding = 0, want = 0;
  Batch batch;
  for (std::uint64_t n = 0; n < 120 * 2; ++n) {
    run.lines.fill(n, 4, batch);
    for (const std::int32_t target : batch.targets) padding += target == 0 ? 1u : 0u;
    for (std::size_t b = 0; b < 4; ++b) {
      std::vector<std::int32_t> row{batch.tokens[b * 31]};
      row.insert(row.end(), batch.targets.begin() + static_cast<std::ptrdiff_t>(b * 31), batch.targets.begin() + static_cast<std::ptrdiff_t>(b * 31 + 31));
      REQUIRE(padding_of.contains(row));
      want += padding_of[row];
    }
  }
  CHECK(padding > 0);
  CHECK(padding == want);

  std::atomic<bool> stop{false};
  options.folder = parts.path;
  options.stop = &stop;
  options.on_step = [&](const StepReport& r) { stop = r.step == 33; };
  AuthorRun half;
  CHECK(Trainer(half.model, half.lines, half.lines_held_out, half.pool, options).run().value().ending == Ending::stopped);
  options.stop = nullptr;
  AuthorRun rest;
  CHECK(!Trainer(rest.model, rest.data, rest.held_out, rest.pool, options).resume());  // windows
  auto ignoring = author_dataset();
  ignoring.score_padding = false;
  Dataset other(rest.pieces, ignoring);
  CHECK(!Trainer(rest.model, other, rest.lines_held_out, rest.pool, options).resume());
  Trainer trainer(rest.model, rest.lines, rest.lines_held_out, rest.pool, options);
  REQUIRE(trainer.resume());
  REQUIRE(trainer.run());
  for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"}) {
    CAPTURE(name);
    CHECK(parts.file(name) == whole.file(name));
  }
}

TEST_CASE("trainer: the log has a row for each step, the numbers that were reported, the held-out loss where it was judged") {
  for (const std::int64_t eval_every : {10, 7}) {
    TestFolder folder("log");
    TestRun run;
    auto options = TestRun::options(folder.path);
    std::string want = "step,train_nats_per_token,learning_rate,grad_norm,held_out_nats_per_token\n";
    options.eval_every = eval_every;
    options.on_step = [&](const StepReport& r) {
      want += concat({r.step, ",", json_number(r.loss), ",", json_number(r.learning_rate), ",", json_number(r.grad_norm), ",\n"});
      CHECK(r.learning_rate == learning_rate(options.schedule, r.step - 1, 30));
      CHECK(r.tokens_per_second > 0);
      CHECK(r.eta_seconds >= 0);
    };
    options.on_eval = [&](const EvalReport& r) {
      want.pop_back();
      want += json_number(r.held_out.mean()) + "\n";
    };
    REQUIRE(Trainer(run.model, run.data, run.held_out, run.pool, options).run());
    CHECK(std::string(as_chars(folder.file("log.csv"))) == want);
    const auto model = load_model(folder.path + "/model.safetensors");
    REQUIRE(model);
    CHECK(model->metadata.at("midigpt.seed") == "1");
  }
}

TEST_CASE("trainer: resuming a finished run changes nothing, with more steps it goes on") {
  TestFolder folder("finished");
  TestRun run;
  REQUIRE(Trainer(run.model, run.data, run.held_out, run.pool, TestRun::options(folder.path)).run());
  std::vector<Bytes> files;
  for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"}) files.push_back(folder.file(name));
  TestRun again;
  Trainer trainer(again.model, again.data, again.held_out, again.pool, TestRun::options(folder.path));
  REQUIRE(trainer.resume());
  const TrainResult result = trainer.run().value();
  CHECK(result.step == 30);
  CHECK(result.best_step > 0);
  std::size_t i = 0;
  for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"})
    CHECK(folder.file(name) == files[i++]);
  auto options = TestRun::options(folder.path);
  options.steps = 40;
  TestRun more;
  Trainer longer(more.model, more.data, more.held_out, more.pool, options);
  REQUIRE(longer.resume());
  CHECK(longer.run().value().step == 40);
}

TEST_CASE("trainer: it does not resume another run, a broken state or none") {
  TestFolder folder("other");
  TestRun run;
  {
    Trainer trainer(run.model, run.data, run.held_out, run.pool, TestRun::options(folder.path));
    REQUIRE(!trainer.resume());
    REQUIRE(trainer.run());
  }
  auto options = TestRun::options(folder.path);
  options.seed = 5;
  CHECK(!Trainer(run.model, run.data, run.held_out, run.pool, options).resume());
  options = TestRun::options(folder.path);
  options.batch_size = 3;
  CHECK(!Trainer(run.model, run.data, run.held_out, run.pool, options).resume());
  Dataset data(walks(50, 9), run.data.options());
  CHECK(!Trainer(run.model, data, run.held_out, run.pool, TestRun::options(folder.path)).resume());
  Bytes bytes = folder.file("resume.safetensors");
  bytes.resize(bytes.size() - 1);
  REQUIRE(write_file_atomic(folder.path + "/resume.safetensors", bytes));
  CHECK(!Trainer(run.model, run.data, run.held_out, run.pool, TestRun::options(folder.path)).resume());
}

TEST_CASE("trainer: the best model is kept, not the last, and patience ends the run") {
  TestFolder folder("best");
  TestRun run(1, 0.0f);
  auto options = TestRun::options(folder.path);
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
  TestRun again;
  Trainer judge(best->model, again.data, again.held_out, again.pool, TestRun::options());
  CHECK(judge.evaluate().mean() == doctest::Approx(result->best.mean()).epsilon(1e-5));
  const Bytes state = folder.file("resume.safetensors");
  TestRun more(1, 0.0f);
  Trainer resumed(more.model, two, more.held_out, more.pool, options);
  REQUIRE(resumed.resume());
  CHECK(resumed.run().value().ending == Ending::patience);  // what has ended stays as it is
  CHECK(folder.file("resume.safetensors") == state);
}

TEST_CASE("trainer: numbers that stop being sound end the run by name and leave the saved model") {
  TestFolder folder("diverged");
  TestRun run(1, 0.0f);
  auto options = TestRun::options(folder.path);
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
  CHECK(result->message.find("learning rate") != std::string::npos);
  CHECK(result->message.find("'" + run.model.parameters()[5].name + "' is no longer finite") != std::string::npos);
  CHECK(load_model(folder.path + "/model.safetensors"));
  TestRun fresh;
  Trainer next(fresh.model, fresh.data, fresh.held_out, fresh.pool, TestRun::options(folder.path));
  CHECK(!next.resume());  // dropout differs
  TestRun same(1, 0.0f);
  Trainer goes_on(same.model, same.data, same.held_out, same.pool, TestRun::options(folder.path));
  REQUIRE(goes_on.resume());
  CHECK(goes_on.step_count() == 10);
  CHECK(goes_on.run()->ending == Ending::steps);
}

TEST_CASE("trainer: an update that breaks the model is noticed before anything is written, whoever would write next") {
  TestFolder folder("exploded");
  TestRun run(1, 0.0f);
  auto options = TestRun::options(folder.path);
  options.eval_every = 0;
  REQUIRE(Trainer(run.model, run.data, run.held_out, run.pool, options).run());
  const Bytes model = folder.file("model.safetensors"), state = folder.file("resume.safetensors");
  enum Writer { evaluation, evaluation_of_nothing, interval, ctrl_c, nobody };
  for (const Writer writer : {evaluation, evaluation_of_nothing, interval, ctrl_c, nobody}) {
    for (const double lr : {3.0, 1e4, 1e30}) {
      CAPTURE(static_cast<int>(writer));
      CAPTURE(lr);
      REQUIRE(write_file_atomic(folder.path + "/model.safetensors", model));
      REQUIRE(write_file_atomic(folder.path + "/resume.safetensors", state));
      TestRun next(1, 0.0f);
      const EvalSet nothing(IdPieces{}, 32, 1, 2);
      std::atomic<bool> stop{false};
      options.steps = 200;
      options.clip = 0;
      options.schedule = {.kind = Schedule::constant, .lr = lr, .warmup = 0};
      options.eval_every = writer == evaluation || writer == evaluation_of_nothing ? 1 : 0;
      options.save_every = writer == interval ? 1 : 0;
      options.stop = writer == ctrl_c ? &stop : nullptr;
      options.on_step = [&](const StepReport& r) { stop = r.step == 31; };
      Trainer trainer(next.model, next.data, writer == evaluation_of_nothing ? nothing : next.held_out, next.pool, options);
      REQUIRE(trainer.resume());
      const TrainResult result = trainer.run().value();
      CAPTURE(result.message);
      CHECK(result.ending == Ending::diverged);
      CHECK(result.message.starts_with(concat({"step ", writer == nobody ? 32 : 31, ": "})));
      CHECK(result.message.find("'") != std::string::npos);
      CHECK(result.message.find("lower learning rate (now " + json_number(lr)) != std::string::npos);
      CHECK(folder.file("model.safetensors") == model);
      CHECK(folder.file("resume.safetensors") == state);
    }
  }
}

TEST_CASE("trainer: a gradient that explodes ends the run where nothing clips it, with the name of the largest") {
  for (const double clip : {0.0, 1.0}) {
    CAPTURE(clip);
    TestRun run(1, 0.0f);
    for (auto& p : run.model.parameters()) {  // the same logits, slopes of the table 1e9 times as steep
      if (p.name.starts_with("wte.")) p.value.map() *= 1e-9f;
      if (p.name == "ln_f.weight") p.value.map() *= 1e9f;
    }
    auto options = TestRun::options();
    options.clip = clip;
    options.steps = 1;
    Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
    const bool stepped = trainer.step();
    CAPTURE(trainer.message());
    CHECK(stepped == (clip > 0));
    CHECK(trainer.last_step().loss < 5);
    CHECK(trainer.last_step().grad_norm > 1e6);
    if (stepped) continue;
    const Parameter<float>* largest = nullptr;
    for (const auto& p : run.model.parameters()) {
      if (largest == nullptr || p.grad.map().norm() > largest->grad.map().norm()) largest = &p;
    }
    CHECK(trainer.message().starts_with("step 1: "));
    CHECK(trainer.message().find("most of it of '" + largest->name + "'") != std::string::npos);
  }
}

TEST_CASE("trainer: a time limit ends it, a folder that is not there is an error, long rows are refused") {
  TestRun run;
  auto options = TestRun::options();
  options.steps = 1000000000;
  options.seconds = 0.2;
  Trainer trainer(run.model, run.data, run.held_out, run.pool, options);
  auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->ending == Ending::seconds);
  CHECK(result->seconds < 5);
  auto none = Trainer(run.model, run.data, run.held_out, run.pool, TestRun::options("no/such/folder")).run();
  REQUIRE(!none);
  CHECK(none.error().code == Errc::io);
  Dataset wide(walks(5, 1), {.block_size = 33});
  CHECK_THROWS_AS(Trainer(run.model, wide, run.held_out, run.pool, TestRun::options()), ShapeError);
}
