// train/trainer.hpp - the training loop: batches, gradients, AdamW, evaluation, checkpoints, resume.
//   Step n draws its rows, its dropout and its rate from (options, n) alone; a run that was killed and resumed ends
//   with the same bytes as one that was not, on any number of threads. (A limit in seconds cannot promise that.)
//   Files in `folder`:
//   - model.safetensors: the best on the held-out pieces, a plain GPT-2
//   - resume.safetensors: the last state: parameters unfolded, moments, counters
//   - log.csv: one row a step
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/nn/gpt.hpp>
#include <midigpt/train/checkpoint.hpp>
#include <midigpt/train/dataset.hpp>
#include <midigpt/train/optimizer.hpp>

namespace midigpt {
inline namespace v0 {

/// After each step. Loss is nats per token of this step's batch.
struct StepReport {
  std::int64_t step = 0, steps = 0;  // 1..steps; steps may lie beyond what a time limit allows
  double loss = 0, learning_rate = 0, grad_norm = 0;
  std::uint64_t tokens = 0;      // trained on since the run began (this process)
  double tokens_per_second = 0;  // of the last second or more
  double seconds = 0, eta_seconds = 0;
};

/// After each evaluation.
struct EvalReport {
  std::int64_t step = 0;
  double train_loss = 0;  // mean of the steps since the last evaluation, nats per token
  Loss held_out;          // total nats over all held-out tokens, and how many they are
  bool best = false;
};

struct TrainOptions {
  std::int64_t steps = 1000;
  double seconds = 0;    // > 0: ends there if that comes first, and the rate falls by the clock
  int batch_size = 16;   // rows of a micro-batch
  int accumulation = 1;  // micro-batches of a step
  ScheduleOptions schedule = {};
  AdamWOptions adamw = {};
  double clip = 1.0;  // largest gradient norm; 0: none
  std::uint64_t seed = 1;
  std::int64_t eval_every = 100;  // steps; 0: only at the end
  int eval_batch = 16;
  int patience = 0;             // ends after so many evaluations without a new best; 0: never
  std::int64_t save_every = 0;  // steps between saves of the state beside those of the evaluations
  std::string folder = {};      // must exist; empty: no files
  Metadata metadata = {};       // goes into model.safetensors
  std::function<void(const StepReport&)> on_step = nullptr;
  std::function<void(const EvalReport&)> on_eval = nullptr;
  const std::atomic<bool>* stop = nullptr;  // set by anyone, a signal handler too: the step, or the
                                            // batch of an evaluation, ends, and the state is saved
};

enum class Ending : std::uint8_t { steps, seconds, stopped, patience, diverged };

[[nodiscard]] constexpr const char* ending_name(Ending e) noexcept {
  constexpr const char* names[] = {"all steps done", "time is up", "stopped", "no better for long", "diverged"};
  return names[static_cast<std::size_t>(e)];
}

struct TrainResult {
  Ending ending = Ending::steps;
  std::int64_t step = 0;  // steps done, earlier runs included
  double train_loss = 0;  // of the last step
  Loss held_out;          // at the last evaluation
  Loss best;              // at the best one; the step is best_step
  std::int64_t best_step = 0;
  std::uint64_t tokens = 0;  // in this process
  double seconds = 0;        // in this process
  std::string message;       // Ending::diverged: step, parameter and advice
};

[[nodiscard]] inline TokenBatch token_batch(const Batch& b) noexcept {
  return {b.tokens, b.targets, static_cast<std::size_t>(b.B), static_cast<std::size_t>(b.T)};
}

/// Nats of an evaluation set, exact: every token of every window that is to be scored, in one fixed order. `batch` is
/// scratch of at most `rows` windows; with workspace and batch kept, later calls allocate nothing. A `stop` that is set
/// ends it between two batches: the count is then less than set.count().
[[nodiscard]] inline Loss evaluate(const Gpt<float>& model, const EvalSet& set, GptWorkspace<float>& workspace,
                                   ThreadPool& pool, Batch& batch, int rows = 16,
                                   const std::atomic<bool>* stop = nullptr) {
  const std::span<const EvalWindow> windows = set.windows();
  const int T = model.config().block_size;
  Loss sum;
  for (std::size_t begin = 0; begin < windows.size() && !(stop != nullptr && stop->load(std::memory_order_relaxed));) {
    const std::size_t n = (std::min)(windows.size() - begin, static_cast<std::size_t>(rows));
    batch.resize(static_cast<int>(n), T);
    std::fill(batch.tokens.begin(), batch.tokens.end(), 0);
    std::fill(batch.targets.begin(), batch.targets.end(), k_ignore);
    for (std::size_t r = 0; r < n; ++r) {
      const auto [tokens, first_scored] = windows[begin + r];
      const std::size_t at = r * static_cast<std::size_t>(T);
      for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
        batch.tokens[at + i] = tokens[i];
        if (i + 1 >= first_scored) batch.targets[at + i] = tokens[i + 1];
      }
    }
    const Loss part = model.loss(token_batch(batch), workspace, pool);
    sum.nats += part.nats;
    sum.count += part.count;
    begin += n;
  }
  return sum;
}

/// Trains `model` in place. Everything given must outlive it; one thread at a time.
class Trainer {
 public:
  /// Throws ShapeError when rows are longer than the model's context.
  Trainer(Gpt<float>& model, Dataset& data, const EvalSet& held_out, ThreadPool& pool, TrainOptions options)
      : model_(model),
        data_(data),
        held_out_(held_out),
        pool_(pool),
        options_(std::move(options)),
        optimizer_(model.parameters(), options_.adamw),
        batches_(static_cast<std::size_t>((std::max)(options_.accumulation, 1))) {
    if (data.length() > model.config().block_size) {
      throw ShapeError(concat({"Trainer: rows of ", data.length(), " ids in a context of ", model.config().block_size}));
    }
  }

