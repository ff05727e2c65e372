// pipeline/show.hpp - what a person gets to see of a run: progress, a table of figures, pieces to hear and to look at.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <midigpt/core/file.hpp>
#include <midigpt/midi/write.hpp>
#include <midigpt/pipeline/baselines.hpp>
#include <midigpt/pipeline/corpus.hpp>
#include <midigpt/pipeline/run.hpp>
#include <midigpt/report/progress.hpp>
#include <midigpt/report/svg.hpp>
#include <midigpt/report/wav.hpp>

namespace midigpt {
inline namespace v0 {

/// Hooks that draw a live line on stderr if that is a terminal, and print messages and evaluations otherwise.
[[nodiscard, gnu::cold]] inline RunHooks progress_hooks(const std::atomic<bool>* stop = nullptr) {
  const auto bar = std::make_shared<ProgressBar>("train");
  RunHooks hooks;
  hooks.stop = stop;
  hooks.on_step = [bar](const StepReport& r) {
    bar->show({.step = static_cast<std::uint64_t>(r.step), .total = static_cast<std::uint64_t>(r.steps), .loss = r.loss,
               .tokens_per_second = r.tokens_per_second, .seconds_left = r.eta_seconds});
  };
  hooks.on_eval = [bar](const EvalReport& r) {
    bar->wipe();
    std::fprintf(stderr, "step %lld: train %.3f, held out %.3f nats per token%s\n", static_cast<long long>(r.step), r.train_loss, r.held_out.mean(), r.best ? ", the best so far" : "");
  };
  hooks.on_message = [bar](const std::string& line) {
    bar->wipe();
    std::fprintf(stderr, "%s\n", line.c_str());
  };
  return hooks;
}

/// The table at the end of a run.
[[nodiscard, gnu::cold]] inline std::string figures_table(const Corpus& corpus, const RunResult& r) {
  std::string out;
  char line[200];
  const auto row = [&](const char* name, const char* format, auto... values) {
    const int n = std::snprintf(line, sizeof line, "  %-26s ", name);
    std::snprintf(line + n, sizeof line - static_cast<std::size_t>(n), format, values...);
    out += std::string(line) + "\n";
  };
  row("files used / skipped", "%zu / %zu", corpus.files - corpus.skipped_files, corpus.skipped_files);
  row("notes", "%zu", r.notes);
  row("code points", "%zu", r.code_points);
  row("tokens", "%zu  (vocabulary %d)", r.tokens, static_cast<int>(r.vocab_size));
  row("tokens per note", "%.3f", static_cast<double>(r.tokens) / static_cast<double>((std::max)(r.notes, std::size_t{1})));
  row("notes spelt as bytes", "%zu", r.byte_tokens / 4);
  row("keys heard in training", "%d", r.keys);
  row("parameters", "%zu", r.parameters);
  row("trained", "%lld steps, %.1f s, %.0f tokens/s", static_cast<long long>(r.train.step), r.train.seconds,
      r.train.seconds > 0 ? static_cast<double>(r.train.tokens) / r.train.seconds : 0.0);
  std::snprintf(line, sizeof line, "\n  held out: %zu pieces, %zu notes      nats/token   bits/note\n", r.held_out.pieces, r.held_out.notes);
  out += line;
  const auto loss = [&](const char* name, const Loss& l) {
    std::snprintf(line, sizeof line, "  %-38s %10.3f %11.3f\n", name, l.mean(), bits_per_note(l, r.held_out.notes));
    out += line;
  };
  loss("uniform", r.held_out.uniform);
  loss("order-0 Markov", r.held_out.markov0);
  loss("order-2 Markov", r.held_out.markov2);
  loss("this GPT", r.held_out.model);
  return out;
}

/// Writes stem.mid, stem.wav and stem.svg.
[[nodiscard, gnu::cold]] inline Result<void> write_music(const std::string& stem, const Score& score) {
  if (auto r = write_midi(stem + ".mid", score); !r) return r;
  if (auto r = write_file_atomic(stem + ".wav", wav_bytes(score)); !r) return r;
  return write_file_atomic(stem + ".svg", piano_roll_svg(score));
}

}  // namespace v0
}  // namespace midigpt
