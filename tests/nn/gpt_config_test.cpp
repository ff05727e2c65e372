#include <midigpt/nn/gpt_config.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

TEST_CASE("gpt config: the presets have the shapes of their names, others are refused by name") {
  struct Row {
    const char* name;
    int n_layer, n_head, n_embd;
  };
  for (const Row& row :
       {Row{"nano", 3, 3, 48}, Row{"tiny", 4, 4, 128}, Row{"small", 6, 6, 384}, Row{"gpt2", 12, 12, 768}}) {
    CAPTURE(row.name);
    const GptConfig want{
        .n_layer = row.n_layer, .n_head = row.n_head, .n_embd = row.n_embd, .block_size = 64, .vocab_size = 500};
    CHECK((gpt_preset(row.name, 500, 64).value() == want));
  }
  const auto huge = gpt_preset("huge", 500, 64);
  REQUIRE(!huge);
  CHECK(huge.error().what == "preset: expected nano, tiny, small or gpt2, found huge");
}

TEST_CASE("gpt config: a loss is counted per target, and of none it is zero") {
  CHECK(Loss{6.0, 4}.mean() == 1.5);
  CHECK(Loss{}.mean() == 0.0);
  CHECK(Loss{6.0, 4}.finite());
  CHECK_FALSE(Loss{std::numeric_limits<double>::quiet_NaN(), 4}.finite());
  CHECK_FALSE(Loss{std::numeric_limits<double>::infinity(), 4}.finite());
}

TEST_CASE("gpt config: features transposed are the dense matrix transposed, and twice transposed the same") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const int V = rng.between(1, 20), K = rng.between(1, 12);
    SparseFeatures f{.n_features = K, .row_begin = {0}, .column = {}, .value = {}};
    std::vector<float> dense(static_cast<std::size_t>(V * K)), back(dense.size());
    for (int v = 0; v < V; ++v) {
      for (int k = 0; k < K; ++k) {
        if (!rng.chance(0.3)) continue;
        f.column.push_back(k);
        f.value.push_back(dense[static_cast<std::size_t>(v * K + k)] = static_cast<float>(rng.uniform()) + 1);
      }
      f.row_begin.push_back(static_cast<std::int32_t>(f.column.size()));
    }
    const SparseFeatures t = transposed(f);
    CHECK(t.n_features == V);
    REQUIRE(t.row_begin.size() == static_cast<std::size_t>(K) + 1);
    for (int k = 0; k < K; ++k) {
      for (auto i = t.row_begin[static_cast<std::size_t>(k)]; i < t.row_begin[static_cast<std::size_t>(k) + 1]; ++i)
        back[static_cast<std::size_t>(t.column[static_cast<std::size_t>(i)] * K + k)] = t.value[static_cast<std::size_t>(i)];
    }
    CHECK(back == dense);
    CHECK(transposed(t) == f);
  }
}
