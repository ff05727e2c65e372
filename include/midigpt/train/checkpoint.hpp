// train/checkpoint.hpp - a model file is a safetensors file with GPT-2's tensor names, which Python opens as a plain
// GPT-2.
//   save_model folds token features into wte and writes everything a reader needs into the metadata; load_model also
//   opens GPT-2 files of others: Hugging Face (with or without "transformer."), nanoGPT and minGPT converted to
//   safetensors.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/nn/gpt.hpp>
#include <midigpt/version.hpp>
#include <midigpt/weights/json.hpp>
#include <midigpt/weights/safetensors.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::checkpoint {

[[nodiscard]] inline std::vector<std::uint64_t> dims(const Shape& shape) { return {shape.begin(), shape.end()}; }

[[nodiscard]] inline StoredTensor stored_parameter(std::string name, const Tensor<float>& tensor) {
  return stored<float>(std::move(name), dims(tensor.shape()), tensor.span());
}

/// Names without the prefixes of other programs.
[[nodiscard]] inline std::string_view plain_name(std::string_view name) noexcept {
  for (const std::string_view prefix : {std::string_view("_orig_mod."), std::string_view("transformer.")}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  return name;
}

/// Causal mask buffers that old files carry: not parameters.
[[nodiscard, gnu::cold]] inline bool is_mask(std::string_view name) noexcept {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

/// i of "h.i.rest"; false for other names.
[[nodiscard, gnu::cold]] inline bool layer_of(std::string_view name, std::uint64_t& layer) noexcept {
  if (!name.starts_with("h.")) return false;
  std::size_t at = 2;
  for (layer = 0; at < name.size() && name[at] >= '0' && name[at] <= '9' && at < 10; ++at) {
    layer = layer * 10 + static_cast<std::uint64_t>(name[at] - '0');
  }
  return at > 2 && at < name.size() && name[at] == '.';
}

[[nodiscard, gnu::cold]] inline Error refuse(const std::string& what) { return Error{Errc::bad_value, 0, what}; }

}  // namespace detail::checkpoint

/// The architecture as JSON: what metadata keeps under "midigpt.arch".
[[nodiscard, gnu::cold]] inline std::string arch_json(const GptConfig& c) {
  return concat({"{\"n_layer\":", c.n_layer, ",\"n_head\":", c.n_head, ",\"n_embd\":", c.n_embd, ",\"block_size\":", c.block_size,
      ",\"vocab_size\":", c.vocab_size, ",\"activation\":\"gelu_new\",\"layer_norm_epsilon\":1e-05,\"tie_weights\":",
      c.tie_weights ? "true" : "false", "}"});
}

/// What Hugging Face's GPT2LMHeadModel.from_pretrained reads beside model.safetensors. Ids of -1 are left out.
[[nodiscard, gnu::cold]] inline std::string hf_config_json(const GptConfig& c, std::int32_t bos_id = -1, std::int32_t eos_id = -1,
                                                std::int32_t pad_id = -1) {
  const auto number = [](std::string_view key, auto value) {
    return concat({"  \"", key, "\": ", json_number(value), ",\n"});
  };
  std::string out = "{\n  \"architectures\": [\"GPT2LMHeadModel\"],\n  \"model_type\": \"gpt2\",\n";
  out += number("vocab_size", c.vocab_size) + number("n_positions", c.block_size) + number("n_ctx", c.block_size);
  out +=
      concat({number("n_embd", c.n_embd), number("n_layer", c.n_layer), number("n_head", c.n_head), "  \"n_inner\": null,\n"});
  append(out, {"  \"activation_function\": \"gelu_new\",\n", number("layer_norm_epsilon", 1e-5), number("initializer_range", 0.02)});
  for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) out += number(key, c.dropout);
  out +=
      "  \"scale_attn_weights\": true,\n  \"scale_attn_by_inverse_layer_idx\": false,\n  \"reorder_and_upcast_attn\": "
      "false,\n";
  append(out, {"  \"tie_word_embeddings\": ", c.tie_weights ? "true" : "false", ",\n"});
  if (bos_id >= 0) out += number("bos_token_id", bos_id);
  if (eos_id >= 0) out += number("eos_token_id", eos_id);
  if (pad_id >= 0) out += number("pad_token_id", pad_id);
  return out + "  \"use_cache\": true,\n  \"torch_dtype\": \"float32\"\n}\n";
}

