// Any bytes read as multitrack text, whole and split: a score whose text reads back to the same score; windows cover the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <midigpt/codec/text.hpp>

namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

void decode(std::string_view text, midigpt::CodecKind kind) {
  using namespace midigpt;
  TextReport report;
  const Score score = from_text(text, kind, &report);
  check(count_notes(score) == report.notes);
  check(report.notes <= count_text_notes(text, kind));
  check(report.notes + report.controls + report.foreign + report.out_of_range + report.after_end <= text.size());
  for (const bool bars : {false, true}) {
    const MultitrackOptions options{.keep_tracks = bars, .bar_lines = bars, .split_notes = kind == CodecKind::split};
    TextReport written;
    const std::string again = multitrack_text(score, options, &written);
    check(written.notes == report.notes);
    TextReport read;
    const Score same = from_text(again, kind, &read);
    check(read.notes == written.notes && read.controls == written.controls && read.foreign == 0 && read.out_of_range == 0);
    check(multitrack_text(same, options) == again);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  const std::string_view text(static_cast<const char*>(static_cast<const void*>(data)), size);
  decode(text, CodecKind::multitrack);
  decode(text, CodecKind::split);
  std::size_t covered = 0;
  for (const std::string_view w : text_windows(text, 4 + size % 61)) {
    check(w.data() == text.data() + covered && !w.empty() && w.size() <= 4 + size % 61);
    covered += w.size();
  }
  check(covered == size);
  for (const std::string_view w : note_windows(text, 5, 2)) {
    check(w.data() >= text.data() && w.data() + w.size() <= text.data() + size);
  }
  return 0;
}
