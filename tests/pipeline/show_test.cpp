#include <midigpt/pipeline/show.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/midi/read.hpp>

using namespace midigpt;
namespace fs = std::filesystem;

namespace {

/// What f() writes to stderr while it is a file, not a terminal.
std::string on_stderr(const std::function<void()>& f) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  std::fflush(stderr);
  const int saved = ::dup(2);
  ::dup2(::fileno(file), 2);
  f();
  std::fflush(stderr);
  ::dup2(saved, 2);
  ::close(saved);
  std::string text;
  std::rewind(file);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text.push_back(static_cast<char>(c));
  std::fclose(file);
  return text;
}

struct TempFolder {
  fs::path path = fs::temp_directory_path() / ("midigpt_show_test_" + std::to_string(::getpid()));
  TempFolder() { fs::create_directories(path); }
  ~TempFolder() { fs::remove_all(path); }
};

/// 1,000 notes in 800 tokens, 12.5 s for 50,000 tokens; held out 100 notes in 80 tokens of ln 2, 2 ln 2... nats each.
RunResult round_figures() {
  RunResult r;
  r.notes = 1000;
  r.code_points = 1234;
  r.tokens = 800;
  r.byte_tokens = 84;
  r.vocab_size = 2048;
  r.keys = 12;
  r.parameters = 123456;
  r.train.step = 250;
  r.train.tokens = 50000;
  r.train.seconds = 12.5;
  r.held_out.pieces = 7;
  r.held_out.notes = 100;
  r.held_out.tokens = 80;
  r.held_out.uniform = {80 * 11 * std::log(2.0), 80};
  r.held_out.markov0 = {80 * 5 * std::log(2.0), 80};
  r.held_out.markov2 = {80 * 3 * std::log(2.0), 80};
  r.held_out.model = {80 * 2.5 * std::log(2.0), 80};
  return r;
}

}  // namespace

TEST_CASE("show: the table of figures, to the letter") {
  Corpus corpus;
  corpus.files = 30;
  corpus.skipped_files = 2;
  corpus.skipped.resize(5);  // some are sequences of one file
  CHECK(figures_table(corpus, round_figures()) ==
        "  files used / skipped       28 / 2\n"
        "  notes                      1000\n"
        "  code points                1234\n"
        "  tokens                     800  (vocabulary 2048)\n"
        "  tokens per note            0.800\n"
        "  notes spelt as bytes       21\n"
        "  keys heard in training     12\n"
        "  parameters                 123456\n"
        "  trained                    250 steps, 12.5 s, 4000 tokens/s\n"
        "\n"
        "  held out: 7 pieces, 100 notes      nats/token   bits/note\n"
        "  uniform                                     7.625       8.800\n"
        "  order-0 Markov                              3.466       4.000\n"
        "  order-2 Markov                              2.079       2.400\n"
        "  this GPT                                    1.733       2.000\n");
}

TEST_CASE("show: a table of nothing has zeros, not infinities") {
  const std::string table = figures_table(Corpus{}, RunResult{});
  CHECK(table.find("nan") == std::string::npos);
  CHECK(table.find("inf") == std::string::npos);
  CHECK(table.find("0 steps, 0.0 s, 0 tokens/s") != std::string::npos);
}

TEST_CASE("show: numbers of any size keep the table's lines whole") {
  RunResult r = round_figures();
  r.notes = r.code_points = r.tokens = r.parameters = static_cast<std::size_t>(-1);
  r.train.step = 9000000000000000000;
  r.train.seconds = 1e15;
  r.held_out.uniform = {1e15, 1};
  const std::string table = figures_table(Corpus{}, r);
  CHECK(std::count(table.begin(), table.end(), '\n') == 15);
  CHECK(table.find("18446744073709551615  (vocabulary 2048)\n") != std::string::npos);
  CHECK(table.find("9000000000000000000 steps, 1000000000000000.0 s, 0 tokens/s\n") != std::string::npos);
}

TEST_CASE("show: into a file go messages and evaluations, a line each, and no live line") {
  std::atomic<bool> stop{false};
  const std::string text = on_stderr([&] {
    const RunHooks hooks = progress_hooks(&stop);
    CHECK(hooks.stop == &stop);
    hooks.on_message("reading");
    for (int step = 1; step <= 100; ++step) hooks.on_step({.step = step, .steps = 100, .loss = 2.5});
    EvalReport eval;
    eval.step = 50;
    eval.train_loss = 2.3456;
    eval.held_out = {30.0, 10};
    hooks.on_eval(eval);
    eval.step = 100;
    eval.best = true;
    hooks.on_eval(eval);
  });
  CHECK(text ==
        "reading\n"
        "step 50: train 2.346, held out 3.000 nats per token\n"
        "step 100: train 2.346, held out 3.000 nats per token, the best so far\n");
}

TEST_CASE("show: the hooks may be copied and outlive what made them") {
  RunHooks copy;
  const std::string text = on_stderr([&] {
    {
      const RunHooks hooks = progress_hooks();
      CHECK(hooks.stop == nullptr);
      copy = hooks;
    }
    copy.on_message("still here");
    copy = RunHooks{};
  });
  CHECK(text == "still here\n");
}

TEST_CASE("show: a piece is written to be played, heard and looked at") {
  const TempFolder folder;
  const std::string stem = (folder.path / "piece").string();
  const Score score = dice({.seed = 3, .bars = 2});
  REQUIRE(write_music(stem, score));
  const auto back = read_midi(stem + ".mid");
  REQUIRE(back);
  CHECK(*back == score);
  const auto wav = read_file(stem + ".wav");
  REQUIRE(wav);
  CHECK(*wav == wav_bytes(score));
  const auto svg = read_file(stem + ".svg");
  REQUIRE(svg);
  CHECK(as_chars(*svg) == piano_roll_svg(score));
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 3);
}

TEST_CASE("show: where the folder is not there nothing is written, and the error names the file") {
  const TempFolder folder;
  const auto r = write_music((folder.path / "none" / "piece").string(), dice({.bars = 1}));
  REQUIRE_FALSE(r);
  CHECK(r.error().code == Errc::io);
  CHECK(r.error().what.find("piece.mid") != std::string::npos);
  CHECK(fs::is_empty(folder.path));
}
