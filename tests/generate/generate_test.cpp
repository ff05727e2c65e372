#include <midigpt/generate/generate.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <generate/music_fixture.hpp>

using namespace midigpt;

namespace {

Gpt<float> random_model(const Tokenizer& tokenizer, int block_size, std::uint64_t seed = 1, double size = 0.4) {
  Gpt<float> model(
      {.n_layer = 2, .n_head = 2, .n_embd = 16, .block_size = block_size, .vocab_size = tokenizer.vocab_size()});
  std::uint64_t stream = 0;
  for (auto& p : model.parameters()) {
    if (p.decay)
      fill_normal(p.value, size, seed, stream++);
    else
      p.value.fill(p.name.ends_with("weight") ? 1.0f : 0.0f);
  }
  return model;
}

constexpr CodecKind k_all[] = {CodecKind::multitrack, CodecKind::split, CodecKind::theremin,
                               CodecKind::theremin_compat};

}  // namespace

TEST_CASE("generate: whatever the model says, the result is music, within its limits") {
  for (const CodecKind codec : k_all) {
    CAPTURE(codec_name(codec));
    const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
    const auto model = random_model(tokenizer, 32);
    Generator generator(model);
    std::size_t wrong = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      auto piece = generate_score(generator, tokenizer, codec, {}, {.max_tokens = 100, .seed = seed});
      REQUIRE(piece);
      TextReport report;
      const Score score = from_text(piece->text, codec, &report);
      wrong += score == piece->score && report.foreign == 0 && report.out_of_range == 0 &&
                       piece->notes == count_notes(piece->score) && piece->notes > 0
                   ? 0u
                   : 1u;
      wrong += piece->prompt_ids == 1 && piece->ids[0] == tokenizer.bos_id() && piece->ids.size() <= 101 ? 0u : 1u;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("generate: a prompt is continued: its notes come first, unchanged") {
  for (const CodecKind codec : k_all) {
    CAPTURE(codec_name(codec));
    const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
    const auto model = random_model(tokenizer, 64);
    Generator generator(model);
    const Score prompt = dice({.seed = 99, .bars = 2});
    auto piece =
        generate_score(generator, tokenizer, codec, prompt, {.max_tokens = 50, .constraint = {.min_notes = 1000}});
    REQUIRE(piece);
    std::string text = to_text(prompt, codec);
    std::string end;
    utf8_append(end, control_character({ControlKind::end, 0}));
    if (text.ends_with(end)) text.resize(text.size() - end.size());
    CHECK(piece->text.starts_with(text));
    CHECK(piece->text.size() > text.size());
    CHECK(piece->notes > count_text_notes(text, codec));
    CHECK(!piece->ended);
  }
}

TEST_CASE("generate: the same seed gives the same piece, another seed another") {
  const CodecKind codec = CodecKind::multitrack;
  const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
  const auto model = random_model(tokenizer, 48);
  Generator first(model), second(model);
  const GenerateOptions options{.max_tokens = 80,
                                .sampler = {.temperature = 0.9, .top_k = 50, .top_p = 0.95, .repetition_penalty = 1.1},
                                .seed = 7};
  const auto a = generate_score(first, tokenizer, codec, {}, options)->ids;
  (void)generate_score(first, tokenizer, codec, {}, {.max_tokens = 20, .seed = 3});
  CHECK(generate_score(first, tokenizer, codec, {}, options)->ids == a);  // what was before does not matter
  CHECK(generate_score(second, tokenizer, codec, {}, options)->ids == a);
  CHECK(generate_score(second, tokenizer, codec, {}, {.max_tokens = 80, .seed = 8})->ids != a);
}

TEST_CASE("generate: with the cache it says what full recomputation says, beyond the context too") {
  const Tokenizer& tokenizer = music_fixture(CodecKind::multitrack).tokenizer;
  const std::size_t T = 16, V = static_cast<std::size_t>(tokenizer.vocab_size());
  const auto model = random_model(tokenizer, static_cast<int>(T), 5, 0.2);
  Generator generator(model);
  const std::vector<std::int32_t> prompt{2, 300, 301};
  const auto ids = generator.run(prompt, {.max_tokens = 60, .sampler = {.temperature = 0}});
  REQUIRE(ids.size() == 60);
  std::vector<std::int32_t> all = prompt;
  GptWorkspace<float> workspace;
  ThreadPool pool;
  std::vector<float> logits;
  std::size_t cached = prompt.size(), wrong = 0;  // how many of the last ids the model may look at
  for (const std::int32_t id : ids) {
    const auto context = std::span<const std::int32_t>(all).last(cached);
    logits.resize(cached * V);
    model.logits(context, 1, cached, logits, workspace, pool);
    const auto row = std::span<const float>(logits).last(V);
    const float best = *std::max_element(row.begin(), row.end());
    wrong += row[static_cast<std::size_t>(id)] > best - 1e-4f ? 0u : 1u;
    all.push_back(id);
    cached = cached == T ? T / 2 : cached + 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("generate: it ends at the end id, at the limit, at the stop flag, and tells each id as it comes") {
  const Tokenizer& tokenizer = music_fixture(CodecKind::multitrack).tokenizer;
  const auto model = random_model(tokenizer, 32);
  Generator generator(model);
  const std::vector<std::int32_t> prompt{2};
  std::vector<std::int32_t> told;
  std::atomic<bool> stop{false};
  GenerateOptions options{.max_tokens = 40};
  options.on_token = [&](std::int32_t id) { told.push_back(id); };
  const auto free = generator.run(prompt, options);
  CHECK(free.size() == 40);
  CHECK(told == free);
  const auto ended = generator.run(prompt, options, free[10]);
  CHECK(ended.back() == free[10]);
  CHECK(ended.size() <= 11);
  options.stop = &stop;
  options.on_token = [&](std::int32_t) { stop = true; };
  CHECK(generator.run(prompt, options).size() == 1);
  CHECK_THROWS_AS((void)generator.run({}, options), ShapeError);
  CHECK(generator.run(prompt, {.max_tokens = 0}).empty());
}

TEST_CASE("generate: a prompt longer than the context is taken by its end, and a foreign vocabulary is refused") {
  const CodecKind codec = CodecKind::multitrack;
  const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
  const auto model = random_model(tokenizer, 24);
  Generator generator(model);
  auto piece = generate_score(generator, tokenizer, codec, dice({.seed = 4, .bars = 16}),
                              {.max_tokens = 30, .constraint = {.min_notes = 100000}});
  REQUIRE(piece);
  CHECK(piece->prompt_ids > 24);
  CHECK(piece->ids.size() > piece->prompt_ids);
  Gpt<float> small({.n_layer = 1, .n_head = 1, .n_embd = 8, .block_size = 8, .vocab_size = 100});
  Generator other(small);
  CHECK(!generate_score(other, tokenizer, codec, {}));
}

TEST_CASE("generate: a larger model vocabulary than the tokenizer's gives only ids of the tokenizer") {
  const CodecKind codec = CodecKind::multitrack;
  const Tokenizer& tokenizer = music_fixture(codec).tokenizer;
  Gpt<float> model(
      {.n_layer = 1, .n_head = 1, .n_embd = 8, .block_size = 32, .vocab_size = tokenizer.vocab_size() + 5000});
  model.init(3);
  Generator generator(model);
  auto piece = generate_score(generator, tokenizer, codec, {}, {.max_tokens = 200, .constraint = {.min_notes = 50}});
  REQUIRE(piece);
  for (const std::int32_t id : piece->ids) CHECK(id < tokenizer.vocab_size());
  CHECK(piece->notes > 0);
}
