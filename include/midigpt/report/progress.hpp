// report/progress.hpp - one line that says how far a long job is: step, loss, tokens a second, time to go.
//   It is drawn on a terminal only, at most ten times a second, and ends with a newline; into a file or a pipe goes
//   nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>

#include <midigpt/core/concat.hpp>
#endif

namespace midigpt {
inline namespace v0 {

/// True if `file` shows its output to a person.
[[nodiscard]] inline bool is_terminal(std::FILE* file) noexcept {
#if defined(_WIN32)
  return ::_isatty(::_fileno(file)) != 0;
#else
  return ::isatty(::fileno(file)) != 0;
#endif
}

struct ProgressState {
  std::uint64_t step = 0, total = 0;  // total 0: unknown, no bar and no time to go
  double loss = -1;                   // below 0: not shown
  double tokens_per_second = 0;       // 0: not shown
  double seconds_left = -1;           // below 0: not shown
};

namespace detail::progress {

/// "1.2k", "34k", "5.6M": three significant digits at most.
[[nodiscard, gnu::cold]] inline std::string short_count(double value) {
  const char* unit = "";
  if (value >= 999500) {
    value /= 1e6, unit = "M";
  } else if (value >= 9995) {
    value /= 1e3, unit = "k";
  } else {
    return std::to_string(static_cast<std::uint64_t>(value + 0.5));
  }
  const auto tenths = static_cast<std::uint64_t>(value * 10 + 0.5);
  const std::string whole = std::to_string(tenths / 10);
  return (tenths < 1000 ? concat({whole, ".", tenths % 10}) : whole) + unit;
}

/// "0:07", "12:34", "3:05:00".
[[nodiscard, gnu::cold]] inline std::string clock_time(double seconds) {
  const auto s = static_cast<std::uint64_t>(seconds + 0.5);
  const auto two = [](std::uint64_t n) { return concat({n < 10 ? "0" : "", n}); };
  const std::string tail = two(s % 60);
  return s < 3600 ? concat({s / 60, ":", tail})
                  : concat({s / 3600, ":", two(s / 60 % 60), ":", tail});
}

}  // namespace detail::progress

/// The line without any control character: "train [=====>----]  120/300  loss 3.214  41k tokens/s  0:12 left". The bar
/// gives way so that the line fits 79 columns.
[[nodiscard, gnu::cold]] inline std::string progress_line(const std::string& label, const ProgressState& state) {
  const std::uint64_t step = state.step < state.total || state.total == 0 ? state.step : state.total;
  const std::string total = std::to_string(state.total), now = std::to_string(step);
  std::string counts = now;
  if (state.total > 0) counts = concat({std::string(total.size() - now.size(), ' '), now, "/", total});
  if (state.loss >= 0 && state.loss < 1e6) {
    const auto thousandths = static_cast<std::uint64_t>(state.loss * 1000 + 0.5);
    const std::string fraction = std::to_string(1000 + thousandths % 1000).substr(1);
    append(counts, {"  loss ", thousandths / 1000, ".", fraction});
  }
  if (state.tokens_per_second > 0)
    append(counts, {"  ", detail::progress::short_count(state.tokens_per_second), " tokens/s"});
  if (state.seconds_left >= 0 && state.seconds_left < 1e7) {
    append(counts, {"  ", detail::progress::clock_time(state.seconds_left), " left"});
  }
  if (state.total == 0) return concat({label, " ", counts});

  const std::size_t taken = label.size() + counts.size() + 4;
  const std::size_t width = taken > 71 ? 8 : taken < 55 ? 24 : 79 - taken;
  const auto done = static_cast<std::size_t>(static_cast<double>(step) / static_cast<double>(state.total) *
                                             static_cast<double>(width));
  const std::string bar =
      concat({std::string(done, '='), done < width ? ">" : "", std::string(done < width ? width - done - 1 : 0, '-')});
  return concat({label, " [", bar, "] ", counts});
}

/// Draws progress_line() over itself. Use from one thread; the destructor ends the line.
class ProgressBar {
 public:
  /// `total` 0 if the number of steps is unknown. Silent if `out` is not a terminal.
  explicit ProgressBar(std::string label, std::uint64_t total = 0, std::FILE* out = stderr)
      : ProgressBar(std::move(label), total, out, is_terminal(out)) {}

  /// The same with the question of the terminal answered by the caller.
  ProgressBar(std::string label, std::uint64_t total, std::FILE* out, bool visible)
      : label_(std::move(label)), total_(total), out_(out), visible_(visible), start_(Clock::now()) {}

  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { finish(); }

  /// Says where the job is; the time to go is what the steps so far took, scaled. Cheap to call at every step.
  void update(std::uint64_t step, double loss = -1, double tokens_per_second = 0) {
    if (!visible_ || finished_) return;
    const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
    ProgressState state{
        .step = step, .total = total_, .loss = loss, .tokens_per_second = tokens_per_second, .seconds_left = -1};
    if (step > 0 && step <= total_) {
      state.seconds_left = elapsed / static_cast<double>(step) * static_cast<double>(total_ - step);
    }
    show(state);
  }

  /// The same for a caller who knows better what is left and how many steps there are.
  void show(const ProgressState& state) {
    if (!visible_ || finished_) return;
    line_ = progress_line(label_, state);
    const auto now = Clock::now();
    const bool last = state.total != 0 && state.step == state.total;
    if (drawn_ && !last && now - last_ < std::chrono::milliseconds(100)) return;
    draw(now);
  }

  /// Takes the line off the terminal, so that something else can be printed there; the next update draws it below.
  void wipe() {
    if (width_ == 0) return;
    const std::string text = concat({"\r", std::string(width_, ' '), "\r"});
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
    width_ = 0;
    drawn_ = false;
  }

  /// Draws the last state and ends the line. Further updates are ignored.
  void finish() {
    if (finished_) return;
    finished_ = true;
    if (!visible_ || line_.empty()) return;
    draw(Clock::now());
    std::fputc('\n', out_);
    std::fflush(out_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void draw(Clock::time_point now) {
    std::string text = "\r" + line_;
    if (line_.size() < width_) text.append(width_ - line_.size(), ' ');  // wipe what was longer
    width_ = line_.size();
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
    last_ = now;
    drawn_ = true;
  }

  std::string label_, line_;
  std::uint64_t total_;
  std::FILE* out_;
  bool visible_, drawn_ = false, finished_ = false;
  std::size_t width_ = 0;
  Clock::time_point start_, last_;
};

}  // namespace v0
}  // namespace midigpt
