// token/count_trainer.hpp - word and char models: the most frequent words, or the covered characters, with their log share.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/train_input.hpp>
#include <midigpt/token/train_output.hpp>

namespace midigpt {
inline namespace v0 {
namespace detail::token_train {

struct Counted {
  std::string text;
  std::uint64_t count = 0;
};

/// The words with uncovered characters replaced by U+2585, in the order of the vocabulary.
[[nodiscard]] inline std::vector<Counted> covered_words(const TrainCorpus& corpus) {
  std::vector<bool> covered(0x110000, false);
  for (const RequiredChar& c : corpus.required()) covered[c.code_point] = true;
  std::vector<Counted> out;
  for (const Word& word : corpus.words()) {
    for_each_word(word.text, false, false, [&](std::string_view part) {
      std::string text;
      for (std::string_view rest = part; !rest.empty();) {
        const char32_t c = pop_character(rest);
        utf8_append(text, covered[c] ? c : char32_t{0x2585});
      }
      out.push_back({std::move(text), word.count});
    });
  }
  sort_stably(out, [](const Counted& a, const Counted& b) { return a.text < b.text; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (kept != 0 && out[kept - 1].text == out[i].text) {
      out[kept - 1].count += out[i].count;
    } else if (kept++ != i) {
      out[kept - 1] = std::move(out[i]);
    }
  }
  out.resize(kept);
  sort_stably(out, [](const Counted& a, const Counted& b) { return a.count > b.count; });
  return out;
}

}  // namespace detail::token_train

/// Trains a word or char model, as spec.model_type says.
[[nodiscard]] inline Result<SpmModel> train_by_count(TrainCorpus corpus, TokenTrainReport* report = nullptr) {
  namespace impl = detail::token_train;
  if (auto ok = corpus.finish(); !ok) return ok.error();
  const TrainerSpec& spec = corpus.options().spec;
  std::vector<impl::Counted> counted;
  if (spec.model_type == ModelType::word) {
    counted = impl::covered_words(corpus);
  } else {
    for (const impl::RequiredChar& c : corpus.required()) {
      counted.push_back({impl::character_text(c.code_point), c.count});
    }
  }
  std::uint64_t sum = 0;
  for (const impl::Counted& c : counted) sum += c.count;
  const float log_sum = std::log(static_cast<float>(sum));
  if (corpus.metas().size() > static_cast<std::size_t>(spec.vocab_size)) {
    return impl::refuse(concat({"[(vocab_size) >= (0)] ", corpus.metas().size(), " fixed pieces do not fit into the vocabulary"}));
  }
  const std::size_t wanted = static_cast<std::size_t>(spec.vocab_size) - corpus.metas().size();
  std::vector<SpmPiece> pieces;
  for (const impl::Counted& c : counted) {
    if (c.text.find(impl::k_unknown_mark) != std::string::npos) continue;
    if (!spec.use_all_vocab && pieces.size() == wanted) break;
    pieces.push_back({c.text, std::log(static_cast<float>(c.count)) - log_sum});
  }
  auto model = impl::assemble(corpus, spec.model_type, std::move(pieces));
  if (report != nullptr) *report = corpus.report();
  return model;
}

}  // namespace v0
}  // namespace midigpt