  [[nodiscard]] const TrainOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::int64_t step_count() const noexcept { return optimizer_.steps(); }

  /// The held-out set under the model as it stands.
  [[nodiscard]] Loss evaluate() {
    return midigpt::evaluate(model_, held_out_, workspace_, pool_, eval_batch_, options_.eval_batch);
  }

  /// One step. False, with message() set and the parameters as they were, when the numbers are no longer sound.
  [[nodiscard]] bool step(double progress = -1) {
    const std::int64_t n = optimizer_.steps();
    std::size_t count = 0;
    for (std::size_t a = 0; a < batches_.size(); ++a) {
      data_.fill(static_cast<std::uint64_t>(n) * batches_.size() + a, options_.batch_size, batches_[a]);
      for (const std::int32_t target : batches_[a].targets) count += target != k_ignore ? 1u : 0u;
    }
    Loss loss;
    for (std::size_t a = 0; a < batches_.size(); ++a) {
      const std::uint64_t draw = static_cast<std::uint64_t>(n) * batches_.size() + a;
      const GradientOptions gradient{
          .dropout_seed = mix64(mix64(options_.seed) ^ draw), .accumulate = a > 0, .denominator = count};
      const Loss part = model_.loss_and_gradients(token_batch(batches_[a]), workspace_, pool_, gradient);
      loss.nats += part.nats;
      loss.count += part.count;
    }
    report_.loss = loss.mean();
    report_.grad_norm = optimizer_.grad_norm(pool_);
    report_.learning_rate = learning_rate(options_.schedule, n, options_.steps, progress);
    tokens_ += loss.count;
    if (!sound(n)) return false;
    const double scale =
        options_.clip > 0 && report_.grad_norm > options_.clip ? options_.clip / (report_.grad_norm + 1e-6) : 1.0;
    optimizer_.step(report_.learning_rate, scale, pool_);
    report_.step = n + 1;
    return true;
  }

  /// Loss, rate and norm of the last step.
  [[nodiscard]] const StepReport& last_step() const noexcept { return report_; }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

  /// Takes up the state in folder/resume.safetensors. The corpus, how rows are made of it, the model's shape, the seed
  /// and the batch must be the same; steps, schedule, AdamW's options, clipping and the intervals may be others, and
  /// hold from here on.
  [[nodiscard, gnu::cold]] Result<void> resume() {
    auto file = read_safetensors(options_.folder + "/resume.safetensors");
    if (!file) return file.error();
    return restore(*file);
  }

