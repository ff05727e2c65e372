// A project that uses the library: composes, packs, tokenizes nothing it does not need, links nothing.
#include <cstdio>

#include <midigpt/midigpt.hpp>

int main() {
  const midigpt::Score score = midigpt::dice({.seed = 1, .bars = 4});
  const std::string text = midigpt::to_text(score, midigpt::CodecKind::multitrack);
  const midigpt::Score again = midigpt::from_text(text, midigpt::CodecKind::multitrack);
  std::printf("midigpt %s: %zu notes\n", midigpt::k_version, count_notes(again));
  return count_notes(again) == count_notes(score) ? 0 : 1;
}
