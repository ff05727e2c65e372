// token/trainer.hpp - one door to all trainers: the kind of model is spec.model_type, as in spm_train.
#pragma once

#include <span>
#include <string>
#include <utility>

#include <midigpt/core/error.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/count_trainer.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/train_input.hpp>
#include <midigpt/token/unigram_trainer.hpp>

namespace midigpt {
inline namespace v0 {

/// Trains what spec.model_type names on the lines that were added to `corpus`.
[[nodiscard]] inline Result<SpmModel> train_tokenizer(TrainCorpus corpus, ThreadPool* pool = nullptr, TokenTrainReport* report = nullptr) {
  switch (corpus.options().spec.model_type) {
    case ModelType::unigram: return train_unigram(std::move(corpus), pool, report);
    case ModelType::bpe: return train_bpe(std::move(corpus), pool, report);
    case ModelType::word:
    case ModelType::character: break;
  }
  return train_by_count(std::move(corpus), report);
}

/// The same for the files of spec.input, read one after the other in blocks.
[[nodiscard]] inline Result<SpmModel> train_tokenizer(const TokenTrainOptions& options, ThreadPool* pool = nullptr,
                                                      TokenTrainReport* report = nullptr) {
  auto corpus = TrainCorpus::from_files(options);
  if (!corpus) return corpus.error();
  return train_tokenizer(*std::move(corpus), pool, report);
}

}  // namespace v0
}  // namespace midigpt
