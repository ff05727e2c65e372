// token/train_output.hpp - learnt pieces and fixed ones become a model, shared by the trainers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/tokenizer.hpp>
#include <midigpt/token/train_input.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::token_train {

[[nodiscard]] inline std::string joined_pieces(const Tokenizer& tokenizer, std::string_view line) {
  std::string out;
  for (const EncodedPiece& p : tokenizer.encode_pieces(line)) {
    if (!out.empty()) out += ' ';
    out += p.piece;
  }
  return out;
}

/// Puts the fixed pieces at their ids and the others, in order, at the free ones.
[[nodiscard, gnu::cold]] inline Result<SpmModel> assemble(TrainCorpus& corpus, ModelType type, std::vector<SpmPiece> learnt) {
  const TokenTrainOptions& options = corpus.options();
  const std::vector<MetaPiece>& metas = corpus.metas();
  SpmModel model;
  model.trainer = options.spec;
  model.trainer.model_type = type;
  model.normalizer = options.normalizer;
  model.normalizer.present |= spec_bits(1, 2);
  model.denormalizer = corpus.denormalizer();
  for (const MetaPiece& meta : metas) {
    if (std::any_of(learnt.begin(), learnt.end(), [&](const SpmPiece& p) { return p.piece == meta.text; })) {
      return refuse(concat({"[dup.insert(sp->piece()).second] ", meta.text, " is already defined"}));
    }
  }
  const std::size_t wanted =
      options.spec.use_all_vocab ? metas.size() + learnt.size() : static_cast<std::size_t>(options.spec.vocab_size);
  std::size_t next_meta = 0, next_learnt = 0;
  for (std::size_t id = 0; id < wanted; ++id) {
    if (next_meta < metas.size() && static_cast<std::size_t>(metas[next_meta].id) == id) {
      if (model.pieces.size() != id) break;
      model.pieces.push_back({metas[next_meta].text, 0.0f, metas[next_meta].type});
      ++next_meta;
    } else if (next_learnt < learnt.size()) {
      model.pieces.push_back(std::move(learnt[next_learnt++]));
    }
  }
  const std::size_t have = model.pieces.size();
  const bool soft = !options.spec.hard_vocab_limit || type == ModelType::character || options.cap_vocab;
  if (next_meta < metas.size() || (have < wanted && !soft)) {
    return refuse(concat({"[(trainer_spec_.vocab_size()) == (model_proto->pieces_size())] Vocabulary size too high (", wanted,
        "). Please set it to a value <= ", have, "."}));
  }
  model.trainer.vocab_size = static_cast<std::int32_t>(have);
  corpus.report().vocab_size = model.trainer.vocab_size;
  if (!corpus.self_test_lines().empty()) {
    const auto tokenizer = Tokenizer::create(model);
    if (!tokenizer) return tokenizer.error();
    for (const std::string& line : corpus.self_test_lines()) model.self_test.push_back({line, joined_pieces(*tokenizer, line)});
  }
  return model;
}

}  // namespace detail::token_train
}  // namespace v0
}  // namespace midigpt
