// pipeline/corpus.hpp - the first step of the main job: files, or the generator -> pieces of text, split in two.
//   One piece is one score as one line of text. Pieces are split into train and held-out by a hash of their music, so
//   the same music always lands on the same side, whatever its file is called, whatever lies beside it, whatever the codec.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/midi/edit.hpp>
#include <midigpt/midi/folder.hpp>
#include <midigpt/midi/procedural.hpp>

namespace midigpt {
inline namespace v0 {

/// One score as text. `notes` counts the notes in the text, which is what "per note" figures divide by.
struct Piece {
  std::string name;
  std::string text;
  std::size_t notes = 0;
  std::uint64_t hash = 0;  // hash_music() of the score
  bool held_out = false;
  bool transposed = false;  // a copy in another key, made by add_keys(): learnt from, not counted
};

struct SkippedFile {
  std::string name, reason;
};

struct Corpus {
  CodecKind codec = CodecKind::multitrack;
  std::vector<Piece> pieces;
  std::vector<SkippedFile> skipped;  // files, and of a format 2 file its single sequences
  std::size_t files = 0;             // files looked at; generated pieces count as files
  std::size_t skipped_files = 0;     // files that gave no piece
  std::size_t mended_files = 0;      // files that needed repair
  std::size_t mends = 0;             // repairs in them
  TextReport report;                 // what packing did, summed

  [[nodiscard]] std::size_t notes() const noexcept {
    std::size_t n = 0;
    for (const Piece& p : pieces) n += p.transposed ? 0 : p.notes;
    return n;
  }
};

struct CorpusOptions {
  CodecKind codec = CodecKind::multitrack;
  double held_out = 0.1;  // share of the pieces, 0 <= held_out < 1
  /// Called after each file with (done, total).
  std::function<void(std::size_t, std::size_t)> on_progress{};
};

/// One line for people: what was used, skipped and mended.
[[nodiscard, gnu::cold]] inline std::string summary(const Corpus& corpus) {
  std::string s = concat({corpus.pieces.size(), " pieces with ", corpus.notes(), " notes from ", corpus.files, " files; ",
      corpus.skipped.size(), " skipped, ", corpus.mended_files, " mended (", corpus.mends, " repairs)"});
  const auto add = [&](std::size_t n, const char* what) {
    if (n > 0) append(s, {"; ", n, " ", what});
  };
  add(corpus.report.notes_dropped, "notes left out");
  add(corpus.report.onsets_rounded, "onsets rounded to the grid");
  add(corpus.report.durations_rounded, "durations rounded");
  add(corpus.report.steps_clamped, "gaps clamped");
  add(corpus.report.durations_clamped, "durations clamped");
  add(corpus.report.values_clamped, "values clamped");
  return s;
}

/// What the split goes by: the multitrack text, which is the same for the same music in other files and resolutions.
[[nodiscard]] inline std::uint64_t hash_music(const Score& score) {
  return hash_bytes(as_byte_span(to_text(score, CodecKind::multitrack)));
}

/// Marks the held-out pieces: those whose hash falls below the share; if that leaves one side empty, the piece with the
/// smallest hash (largest hash) changes sides.
inline void split_by_content(std::vector<Piece>& pieces, double held_out) {
  for (Piece& p : pieces) {
    p.held_out = static_cast<double>(p.hash >> 11) * 0x1p-53 < held_out;
  }
  if (pieces.size() < 2 || held_out <= 0) return;
  const auto [low, high] =
      std::minmax_element(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.hash < b.hash; });
  const std::uint64_t lowest = low->hash, highest = high->hash;
  for (Piece& p : pieces) {  // by value: copies of one piece move together
    if (p.hash == lowest) p.held_out = true;
    if (p.hash == highest) p.held_out = false;
  }
}

/// In how many keys to hear a corpus of so many notes: all 12, fewer beyond a million notes, where memory and the time before
/// the first step count and there is music enough.
[[nodiscard]] inline int suggested_keys(std::size_t notes) noexcept {
  constexpr std::size_t k_notes = 12'000'000;  // in all keys; 9.5 million took 306 MB at the peak
  return static_cast<int>(std::clamp(k_notes / (std::max)(notes, std::size_t{1}), std::size_t{1}, std::size_t{12}));
}

/// Adds every training piece in other keys, moved by -1, +1, -2, ... semitones (drums stay), until it is there in `keys`
/// keys, 1 to 12. The held-out pieces stay as they are. Fewer things to learn by heart: a scale is one scale, not twelve.
inline void add_keys(Corpus& corpus, int keys) {
  const std::size_t pieces = corpus.pieces.size();
  for (std::size_t i = 0; i < pieces; ++i) {
    if (corpus.pieces[i].held_out) continue;
    const Score score = from_text(corpus.pieces[i].text, corpus.codec);
    for (int k = 1; k < (std::min)(keys, 12); ++k) {
      const int semitones = k % 2 == 0 ? k / 2 : -(k + 1) / 2;
      Piece moved = corpus.pieces[i];
      append(moved.name, {semitones > 0 ? " +" : " ", semitones});
      moved.transposed = true;
      moved.text = to_text(transpose(score, semitones), corpus.codec);
      corpus.pieces.push_back(std::move(moved));
    }
  }
}

namespace detail::corpus {

inline void add_score(Corpus& corpus, std::string name, const Score& score) {
  Piece piece;
  piece.text = to_text(score, corpus.codec, &corpus.report);
  piece.notes = count_text_notes(piece.text, corpus.codec);
  if (piece.notes == 0) {
    corpus.skipped.push_back({std::move(name), "no notes"});
    return;
  }
  piece.hash = corpus.codec == CodecKind::multitrack ? hash_bytes(as_byte_span(piece.text)) : hash_music(score);
  piece.name = std::move(name);
  corpus.pieces.push_back(std::move(piece));
}

}  // namespace detail::corpus

/// Reads, repairs and packs the named files. A file that cannot be used is in `skipped` with its reason.
[[nodiscard]] inline Corpus corpus_from_files(std::span<const std::string> paths, const CorpusOptions& options = {}) {
  Corpus corpus;
  corpus.codec = options.codec;
  corpus.files = paths.size();
  ReadOptions read{.repair = true};
  // the author's program read files through pretty_midi, which pairs notes by a rule of its own
  if (options.codec == CodecKind::theremin_compat) read.pairing = Pairing::pretty_midi;
  ThreadPool pool(1);  // reading is a small part of the way
  load_folder(paths, {.read = read}, pool, [&](LoadedFile file) {
    const std::size_t pieces = corpus.pieces.size();
    if (file.error) corpus.skipped.push_back({file.path, describe(*file.error)});
    corpus.mended_files += file.report.mend_count > 0;
    corpus.mends += file.report.mend_count;
    for (std::size_t s = 0; s < file.scores.size(); ++s) {
      detail::corpus::add_score(corpus, file.scores.size() == 1 ? file.path : concat({file.path, "#", s}), file.scores[s]);
    }
    corpus.skipped_files += corpus.pieces.size() == pieces;
    if (options.on_progress) options.on_progress(file.index + 1, paths.size());
    return true;
  });
  split_by_content(corpus.pieces, options.held_out);
  return corpus;
}

/// `count` generated pieces with the seeds seed, seed + 1, ...
[[nodiscard]] inline Corpus corpus_from_generator(std::size_t count, std::uint64_t seed, const DiceOptions& dice_options = {},
                                                  const CorpusOptions& options = {}) {
  Corpus corpus;
  corpus.codec = options.codec;
  corpus.files = count;
  for (std::size_t i = 0; i < count; ++i) {
    DiceOptions d = dice_options;
    d.seed = seed + i;
    detail::corpus::add_score(corpus, concat({"dice ", d.seed}), dice(d));
    if (options.on_progress) options.on_progress(i + 1, count);
  }
  corpus.skipped_files = corpus.skipped.size();
  split_by_content(corpus.pieces, options.held_out);
  return corpus;
}

}  // namespace v0
}  // namespace midigpt
