#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include <midigpt/report/progress.hpp>

using namespace midigpt;

namespace {

/// What was written to `file` so far.
std::string written(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text.push_back(static_cast<char>(c));
  return text;
}

}  // namespace

TEST_CASE("progress: the line says step, loss, speed and time to go") {
  CHECK(progress_line("train",
                      {.step = 120, .total = 300, .loss = 3.2144, .tokens_per_second = 41234, .seconds_left = 12.2}) ==
        "train [=========>--------------] 120/300  loss 3.214  41.2k tokens/s  0:12 left");
  CHECK(progress_line("train", {.step = 300, .total = 300}) == "train [========================] 300/300");
  CHECK(progress_line("train", {.step = 9, .total = 300}) == "train [>-----------------------]   9/300");
  CHECK(progress_line("files", {.step = 7}) == "files 7");
  CHECK(progress_line("x", {.step = 500, .total = 300, .seconds_left = 3725}) ==
        "x [========================] 300/300  1:02:05 left");
}

TEST_CASE("progress: the bar gives way so that the line fits a narrow terminal") {
  const std::string line = progress_line(
      "train", {.step = 123456, .total = 1000000, .loss = 3.2, .tokens_per_second = 41234, .seconds_left = 36000});
  CHECK(line == "train [=>----------]  123456/1000000  loss 3.200  41.2k tokens/s  10:00:00 left");
  CHECK(line.size() == 79);
  for (std::uint64_t total = 1; total < 10000000000; total *= 10) {
    CHECK(progress_line("train",
                        {.step = total / 2, .total = total, .loss = 9.9, .tokens_per_second = 999, .seconds_left = 59})
              .size() <= 79);
  }
}

TEST_CASE("progress: values that make no sense are left out") {
  const double inf = 1e308 * 10, nan = inf - inf;
  CHECK(progress_line("t", {.step = 1, .total = 2, .loss = nan, .tokens_per_second = 0, .seconds_left = nan}) ==
        "t [============>-----------] 1/2");
  CHECK(progress_line("t", {.step = 1, .total = 2, .loss = inf, .tokens_per_second = 0, .seconds_left = inf}) ==
        "t [============>-----------] 1/2");
}

TEST_CASE("progress: counts are short") {
  CHECK(detail::progress::short_count(999) == "999");
  CHECK(detail::progress::short_count(9994) == "9994");
  CHECK(detail::progress::short_count(9995) == "10.0k");
  CHECK(detail::progress::short_count(123456) == "123k");
  CHECK(detail::progress::short_count(5600000) == "5.6M");
}

TEST_CASE("progress: a file that is no terminal gets nothing") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  {
    ProgressBar bar("train", 10, file);
    for (std::uint64_t i = 1; i <= 10; ++i) bar.update(i, 1.0, 10.0);
  }
  CHECK(written(file).empty());
  std::fclose(file);
}

TEST_CASE("progress: a visible bar redraws one line, at a limited rate, and ends it once") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  {
    ProgressBar bar("train", 100000, file, true);
    for (std::uint64_t i = 1; i <= 100000; ++i) bar.update(i, 2.5);
    bar.finish();
    bar.update(3);
  }
  const std::string text = written(file);
  std::fclose(file);
  std::size_t newlines = 0, returns = 0;
  for (const char c : text) newlines += c == '\n', returns += c == '\r';
  CHECK(newlines == 1);
  CHECK(text.back() == '\n');
  CHECK(text.front() == '\r');
  CHECK(returns >= 2);
  CHECK(returns < 200);  // not one per step
  CHECK(text.find("100000/100000  loss 2.500") != std::string::npos);
}

TEST_CASE("progress: a shorter line wipes the rest of a longer one") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  {
    ProgressBar bar("files", 0, file, true);
    bar.update(1, 5.0, 100.0);
    bar.update(2);
  }
  const std::string text = written(file);
  std::fclose(file);
  CHECK(text == "\rfiles 1  loss 5.000  100 tokens/s\rfiles 2" + std::string(26, ' ') + "\n");
}

TEST_CASE("progress: a wiped line leaves room for a message and comes back below it") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  {
    ProgressBar bar("t", 0, file, true);
    bar.wipe();
    bar.show({.step = 4, .seconds_left = 61});
    bar.wipe();
    std::fputs("saved\n", file);
    bar.show({.step = 5});
  }
  const std::string text = written(file);
  std::fclose(file);
  CHECK(text == "\rt 4  1:01 left\r" + std::string(14, ' ') + "\rsaved\n\rt 5\rt 5\n");
}

TEST_CASE("progress: a bar that was never updated leaves no empty line") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  { ProgressBar bar("train", 10, file, true); }
  CHECK(written(file).empty());
  std::fclose(file);
}