  /// Trains until the steps, the seconds, the patience or the stop flag end it; evaluates and saves as it goes and at
  /// the end.
  [[nodiscard]] Result<TrainResult> run() {
    start_ = Clock::now();
    tokens_ = 0;
    report_.steps = options_.steps;
    mark_seconds_ = 0;
    mark_tokens_ = 0;
    steps_here_ = 0;
    TrainResult result;
    if (auto r = open_log(); !r) return r.error();
    const Result<Ending> ending = train();
    if (!ending) return ending.error();
    result.ending = *ending;
    if (result.ending == Ending::stopped) {  // no evaluation: whoever pressed Ctrl-C waits
      const Result<bool> kept = save_if_sound();
      if (!kept) return kept.error();
      if (!*kept) {
        result.ending = Ending::diverged;
      } else if (best_step_ == 0) {
        if (auto r = save_best(); !r) return r.error();
      }
    }
    if (result.ending == Ending::diverged) result.message = message_;
    if (auto r = close_log(); !r) return r.error();
    result.step = optimizer_.steps();
    result.train_loss = report_.loss;
    result.held_out = last_;
    result.best = best_;
    result.best_step = best_step_;
    result.tokens = tokens_;
    result.seconds = elapsed();
    return result;
  }

  /// Writes folder/resume.safetensors: the state between two steps, or between a step and its evaluation.
  [[nodiscard, gnu::cold]] Result<void> save_state() {
    if (options_.folder.empty()) return {};
    if (log_) std::fflush(log_.get());  // a state never knows of steps that the log does not
    std::vector<StoredTensor> tensors;
    const auto parameters = std::as_const(model_).parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      tensors.push_back(detail::checkpoint::stored_parameter("model." + parameters[i].name, parameters[i].value));
      tensors.push_back(
          detail::checkpoint::stored_parameter("adamw.first." + parameters[i].name, optimizer_.first_moments()[i]));
      tensors.push_back(
          detail::checkpoint::stored_parameter("adamw.second." + parameters[i].name, optimizer_.second_moments()[i]));
    }
    const std::array<double, 4> sums{best_.nats, last_.nats, since_eval_sum_, 0.0};
    const std::array<std::int64_t, 7> counts{
        optimizer_.steps(), static_cast<std::int64_t>(best_.count), best_step_, stale_,
        since_eval_count_,  static_cast<std::int64_t>(last_.count), 0};
    tensors.push_back(stored<double>("trainer.sums", {sums.size()}, std::span<const double>(sums)));
    tensors.push_back(stored<std::int64_t>("trainer.counts", {counts.size()}, std::span<const std::int64_t>(counts)));
    return write_safetensors(options_.folder + "/resume.safetensors", tensors,
                             {{"format", "pt"}, {"midigpt.state", identity()}});
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  [[nodiscard]] double at_fraction() const noexcept {
    return static_cast<double>(optimizer_.steps()) / static_cast<double>(options_.steps);
  }

  /// Whether the step that the model stands at is to be evaluated and has not been, here or by the run that saved it.
  [[nodiscard]] bool evaluation_due() const noexcept {
    return since_eval_count_ > 0 && options_.eval_every > 0 && optimizer_.steps() % options_.eval_every == 0;
  }

  /// Why there is no further step, if there is none.
  [[nodiscard]] std::optional<Ending> ended() const {
    if (optimizer_.steps() >= options_.steps) return Ending::steps;
    if (options_.patience > 0 && stale_ >= options_.patience) return Ending::patience;  // of an earlier run, too
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) return Ending::stopped;
    if (options_.seconds > 0 && elapsed() >= options_.seconds) return Ending::seconds;
    return std::nullopt;
  }

