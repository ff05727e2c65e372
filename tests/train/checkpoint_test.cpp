#include <midigpt/train/checkpoint.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

using namespace midigpt;

namespace {

GptConfig small_config(bool tied = true) {
  return {.n_layer = 2, .n_head = 3, .n_embd = 12, .block_size = 8, .vocab_size = 20, .tie_weights = tied};
}

Gpt<float> small_model(bool tied = true) {
  Gpt<float> model(small_config(tied));
  model.init(4);
  std::uint64_t stream = 100;
  for (auto& p : model.parameters()) {
    if (!p.decay) fill_normal(p.value, 0.5, 9, stream++);  // norms and biases that a mix-up would show
  }
  return model;
}

std::vector<float> logits_of(const Gpt<float>& model) {
  const std::vector<std::int32_t> ids{3, 1, 4, 1, 5, 9, 2, 6};
  std::vector<float> out(ids.size() * static_cast<std::size_t>(model.config().vocab_size));
  GptWorkspace<float> workspace;
  ThreadPool pool;
  model.logits(ids, 1, ids.size(), out, workspace, pool);
  return out;
}

/// The tensors of a model under other people's names and orders.
struct Foreign {
  std::vector<Tensor<float>> values;
  std::vector<StoredTensor> tensors;

  Foreign(const Gpt<float>& model, const std::string& prefix, bool transposed) {
    values.reserve(100);
    for (const auto& p : model.parameters()) {
      const bool turn = transposed && p.value.shape().rank() == 2 && p.name.starts_with("h.");
      Tensor<float>& v =
          values.emplace_back(turn ? Tensor<float>(Shape{p.value.shape()[1], p.value.shape()[0]}) : p.value);
      if (turn) v.map() = p.value.map().transpose();
      tensors.push_back(detail::checkpoint::stored_parameter((p.name == "lm_head.weight" ? "" : prefix) + p.name, v));
    }
  }
  void add(const std::string& name, const Shape& shape) {
    tensors.push_back(detail::checkpoint::stored_parameter(name, values.emplace_back(shape)));
  }
  [[nodiscard]] Bytes bytes(const Metadata& m = {}) const { return safetensors_bytes(tensors, m).value(); }
};

}  // namespace

TEST_CASE("checkpoint: a saved model loads with the same numbers, twice the same bytes") {
  for (const bool tied : {true, false}) {
    const auto model = small_model(tied);
    const std::string path = "checkpoint_test.tmp";
    REQUIRE(save_model(path, model, {{"midigpt.codec", "multitrack"}}));
    const Bytes first = read_file(path).value();
    REQUIRE(save_model(path, model, {{"midigpt.codec", "multitrack"}}));
    CHECK(read_file(path).value() == first);
    auto loaded = load_model(path);
    REQUIRE(loaded);
    CHECK(loaded->model.config() == model.config());
    CHECK(loaded->metadata.at("format") == "pt");
    CHECK(loaded->metadata.at("midigpt.codec") == "multitrack");
    CHECK(loaded->metadata.at("midigpt.version") == k_version);
    for (std::size_t i = 0; i < model.parameters().size(); ++i)
      CHECK(loaded->model.parameters()[i].value == model.parameters()[i].value);
    CHECK(
        parse_safetensors(first)->find(tied ? "h.0.attn.c_attn.weight" : "transformer.h.0.attn.c_attn.weight")->shape ==
        std::vector<std::uint64_t>{12, 36});
    std::remove(path.c_str());
  }
}

TEST_CASE("checkpoint: token features are folded into wte, and the logits stay") {
  SparseFeatures features{.n_features = 6, .row_begin = {0}, .column = {}, .value = {}};
  for (int v = 0; v < 20; ++v) {
    features.column.push_back(v % 6);
    features.column.push_back((v * 5 + 1) % 6);
    features.row_begin.push_back(static_cast<std::int32_t>(features.column.size()));
  }
  features.value.assign(features.column.size(), 1.0f);
  Gpt<float> model(small_config(), features);
  model.init(8);
  const std::string path = "checkpoint_test.tmp";
  REQUIRE(save_model(path, model));
  auto loaded = load_model(path);
  REQUIRE(loaded);
  CHECK(loaded->model.config() == small_config());
  const auto a = logits_of(model), b = logits_of(loaded->model);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
  std::remove(path.c_str());
}

