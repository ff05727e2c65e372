// examples/cli/common.hpp - what the commands of `midigpt` share: how they fail, what they read, how they report.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

#include <midigpt/midigpt.hpp>

namespace cli {

/// The command could not do it: one line on stderr, exit code 1.
struct CannotDo : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The command was called wrongly: one line on stderr, exit code 2.
struct WrongUse : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The value, or CannotDo with what and where.
template <class T>
T need(midigpt::Result<T> result, const std::string& where = {}) {
  if (!result) throw CannotDo((where.empty() ? "" : where + ": ") + describe(result.error()));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// The exit code of a command that came to its end; Ctrl-C in training makes it 130.
inline int& exit_code() {
  static int code = 0;
  return code;
}

/// A file name may hold any bytes; JSON may not.
inline std::string printable(std::string_view name) { return midigpt::utf8_encode(midigpt::utf8_code_points(name)); }

inline void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw CannotDo("cannot make folder " + path + ": " + error.message());
}

inline void add_codec_option(CLI::App* command, std::string& codec) {
  std::vector<std::string> names;
  for (const auto& [kind, name] : midigpt::k_codec_names) names.emplace_back(name);
  command->add_option("--codec", codec, "how notes become characters")->capture_default_str()->check(CLI::IsMember(names));
}

/// Audio and piano roll beside a MIDI file, each if it has a name.
inline void write_media(const midigpt::Score& score, const std::string& wav, const std::string& svg) {
  if (!wav.empty()) need(midigpt::write_file_atomic(wav, midigpt::wav_bytes(score)));
  if (!svg.empty()) need(midigpt::write_file_atomic(svg, midigpt::piano_roll_svg(score)));
}

/// All MIDI files under the inputs, in order, each once. CannotDo where there is none.
inline std::vector<std::string> midi_files(const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    auto found = need(midigpt::find_midi_files(input));
    if (found.empty()) throw CannotDo(input + ": no MIDI files here (.mid .midi .rmi)");
    files.insert(files.end(), found.begin(), found.end());
  }
  std::ranges::sort(files);
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

/// Files -> pieces; what was skipped or mended is named on stderr. CannotDo where nothing is left.
inline midigpt::Corpus read_corpus(const std::vector<std::string>& inputs, midigpt::CodecKind codec, double held_out) {
  midigpt::CorpusOptions options{.codec = codec, .held_out = held_out};
  midigpt::Corpus corpus = midigpt::corpus_from_files(midi_files(inputs), options);
  for (const auto& skipped : corpus.skipped) std::fprintf(stderr, "skipped %s: %s\n", skipped.name.c_str(), skipped.reason.c_str());
  std::fprintf(stderr, "%s\n", midigpt::summary(corpus).c_str());
  if (corpus.pieces.empty()) throw CannotDo(inputs.front() + ": none of the files holds notes that can be used");
  return corpus;
}

}  // namespace cli
