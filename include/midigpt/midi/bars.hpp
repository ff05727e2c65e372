// midi/bars.hpp - where bars begin, by the time signatures.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

/// The ticks where bars begin, from 0 to `end`, at most `most` of them. Before the first time signature bars are 4/4; a
/// signature inside a bar begins a new one. SMPTE divisions know no bars: none.
[[nodiscard]] inline std::vector<std::int64_t> bar_starts(const Score& score, std::int64_t end,
                                                          std::size_t most = std::size_t{1} << 20) {
  std::vector<std::int64_t> bars;
  if (score.division.is_smpte()) return bars;
  const std::int64_t quarter = (std::max)(score.division.tpq, std::uint16_t{1});
  std::int64_t length = 4 * quarter;
  std::size_t next = 0;
  for (std::int64_t tick = 0; tick <= end && bars.size() < most;) {
    while (next < score.time_signatures.size() && score.time_signatures[next].tick <= tick) {
      const TimeSignature& s = score.time_signatures[next++];
      length = (std::max)(4 * quarter * s.numerator >> (std::min)(int{s.denominator_log2}, 16), std::int64_t{1});
    }
    bars.push_back(tick);
    tick += length;
    if (next < score.time_signatures.size()) tick = (std::min)(tick, score.time_signatures[next].tick);
  }
  return bars;
}

}  // namespace v0
}  // namespace midigpt