  /// Steps, evaluates and saves until something ends it.
  [[nodiscard]] Result<Ending> train() {
    for (;;) {
      if (evaluation_due()) {
        const auto end = evaluate_and_save();
        if (!end) return end.error();
        if (end->has_value()) return **end;
      }
      if (const auto why = ended()) {
        const bool judged = since_eval_count_ == 0 && best_step_ > 0;  // a finished run resumed stays as it is
        if (judged || why == Ending::stopped) return *why;
        const auto end = evaluate_and_save();
        if (!end) return end.error();
        return end->value_or(*why);
      }
      const double progress = options_.seconds > 0 ? (std::max)(elapsed() / options_.seconds, at_fraction()) : -1;
      if (!step(progress)) return Ending::diverged;
      since_eval_sum_ += report_.loss;
      ++since_eval_count_;
      tell();
      write_row();
      if (options_.save_every > 0 && optimizer_.steps() % options_.save_every == 0 && !evaluation_due()) {
        const Result<bool> kept = save_if_sound();
        if (!kept) return kept.error();
        if (!*kept) return Ending::diverged;
      }
    }
  }

  /// What must agree between the run that saved and the run that resumes.
  [[nodiscard, gnu::cold]] std::string identity() const {
    const DatasetOptions& d = data_.options();
    return concat({"{\"arch\":", arch_json(model_.config()), ",\"n_feature\":", model_.config().n_feature, ",\"dropout\":",
        json_number(model_.config().dropout), ",\"corpus\":\"", data_.hash(), "\",\"packing\":\"", packing_name(d.packing), "\",\"length\":", data_.length(),
        ",\"bos_id\":", d.bos_id, ",\"eos_id\":", d.eos_id, ",\"pad_id\":", d.pad_id, ",\"score_padding\":", int{d.score_padding},
        ",\"with_replacement\":", int{d.with_replacement}, ",\"data_seed\":", d.seed,
        ",\"seed\":", options_.seed, ",\"batch_size\":", options_.batch_size, ",\"accumulation\":", batches_.size(), "}"});
  }

