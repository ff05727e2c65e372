// Any bytes as a .model: parse, write and parse again, make a tokenizer, encode and decode with it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <midigpt/core/rng.hpp>
#include <midigpt/token/hf_export.hpp>
#include <midigpt/token/tokenizer.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  auto model = parse_spm_model(bytes);
  if (!model) return 0;
  const Bytes written = spm_model_bytes(*model);
  const auto again = parse_spm_model(written);
  if (!again || again->pieces.size() != model->pieces.size() || spm_model_bytes(*again) != written) std::abort();
  (void)vocab_text(*model);
  (void)hf_tokenizer(*model);
  auto tokenizer = Tokenizer::create(*std::move(model));
  if (!tokenizer) return 0;
  const Tokenizer& t = *tokenizer;
  std::string text = "ab \xE2\x96\x81 \xF1\x80\x8C\xA1 ";
  for (std::int32_t id = 0; id < t.vocab_size() && text.size() < 2000; ++id) text += t.piece(id);
  text += as_chars(bytes.subspan(size - (std::min)(size, std::size_t{100})));
  const auto ids = t.encode(text);
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= t.vocab_size()) std::abort();
  }
  (void)t.decode(ids);
  const auto pieces = t.encode_pieces(text);
  std::size_t at = 0;
  for (const EncodedPiece& p : pieces) {
    if (p.begin < at || p.end < p.begin || p.end > text.size()) std::abort();
    at = p.begin;
  }
  Rng rng(size);
  (void)t.sample(text, rng, {.alpha = 0.3});
  if (t.model_type() == ModelType::unigram && text.size() < 300) (void)t.n_best(text, 3);
  return 0;
}
