// Packs MIDI files as the author's script would: one line of hexadecimal code points a file, for theremin_pretty_midi.py.
#include <cstdio>

#include <midigpt/codec/theremin_compat.hpp>
#include <midigpt/midi/read.hpp>

int main(int argc, char** argv) {
  using namespace midigpt;
  for (int i = 1; i < argc; ++i) {
    const auto score = read_midi(argv[i], {.repair = true, .pairing = Pairing::pretty_midi});
    if (!score) {
      std::puts("!");
      continue;
    }
    for (const char32_t c : utf8_code_points(theremin_compat_text(*score))) std::printf("%x ", static_cast<unsigned>(c));
    std::puts("");
  }
  return 0;
}