TEST_CASE(
    "checkpoint: other people's GPT-2 files load: prefixes, (out,in) matrices, masks, a repeated head, absent biases") {
  const auto model = small_model();
  const auto want = logits_of(model);
  const LoadModelOptions heads{.n_head = 3};
  for (const std::string& prefix :
       {std::string(), std::string("transformer."), std::string("_orig_mod.transformer.")}) {
    for (const bool transposed : {false, true}) {
      CAPTURE(prefix);
      CAPTURE(transposed);
      Foreign file(model, prefix, transposed);
      for (int l = 0; l < 2; ++l) {
        file.add(prefix + "h." + std::to_string(l) + ".attn.bias", Shape{1, 1, 8, 8});
        file.add(prefix + "h." + std::to_string(l) + ".attn.masked_bias", Shape{});
      }
      StoredTensor head = file.tensors[0];  // wte again under the head's name
      head.name = "lm_head.weight";
      file.tensors.push_back(head);
      const Bytes bytes = file.bytes();
      auto loaded = model_from(*parse_safetensors(bytes), heads);
      REQUIRE(loaded);
      CHECK(loaded->config().tie_weights);
      CHECK(logits_of(*loaded) == want);
    }
  }
  Foreign untied(small_model(false), "transformer.", false);
  const Bytes bytes = untied.bytes();
  auto loaded = model_from(*parse_safetensors(bytes), heads);
  REQUIRE(loaded);
  CHECK(!loaded->config().tie_weights);
  CHECK(logits_of(*loaded) == logits_of(small_model(false)));

  Gpt<float> bare = small_model();
  Foreign without(bare, "", false);
  std::erase_if(without.tensors, [](const StoredTensor& t) { return t.name.ends_with(".bias"); });
  const Bytes fewer = without.bytes();
  auto nano = model_from(*parse_safetensors(fewer), heads);
  REQUIRE(nano);
  for (auto& p : bare.parameters()) {
    if (p.name.ends_with(".bias")) p.value.fill(0);
  }
  CHECK(logits_of(*nano) == logits_of(bare));
}

TEST_CASE("checkpoint: files that are no GPT-2 are refused with a name") {
  const auto model = small_model();
  struct Row {
    const char* name;
    std::function<void(Foreign&, Metadata&)> hurt;
  };
  for (const auto& row : {
           Row{"no wte", [](Foreign&f, Metadata&) { f.tensors.erase(f.tensors.begin()); }},
           Row{"missing matrix",
               [](Foreign&f, Metadata&) {
                 std::erase_if(f.tensors, [](const StoredTensor& t) { return t.name == "h.1.mlp.c_fc.weight"; });
               }},
           Row{"foreign tensor", [](Foreign&f, Metadata&) { f.add("rotary.inv_freq", Shape{4}); }},
           Row{"foreign tensor in a layer", [](Foreign&f, Metadata&) { f.add("h.0.attn.q_norm.weight", Shape{4}); }},
           Row{"a layer far away", [](Foreign&f, Metadata&) { f.add("h.900.ln_1.weight", Shape{12}); }},
           Row{"wrong shape",
               [](Foreign&f, Metadata&) {
                 f.tensors[3].shape = {6, 2};
               }},
           Row{"n_head does not divide", [](Foreign&, Metadata&m) { m["midigpt.arch"] = R"({"n_head":5})"; }},
           Row{"n_head zero", [](Foreign&, Metadata&m) { m["midigpt.arch"] = R"({"n_head":0})"; }},
           Row{"arch disagrees", [](Foreign&, Metadata&m) { m["midigpt.arch"] = R"({"n_head":3,"n_layer":7})"; }},
           Row{"arch is no JSON", [](Foreign&, Metadata&m) { m["midigpt.arch"] = "n_head=3"; }},
           Row{"another activation",
               [](Foreign&, Metadata&m) { m["midigpt.arch"] = R"({"n_head":3,"activation":"relu"})"; }},
           Row{"not finite", [](Foreign&f, Metadata&) { f.values[2][1] = std::numeric_limits<float>::infinity(); }},
           Row{"twice under two prefixes",
               [](Foreign&f, Metadata&) {
                 f.add("transformer.wpe.weight", Shape{8, 12});
               }},
       }) {
    CAPTURE(row.name);
    Foreign file(model, "", false);
    Metadata metadata{{"midigpt.arch", R"({"n_head":3})"}};
    row.hurt(file, metadata);
    const Bytes bytes = file.bytes(metadata);
    auto view = parse_safetensors(bytes);
    REQUIRE(view);
    auto loaded = model_from(*view);
    CHECK(!loaded);
    if (!loaded) CHECK(!loaded.error().what.empty());
  }
}

TEST_CASE("checkpoint: Hugging Face's config names every size and says how the head is tied") {
  const std::string json = hf_config_json(small_config(false), 2, 3, 0);
  JsonReader reader(json);
  REQUIRE(reader.skip());
  REQUIRE(reader.end());
  for (const char* part :
       {"\"n_layer\": 2,", "\"n_head\": 3,", "\"n_embd\": 12,", "\"n_positions\": 8,", "\"vocab_size\": 20,",
        "\"tie_word_embeddings\": false,", "\"bos_token_id\": 2,", "\"eos_token_id\": 3,", "\"pad_token_id\": 0,",
        "\"activation_function\": \"gelu_new\"", "GPT2LMHeadModel"}) {
    CAPTURE(part);
    CHECK(json.find(part) != std::string::npos);
  }
}
