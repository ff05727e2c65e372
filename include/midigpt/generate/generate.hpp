// generate/generate.hpp - prompt ids -> more ids; prompt score -> a score.
//   One token at a time through the KV cache. When the context is full, the cache starts again with the last half of
//   it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/generate/constraints.hpp>
#include <midigpt/generate/sampler.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/nn/gpt.hpp>
#include <midigpt/token/tokenizer.hpp>

namespace midigpt {
inline namespace v0 {

struct GenerateOptions {
  std::size_t max_tokens = 1024;  // new ones
  SamplerOptions sampler = {};
  std::size_t repetition_window = 64;  // ids that the repetition penalty looks back on
  std::uint64_t seed = 1;
  ConstraintOptions constraint = {};                     // used by generate_score
  const std::atomic<bool>* stop = nullptr;               // set: ends before the next token
  std::function<void(std::int32_t)> on_token = nullptr;  // each new id as it is drawn
};

/// Draws ids from a model. Keeps cache and scratch, so tokens after the first piece allocate nothing. One per thread;
/// the model is shared and only read.
class Generator {
 public:
  /// A model with token features is folded once, here.
  explicit Generator(const Gpt<float>& model)
      : folded_(model.config().n_feature > 0 ? std::optional<Gpt<float>>(model.folded()) : std::nullopt),
        model_(folded_ ? *folded_ : model),
        cache_(model_.config()),
        logits_(static_cast<std::size_t>(model_.config().vocab_size)) {}
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  [[nodiscard]] const Gpt<float>& model() const noexcept { return model_; }

  /// The ids that follow `prompt`, without it. Ends after `end_id` (which is among them), at max_tokens, on stop, or
  /// when `constraint`, if given, allows nothing more. Requires: a prompt of at least one id (BOS), ids below
  /// vocab_size.
  ///   constraint: must stand where the prompt ends; follows along.
  [[nodiscard]] std::vector<std::int32_t> run(std::span<const std::int32_t> prompt, const GenerateOptions& options,
                                              std::int32_t end_id = -1, MusicConstraint* constraint = nullptr) {
    if (prompt.empty()) throw ShapeError("Generator: a prompt of no ids; begin with BOS");
    std::vector<std::int32_t> ids(prompt.begin(), prompt.end());
    ids.reserve(prompt.size() + options.max_tokens);
    Sampler sampler(options.sampler);
    Rng rng(options.seed, k_stream);
    feed_tail(ids);
    while (ids.size() - prompt.size() < options.max_tokens) {
      if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) break;
      if (constraint != nullptr && constraint->ended()) break;
      const std::size_t back = (std::min)(ids.size(), options.repetition_window);
      const auto recent = std::span<const std::int32_t>(ids).last(back);
      const std::int32_t id = sampler.sample(
          logits_, rng, constraint != nullptr ? constraint->allowed() : std::span<const std::uint8_t>(), recent);
      if (id < 0) break;
      ids.push_back(id);
      if (constraint != nullptr) constraint->push(id);
      if (options.on_token) options.on_token(id);
      if (id == end_id || ids.size() - prompt.size() == options.max_tokens) break;
      if (cache_.full()) {
        feed_tail(ids);
      } else {
        model_.step(id, cache_, logits_);
      }
    }
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(prompt.size()));
    return ids;
  }

 private:
  static constexpr std::uint64_t k_stream = 0x73616D706C65u;

  /// Afterwards the cache holds all of `ids`, or their last half context if they are longer, and logits_ follow the
  /// last.
  void feed_tail(std::span<const std::int32_t> ids) {
    const auto T = static_cast<std::size_t>(model_.config().block_size);
    const std::size_t n = ids.size() <= T ? ids.size() : (std::max)(T / 2, std::size_t{1});
    cache_.clear();
    for (const std::int32_t id : ids.last(n)) model_.step(id, cache_, logits_);
  }

  std::optional<Gpt<float>> folded_;
  const Gpt<float>& model_;
  KvCache<float> cache_;
  std::vector<float> logits_;
};

/// A generated piece, the prompt at its beginning.
struct GeneratedScore {
  Score score;
  std::string text;               // what `score` was read from
  std::vector<std::int32_t> ids;  // of prompt and continuation, BOS included
  std::size_t prompt_ids = 0;
  std::size_t notes = 0;  // in the whole text
  bool ended = false;     // by itself, not by max_tokens
};

/// The ids a piece begins with: BOS, then the text without its end control.
[[nodiscard]] inline std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, std::string_view text) {
  std::string end;
  utf8_append(end, control_character({ControlKind::end, 0}));
  if (text.ends_with(end)) text.remove_suffix(end.size());
  std::vector<std::int32_t> ids = tokenizer.encode(text);
  const std::int32_t first = tokenizer.bos_id() >= 0 ? tokenizer.bos_id()
                             : ids.empty()           ? (std::max)(tokenizer.eos_id(), 0)
                                                     : -1;
  if (first >= 0) ids.insert(ids.begin(), first);
  return ids;
}

/// Continues `prompt`, or begins a piece if it has no notes. Errc::bad_value when model and tokenizer do not belong
/// together.
[[nodiscard]] inline Result<GeneratedScore> generate_score(Generator& generator, const Tokenizer& tokenizer,
                                                           CodecKind codec, const Score& prompt,
                                                           const GenerateOptions& options = {}) {
  if (tokenizer.vocab_size() > generator.model().config().vocab_size) {
    return Error{Errc::bad_value, 0,
                 concat({"a tokenizer of ", tokenizer.vocab_size(), " pieces and a model of ", generator.model().config().vocab_size,
                     " do not belong together"})};
  }
  GeneratedScore out;
  out.ids = prompt_ids(tokenizer, count_notes(prompt) > 0 ? to_text(prompt, codec) : std::string());
  out.prompt_ids = out.ids.size();
  MusicConstraint constraint(tokenizer, codec, options.constraint);
  for (const std::int32_t id : out.ids) constraint.push(id);
  const std::vector<std::int32_t> more = generator.run(out.ids, options, tokenizer.eos_id(), &constraint);
  out.ids.insert(out.ids.end(), more.begin(), more.end());
  out.ids.resize(constraint.complete());
  out.ended = constraint.ended();
  out.text = tokenizer.decode(out.ids);
  out.notes = count_text_notes(out.text, codec);
  out.score = from_text(out.text, codec);
  return out;
}

}  // namespace v0
}  // namespace midigpt
