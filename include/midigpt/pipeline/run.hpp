// pipeline/run.hpp - the second half of the main job: a corpus -> a run folder -> figures -> new music.
//   A run folder holds  model.safetensors  the best model, self-contained: a plain GPT-2, its tokenizer and codec inside
//                       tokenizer.model, tokenizer.vocab   the same tokenizer as SentencePiece's programs read it
//                       settings.json, resume.safetensors, train_ids.safetensors   what resuming and comparing need
//                       log.csv, curve.svg   every step's loss, and a picture of it
#pragma once

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/nn/gpt.hpp>
#include <midigpt/pipeline/baselines.hpp>
#include <midigpt/pipeline/corpus.hpp>
#include <midigpt/pipeline/music_tokenizer.hpp>
#include <midigpt/report/svg.hpp>
#include <midigpt/token/tokenizer.hpp>
#include <midigpt/train/checkpoint.hpp>
#include <midigpt/train/trainer.hpp>
#include <midigpt/weights/base64.hpp>
#include <midigpt/weights/json.hpp>
#include <midigpt/weights/safetensors.hpp>

namespace midigpt {
inline namespace v0 {

/// What decides a run, together with its corpus. The same settings and corpus give the same bytes.
struct RunSettings {
  std::string preset = "tiny";  // nano, tiny, small, gpt2
  int vocab_size = 0;           // a cap; 0: as much as the corpus asks for
  int block_size = 256;         // T
  int batch_size = 16;          // B
  Packing packing = Packing::packed;  // lines: a row is the first 32 tokens of BOS piece EOS, and T at most 31
  std::int64_t steps = 0;       // 0: suggested_steps()
  double seconds = 0;           // > 0: stop there too; the same bytes are then no longer promised
  double learning_rate = 2e-3;
  std::int64_t warmup = 100;
  double dropout = 0;
  bool token_features = true;   // tokens know which notes they are made of
  bool merges = true;           // false: one token per character, so per note
  int keys = 0;                 // in how many keys each training piece is heard, 1 to 12; 0: suggested_keys()
  std::int64_t eval_every = 0;  // steps; 0: ten times a run
  int patience = 0;             // evaluations without a better one before it ends; 0: never
  std::uint64_t seed = 1;

  friend bool operator==(const RunSettings&, const RunSettings&) = default;
};

struct RunHooks {
  std::function<void(const StepReport&)> on_step{};
  std::function<void(const EvalReport&)> on_eval{};
  std::function<void(const std::string&)> on_message{};  // one line on what is being done
  const std::atomic<bool>* stop = nullptr;
};

/// The held-out pieces under the model and under what it has to beat, on the same tokens.
struct Comparison {
  Loss model, uniform, markov0, markov2;
  std::size_t notes = 0, tokens = 0, pieces = 0;
};

struct RunResult {
  TrainResult train;
  Comparison held_out;
  TokenTrainReport tokenizer;
  std::size_t code_points = 0, tokens = 0, byte_tokens = 0, notes = 0;  // each piece once, in its own key
  int keys = 1;                                                         // in which the training pieces were heard
  std::int32_t vocab_size = 0;
  std::size_t parameters = 0;
};

/// A model that can make music: what a run folder, or its model.safetensors alone, holds.
struct MusicModel {
  Gpt<float> model;
  Tokenizer tokenizer;
  CodecKind codec = CodecKind::multitrack;
};

/// Twelve times through the corpus, at least 200 steps and at most 1,200: some minutes on a laptop.
[[nodiscard]] inline std::int64_t suggested_steps(std::size_t tokens, int batch_size, int block_size) noexcept {
  const std::int64_t per_step = std::int64_t{batch_size} * block_size;
  return std::clamp(static_cast<std::int64_t>(tokens) * 12 / per_step, std::int64_t{200}, std::int64_t{1200});
}

namespace detail::run {

[[nodiscard, gnu::cold]] inline std::string settings_json(const RunSettings& s, CodecKind codec) {
  std::string out = "{\n";
  const auto put = [&](const char* key, const std::string& value) { append(out, {"  \"", key, "\": ", value, ",\n"}); };
  put("codec", json_quote(codec_name(codec)));
  put("preset", json_quote(s.preset));
  put("vocab_size", json_number(s.vocab_size));
  put("block_size", json_number(s.block_size));
  put("batch_size", json_number(s.batch_size));
  put("packing", json_quote(packing_name(s.packing)));
  put("steps", json_number(s.steps));
  put("seconds", json_number(s.seconds));
  put("learning_rate", json_number(s.learning_rate));
  put("warmup", json_number(s.warmup));
  put("dropout", json_number(s.dropout));
  put("token_features", s.token_features ? "true" : "false");
  put("merges", s.merges ? "true" : "false");
  put("keys", json_number(s.keys));
  put("eval_every", json_number(s.eval_every));
  put("patience", json_number(s.patience));
  return concat({out, "  \"seed\": ", json_number(s.seed), "\n}\n"});
}

/// BOS, the piece, EOS: what a Markov model reads, and the model too.
[[nodiscard]] inline std::vector<std::int32_t> framed(std::span<const std::int32_t> piece, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> s;
  s.reserve(piece.size() + 2);
  s.push_back(tokenizer.bos_id());
  s.insert(s.end(), piece.begin(), piece.end());
  s.push_back(tokenizer.eos_id());
  return s;
}

[[nodiscard, gnu::cold]] inline Result<void> save_ids(const std::string& path, const IdPieces& pieces) {
  const std::vector<std::int64_t> ends(pieces.ends.begin(), pieces.ends.end());
  const std::vector<StoredTensor> tensors{stored<std::int32_t>("ids", {pieces.ids.size()}, std::span<const std::int32_t>(pieces.ids)),
                                          stored<std::int64_t>("ends", {ends.size()}, std::span<const std::int64_t>(ends))};
  return write_safetensors(path, tensors, {{"format", "pt"}});
}

[[nodiscard, gnu::cold]] inline Result<IdPieces> load_ids(const std::string& path, std::int32_t vocab_size) {
  const auto file = read_safetensors(path);
  if (!file) return file.error();
  const StoredTensor* ids = file->find("ids");
  const StoredTensor* ends = file->find("ends");
  const auto broken = [&](const char* what) { return Error{Errc::bad_value, 0, concat({path, ": ", what})}; };
  if (ids == nullptr || ends == nullptr || ids->shape.size() != 1 || ends->shape.size() != 1) return broken("needs the vectors ids and ends");
  IdPieces pieces;
  pieces.ids.resize(static_cast<std::size_t>(ids->shape[0]));
  std::vector<std::int64_t> at(static_cast<std::size_t>(ends->shape[0]));
  if (auto r = copy_numbers<std::int32_t>(*ids, pieces.ids); !r) return r.error();
  if (auto r = copy_numbers<std::int64_t>(*ends, at); !r) return r.error();
  for (const std::int32_t id : pieces.ids) {
    if (id < 0 || id >= vocab_size) return broken("an id is outside the vocabulary");
  }
  for (const std::int64_t end : at) {
    if (end < (pieces.ends.empty() ? 0 : static_cast<std::int64_t>(pieces.ends.back())) || end > static_cast<std::int64_t>(pieces.ids.size())) {
      return broken("ends are not in order");
    }
    pieces.ends.push_back(static_cast<std::size_t>(end));
  }
  return pieces;
}

}  // namespace detail::run

/// Reads settings.json of a run folder.
[[nodiscard, gnu::cold]] inline Result<RunSettings> read_settings(const std::string& folder, CodecKind* codec = nullptr) {
  const std::string path = folder + "/settings.json";
  const auto bytes = read_file(path, std::uint64_t{1} << 20);
  if (!bytes) return bytes.error();
  RunSettings s;
  JsonReader json(as_chars(*bytes));
  const auto read = [&]() -> Result<void> {
    if (auto r = json.begin_object(); !r) return r;
    std::string key;
    for (;;) {
      auto more = json.next_key(key);
      if (!more) return more.error();
      if (!*more) return json.end();
      const auto whole = [&](auto& field) -> Result<void> {
        const auto n = json.whole();
        if (!n) return n.error();
        field = static_cast<std::remove_reference_t<decltype(field)>>(*n);
        return {};
      };
      const auto number = [&](double& field) -> Result<void> {
        const auto x = json.number();
        if (!x) return x.error();
        field = *x;
        return {};
      };
      Result<void> r;
      if (key == "codec" || key == "preset" || key == "packing") {
        auto text = json.string();
        if (!text) return text.error();
        if (key == "preset") s.preset = *text;
        if (key == "packing") {
          const auto packing = packing_from_name(*text);
          if (!packing) return Error{Errc::bad_value, json.offset(), "unknown packing " + *text};
          s.packing = *packing;
        }
        if (key == "codec" && codec != nullptr) {
          const auto kind = codec_from_name(*text);
          if (!kind) return Error{Errc::bad_value, json.offset(), "unknown codec " + *text};
          *codec = *kind;
        }
      } else if (key == "token_features" || key == "merges") {
        const auto on = json.boolean();
        if (!on) return on.error();
        (key == "merges" ? s.merges : s.token_features) = *on;
      } else if (key == "vocab_size") r = whole(s.vocab_size);
      else if (key == "block_size") r = whole(s.block_size);
      else if (key == "batch_size") r = whole(s.batch_size);
      else if (key == "steps") r = whole(s.steps);
      else if (key == "warmup") r = whole(s.warmup);
      else if (key == "eval_every") r = whole(s.eval_every);
      else if (key == "keys") r = whole(s.keys);
      else if (key == "patience") r = whole(s.patience);
      else if (key == "seed") r = whole(s.seed);
      else if (key == "seconds") r = number(s.seconds);
      else if (key == "learning_rate") r = number(s.learning_rate);
      else if (key == "dropout") r = number(s.dropout);
      else r = json.skip();
      if (!r) return r;
    }
  };
  if (auto r = read(); !r) return Error{r.error().code, r.error().offset, concat({path, ": ", r.error().what})};
  return s;
}

/// Uniform, order 0 and order 2, learned on `train`, on the pieces of `held_out`.
[[nodiscard]] inline Comparison compare_baselines(const IdPieces& train, const IdPieces& held_out, std::size_t notes, const Tokenizer& tokenizer) {
  Comparison c;
  c.notes = notes;
  c.pieces = held_out.size();
  MarkovModel markov0(0, tokenizer.vocab_size()), markov2(2, tokenizer.vocab_size());
  for (std::size_t i = 0; i < train.size(); ++i) {
    const auto s = detail::run::framed(train[i], tokenizer);
    markov0.learn(s);
    markov2.learn(s);
  }
  const auto add = [](Loss& sum, const Loss& part) {
    sum.nats += part.nats;
    sum.count += part.count;
  };
  for (std::size_t i = 0; i < held_out.size(); ++i) {
    const auto s = detail::run::framed(held_out[i], tokenizer);
    add(c.markov0, markov0.score(s));
    add(c.markov2, markov2.score(s));
  }
  c.uniform = score_uniform(c.markov0.count, tokenizer.vocab_size());
  c.tokens = c.markov0.count;
  return c;
}

/// Draws folder/curve.svg from folder/log.csv, with the baselines as lines.
[[nodiscard, gnu::cold]] inline Result<void> draw_curve(const std::string& folder, const Comparison& c) {
  const auto bytes = read_file(folder + "/log.csv");
  if (!bytes) return bytes.error();
  std::string_view text = as_chars(*bytes);
  std::vector<CurvePoint> train, held_out;
  text.remove_prefix((std::min)(text.size(), text.find('\n') + 1));
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix((std::min)(text.size(), line.size() + 1));
    double fields[5] = {-1, -1, -1, -1, -1};  // step, train, rate, norm, held-out (may be empty)
    const char* at = line.data();
    const char* const end = line.data() + line.size();
    for (double& field : fields) {
      at = std::from_chars(at, end, field).ptr;
      if (at == end) break;
      ++at;
    }
    train.push_back({fields[0], fields[1]});
    if (fields[4] >= 0) held_out.push_back({fields[0], fields[4]});
  }
  const std::vector<Baseline> lines{{"uniform", c.uniform.mean()}, {"order-0 Markov", c.markov0.mean()}, {"order-2 Markov", c.markov2.mean()}};
  return write_file_atomic(folder + "/curve.svg", loss_curve_svg(train, held_out, lines, {.title = "Loss in nats per token"}));
}

/// Trains a tokenizer and a GPT on the corpus, into `folder`, which is made. With `resume` it goes on where the folder's run
/// stopped: settings (but for a longer `steps`) and tokenizer come from the folder, the corpus must be the same.
[[nodiscard, gnu::cold]] inline Result<RunResult> train_run(Corpus corpus, RunSettings settings, const std::string& folder, ThreadPool& pool,
                                                 const RunHooks& hooks = {}, bool resume = false) {
  const auto say = [&](const std::string& line) {
    if (hooks.on_message) hooks.on_message(line);
  };
  RunResult result;
  Result<Tokenizer> tokenizer = Error{};
  if (resume) {
    auto saved = read_settings(folder);
    if (!saved) return saved.error();
    settings = *saved;
  }
  const bool lines = settings.packing == Packing::lines;
  if (lines) settings.block_size = (std::min)(settings.block_size, DatasetOptions{}.line_length - 1);  // no context that no row fills
  if (settings.keys == 0) settings.keys = suggested_keys(corpus.notes());
  add_keys(corpus, settings.keys);
  if (resume) {
    auto model = read_spm_model(folder + "/tokenizer.model");
    if (!model) return model.error();
    tokenizer = Tokenizer::create(*std::move(model));
  } else {
    tokenizer = train_music_tokenizer(corpus, {.vocab_size = settings.vocab_size, .merges = settings.merges}, &pool, &result.tokenizer);
  }
  if (!tokenizer) return tokenizer.error();
  auto encoded = encode_corpus(corpus, *tokenizer);
  if (!encoded) return encoded.error();
  if (encoded->train.ids.empty() || encoded->held_out.ids.empty()) {
    return Error{Errc::bad_value, 0, concat({"needs at least two different pieces, one to learn from and one to be judged by; found ",
        corpus.pieces.size()})};
  }
  Dataset data(encoded->train, {.packing = settings.packing, .block_size = settings.block_size, .bos_id = tokenizer->bos_id(), .eos_id = tokenizer->eos_id(),
                                .line_length = settings.block_size + 1, .seed = settings.seed});
  const std::size_t epoch_tokens = lines ? data.rows_per_epoch() * static_cast<std::size_t>(data.length()) : encoded->train.ids.size();
  if (settings.steps == 0) settings.steps = suggested_steps(epoch_tokens, settings.batch_size, settings.block_size);
  result.code_points = encoded->code_points;
  result.tokens = encoded->tokens;
  result.byte_tokens = encoded->byte_tokens;
  result.notes = encoded->notes();
  result.keys = settings.keys;
  result.vocab_size = tokenizer->vocab_size();
  result.held_out = compare_baselines(encoded->train, encoded->held_out, encoded->held_out_notes, *tokenizer);
  const std::string epoch = lines ? concat({data.rows_per_epoch(), " lines of ", data.length(), " tokens"}) : concat({epoch_tokens, " tokens"});
  say(concat({"vocabulary of ", result.vocab_size, " tokens; ", epoch, " to learn from in ", settings.keys,
      settings.keys == 1 ? " key, " : " keys, ", encoded->held_out.ids.size(), " held out; ", settings.steps, " steps of ", settings.batch_size, " x ", settings.block_size,
      " tokens"}));

  auto config = gpt_preset(settings.preset, tokenizer->vocab_size(), settings.block_size);
  if (!config) return config.error();
  config->dropout = static_cast<float>(settings.dropout);
  SparseFeatures features;
  if (settings.token_features) features = token_features(*tokenizer, corpus.codec);
  Gpt<float> model(*config, std::move(features));
  model.init(settings.seed);
  result.parameters = model.parameter_count();

  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Error{Errc::io, 0, concat({"cannot make folder ", folder, ": ", error.message()})};
  const Bytes tokenizer_bytes = spm_model_bytes(tokenizer->model());
  if (!resume) {
    if (auto r = write_file_atomic(folder + "/tokenizer.model", tokenizer_bytes); !r) return r.error();
    if (auto r = write_file_atomic(folder + "/tokenizer.vocab", vocab_text(tokenizer->model())); !r) return r.error();
    if (auto r = detail::run::save_ids(folder + "/train_ids.safetensors", encoded->train); !r) return r.error();
    if (auto r = write_file_atomic(folder + "/settings.json", detail::run::settings_json(settings, corpus.codec)); !r) return r.error();
  }

  const EvalSet held_out(encoded->held_out, settings.block_size, tokenizer->bos_id(), tokenizer->eos_id());
  TrainOptions options;
  options.steps = settings.steps;
  options.seconds = settings.seconds;
  options.batch_size = settings.batch_size;
  options.schedule.lr = settings.learning_rate;
  options.schedule.warmup = (std::min)(settings.warmup, settings.steps / 5);
  options.seed = settings.seed;
  options.eval_every = settings.eval_every > 0 ? settings.eval_every : (std::max)(settings.steps / 10, std::int64_t{1});
  options.patience = settings.patience;
  options.folder = folder;
  options.metadata = {{"midigpt.tokenizer", base64_encode(tokenizer_bytes)}, {"midigpt.codec", std::string(codec_name(corpus.codec))}};
  options.on_step = hooks.on_step;
  options.on_eval = hooks.on_eval;
  options.stop = hooks.stop;
  Trainer trainer(model, data, held_out, pool, std::move(options));
  if (resume) {
    if (auto r = trainer.resume(); !r) return r.error();
  }
  auto trained = trainer.run();
  if (!trained) return trained.error();
  result.train = *std::move(trained);
  result.held_out.model = result.train.best;
  if (auto r = draw_curve(folder, result.held_out); !r) return r.error();
  return result;
}

/// Opens a run folder, or a model.safetensors by itself.
[[nodiscard, gnu::cold]] inline Result<MusicModel> load_music_model(const std::string& path) {
  std::error_code error;
  const std::string file = std::filesystem::is_directory(path, error) ? path + "/model.safetensors" : path;
  auto loaded = load_model(file);
  if (!loaded) return std::move(loaded).error();
  const auto broken = [&](const std::string& what) { return Error{Errc::bad_value, 0, concat({file, ": ", what})}; };
  const auto tokenizer_text = loaded->metadata.find("midigpt.tokenizer");
  const auto codec_text = loaded->metadata.find("midigpt.codec");
  if (tokenizer_text == loaded->metadata.end() || codec_text == loaded->metadata.end()) return broken("has no tokenizer and codec inside; train it with midigpt");
  const auto codec = codec_from_name(codec_text->second);
  if (!codec) return broken("unknown codec " + codec_text->second);
  const auto bytes = base64_decode(tokenizer_text->second);
  if (!bytes) return broken(bytes.error().what);
  auto spm = parse_spm_model(*bytes);
  if (!spm) return broken("tokenizer: " + describe(spm.error()));
  auto tokenizer = Tokenizer::create(*std::move(spm));
  if (!tokenizer) return broken("tokenizer: " + describe(tokenizer.error()));
  if (tokenizer->vocab_size() != loaded->model.config().vocab_size) return broken("model and tokenizer have vocabularies of different sizes");
  return MusicModel{std::move(loaded->model), *std::move(tokenizer), *codec};
}

/// The pieces under the model, all of them held out, except those that the run in `folder` learnt from (then also beside
/// its Markov models; with a bare model file markov0 and markov2 stay empty). `left_out` counts the pieces not judged.
[[nodiscard, gnu::cold]] inline Result<Comparison> evaluate_music(const MusicModel& music, const Corpus& corpus, const std::string& folder, ThreadPool& pool,
                                                       std::size_t* left_out = nullptr) {
  std::error_code error;
  IdPieces learnt;
  if (std::filesystem::exists(folder + "/train_ids.safetensors", error)) {
    auto ids = detail::run::load_ids(folder + "/train_ids.safetensors", music.tokenizer.vocab_size());
    if (!ids) return ids.error();
    learnt = *std::move(ids);
  }
  const auto hash_of = [](std::span<const std::int32_t> ids) { return hash_bytes(std::as_bytes(ids)); };
  std::unordered_set<std::uint64_t> seen;
  for (std::size_t i = 0; i < learnt.size(); ++i) seen.insert(hash_of(learnt[i]));
  const auto encoded = encode_corpus(corpus, music.tokenizer);
  if (!encoded) return encoded.error();
  IdPieces judged;
  std::size_t notes = 0, skipped = 0;
  // encode_corpus keeps the order of the pieces within each side
  std::size_t next_train = 0, next_held = 0;
  for (const Piece& p : corpus.pieces) {
    const auto ids = p.held_out ? encoded->held_out[next_held++] : encoded->train[next_train++];
    if (seen.contains(hash_of(ids))) {
      ++skipped;
      continue;
    }
    judged.add(ids);
    notes += p.notes;
  }
  if (left_out != nullptr) *left_out = skipped;
  if (judged.size() == 0) return Error{Errc::bad_value, 0, "the model has learnt from every one of these pieces; nothing is left to judge it by"};
  Comparison c = compare_baselines(learnt, judged, notes, music.tokenizer);
  if (learnt.size() == 0) c.markov0 = c.markov2 = Loss{};
  const EvalSet set(judged, music.model.config().block_size, music.tokenizer.bos_id(), music.tokenizer.eos_id());
  GptWorkspace<float> workspace;
  Batch batch;
  c.model = evaluate(music.model, set, workspace, pool, batch);
  return c;
}

}  // namespace v0
}  // namespace midigpt
