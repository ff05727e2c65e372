// A small training run with all its parts, the same each time it is made: what the trainer's tests train.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <midigpt/train/trainer.hpp>

namespace midigpt {

/// Pieces with a rule to learn: each id is the one before plus a step that the piece's first id tells.
inline IdPieces walks(std::size_t count, std::uint64_t seed) {
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

/// An empty folder for one test, gone with it.
struct TestFolder {
  std::string path;
  explicit TestFolder(const std::string& name) : path("trainer_test." + name) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directory(path);
  }
  ~TestFolder() { std::filesystem::remove_all(path); }
  [[nodiscard]] Bytes file(const std::string& name) const {
    auto bytes = read_file(path + "/" + name);
    return bytes ? *std::move(bytes) : Bytes{};
  }
};

inline SparseFeatures some_features() {
  SparseFeatures f{.n_features = 4, .row_begin = {0}, .column = {}, .value = {}};
  for (std::int32_t v = 0; v < 18; ++v) {
    if (v >= 8) f.column.push_back(v % 4);
    f.row_begin.push_back(static_cast<std::int32_t>(f.column.size()));
  }
  f.value.assign(f.column.size(), 1.0f);
  return f;
}

struct TestRun {
  IdPieces pieces = walks(60, 1), held_pieces = walks(12, 2);
  Gpt<float> model;
  Dataset data;
  EvalSet held_out;
  ThreadPool pool;

  explicit TestRun(std::size_t threads = 1, float dropout = 0.1f, std::uint64_t seed = 1)
      : model({.n_layer = 2, .n_head = 2, .n_embd = 16, .block_size = 32, .vocab_size = 18, .dropout = dropout},
              some_features()),
        data(pieces, {.block_size = 32, .bos_id = 1, .eos_id = 2, .seed = seed}),
        held_out(held_pieces, 32, 1, 2),
        pool(threads) {
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

inline bool same_parameters(const Gpt<float>& a, const Gpt<float>& b) {
  for (std::size_t i = 0; i < a.parameters().size(); ++i) {
    if (!(a.parameters()[i].value == b.parameters()[i].value)) return false;
  }
  return true;
}

}  // namespace midigpt
