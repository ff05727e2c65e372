// Any bytes read as theremin text, clean and compat: what is packed again reads back to the same text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <midigpt/codec/text.hpp>

namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  const std::string_view text(static_cast<const char*>(static_cast<const void*>(data)), size);

  TextReport read;
  const Score clean = Theremin::from_text(text, &read);
  check(read.notes == count_notes(clean) && read.notes == count_text_notes(text, CodecKind::theremin));
  TextReport written;
  const std::string packed = Theremin::to_text(clean, &written);
  check(written.notes == read.notes && written.steps_clamped == 0 && written.durations_clamped == 0);
  check(Theremin::to_text(Theremin::from_text(packed)) == packed);

  const Score his = theremin_compat_score(text);
  check(count_notes(his) == utf8_code_points(text).size());
  (void)theremin_compat_text(his);
  const Score repaired = theremin_compat_score(text, DecodeQuirks::none);
  check(count_notes(repaired) == read.notes);
  const std::string compat = theremin_compat_text(repaired);
  check(compat.size() <= 256 * 4);
  check(theremin_compat_text(theremin_compat_score(compat, DecodeQuirks::none)) == compat);
  return 0;
}