/// Writes the model as a plain GPT-2: features folded into wte, Hugging Face's names and (in, out) matrices,
/// atomically.
///   metadata: what the caller adds ("midigpt.tokenizer", "midigpt.codec"...); format, version and architecture come by
///   themselves. A tied model has the names of the public gpt2 file; an untied one those of GPT2LMHeadModel, with
///   "transformer.".
[[nodiscard, gnu::cold]] inline Result<void> save_model(const std::string& path, const Gpt<float>& model, Metadata metadata = {}) {
  if (model.config().n_feature > 0) return save_model(path, model.folded(), std::move(metadata));
  metadata["format"] = "pt";
  metadata["midigpt.version"] = k_version;
  metadata["midigpt.arch"] = arch_json(model.config());
  const std::string prefix = model.config().tie_weights ? "" : "transformer.";
  std::vector<StoredTensor> tensors;
  for (const Parameter<float>& p : model.parameters()) {
    tensors.push_back(
        detail::checkpoint::stored_parameter(p.name == "lm_head.weight" ? p.name : prefix + p.name, p.value));
  }
  return write_safetensors(path, tensors, metadata);
}

struct LoadModelOptions {
  int n_head = 0;  // 0: from the metadata, else by the width (48: 3, 128: 4, 192: 6, 384: 6, else width / 64)
};

struct LoadedModel {
  Gpt<float> model;
  Metadata metadata;
};

namespace detail::checkpoint {

/// The tensors of a GPT-2 under their plain names, and the sizes that their shapes say.
struct Gpt2File {
  std::vector<std::pair<std::string_view, const StoredTensor*>> tensors;  // sorted by name
  GptConfig config;
  bool transposed = false;  // matrices are (out, in), as torch's Linear keeps them

  [[nodiscard]] const StoredTensor* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(tensors.begin(), tensors.end(), name,
                                     [](const auto& t, std::string_view n) { return t.first < n; });
    return at != tensors.end() && at->first == name ? at->second : nullptr;
  }
};

/// Reads {"n_layer":..} into the fields that tensors cannot tell, and checks those they can.
[[nodiscard, gnu::cold]] inline Result<void> read_arch(const std::string& text, GptConfig& config) {
  JsonReader json(text);
  if (auto r = json.begin_object(); !r) return r;
  std::string key;
  for (;;) {
    auto more = json.next_key(key);
    if (!more) return more.error();
    if (!*more) return json.end();
    if (key == "activation") {
      auto name = json.string();
      if (!name) return name.error();
      if (*name != "gelu_new") return Error{Errc::unsupported, 0, "midigpt.arch: activation '" + *name + "'"};
      continue;
    }
    if (key != "n_head" && key != "n_layer" && key != "n_embd" && key != "block_size" && key != "vocab_size") {
      if (auto r = json.skip(); !r) return r;
      continue;
    }
    auto n = json.whole();
    if (!n) return n.error();
    if (key == "n_head") {
      if (*n == 0 || *n > static_cast<std::uint64_t>(config.n_embd))
        return refuse(concat({"midigpt.arch: n_head ", *n}));
      config.n_head = static_cast<int>(*n);
      continue;
    }
    const int have = key == "n_layer"      ? config.n_layer
                     : key == "n_embd"     ? config.n_embd
                     : key == "block_size" ? config.block_size
                                           : config.vocab_size;
    if (*n != static_cast<std::uint64_t>(have)) {
      return refuse(concat({"midigpt.arch: ", key, " is ", *n, ", the tensors say ", have}));
    }
  }
}

