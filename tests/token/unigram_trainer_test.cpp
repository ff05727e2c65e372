#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/tokenizer.hpp>
#include <midigpt/token/unigram_trainer.hpp>

using namespace midigpt;

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> out;
  const auto bytes = read_file(path);
  if (!bytes) return out;
  std::istringstream in{std::string(as_chars(*bytes))};
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

double log_likelihood_per_token(const SpmModel& model, const std::vector<std::string>& lines) {
  const auto tokenizer = Tokenizer::create(model);
  REQUIRE(tokenizer);
  float least = 0;
  for (const SpmPiece& p : model.pieces) least = (std::min)(least, p.score);
  double sum = 0, tokens = 0;
  for (const std::string& line : lines) {
    for (const std::int32_t id : tokenizer->encode(line)) {
      sum += id == tokenizer->unk_id() ? double{least} - 10 : double{model.pieces[static_cast<std::size_t>(id)].score};
      ++tokens;
    }
  }
  return sum / tokens;
}

}  // namespace

TEST_CASE("unigram trainer: digamma is the derivative of log gamma") {
  for (const double x : {0.5, 1.0, 2.5, 10.0, 1000.0}) {
    const double h = 1e-5;
    const double want = (std::lgamma(x + h) - std::lgamma(x - h)) / (2 * h);
    CHECK(detail::unigram_trainer::digamma(x) == doctest::Approx(want).epsilon(1e-6));
  }
}

TEST_CASE("unigram trainer: the number of threads does not change the model") {
  Rng rng(3);
  std::vector<std::string> lines;
  for (int i = 0; i < 600; ++i) {
    std::string line;
    for (int k = rng.between(4, 40); k > 0; --k) line += static_cast<char>(rng.chance(0.2) ? ' ' : 'a' + rng.between(0, 5) * rng.between(0, 3));
    lines.push_back(line);
  }
  TokenTrainOptions options;
  options.spec.vocab_size = 300;
  ThreadPool pool(4);
  const auto alone = train_unigram(std::span(std::as_const(lines)), options);
  const auto together = train_unigram(std::span(std::as_const(lines)), options, &pool);
  REQUIRE(alone);
  REQUIRE(together);
  CHECK(*alone == *together);
  CHECK(alone->pieces.size() == 300);
}

TEST_CASE("unigram trainer: a long line without a space does not underflow") {
  Rng rng(4);
  std::vector<std::string> lines;
  for (int i = 0; i < 40; ++i) {
    std::string line;
    for (int k = 0; k < 1000; ++k) utf8_append(line, static_cast<char32_t>(0x40000 + rng.between(0, 40) * rng.between(0, 40)));
    lines.push_back(line);
  }
  TokenTrainOptions options;
  options.spec.vocab_size = 2000;
  options.cap_vocab = true;
  const auto model = train_unigram(std::span(std::as_const(lines)), options);
  REQUIRE(model);
  int bad = 0;
  for (const SpmPiece& p : model->pieces) bad += !std::isfinite(p.score) || p.score > 0;
  CHECK(bad == 0);
  CHECK(model->pieces.size() > 1000);
}

TEST_CASE("unigram trainer: log-likelihood per token within 0.5 % of the fixtures of spm_train") {
  struct Row {
    const char* model;
    const char* corpus;
    int vocab_size;
  };
  for (const Row& row : {Row{"en_unigram", "english-21-2000", 1000}, Row{"notes_s_unigram", "notes_short-1-200", 500},
                         Row{"mixed_unigram", "mixed-31-1200", 1000}}) {
    CAPTURE(row.model);
    const std::string golden = MIDIGPT_SHARED_DIR "/golden/";
    const auto real = read_spm_model(golden + "out-0.2.2/" + row.model + ".model");
    if (!real) {
      MESSAGE("skipped: no golden data beside the checkout");
      return;
    }
    const auto lines = lines_of(golden + "in/" + row.corpus + ".txt");
    TokenTrainOptions options;
    options.spec.vocab_size = row.vocab_size;
    TokenTrainReport report;
    const auto model = train_unigram(std::span(lines), options, nullptr, &report);
    REQUIRE(model);
    REQUIRE(model->pieces.size() == real->pieces.size());
    const double ours = log_likelihood_per_token(*model, lines), theirs = log_likelihood_per_token(*real, lines);
    MESSAGE(std::string(row.model) << ": ours " << ours << ", spm_train " << theirs);
    CHECK(ours > theirs * 1.005);
  }
}
