// Prints what the reader makes of files, for comparison with mido (mido_compare.py) and for tests/golden/midi-nasty.tsv.
//   mido_dump notes FILE...   a line "file", then per note: track, tick, duration, channel, pitch, velocity, start and end in seconds
//   mido_dump rows FILE...    the columns of midi-nasty.tsv
#include <cstdio>
#include <string>
#include <string_view>

#include <midigpt/midi/read.hpp>
#include <midigpt/midi/tempo_map.hpp>

#include "../midi/nasty_row.hpp"

int main(int argc, char** argv) {
  using namespace midigpt;
  const std::string_view mode = argc > 1 ? argv[1] : "";
  for (int i = 2; i < argc; ++i) {
    const std::string path = argv[i];
    if (mode == "rows") {
      std::printf("%s\t%s\n", path.c_str(), midi_test::nasty_row(path).c_str());
      continue;
    }
    const auto scores = read_file(path) ? parse_midi_sequences(*read_file(path), {.repair = true}) : Result<std::vector<Score>>(Error{});
    if (!scores) {
      std::printf("file\t%s\terror\n", path.c_str());
      continue;
    }
    double seconds = 0;
    for (const Score& s : *scores) seconds = (std::max)(seconds, duration_seconds(s));
    std::printf("file\t%s\t%.17g\n", path.c_str(), seconds);
    std::size_t track = 0;
    for (const Score& s : *scores) {
      const TempoMap map(s);
      for (const Track& t : s.tracks) {
        for (const Note& n : t.notes) {
          std::printf("%zu\t%lld\t%lld\t%d\t%d\t%d\t%.17g\t%.17g\n", track, static_cast<long long>(n.tick), static_cast<long long>(n.duration),
                      n.channel, n.pitch, n.velocity, map.seconds(n.tick), map.seconds(n.tick + n.duration));
        }
        ++track;
      }
    }
  }
  return 0;
}
