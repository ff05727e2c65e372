// Any bytes: reading ends with a value or an error inside them; what was read is written to a fixed point and read back equal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <midigpt/midi/read.hpp>
#include <midigpt/midi/write.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto require = [](bool holds) {
    if (!holds) std::abort();
  };
  ReadReport report;
  const auto strict = parse_midi_sequences(bytes, {}, &report);
  if (!strict) require(strict.error().offset <= size && !strict.error().what.empty());
  for (const Pairing pairing : {Pairing::fifo, Pairing::lifo, Pairing::pretty_midi}) {
    const auto scores = parse_midi_sequences(bytes, {.repair = true, .pairing = pairing}, &report);
    if (!scores) {
      require(!strict);
      continue;
    }
    if (strict && pairing == Pairing::fifo) require(*strict == *scores);
    for (const Score& score : *scores) {
      const Bytes once = midi_bytes(score, {.running_status = (size & 1) != 0});
      const auto again = parse_midi(once, {.repair = false, .pairing = pairing});
      require(bool(again));
      if (pairing == Pairing::fifo) {
        require(*again == score);
        require(midi_bytes(*again, {.running_status = (size & 1) != 0}) == once);
      }
    }
  }
  auto view = MidiView::open(bytes);
  if (!view) return 0;
  EventCursor events;
  MidiEvent e;
  std::uint64_t seen = 0;
  while (view->next_track(events)) {
    while (events.next(e)) ++seen;
  }
  require(seen <= size);
  return 0;
}
