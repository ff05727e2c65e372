#include <midigpt/train/dataset.hpp>

#include <doctest/doctest.h>

#include <map>
#include <numeric>
#include <set>
#include <vector>

using namespace midigpt;

namespace {

/// Pieces of the given lengths; ids count up from 10 through all of them, so that every id names its place.
IdPieces counting(std::initializer_list<int> lengths) {
  IdPieces pieces;
  std::int32_t next = 10;
  for (const int n : lengths) {
    std::vector<std::int32_t> piece(static_cast<std::size_t>(n));
    std::iota(piece.begin(), piece.end(), next);
    next += n;
    pieces.add(piece);
  }
  return pieces;
}

}  // namespace

TEST_CASE("dataset: packed windows show each position once an epoch and target what follows") {
  Dataset data(counting({7, 1, 13, 30}), {.block_size = 8, .bos_id = 1, .eos_id = 2});
  const std::size_t ring = 51 + 8, rows = data.rows_per_epoch();
  CHECK(rows == (ring + 7) / 8);
  Batch batch;
  for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
    std::map<std::int32_t, int> seen;
    for (std::uint64_t r = 0; r < rows; ++r) {
      data.fill(epoch * rows + r, 1, batch);
      for (std::size_t t = 0; t < 8; ++t) {
        ++seen[batch.tokens[t]];
        if (t + 1 < 8 && batch.targets[t] != k_ignore) CHECK(batch.targets[t] == batch.tokens[t + 1]);
        CHECK((batch.targets[t] == k_ignore) == (batch.tokens[t] == 2));  // only EOS has a successor nobody can guess
        if (batch.tokens[t] >= 10 && batch.targets[t] >= 10) CHECK(batch.targets[t] == batch.tokens[t] + 1);
      }
    }
    int missing = 0, often = 0;
    for (std::int32_t id = 10; id < 61; ++id) {
      missing += seen[id] == 0 ? 1 : 0;
      often += seen[id] > 1 ? 1 : 0;
    }
    CHECK(missing == 0);
    CHECK(often <= static_cast<int>(rows * 8 - ring));  // the last window runs on into the ring's start
  }
}

TEST_CASE("dataset: a row depends on the step alone, in whatever order steps are asked for") {
  const auto pieces = counting({40, 3, 25});
  for (const Packing packing : {Packing::packed, Packing::lines}) {
    for (const bool with_replacement : {false, true}) {
      const DatasetOptions options{.packing = packing,
                                   .block_size = 16,
                                   .bos_id = 1,
                                   .eos_id = 2,
                                   .with_replacement = with_replacement,
                                   .seed = 5};
      Dataset forward(pieces, options), backward(pieces, options);
      std::vector<Batch> want(30);
      for (std::uint64_t s = 0; s < 30; ++s) forward.fill(s, 3, want[s]);
      std::size_t wrong = 0;
      Batch got;
      for (std::uint64_t s = 30; s-- > 0;) {
        backward.fill(s, 3, got);
        wrong += got.tokens == want[s].tokens && got.targets == want[s].targets ? 0u : 1u;
      }
      CHECK(wrong == 0);
      Dataset other(pieces, {.packing = packing,
                             .block_size = 16,
                             .bos_id = 1,
                             .eos_id = 2,
                             .with_replacement = with_replacement,
                             .seed = 6});
      std::size_t same = 0;
      for (std::uint64_t s = 0; s < 30; ++s) {
        other.fill(s, 3, got);
        same += got.tokens == want[s].tokens ? 1u : 0u;
      }
      CHECK(same < 15);
    }
  }
}

TEST_CASE("dataset: batches of another size walk the same rows") {
  Dataset data(counting({100}), {.block_size = 10});
  Batch whole, part;
  data.fill(0, 6, whole);
  for (std::uint64_t s = 0; s < 3; ++s) {
    data.fill(s, 2, part);
    CHECK(
        std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin() + static_cast<std::ptrdiff_t>(s) * 20));
  }
}

TEST_CASE("dataset: a corpus shorter than a window is repeated, an empty one is empty") {
  Dataset tiny(counting({3}), {.block_size = 16, .bos_id = 1, .eos_id = 2});
  CHECK(!tiny.empty());
  Batch batch;
  tiny.fill(0, 2, batch);
  for (const std::int32_t id : batch.tokens) CHECK((id == 1 || id == 2 || (id >= 10 && id < 13)));
  CHECK(Dataset(IdPieces{}).empty());
  CHECK(Dataset(counting({0, 0}), {.bos_id = 1}).empty());
  CHECK(Dataset(counting({1})).empty());  // one id has no successor
}

