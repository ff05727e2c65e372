// One line of tests/golden/midi-nasty.tsv: what the reader makes of a file, strict and with repair.
#pragma once

#include <string>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/midi/read.hpp>

namespace midi_test {

inline constexpr const char* k_nasty_columns = "strict\tstrict offset\trepaired\tmended";

/// "ok 2" (notes), "ok 1+1" (of two sequences), or the error.
inline std::string nasty_outcome(const midigpt::Result<std::vector<midigpt::Score>>& scores) {
  if (!scores) return scores.error().what + " (" + midigpt::errc_name(scores.error().code) + ")";
  std::string out = "ok ";
  for (const midigpt::Score& s : *scores) out += (out.size() > 3 ? "+" : "") + std::to_string(midigpt::count_notes(s));
  return out;
}

/// The columns above, tab between them.
inline std::string nasty_row(const std::string& path) {
  using namespace midigpt;
  const auto bytes = read_file(path);
  if (!bytes) return describe(bytes.error());
  ReadReport report;
  const auto strict = parse_midi_sequences(*bytes);
  const auto repaired = parse_midi_sequences(*bytes, {.repair = true}, &report);
  std::string mended;
  const auto add = [&](const std::string& what) { mended += (mended.empty() ? "" : "; ") + what; };
  for (std::size_t i = 0; repaired && i < report.mends.size() && i < 4; ++i) {
    add("byte " + std::to_string(report.mends[i].offset) + ": " + report.mends[i].what);
  }
  if (repaired && report.mend_count > 4) add(std::to_string(report.mend_count) + " in all");
  if (repaired && report.unclosed_notes > 0) add(std::to_string(report.unclosed_notes) + " unclosed");
  if (repaired && report.stray_note_offs > 0) add(std::to_string(report.stray_note_offs) + " stray note-offs");
  if (repaired && report.overlapping_notes > 0) add(std::to_string(report.overlapping_notes) + " overlapping");
  if (repaired && report.zero_length_notes > 0) add(std::to_string(report.zero_length_notes) + " without length");
  return nasty_outcome(strict) + "\t" + (strict ? "" : std::to_string(strict.error().offset)) + "\t" + nasty_outcome(repaired) + "\t" + mended;
}

}  // namespace midi_test
