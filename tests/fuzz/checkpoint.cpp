// Any safetensors read as a GPT-2: what is accepted runs, and is no larger than its file paid for.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <midigpt/train/checkpoint.hpp>

namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  auto view = parse_safetensors(bytes);
  if (!view) return 0;
  auto model = model_from(*view, {.n_head = static_cast<int>(size % 4)});
  if (!model) {
    check(!model.error().what.empty());
    return 0;
  }
  check(model->parameter_count() <= 4 * size);
  const GptConfig& c = model->config();
  KvCache<float> cache(c);
  std::vector<float> logits(static_cast<std::size_t>(c.vocab_size));
  for (int t = 0; t < c.block_size && t < 3; ++t)
    model->step(static_cast<std::int32_t>(t % c.vocab_size), cache, logits);
  const std::string arch = arch_json(c);
  JsonReader json(arch);
  check(json.skip() && json.end());
  return 0;
}
