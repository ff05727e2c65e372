#include <midigpt/token/train_output.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/rng.hpp>

using namespace midigpt;
using namespace midigpt::detail::token_train;

namespace {

TrainCorpus corpus_of(const TokenTrainOptions& options) { return TrainCorpus::without_rules(options).value(); }

TokenTrainOptions options_of(std::int32_t vocab_size) {
  TokenTrainOptions options;
  options.spec.vocab_size = vocab_size;
  return options;
}

std::vector<SpmPiece> learnt_pieces(std::size_t n) {
  std::vector<SpmPiece> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back({"p" + std::to_string(i), -static_cast<float>(i) - 0.5f});
  return out;
}

Error too_high(std::size_t wanted, std::size_t have) {
  return {Errc::bad_value, 0,
          "[(trainer_spec_.vocab_size()) == (model_proto->pieces_size())] Vocabulary size too high (" +
              std::to_string(wanted) + "). Please set it to a value <= " + std::to_string(have) + "."};
}

/// Pieces of "ab" with a space before it.
std::vector<SpmPiece> ab_pieces() {
  const std::string mark(k_space_mark);
  return {{mark + "a", -1.0f}, {mark + "ab", -2.0f}, {mark, -3.0f}, {"a", -4.0f}, {"b", -5.0f}};
}

}  // namespace

TEST_CASE(
    "train output: fixed pieces at their ids, the others at the lowest free ones, and what does not fit is refused") {
  std::size_t wrong = 0, whole = 0, shorter = 0, refused = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Rng rng(seed, 1);
    TokenTrainOptions options = options_of(rng.between(6, 14));
    TrainerSpec& spec = options.spec;
    std::vector<std::int32_t> ids = {0, 1, 2, 3, 4, 5, 6, 7, 8, -1};
    for (std::int32_t* id : {&spec.unk_id, &spec.bos_id, &spec.eos_id, &spec.pad_id}) {
      const std::size_t i = rng.below(static_cast<std::uint32_t>(ids.size() - (id == &spec.unk_id ? 1 : 0)));
      *id = (std::min)(std::exchange(ids[i], -1), spec.vocab_size - 1);
    }
    for (std::uint32_t n = rng.below(4); n > 0; --n) spec.user_defined_symbols.push_back("u" + std::to_string(n));
    if (rng.chance(0.3)) spec.control_symbols = {"<c>"};
    const auto type = static_cast<ModelType>(1 + rng.below(4));
    spec.model_type = type;
    spec.hard_vocab_limit = rng.chance(0.7);
    spec.use_all_vocab = (type == ModelType::word || type == ModelType::character) && rng.chance(0.4);
    options.cap_vocab = rng.chance(0.2);
    const std::vector<SpmPiece> learnt = learnt_pieces(rng.below(14));
    auto opened = TrainCorpus::without_rules(options);
    if (!opened) continue;  // two at one id
    TrainCorpus corpus = *std::move(opened);

    std::map<std::size_t, SpmPiece> want;
    for (const MetaPiece& m : corpus.metas()) want[static_cast<std::size_t>(m.id)] = {m.text, 0.0f, m.type};
    const std::size_t last_fixed = want.rbegin()->first;
    const std::size_t wanted =
        spec.use_all_vocab ? want.size() + learnt.size() : static_cast<std::size_t>(spec.vocab_size);
    auto next = learnt.begin();
    for (std::size_t id = 0; id < wanted && next != learnt.end(); ++id) {
      if (!want.contains(id)) want[id] = *next++;
    }
    std::vector<SpmPiece> pieces;
    while (pieces.size() < wanted && want.contains(pieces.size())) pieces.push_back(want[pieces.size()]);
    const bool may_be_shorter = !spec.hard_vocab_limit || options.cap_vocab || type == ModelType::character;
    const bool fits = last_fixed < pieces.size() && (pieces.size() == wanted || may_be_shorter);

    const auto model = assemble(corpus, type, learnt);
    wrong += static_cast<bool>(model) != fits;
    if (model && fits) {
      wrong += model->pieces != pieces;
      wrong += model->trainer.vocab_size != static_cast<std::int32_t>(pieces.size());
      wrong += corpus.report().vocab_size != model->trainer.vocab_size;
      ++(pieces.size() == wanted ? whole : shorter);
    } else if (!model && !fits) {
      wrong += model.error() != too_high(wanted, pieces.size());
      ++refused;
    }
  }
  MESSAGE(whole << " whole, " << shorter << " shorter, " << refused << " refused");
  CHECK(wrong == 0);
  CHECK(whole > 500);
  CHECK(shorter > 200);
  CHECK(refused > 500);
}

TEST_CASE("train output: one piece too few is refused, capped, or right for characters; one too many is left out") {
  for (const std::size_t learnt : {0u, 4u, 5u, 6u}) {
    CAPTURE(learnt);
    TokenTrainOptions options = options_of(8);
    TrainCorpus hard = corpus_of(options);
    const auto model = assemble(hard, ModelType::bpe, learnt_pieces(learnt));
    if (learnt < 5) {
      REQUIRE_FALSE(model);
      CHECK(model.error() == too_high(8, 3 + learnt));
      CHECK(hard.report().vocab_size == 0);
    } else {
      REQUIRE(model);
      CHECK(model->pieces.size() == 8);
      CHECK(model->pieces.back().piece == "p4");
    }
    const std::size_t want = (std::min)(std::size_t{8}, 3 + learnt);
    options.cap_vocab = true;
    TrainCorpus capped = corpus_of(options);
    CHECK(assemble(capped, ModelType::bpe, learnt_pieces(learnt)).value().pieces.size() == want);
    options.cap_vocab = false;
    options.spec.hard_vocab_limit = false;
    TrainCorpus soft = corpus_of(options);
    CHECK(assemble(soft, ModelType::unigram, learnt_pieces(learnt)).value().pieces.size() == want);
    options.spec.hard_vocab_limit = true;
    options.spec.model_type = ModelType::character;
    TrainCorpus characters = corpus_of(options);
    CHECK(assemble(characters, ModelType::character, learnt_pieces(learnt)).value().pieces.size() == want);
  }
}

