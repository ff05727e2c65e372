#include <midigpt/nn/gpt_config.hpp>

#include <doctest/doctest.h>

#include <limits>

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
