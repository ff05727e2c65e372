// The fast encoders against the naive ones: a made model (first byte), any text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include <midigpt/token/tokenizer.hpp>

#include <token/naive_encode.hpp>
#include <token/token_texts.hpp>

namespace {

struct Pair {
  explicit Pair(std::uint8_t seed)
      : fast(midigpt::Tokenizer::create(token_texts::random_model(
                                            seed, seed % 4 == 3 ? midigpt::ModelType::unigram : midigpt::ModelType::bpe, seed % 2 == 1))
                 .value()),
        encoder(fast), naive(fast.model()) {}

  midigpt::Tokenizer fast;
  midigpt::Tokenizer::Encoder encoder;
  naive::Vocabulary naive;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  if (size == 0 || size > 400) return 0;
  static std::vector<std::unique_ptr<Pair>> pairs(256);
  auto& pair = pairs[data[0]];
  if (!pair) pair = std::make_unique<Pair>(data[0]);
  const std::string_view text = as_chars(std::as_bytes(std::span(data + 1, size - 1)));
  const std::string normalized = pair->fast.normalizer().normalise(text);
  const bool unigram = pair->fast.model_type() == ModelType::unigram;
  if (unigram && pair->fast.model().trainer.byte_fallback) return 0;
  const auto want = unigram ? naive::unigram(pair->naive, normalized) : naive::bpe(pair->naive, normalized);
  const auto got = pair->fast.encode(text);
  if (got != want) std::abort();
  if (pair->encoder.encode(text) != want) std::abort();
  std::vector<std::int32_t> ids;
  for (const EncodedPiece& p : pair->fast.encode_pieces(text)) ids.push_back(p.id);
  if (ids != want) std::abort();
  (void)pair->fast.decode(got);
  return 0;
}
