// examples/cli/music_commands.hpp - the commands that need no model: dice, info, pack, unpack.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "common.hpp"

namespace cli {

struct DiceArguments {
  std::string key, style = "band", out, wav, svg;
  int bars = 8;
  std::uint64_t seed = 1;
};

inline void dice_command(const DiceArguments& a) {
  midigpt::DiceOptions options{.seed = a.seed, .bars = a.bars, .humanise = true};
  if (!a.key.empty()) {
    const auto key = midigpt::parse_key(a.key);
    if (!key) throw WrongUse("--key " + a.key + ": " + key.error().what);
    options.key = *key;
  }
  for (const auto style : {midigpt::DiceStyle::melody, midigpt::DiceStyle::chords, midigpt::DiceStyle::drums, midigpt::DiceStyle::band}) {
    if (midigpt::dice_style_name(style) == a.style) options.style = style;
  }
  const midigpt::Score score = midigpt::dice(options);
  need(midigpt::write_midi(a.out, score));
  write_media(score, a.wav, a.svg);
}

struct InfoArguments {
  std::vector<std::string> files;
  bool json = false;
};

inline void info_command(const InfoArguments& a) {
  std::string json = "[";
  std::string failed;
  for (const std::string& file : a.files) {
    midigpt::ReadReport report;
    const auto bytes = midigpt::read_file(file);
    const auto scores = bytes ? midigpt::parse_midi_sequences(*bytes, {.repair = true}, &report)
                              : midigpt::Result<std::vector<midigpt::Score>>(bytes.error());
    if (!scores) {
      failed += (failed.empty() ? "" : "; ") + file + ": " + describe(scores.error());
      continue;
    }
    std::size_t tracks = 0, notes = 0;
    double seconds = 0;
    for (const midigpt::Score& s : *scores) {
      tracks += s.tracks.size();
      notes += count_notes(s);
      seconds += midigpt::duration_seconds(s);
    }
    const midigpt::Score empty;
    const midigpt::Score& first = scores->empty() ? empty : scores->front();
    const int format = scores->size() > 1 ? 2 : first.format;
    const midigpt::Division& d = first.division;
    const std::string division = d.is_smpte() ? std::to_string(d.smpte_fps) + " fps x " + std::to_string(d.ticks_per_frame) : std::to_string(d.tpq);
    if (a.json) {
      json += (json.size() > 1 ? ",\n " : "\n ") + std::string("{\"file\": ") + midigpt::json_quote(printable(file)) + ", \"format\": " + std::to_string(format) +
              ", \"division\": " + midigpt::json_quote(division) + ", \"tracks\": " + std::to_string(tracks) + ", \"notes\": " + std::to_string(notes) +
              ", \"seconds\": " + midigpt::json_number(seconds) + ", \"mended\": " + std::to_string(report.mend_count) + "}";
      continue;
    }
    std::printf("%s: format %d, division %s, %zu tracks, %zu notes, %.2f s\n", file.c_str(), format, division.c_str(), tracks, notes, seconds);
    for (const midigpt::Mend& m : report.mends) std::printf("  mended at byte %llu: %s\n", static_cast<unsigned long long>(m.offset), m.what.c_str());
    if (report.mend_count > report.mends.size()) std::printf("  and %llu more\n", static_cast<unsigned long long>(report.mend_count - report.mends.size()));
  }
  if (a.json) std::printf("%s\n]\n", json.c_str());
  if (!failed.empty()) throw CannotDo(failed);
}

struct PackArguments {
  std::vector<std::string> inputs;
  std::string out, codec = "multitrack";
};

inline void pack_command(const PackArguments& a) {
  const midigpt::Corpus corpus = read_corpus(a.inputs, *midigpt::codec_from_name(a.codec), 0);
  std::string text;
  for (const midigpt::Piece& p : corpus.pieces) text += p.text + "\n";
  need(midigpt::write_file_atomic(a.out, text));
}

struct UnpackArguments {
  std::string text, out, codec = "multitrack";
};

inline void unpack_command(const UnpackArguments& a) {
  const auto bytes = need(midigpt::read_file(a.text));
  const std::string_view text = midigpt::as_chars(bytes);
  const midigpt::CodecKind codec = *midigpt::codec_from_name(a.codec);
  make_folder(a.out);
  midigpt::TextReport report;
  std::size_t line = 0, written = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = (std::min)(text.find('\n', at), text.size());
    const std::string_view piece = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (midigpt::count_text_notes(piece, codec) == 0) {
      std::fprintf(stderr, "skipped line %zu: no notes in it\n", line);
      continue;
    }
    char name[32];
    std::snprintf(name, sizeof name, "/%05zu.mid", line);
    need(midigpt::write_midi(a.out + name, midigpt::from_text(piece, codec, &report)));
    ++written;
  }
  if (written == 0) throw CannotDo(a.text + ": no line with notes");
  std::fprintf(stderr, "%zu files with %zu notes; %zu foreign characters, %zu unknown controls skipped\n", written, report.notes, report.foreign, report.out_of_range);
}

inline void add_music_commands(CLI::App& app) {
  {
    auto a = std::make_shared<DiceArguments>();
    CLI::App* c = app.add_subcommand("dice", "compose a piece from a seed; needs no model");
    c->footer("Example: midigpt dice --key Am --bars 8 --style band --seed 7 -o idea.mid --wav idea.wav --svg idea.svg");
    c->add_option("--key", a->key, "C, F#m, Bb, \"D dorian\"...; drawn from the seed if absent");
    c->add_option("--bars", a->bars, "length in bars")->capture_default_str()->check(CLI::Range(1, 10000));
    c->add_option("--style", a->style, "melody, chords, drums or band")->capture_default_str()->check(CLI::IsMember({"melody", "chords", "drums", "band"}));
    c->add_option("--seed", a->seed, "another seed, another piece")->capture_default_str();
    c->add_option("-o,--output", a->out, "MIDI file to write")->required();
    c->add_option("--wav", a->wav, "also write audio");
    c->add_option("--svg", a->svg, "also write a piano roll");
    c->callback([a] { dice_command(*a); });
  }
  {
    auto a = std::make_shared<InfoArguments>();
    CLI::App* c = app.add_subcommand("info", "what MIDI files hold, and what had to be mended to read them");
    c->footer("Example: midigpt info song.mid other.mid --json");
    c->add_option("files", a->files, "MIDI files")->required();
    c->add_flag("--json", a->json, "a JSON list on stdout");
    c->callback([a] { info_command(*a); });
  }
  {
    auto a = std::make_shared<PackArguments>();
    CLI::App* c = app.add_subcommand("pack", "MIDI files to text, one piece a line");
    c->footer("Example: midigpt pack ~/midi -o corpus.txt");
    c->add_option("inputs", a->inputs, "MIDI files or folders")->required();
    c->add_option("-o,--output", a->out, "text file to write")->required();
    add_codec_option(c, a->codec);
    c->callback([a] { pack_command(*a); });
  }
  {
    auto a = std::make_shared<UnpackArguments>();
    CLI::App* c = app.add_subcommand("unpack", "packed text to MIDI files, one a line");
    c->footer("Example: midigpt unpack corpus.txt -o midi/");
    c->add_option("text", a->text, "packed text")->required();
    c->add_option("-o,--output", a->out, "folder to write to")->required();
    add_codec_option(c, a->codec);
    c->callback([a] { unpack_command(*a); });
  }
}

}  // namespace cli
