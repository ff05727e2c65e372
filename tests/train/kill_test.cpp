// kill -9 in the middle of training, then resume, until the run is done: the files must be those of a run left alone.
#include <doctest/doctest.h>

#if !defined(_WIN32)

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include <train/trainer_run.hpp>

using namespace midigpt;

namespace {

TrainOptions kill_options(const std::string& folder) {
  auto options = TestRun::options(folder);
  options.steps = 400;
  options.eval_every = 20;
  options.save_every = 7;
  return options;
}

/// A process of its own that trains to the end, from the state in the folder if there is one. Exit code 0 when done.
pid_t start_training(const std::string& folder, std::size_t threads) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  TestRun run(threads);
  Trainer trainer(run.model, run.data, run.held_out, run.pool, kill_options(folder));
  const bool have_state = std::filesystem::exists(folder + "/resume.safetensors");
  const bool ready = !have_state || trainer.resume();
  ::_exit(ready && trainer.run() ? 0 : 1);
}

}  // namespace

TEST_CASE("trainer: killed with -9 at random moments and resumed, it ends with the bytes of a run left alone") {
  constexpr int kills_wanted = 20;
  TestFolder whole("kill_whole");
  int status = 0;
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(::waitpid(start_training(whole.path, 1), &status, 0) > 0);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  const auto whole_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count();
  Rng rng(static_cast<std::uint64_t>(whole_us));  // moments that no two test runs share
  int kills = 0, attempts = 0, with_state = 0;
  while (kills < kills_wanted && attempts++ < 200) {
    TestFolder folder("kill");
    bool saved = false;
    for (bool done = false; !done;) {
      const pid_t child = start_training(folder.path, 1 + static_cast<std::size_t>(kills) % 2);
      const bool let_live = kills >= kills_wanted;
      if (!let_live)
        std::this_thread::sleep_for(std::chrono::microseconds(rng.below(static_cast<std::uint32_t>(whole_us))));
      if (!let_live) ::kill(child, SIGKILL);
      REQUIRE(::waitpid(child, &status, 0) > 0);
      if (WIFSIGNALED(status)) {
        REQUIRE(WTERMSIG(status) == SIGKILL);
        ++kills;
        const bool state = std::filesystem::exists(folder.path + "/resume.safetensors");
        const bool model = std::filesystem::exists(folder.path + "/model.safetensors");
        CHECK(state >= saved);  // the old file or the new one, never neither and never a torn one
        if (state) CHECK(read_safetensors(folder.path + "/resume.safetensors"));
        if (model) CHECK(load_model(folder.path + "/model.safetensors"));
        with_state += state ? 1 : 0;
        saved = state;
      } else {
        REQUIRE(WEXITSTATUS(status) == 0);
        done = true;
      }
    }
    for (const char* name : {"model.safetensors", "resume.safetensors", "log.csv"}) {
      CAPTURE(name);
      CHECK(folder.file(name) == whole.file(name));
    }
  }
  CHECK(kills >= kills_wanted);
  CHECK(with_state >= kills_wanted / 4);
  MESSAGE("killed " << kills << " times over " << attempts << " runs, " << with_state << " times with a state on disk");
}

#endif
