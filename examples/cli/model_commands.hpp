// examples/cli/model_commands.hpp - the commands around a model: train, generate, eval.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "common.hpp"

namespace cli {

/// Set by Ctrl-C; a second one ends the program at once.
inline std::atomic<bool>& stop_flag() {
  static std::atomic<bool> flag{false};
  return flag;
}

inline void on_interrupt(int) {
  stop_flag().store(true);
  std::signal(SIGINT, SIG_DFL);
}

struct TrainArguments {
  std::vector<std::string> inputs;
  std::string out, codec = "multitrack", packing = "packed";
  midigpt::RunSettings settings;
  int threads = 0;
  bool resume = false, no_features = false, no_merges = false;
};

inline std::size_t thread_count(int asked) {
  return asked > 0 ? static_cast<std::size_t>(asked) : (std::max)(std::thread::hardware_concurrency(), 1u);
}

inline void train_command(TrainArguments& a) {
  midigpt::CodecKind codec = *midigpt::codec_from_name(a.codec);
  if (a.resume) {
    need(midigpt::read_settings(a.out, &codec));
  } else if (std::filesystem::exists(a.out + "/resume.safetensors")) {
    throw CannotDo(a.out + " holds a run already; add --resume to go on with it, or name another folder");
  }
  a.settings.packing = *midigpt::packing_from_name(a.packing);
  a.settings.token_features = !a.no_features;
  a.settings.merges = !a.no_merges;
  const midigpt::Corpus corpus = read_corpus(a.inputs, codec, 0.1);
  midigpt::ThreadPool pool(thread_count(a.threads));
  std::signal(SIGINT, on_interrupt);
  const auto result = need(midigpt::train_run(corpus, a.settings, a.out, pool, midigpt::progress_hooks(&stop_flag()), a.resume));
  if (result.train.ending == midigpt::Ending::diverged) throw CannotDo(result.train.message);
  if (result.train.ending == midigpt::Ending::stopped) {
    std::fprintf(stderr, "midigpt train: stopped after step %lld, everything is saved; go on with the same command and --resume\n",
                 static_cast<long long>(result.train.step));
    exit_code() = 130;
    return;
  }
  std::printf("%s\nnext: midigpt generate --model %s -o new.mid\n", figures_table(corpus, result).c_str(), a.out.c_str());
}

struct GenerateArguments {
  std::string model, prompt, out, wav, svg;
  midigpt::GenerateOptions options;
  int count = 1;
};

/// "a/b.mid", 2 -> "a/b-2.mid".
inline std::string numbered(const std::string& path, int i) {
  const std::filesystem::path p(path);
  return (p.parent_path() / (p.stem().string() + "-" + std::to_string(i) + p.extension().string())).string();
}

inline void generate_command(const GenerateArguments& a) {
  const auto music = need(midigpt::load_music_model(a.model));
  midigpt::Score prompt;
  if (!a.prompt.empty()) {
    prompt = need(midigpt::read_midi(a.prompt, {.repair = true}), a.prompt);
    if (count_notes(prompt) == 0) throw CannotDo(a.prompt + ": no notes to begin with");
  }
  midigpt::Generator generator(music.model);
  for (int i = 1; i <= a.count; ++i) {
    midigpt::GenerateOptions options = a.options;
    options.seed = a.options.seed + static_cast<std::uint64_t>(i - 1);
    const auto piece = need(midigpt::generate_score(generator, music.tokenizer, music.codec, prompt, options));
    const auto name = [&](const std::string& path) { return path.empty() || a.count == 1 ? path : numbered(path, i); };
    need(midigpt::write_midi(name(a.out), piece.score));
    write_media(piece.score, name(a.wav), name(a.svg));
    std::fprintf(stderr, "%s: %zu notes, %.1f s\n", name(a.out).c_str(), piece.notes, midigpt::duration_seconds(piece.score));
  }
}

struct EvalArguments {
  std::string model;
  std::vector<std::string> inputs;
  int threads = 0;
  bool json = false;
};

inline void eval_command(const EvalArguments& a) {
  const auto music = need(midigpt::load_music_model(a.model));
  const midigpt::Corpus corpus = read_corpus(a.inputs, music.codec, 0);
  midigpt::ThreadPool pool(thread_count(a.threads));
  std::size_t left_out = 0;
  const auto c = need(midigpt::evaluate_music(music, corpus, a.model, pool, &left_out));
  if (left_out > 0) std::fprintf(stderr, "%zu pieces left out: the model has learnt from them\n", left_out);
  const double bits = bits_per_note(c.model, c.notes), markov = bits_per_note(c.markov2, c.notes);
  const double tokens_per_note = static_cast<double>(c.tokens) / static_cast<double>(c.notes);
  if (a.json) {
    const auto n = [](double x) { return midigpt::json_number(x); };
    std::printf("{\"files\": %zu, \"notes\": %zu, \"tokens\": %zu, \"bits_per_note\": %s, \"nats_per_token\": %s, \"tokens_per_note\": %s, \"markov2_bits_per_note\": %s}\n",
                c.pieces, c.notes, c.tokens, n(bits).c_str(), n(c.model.mean()).c_str(), n(tokens_per_note).c_str(), c.markov2.count > 0 ? n(markov).c_str() : "null");
    return;
  }
  std::printf("%zu pieces, %zu notes, %zu tokens, %.3f tokens per note\n%.3f nats per token, %.3f bits per note", c.pieces, c.notes, c.tokens, tokens_per_note, c.model.mean(), bits);
  if (c.markov2.count > 0) std::printf("; order-2 Markov of the same training: %.3f bits per note", markov);
  std::printf("\n");
}

inline void add_model_commands(CLI::App& app) {
  {
    auto a = std::make_shared<TrainArguments>();
    CLI::App* c = app.add_subcommand("train", "train a tokenizer and a GPT on MIDI files");
    c->footer("Example: midigpt train ~/midi -o run --preset tiny --steps 3000\nCtrl-C saves; the same command with --resume goes on.");
    c->add_option("inputs", a->inputs, "MIDI files or folders")->required();
    c->add_option("-o,--output", a->out, "run folder to write to")->required();
    c->add_option("--preset", a->settings.preset, "size of the model")->capture_default_str()->check(CLI::IsMember({"nano", "tiny", "small", "gpt2"}));
    add_codec_option(c, a->codec);
    c->add_option("--steps", a->settings.steps, "training steps; twelve times through the corpus if absent")->check(CLI::Range(1, 100000000));
    c->add_option("--seconds", a->settings.seconds, "stop after this time, if that comes first")->check(CLI::PositiveNumber);
    c->add_option("--seed", a->settings.seed, "another seed, another model")->capture_default_str();
    c->add_option("--vocab-size", a->settings.vocab_size, "largest vocabulary; chosen from the corpus if absent")->check(CLI::Range(300, 1000000));
    c->add_option("--block-size", a->settings.block_size, "tokens of context")->capture_default_str()->check(CLI::Range(8, 8192));
    c->add_option("--batch-size", a->settings.batch_size, "windows per step")->capture_default_str()->check(CLI::Range(1, 4096));
    c->add_option("--packing", a->packing, "packed: windows of all pieces end to end; lines: the first 32 tokens of each piece, a context of 31")
        ->capture_default_str()->check(CLI::IsMember({"packed", "lines"}));
    c->add_option("--learning-rate", a->settings.learning_rate, "at its peak")->capture_default_str()->check(CLI::PositiveNumber);
    c->add_option("--dropout", a->settings.dropout, "0 to 0.9")->capture_default_str()->check(CLI::Range(0.0, 0.9));
    c->add_option("--eval-every", a->settings.eval_every, "steps between evaluations; ten a run if absent")->check(CLI::Range(1, 100000000));
    c->add_option("--patience", a->settings.patience, "end after so many evaluations without a better one; 0: never")->capture_default_str()->check(CLI::Range(0, 1000000));
    c->add_option("--threads", a->threads, "all cores if absent; the result is the same")->check(CLI::Range(1, 1024));
    c->add_option("--keys", a->settings.keys, "hear each training piece in so many keys; 12, all, if absent, fewer beyond a million notes")->check(CLI::Range(1, 12));
    c->add_flag("--no-merges", a->no_merges, "one token per note instead of pairs learnt by the vocabulary");
    c->add_flag("--no-features", a->no_features, "do not tell tokens what notes they are made of");
    c->add_flag("--resume", a->resume, "go on with the run in the folder; its own settings hold");
    c->callback([a] { train_command(*a); });
  }
  {
    auto a = std::make_shared<GenerateArguments>();
    CLI::App* c = app.add_subcommand("generate", "write new music with a trained model");
    c->footer("Example: midigpt generate --model run --prompt idea.mid --temperature 0.9 -o new.mid --count 3");
    c->add_option("--model", a->model, "run folder or model.safetensors")->required();
    c->add_option("--prompt", a->prompt, "MIDI file to continue");
    c->add_option("-o,--output", a->out, "MIDI file to write; with --count N name-1.mid to name-N.mid")->required();
    c->add_option("--wav", a->wav, "also write audio");
    c->add_option("--svg", a->svg, "also write a piano roll");
    c->add_option("--count", a->count, "how many, with seeds seed, seed + 1, ...")->capture_default_str()->check(CLI::Range(1, 10000));
    c->add_option("--seed", a->options.seed, "another seed, other music")->capture_default_str();
    c->add_option("--max-tokens", a->options.max_tokens, "most new tokens")->capture_default_str()->check(CLI::Range(1, 1000000));
    c->add_option("--temperature", a->options.sampler.temperature, "below 1 safer, above 1 bolder; 0: the likeliest")->capture_default_str()->check(CLI::Range(0.0, 100.0));
    c->add_option("--top-k", a->options.sampler.top_k, "only the k likeliest tokens; 0: all")->capture_default_str()->check(CLI::Range(0, 1000000));
    c->add_option("--top-p", a->options.sampler.top_p, "only the likeliest tokens that make up p; 1: all")->capture_default_str()->check(CLI::Range(0.0, 1.0));
    c->callback([a] { generate_command(*a); });
  }
  {
    auto a = std::make_shared<EvalArguments>();
    CLI::App* c = app.add_subcommand("eval", "how well a model knows music it has not learnt from");
    c->footer("Example: midigpt eval --model run ~/midi --json");
    c->add_option("--model", a->model, "run folder or model.safetensors")->required();
    c->add_option("inputs", a->inputs, "MIDI files or folders")->required();
    c->add_option("--threads", a->threads, "all cores if absent; the result is the same")->check(CLI::Range(1, 1024));
    c->add_flag("--json", a->json, "one JSON object on stdout");
    c->callback([a] { eval_command(*a); });
  }
}

}  // namespace cli