TEST_CASE("train output: a fixed piece behind a gap is refused, whatever is allowed") {
  TokenTrainOptions options = options_of(20);
  options.cap_vocab = true;
  options.spec.pad_id = 6;
  for (std::size_t learnt = 0; learnt < 6; ++learnt) {
    CAPTURE(learnt);
    TrainCorpus corpus = corpus_of(options);
    const auto model = assemble(corpus, ModelType::bpe, learnt_pieces(learnt));
    CHECK(static_cast<bool>(model) == (learnt >= 3));
    if (!model) CHECK(model.error() == too_high(20, 3 + learnt));
    if (model) CHECK(model->pieces[6] == SpmPiece{"<pad>", 0.0f, PieceType::control});
  }
}

TEST_CASE("train output: a learnt piece with the text of a fixed one is refused by its text") {
  TokenTrainOptions options = options_of(6);
  options.spec.user_defined_symbols = {"\xF1\x80\x8C\xA1"};
  for (const std::string text : {"<unk>", "</s>", "\xF1\x80\x8C\xA1"}) {
    for (std::size_t at = 0; at < 3; ++at) {
      std::vector<SpmPiece> learnt = learnt_pieces(3);
      learnt[at].piece = text;
      TrainCorpus corpus = corpus_of(options);
      const auto model = assemble(corpus, ModelType::bpe, learnt);
      REQUIRE_FALSE(model);
      CHECK(model.error() ==
            Error{Errc::bad_value, 0, "[dup.insert(sp->piece()).second] " + text + " is already defined"});
    }
  }
}

TEST_CASE("train output: the model says how it was trained, with the type that was trained") {
  TokenTrainOptions options = options_of(5);
  options.spec.model_type = ModelType::unigram;
  options.spec.character_coverage = 0.99f;
  options.spec.hard_vocab_limit = false;
  options.normalizer.add_dummy_prefix = false;
  options.normalizer.present = spec_bit(4);
  TrainCorpus corpus = corpus_of(options);
  const auto model = assemble(corpus, ModelType::word, learnt_pieces(1));
  REQUIRE(model);
  TrainerSpec trainer = options.spec;
  trainer.model_type = ModelType::word;
  trainer.vocab_size = 4;
  CHECK(model->trainer == trainer);
  NormalizerSpec normalizer = options.normalizer;
  normalizer.present = spec_bit(1) | spec_bit(2) | spec_bit(4);
  CHECK(model->normalizer == normalizer);
  CHECK_FALSE(model->denormalizer);
  CHECK(model->self_test.empty());
}

TEST_CASE("train output: a rule for decoding stands in the model") {
  const std::string path = "train_output_test.tmp";
  TokenTrainOptions options = options_of(3);
  options.denormalization_rule_tsv = path;
  REQUIRE(write_file_atomic(path, std::string_view("61\t62\n")));
  auto corpus = TrainCorpus::create(options);
  std::remove(path.c_str());
  REQUIRE(corpus);
  const auto model = assemble(*corpus, ModelType::word, {});
  REQUIRE(model);
  CHECK(model->denormalizer == corpus->denormalizer());
  CHECK(model->denormalizer->normalization_rule_tsv == path);
}

TEST_CASE("train output: self tests are the drawn lines with their pieces between spaces") {
  const std::string mark(k_space_mark);
  TokenTrainOptions options = options_of(8);
  options.spec.self_test_sample_size = 10;
  options.spec.model_type = ModelType::bpe;
  const std::vector<SelfTestSample> want = {{"ab", mark + "ab"},
                                            {"a b  aba", mark + "a " + mark + " b " + mark + "ab a"},
                                            {"ab\xC3\xA9\xE2\x82\xAC\xF1\x80\x8C\xA1"
                                             "b?",
                                             mark + "ab \xC3\xA9\xE2\x82\xAC\xF1\x80\x8C\xA1 b ?"},
                                            {" ", ""},
                                            {"\xFF", mark + " \xEF\xBF\xBD"}};
  TrainCorpus corpus = corpus_of(options);
  for (const SelfTestSample& sample : want) corpus.add_line(sample.input);
  const auto model = assemble(corpus, ModelType::bpe, ab_pieces());
  REQUIRE(model);
  CHECK(model->self_test == want);
  const Tokenizer tokenizer = Tokenizer::create(*model).value();
  for (const SelfTestSample& sample : want) CHECK(joined_pieces(tokenizer, sample.input) == sample.expected);
  CHECK(joined_pieces(tokenizer, "").empty());
}

TEST_CASE("train output: a model that encodes nothing is found out where lines are to be tested") {
  for (const bool tested : {false, true}) {
    TokenTrainOptions options = options_of(8);
    options.spec.self_test_sample_size = tested ? 1 : 0;
    TrainCorpus corpus = corpus_of(options);
    corpus.add_line("ab");
    std::vector<SpmPiece> learnt = ab_pieces();
    learnt[2].piece.clear();
    const auto model = assemble(corpus, ModelType::bpe, learnt);
    CHECK(static_cast<bool>(model) == !tested);
    if (!model) CHECK(model.error() == Error{Errc::bad_value, 0, "piece 5: empty text"});
  }
}