[[nodiscard, gnu::cold]] inline Result<Gpt2File> inspect(const SafetensorsView& view, const LoadModelOptions& options) {
  Gpt2File file;
  std::uint64_t layers = 0;
  for (const StoredTensor& t : view.tensors) {
    const std::string_view name = plain_name(t.name);
    if (is_mask(name)) continue;
    file.tensors.emplace_back(name, &t);
    std::uint64_t layer = 0;
    if (layer_of(name, layer)) layers = (std::max)(layers, layer + 1);
  }
  sort_stably(file.tensors, [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 1; i < file.tensors.size(); ++i) {
    if (file.tensors[i].first == file.tensors[i - 1].first)
      return refuse(concat({"two tensors are '", file.tensors[i].first, "'"}));
  }
  const StoredTensor* wte = file.find("wte.weight");
  const StoredTensor* wpe = file.find("wpe.weight");
  if (wte == nullptr || wpe == nullptr || wte->shape.size() != 2 || wpe->shape.size() != 2 ||
      wte->shape[1] != wpe->shape[1] || layers == 0) {
    return Error{Errc::bad_magic, 0, "not a GPT-2: needs wte.weight (V,C), wpe.weight (T,C) and layers h.0..."};
  }
  const std::uint64_t V = wte->shape[0], C = wte->shape[1], T = wpe->shape[0];
  if (V == 0 || C == 0 || T == 0 || V > 1u << 30 || C > 1u << 20 || T > 1u << 30 || layers > file.tensors.size()) {
    return refuse(concat({"sizes V ", V, ", C ", C, ", T ", T, ", ", layers, " layers"}));
  }
  file.config.vocab_size = static_cast<int>(V);
  file.config.n_embd = static_cast<int>(C);
  file.config.block_size = static_cast<int>(T);
  file.config.n_layer = static_cast<int>(layers);
  file.config.n_head = C == 48                ? 3
                       : C == 128             ? 4
                       : C == 192 || C == 384 ? 6
                                              : static_cast<int>((std::max)(C / 64, std::uint64_t{1}));
  const StoredTensor* head = file.find("lm_head.weight");
  file.config.tie_weights =
      head == nullptr || (head->dtype == wte->dtype && head->shape == wte->shape &&
                          std::equal(head->data.begin(), head->data.end(), wte->data.begin(), wte->data.end()));
  const StoredTensor* attention = file.find("h.0.attn.c_attn.weight");
  file.transposed = attention != nullptr && attention->shape == std::vector<std::uint64_t>{3 * C, C};
  if (const auto arch = view.metadata.find("midigpt.arch"); arch != view.metadata.end()) {
    if (auto r = read_arch(arch->second, file.config); !r) return r.error();
  }
  if (options.n_head > 0) file.config.n_head = options.n_head;
  if (file.config.n_embd % file.config.n_head != 0) {
    return refuse(concat({file.config.n_head, " heads do not divide ", C, " channels"}));
  }
  return file;
}

/// Every matrix of every layer is there with its size: a model of this size is paid for by the file. Biases may be
/// absent.
[[nodiscard, gnu::cold]] inline Result<void> check_tensors(const Gpt2File& file) {
  const auto C = static_cast<std::uint64_t>(file.config.n_embd), V = static_cast<std::uint64_t>(file.config.vocab_size);
  std::size_t known = 2;
  const auto check = [&](const std::string& name, std::uint64_t in, std::uint64_t out, bool required) -> Result<void> {
    const StoredTensor* t = file.find(name);
    if (t == nullptr && !required) return {};
    if (t == nullptr) return refuse(concat({"tensor '", name, "' is missing"}));
    std::vector<std::uint64_t> want{out};
    if (in != 0) want = file.transposed ? std::vector{out, in} : std::vector{in, out};
    if (t->shape != want)
      return refuse(concat({"tensor '", name, "' has another shape than a GPT-2 of ", C, " channels"}));
    ++known;
    return {};
  };
  struct Row {
    const char* name;
    std::uint64_t in, out;  // in units of C; in 0: a vector
    bool required;
  };
  constexpr Row rows[] = {
      {"ln_1.weight", 0, 1, true},       {"ln_1.bias", 0, 1, false},         {"attn.c_attn.weight", 1, 3, true},
      {"attn.c_attn.bias", 0, 3, false}, {"attn.c_proj.weight", 1, 1, true}, {"attn.c_proj.bias", 0, 1, false},
      {"ln_2.weight", 0, 1, true},       {"ln_2.bias", 0, 1, false},         {"mlp.c_fc.weight", 1, 4, true},
      {"mlp.c_fc.bias", 0, 4, false},    {"mlp.c_proj.weight", 4, 1, true},  {"mlp.c_proj.bias", 0, 1, false}};
  for (int layer = 0; layer < file.config.n_layer; ++layer) {
    for (const Row& row : rows) {
      if (auto r = check(concat({"h.", layer, ".", row.name}), row.in * C, row.out * C, row.required); !r)
        return r;
    }
  }
  if (auto r = check("ln_f.weight", 0, C, true); !r) return r;
  if (auto r = check("ln_f.bias", 0, C, false); !r) return r;
  if (const StoredTensor* head = file.find("lm_head.weight")) {
    if (head->shape != std::vector<std::uint64_t>{V, C}) return refuse("tensor 'lm_head.weight' is not (V,C)");
    ++known;
  }
  if (known != file.tensors.size()) {
    for (const auto& [name, t] : file.tensors) {
      if (name != "wte.weight" && name != "wpe.weight" && name != "lm_head.weight" && !name.starts_with("h.") &&
          !name.starts_with("ln_f.")) {
        return refuse(concat({"tensor '", name, "' belongs to no GPT-2"}));
      }
    }
    return refuse("some tensors belong to no GPT-2");
  }
  return {};
}

[[nodiscard]] inline Result<void> copy_parameter(const Gpt2File& file, Parameter<float>& p) {
  const StoredTensor* t = file.find(p.name);
  if (t == nullptr) {
    p.value.fill(0.0f);  // a bias that the file's model does not have
    return {};
  }
  const bool matrix = p.name.starts_with("h.") && p.value.shape().rank() == 2;
  if (!file.transposed || !matrix) return copy_numbers<float>(*t, p.value.span());
  Tensor<float> turned(Shape{p.value.shape()[1], p.value.shape()[0]});
  if (auto r = copy_numbers<float>(*t, turned.span()); !r) return r;
  const std::size_t rows = p.value.rows(), cols = p.value.cols();  // Eigen's transpose takes g++ 13 MB
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) p.value[i * cols + j] = turned[j * rows + i];
  }
  return {};
}

}  // namespace detail::checkpoint

/// A GPT-2 from parsed safetensors. What it allocates is bounded by what the file holds.
[[nodiscard, gnu::cold]] inline Result<Gpt<float>> model_from(const SafetensorsView& view, const LoadModelOptions& options = {}) {
  auto file = detail::checkpoint::inspect(view, options);
  if (!file) return file.error();
  if (auto r = detail::checkpoint::check_tensors(*file); !r) return r.error();
  Gpt<float> model(file->config);
  for (Parameter<float>& p : model.parameters()) {
    if (auto r = detail::checkpoint::copy_parameter(*file, p); !r) return r.error();
    if (!all_finite(std::as_const(p.value).span()))
      return detail::checkpoint::refuse(concat({"tensor '", p.name, "' is not finite"}));
  }
  return model;
}

[[nodiscard, gnu::cold]] inline Result<LoadedModel> load_model(const std::string& path, const LoadModelOptions& options = {}) {
  auto file = read_safetensors(path);
  if (!file) return file.error();
  auto model = model_from(*file, options);
  if (!model) {
    Error e = std::move(model).error();
    e.what = concat({path, ": ", e.what});
    return e;
  }
  return LoadedModel{*std::move(model), std::move(file->metadata)};
}

}  // namespace v0
}  // namespace midigpt