TEST_CASE("dataset: the author's layout keeps 32 ids of each line and learns the padding") {
  auto options = author_dataset();
  Dataset data(counting({40, 5}), options);
  CHECK(data.length() == 31);
  CHECK(data.rows_per_epoch() == 2);
  bool long_seen = false, short_seen = false;
  Batch batch;
  for (std::uint64_t s = 0; s < 40; ++s) {
    data.fill(s, 1, batch);
    if (batch.tokens[0] == 10) {
      long_seen = true;
      for (std::size_t t = 0; t < 31; ++t)
        CHECK((batch.tokens[t] == 10 + static_cast<int>(t) && batch.targets[t] == 11 + static_cast<int>(t)));
    } else {
      short_seen = true;
      for (std::size_t t = 0; t < 31; ++t)
        CHECK((batch.tokens[t] == (t < 5 ? 50 + static_cast<int>(t) : 0) &&
               batch.targets[t] == (t < 4 ? 51 + static_cast<int>(t) : 0)));
    }
  }
  CHECK((long_seen && short_seen));
  options.score_padding = options.with_replacement = false;
  Dataset ignoring(counting({5}), options);
  ignoring.fill(0, 1, batch);
  for (std::size_t t = 0; t < 31; ++t) CHECK(batch.targets[t] == (t < 4 ? 11 + static_cast<int>(t) : k_ignore));
}

TEST_CASE("dataset: lines with BOS and EOS: the end is learnt where it fits, padding is not") {
  Dataset data(counting({5, 6, 7}), {.packing = Packing::lines, .bos_id = 1, .eos_id = 2, .pad_id = 3, .line_length = 8});
  CHECK(data.length() == 7);
  std::set<std::vector<std::int32_t>> got;
  Batch batch;
  for (std::uint64_t s = 0; s < 3; ++s) {
    data.fill(s, 1, batch);
    auto row = batch.tokens;
    row.insert(row.end(), batch.targets.begin(), batch.targets.end());
    got.insert(row);
  }
  CHECK(got == std::set<std::vector<std::int32_t>>{{1, 10, 11, 12, 13, 14, 2, 10, 11, 12, 13, 14, 2, k_ignore},
                                                   {1, 15, 16, 17, 18, 19, 20, 15, 16, 17, 18, 19, 20, 2},
                                                   {1, 21, 22, 23, 24, 25, 26, 21, 22, 23, 24, 25, 26, 27}});
}

TEST_CASE("dataset: packings have names") {
  for (const Packing p : {Packing::packed, Packing::lines}) CHECK(packing_from_name(packing_name(p)) == p);
  CHECK_FALSE(packing_from_name("circles"));
  CHECK_FALSE(packing_from_name(""));
}

TEST_CASE("dataset: its hash tells pieces apart from their concatenation") {
  CHECK(hash_pieces(counting({4, 6})) == hash_pieces(counting({4, 6})));
  CHECK(hash_pieces(counting({4, 6})) != hash_pieces(counting({6, 4})));
  CHECK(hash_pieces(counting({10})) != hash_pieces(counting({4, 6})));
}

TEST_CASE("dataset: evaluation windows score every token but BOS exactly once, with a known context") {
  for (const int T : {1, 2, 7, 16}) {
    for (const int stride : {0, 1, T}) {
      for (const bool controls : {true, false}) {
        const auto pieces = counting({1, 40, 0, 16, 17, 7});
        EvalSet eval(pieces, T, controls ? 1 : -1, controls ? 2 : -1, stride);
        CAPTURE(T);
        CAPTURE(stride);
        std::map<std::int32_t, int> scored;
        std::uint64_t count = 0;
        const std::size_t hop = static_cast<std::size_t>(stride > 0 ? stride : T > 1 ? T / 2 : 1);
        int wrong = 0;
        for (const EvalWindow& w : eval.windows()) {
          wrong += w.tokens.size() >= 2 && w.tokens.size() <= static_cast<std::size_t>(T) + 1 && w.first_scored >= 1 &&
                           w.first_scored < w.tokens.size()
                       ? 0
                       : 1;
          const bool first = controls ? w.tokens[0] == 1 : w.first_scored == 1;
          wrong += first || w.first_scored == static_cast<std::size_t>(T) + 1 - hop ? 0 : 1;
          for (std::size_t i = w.first_scored; i < w.tokens.size(); ++i, ++count) ++scored[w.tokens[i]];
          wrong += std::count(w.tokens.begin() + 1, w.tokens.end(), 1) == 0 ? 0 : 1;
        }
        CHECK(wrong == 0);
        CHECK(count == eval.count());
        for (std::int32_t id = 10; id < 91; ++id) {
          const bool opening = id == 10 || id == 11 || id == 51 || id == 67 || id == 84;
          CHECK(scored[id] == (controls || !opening ? 1 : 0));
        }
        CHECK(scored[2] == (controls ? 6 : 0));
      }
    }
  }
}
