// The normaliser on hostile charsmaps and texts: first bytes choose the space rules and cut the input into a charsmap blob, one
// user-defined symbol and a text. Checks: offsets ascend and stay inside, plain and offset runs agree, no crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/token/charsmap.hpp>
#include <midigpt/token/charsmap_builder.hpp>
#include <midigpt/token/normalization_rules.hpp>
#include <midigpt/token/normalizer.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  if (size < 4) return 0;
  std::string_view in(static_cast<const char*>(static_cast<const void*>(data)), size);
  const std::uint8_t flags = data[0];
  const std::size_t blob_size = (std::size_t{data[1]} << 4) % (size - 3), symbol_size = data[2] % 8u;
  in.remove_prefix(3);
  NormalizerSpec spec;
  spec.add_dummy_prefix = (flags & 1u) != 0;
  spec.remove_extra_whitespaces = (flags & 2u) != 0;
  spec.escape_whitespaces = (flags & 4u) != 0;
  const std::string_view blob = in.substr(0, blob_size);
  in.remove_prefix(blob.size());
  if ((flags & 8u) != 0) {  // the blob as rules: what is compiled can be read back
    const auto rules = normalization_rules_from_tsv(blob);
    if (!rules) return 0;
    spec.precompiled_charsmap = compile_charsmap(*rules);
    if (!Charsmap::create(spec.precompiled_charsmap)) std::abort();
  } else {
    spec.precompiled_charsmap = blob;
  }
  std::vector<std::string> symbols{std::string(in.substr(0, symbol_size))};
  in.remove_prefix(symbols[0].size());
  const auto normalizer = Normalizer::create(spec, (flags & 16u) != 0, symbols);
  if (!normalizer) return 0;
  const NormalizedText with = normalizer->normalise_with_offsets(in);
  if (with.text != normalizer->normalise(in)) std::abort();
  if (with.norm_to_orig.size() != with.text.size() + 1) std::abort();
  for (std::size_t i = 0; i + 1 < with.norm_to_orig.size(); ++i) {
    if (with.norm_to_orig[i] > with.norm_to_orig[i + 1]) std::abort();
  }
  if (with.norm_to_orig.back() > in.size()) std::abort();
  std::size_t keys = 0;
  normalizer->charsmap().for_each([&](std::string_view key, std::string_view) { keys += key.size(); });
  return 0;
}