  [[nodiscard, gnu::cold]] Result<void> restore(const SafetensorsView& file) {
    const auto state = file.metadata.find("midigpt.state");
    if (state == file.metadata.end()) return Error{Errc::bad_magic, 0, "resume: not a training state"};
    if (state->second != identity()) {
      return Error{Errc::bad_value, 0,
                   concat({"resume: the saved run was another one: ", state->second, ", this is ", identity()})};
    }
    const auto numbers = [&](const std::string& name, auto out) -> Result<void> {
      const StoredTensor* t = file.find(name);
      if (t == nullptr) return Error{Errc::bad_value, 0, concat({"resume: tensor '", name, "' is missing"})};
      return copy_numbers(*t, out);
    };
    std::array<double, 4> sums{};
    std::array<std::int64_t, 7> counts{};
    if (auto r = numbers("trainer.sums", std::span<double>(sums)); !r) return r;
    if (auto r = numbers("trainer.counts", std::span<std::int64_t>(counts)); !r) return r;
    for (const std::int64_t n : counts) {
      if (n < 0) return Error{Errc::bad_value, 0, "resume: a counter is negative"};
    }
    const auto parameters = model_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (auto r = numbers("model." + parameters[i].name, parameters[i].value.span()); !r) return r;
      if (auto r = numbers("adamw.first." + parameters[i].name, optimizer_.first_moments()[i].span()); !r) return r;
      if (auto r = numbers("adamw.second." + parameters[i].name, optimizer_.second_moments()[i].span()); !r) return r;
    }
    optimizer_.set_steps(counts[0]);
    best_ = Loss{sums[0], static_cast<std::size_t>(counts[1])};
    best_step_ = counts[2];
    stale_ = counts[3];
    since_eval_sum_ = sums[2];
    since_eval_count_ = counts[4];
    last_ = Loss{sums[1], static_cast<std::size_t>(counts[5])};
    return {};
  }

  /// Whether so many nats per token are a loss on the way to a better one; false for a NaN.
  [[nodiscard]] bool sound_loss(double nats_per_token) const noexcept {
    return nats_per_token < 3 * std::log(static_cast<double>(model_.config().vocab_size)) + 20;
  }

  /// Looks at the loss and the gradients of step n, before its update.
  [[nodiscard]] bool sound(std::int64_t n) {
    constexpr double explosion = 1e6;  // of a gradient norm that nothing clips
    if (sound_loss(report_.loss) && report_.grad_norm < (options_.clip > 0 ? HUGE_VAL : explosion)) return true;
    return give_up(n + 1, report_.loss);
  }

  /// false, and message() says which step, which parameter and what to try.
  [[nodiscard, gnu::cold]] bool give_up(std::int64_t step, double nats_per_token) {
    std::string what;
    for (const Parameter<float>& p : std::as_const(model_).parameters()) {
      if (what.empty() && !all_finite(p.value.span())) what = concat({"'", p.name, "' is no longer finite"});
    }
    if (const Parameter<float>* bad = optimizer_.find_bad_gradient(); what.empty() && bad != nullptr)
      what = concat({"the gradient of '", bad->name, "' is no longer finite"});
    if (what.empty()) {
      what = concat({"the loss is ", json_number(nats_per_token), " nats per token, the gradient norm ", json_number(report_.grad_norm),
                     ", most of it of '", optimizer_.find_largest_gradient().name, "'"});
    }
    message_ = concat({"step ", step, ": ", what, "; try a lower learning rate (now ", json_number(report_.learning_rate),
                       "), a longer warm-up or clipping at 1; the last saved model is untouched"});
    return false;
  }

  /// Looks behind the last update: the loss of the batch that it was made from.
  [[nodiscard, gnu::cold]] bool sound_update() {
    if (batches_[0].tokens.empty()) return true;
    const double nats = model_.loss(token_batch(batches_[0]), workspace_, pool_).mean();
    return sound_loss(nats) || give_up(optimizer_.steps(), nats);
  }

  /// False when the last update broke the model: then nothing is written.
  [[nodiscard, gnu::cold]] Result<bool> save_if_sound() {
    if (!sound_update()) return false;
    if (auto r = save_state(); !r) return r.error();
    return true;
  }

  void tell() {
    const double now = elapsed();
    if (now - mark_seconds_ >= 1 || report_.tokens_per_second <= 0) {
      report_.tokens_per_second = static_cast<double>(tokens_ - mark_tokens_) / (std::max)(now - mark_seconds_, 1e-9);
      mark_seconds_ = now;
      mark_tokens_ = tokens_;
    }
    report_.tokens = tokens_;
    report_.seconds = now;
    const double per_step =
        static_cast<double>(tokens_) / static_cast<double>((std::max)(++steps_here_, std::int64_t{1}));
    report_.eta_seconds =
        static_cast<double>(options_.steps - report_.step) * per_step / (std::max)(report_.tokens_per_second, 1e-9);
    if (options_.seconds > 0)
      report_.eta_seconds = (std::min)(report_.eta_seconds, (std::max)(options_.seconds - now, 0.0));
    if (options_.on_step) options_.on_step(report_);
  }

  [[nodiscard, gnu::cold]] Result<void> save_best() {
    if (options_.folder.empty()) return {};
    Metadata metadata = options_.metadata;
    metadata["midigpt.seed"] = std::to_string(options_.seed);
    metadata["midigpt.steps"] = std::to_string(optimizer_.steps());
    metadata["midigpt.corpus"] = std::to_string(data_.hash());
    if (best_.count > 0) metadata["midigpt.held_out_nats_per_token"] = json_number(best_.mean());
    return save_model(options_.folder + "/model.safetensors", model_, std::move(metadata));
  }

  /// Why the run ends with it, if so: it was stopped, then all is as before and the evaluation still due; or the last
  /// update broke the model, then only the log is written.
  [[nodiscard, gnu::cold]] Result<std::optional<Ending>> evaluate_and_save() {
    const Loss held_out = midigpt::evaluate(model_, held_out_, workspace_, pool_, eval_batch_, options_.eval_batch, options_.stop);
    if (held_out.count < held_out_.count()) return std::optional(Ending::stopped);
    EvalReport report;
    report.step = optimizer_.steps();
    report.train_loss = since_eval_count_ > 0 ? since_eval_sum_ / static_cast<double>(since_eval_count_) : report_.loss;
    since_eval_sum_ = 0;
    since_eval_count_ = 0;
    last_ = report.held_out = held_out;
    complete_row();
    const bool sound = last_.count > 0 ? sound_loss(last_.mean()) || give_up(report.step, last_.mean()) : sound_update();
    if (!sound) return std::optional(Ending::diverged);
    report.best = best_step_ == 0 || last_.count == 0 || last_.mean() < best_.mean();
    stale_ = report.best ? 0 : stale_ + 1;
    if (report.best) {
      best_ = last_;
      best_step_ = report.step;
      if (auto r = save_best(); !r) return r.error();
    }
    if (auto r = save_state(); !r) return r.error();
    if (options_.on_eval) options_.on_eval(report);
    return std::optional<Ending>();
  }

  /// The log of an earlier run up to the step we are at, then ours.
  [[nodiscard, gnu::cold]] Result<void> open_log() {
    if (options_.folder.empty()) return {};
    const std::string path = options_.folder + "/log.csv";
    std::string kept = "step,train_nats_per_token,learning_rate,grad_norm,held_out_nats_per_token\n";
    row_open_ = false;
    if (optimizer_.steps() > 0) {
      if (auto old = read_file(path, std::uint64_t{1} << 30)) {
        std::string_view text = as_chars(*old);
        text.remove_prefix((std::min)(text.size(), text.find('\n') + 1));
        while (!text.empty()) {
          const std::size_t end = text.find('\n');
          if (end == std::string_view::npos) break;  // cut off when the run was killed
          std::int64_t n = 0;
          std::from_chars(text.data(), text.data() + end, n);
          if (n > 0 && n <= optimizer_.steps()) {
            row_open_ = n == optimizer_.steps() && since_eval_count_ > 0;  // its evaluation is not in the state
            kept += text.substr(0, row_open_ ? text.substr(0, end).rfind(',') + 1 : end);
            kept += '\n';
          }
          text.remove_prefix(end + 1);
        }
      }
    }
    if (auto r = write_file_atomic(path, kept); !r) return r;
    log_.reset(std::fopen(path.c_str(), "r+b"));
    if (!log_ || std::fseek(log_.get(), 0, SEEK_END) != 0) return detail::io_error("cannot write", path);
    return {};
  }

  void write_row() {
    if (!log_) return;
    std::array<char, 200> row{};
    char* at = row.data();
    char* const end = row.data() + row.size();
    const auto number = [&](auto value) {
      at = std::to_chars(at, end - 2, value).ptr;
      *at++ = ',';
    };
    number(report_.step);
    number(report_.loss);
    number(report_.learning_rate);
    number(report_.grad_norm);
    *at++ = '\n';
    std::fwrite(row.data(), 1, static_cast<std::size_t>(at - row.data()), log_.get());
    row_open_ = true;
  }

  /// Puts the held-out loss at the end of the last row, if that is of the present step.
  void complete_row() {
    if (!log_) return;
    if (row_open_ && last_.count > 0 && std::fseek(log_.get(), -1, SEEK_END) == 0) {
      std::array<char, 40> field{};
      char* at = std::to_chars(field.data(), field.data() + field.size() - 1, last_.mean()).ptr;
      *at++ = '\n';
      std::fwrite(field.data(), 1, static_cast<std::size_t>(at - field.data()), log_.get());
    }
    row_open_ = false;
    std::fflush(log_.get());
  }

  [[nodiscard, gnu::cold]] Result<void> close_log() {
    if (!log_) return {};
    const bool bad = std::ferror(log_.get()) != 0;
    if (std::fclose(log_.release()) != 0 || bad) return detail::io_error("cannot write", options_.folder + "/log.csv");
    return {};
  }

  struct CloseFile {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
  };

  Gpt<float>& model_;
  Dataset& data_;
  const EvalSet& held_out_;
  ThreadPool& pool_;
  TrainOptions options_;
  AdamW<float> optimizer_;
  GptWorkspace<float> workspace_;
  std::vector<Batch> batches_;
  Batch eval_batch_;
  StepReport report_;
  std::string message_;
  Loss best_, last_;
  std::int64_t best_step_ = 0, stale_ = 0, since_eval_count_ = 0, steps_here_ = 0;
  double since_eval_sum_ = 0, mark_seconds_ = 0;
  std::uint64_t tokens_ = 0, mark_tokens_ = 0;
  std::unique_ptr<std::FILE, CloseFile> log_;
  bool row_open_ = false;  // the log's last row is of a step whose evaluation, if there is one, is still to come
  Clock::time_point start_;
};

}  // namespace v0
}  // namespace midigpt
