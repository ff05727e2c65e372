#include <midigpt/nn/gpt_plan.hpp>

#include <doctest/doctest.h>

#include <midigpt/nn/gpt.hpp>

using namespace midigpt;

TEST_CASE("gpt plan: the places are where the model's parameters stand, tied or not, with features or without") {
  for (const bool tied : {true, false}) {
    for (const bool with_features : {true, false}) {
      CAPTURE(tied);
      CAPTURE(with_features);
      SparseFeatures features;
      if (with_features) features = {.n_features = 2, .row_begin = {0, 1, 1, 2}, .column = {0, 1}, .value = {1, 1}};
      const Gpt<float> model(
          GptConfig{.n_layer = 2, .n_head = 1, .n_embd = 4, .block_size = 8, .vocab_size = 3, .tie_weights = tied},
          features);
      const detail::gpt::Places places(model.config());
      const auto name = [&](std::size_t place) { return model.parameters()[place].name; };
      CHECK(places.count == model.parameters().size());
      CHECK(name(places.wte) == "wte.weight");
      if (with_features) CHECK(name(places.features) == "wte.features");
      CHECK(name(places.wpe) == "wpe.weight");
      CHECK(name(places.layers + detail::gpt::ln_1) == "h.0.ln_1.weight");
      CHECK(name(places.layers + detail::gpt::c_attn_bias) == "h.0.attn.c_attn.bias");
      CHECK(name(places.layers + detail::gpt::c_fc) == "h.0.mlp.c_fc.weight");
      CHECK(name(places.layers + 12 + detail::gpt::mlp_proj_bias) == "h.1.mlp.c_proj.bias");
      CHECK(name(places.ln_f) == "ln_f.weight");
      if (!tied) CHECK(name(places.head) == "lm_head.weight");
    }
  }
}

TEST_CASE("gpt plan: an arena without memory counts what it will hand out, in steps of 64 bytes") {
  detail::gpt::Arena<float> counting;
  for (const std::size_t n : {1u, 16u, 17u, 0u}) CHECK(counting.take(n) == nullptr);
  CHECK(counting.used == 16 + 16 + 32);
  std::vector<float> memory(counting.used);
  detail::gpt::Arena<float> arena{memory.data(), 0};
  CHECK(arena.take(1) == memory.data());
  CHECK(arena.take(16) == memory.data() + 16);
  CHECK(arena.take(17) == memory.data() + 32);
  CHECK(arena.used == counting.used);
}

TEST_CASE("gpt plan: a batch is cut the same way for any number of workers, and all of it") {
  const GptConfig config{.n_layer = 1, .n_head = 1, .n_embd = 4, .block_size = 256, .vocab_size = 300};
  for (const std::size_t size : {100'000u, 3'000'000u, 20'000'000u, 100'000'000u}) {
    for (std::size_t B = 1; B <= 40; ++B) {
      for (const std::size_t T : {1u, 32u, 256u}) {
        const auto one = detail::gpt::cut_for(config, size, B, T, 1, true, {});
        CHECK(one.sequences * (one.micros - 1) < B);
        CHECK(one.sequences * one.micros >= B);
        CHECK(one.head_rows <= one.sequences * T);
        for (std::size_t workers = 2; workers <= 9; ++workers) {
          const auto many = detail::gpt::cut_for(config, size, B, T, workers, true, {});
          CHECK(many.sequences == one.sequences);
          CHECK(many.lanes == one.lanes);
          CHECK(many.head_rows == one.head_rows);
          CHECK(many.slots == (std::min)(workers, many.lanes));
        }
      }
    }
  }
}
