// midi/folder.hpp - MIDI files of a folder as Scores: on a thread pool, streaming, in a fixed order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/midi/read.hpp>
#include <midigpt/midi/score.hpp>

namespace midigpt {
inline namespace v0 {

/// The MIDI files (.mid, .midi, .rmi, in any case) under a folder and its folders, sorted bytewise; links to folders are
/// not followed. `path` may be one file of any name.
[[nodiscard, gnu::cold]] inline Result<std::vector<std::string>> find_midi_files(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (fs::is_regular_file(status)) return std::vector<std::string>{path};
  if (!fs::is_directory(status)) return Error{Errc::io, 0, "no such file or folder: " + path};
  std::vector<std::string> found;
  fs::recursive_directory_iterator it(path, fs::directory_options::skip_permission_denied, failure);
  if (failure) return Error{Errc::io, 0, concat({"cannot read folder ", path, ": ", failure.message()})};
  while (it != fs::recursive_directory_iterator()) {
    std::string extension = it->path().extension().string();
    for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    std::error_code ignored;
    if ((extension == ".mid" || extension == ".midi" || extension == ".rmi") && it->is_regular_file(ignored)) {
      found.push_back(it->path().string());
    }
    it.increment(failure);
    if (failure) return Error{Errc::io, 0, concat({"cannot read folder ", path, ": ", failure.message()})};
  }
  sort_stably(found);
  return found;
}

/// What load_folder() hands over for one file, in the order of the paths.
struct LoadedFile {
  std::size_t index = 0;        // into the paths
  const std::string& path;
  std::vector<Score> scores;    // one, or the sequences of a format 2 file; empty if it was skipped
  std::optional<Error> error;   // why it was skipped
  ReadReport report;
};

struct LoadFolderOptions {
  ReadOptions read{.repair = true, .pairing = Pairing::fifo, .max_bytes = std::uint64_t{1} << 26};
  std::size_t files_in_memory = 64;  // read ahead of the callback at most; this bounds the memory
};

struct Skipped {
  std::string path;
  Error error;
};

struct LoadSummary {
  std::size_t files = 0;    // seen
  std::size_t scores = 0;   // handed over
  std::size_t mended = 0;   // files with mends
  std::vector<Skipped> skipped;
};

/// Reads files on the pool and calls `each(LoadedFile&&)` on the calling thread, file by file in the order of `paths`,
/// whatever the number of threads. Memory: `files_in_memory` files and their scores, and what the callback keeps.
/// The callback returns true to go on, false to stop.
template <class Each>
LoadSummary load_folder(std::span<const std::string> paths, const LoadFolderOptions& options, ThreadPool& pool, Each&& each) {
  LoadSummary summary;
  std::vector<MidiReader> readers(pool.size());
  const std::size_t most = (std::max)(options.files_in_memory, std::size_t{1});
  struct Slot {
    std::vector<Score> scores;
    std::optional<Error> error;
    ReadReport report;
  };
  std::vector<Slot> slots((std::min)(most, paths.size()));
  for (std::size_t begin = 0; begin < paths.size(); begin += slots.size()) {
    const std::size_t count = (std::min)(slots.size(), paths.size() - begin);
    pool.run(count, [&](std::size_t i, std::size_t worker) {
      Slot& slot = slots[i];
      slot = Slot{};
      auto bytes = read_file(paths[begin + i], options.read.max_bytes);
      if (!bytes) {
        slot.error = std::move(bytes).error();
        return;
      }
      auto scores = readers[worker].parse_sequences(*bytes, options.read, &slot.report);
      if (!scores) {
        slot.error = std::move(scores).error();
      } else {
        slot.scores = *std::move(scores);
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      Slot& slot = slots[i];
      ++summary.files;
      summary.scores += slot.scores.size();
      summary.mended += slot.report.mend_count != 0 ? 1u : 0u;
      if (slot.error) summary.skipped.push_back({paths[begin + i], *slot.error});
      LoadedFile file{begin + i, paths[begin + i], std::move(slot.scores), std::move(slot.error), std::move(slot.report)};
      if (!each(std::move(file))) return summary;
    }
  }
  return summary;
}

}  // namespace v0
}  // namespace midigpt
