#include <midigpt/pipeline/corpus.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/core/file.hpp>
#include <midigpt/midi/write.hpp>

#include <midi/midi_support.hpp>

using namespace midigpt;
namespace fs = std::filesystem;

namespace {

struct MusicFolder {
  fs::path path = fs::temp_directory_path() / ("midigpt_corpus_test_" + std::to_string(::getpid()));
  MusicFolder() {
    fs::create_directories(path / "sub");
    for (int seed = 1; seed <= 12; ++seed) {
      const char* ending[] = {".mid", ".midi", ".MID"};
      const fs::path file = (seed % 2 ? path : path / "sub") / (std::to_string(seed) + ending[seed % 3]);
      REQUIRE(write_midi(file.string(), dice({.seed = static_cast<std::uint64_t>(seed), .bars = 4})));
    }
    REQUIRE(write_file_atomic((path / "broken.mid").string(), "this is not MIDI"));
    REQUIRE(write_file_atomic((path / "silent.mid").string(), midi_bytes(Score{.tracks = {Track{}}})));
    REQUIRE(write_file_atomic((path / "notes.txt").string(), "not music"));
  }
  ~MusicFolder() { fs::remove_all(path); }
};

}  // namespace

TEST_CASE("corpus: every file of a folder is a piece or has a reason") {
  const MusicFolder folder;
  const auto files = find_midi_files(folder.path.string());
  REQUIRE(files);
  CHECK(files->size() == 14);
  const Corpus corpus = corpus_from_files(*files);
  CHECK(corpus.files == 14);
  CHECK(corpus.pieces.size() == 12);
  REQUIRE(corpus.skipped.size() == 2);
  for (const SkippedFile& s : corpus.skipped) {
    CAPTURE(s.name);
    CHECK_FALSE(s.reason.empty());
    if (s.name.ends_with("silent.mid")) CHECK(s.reason == "no notes");
    else CHECK(s.name.ends_with("broken.mid"));
  }
  CHECK(corpus.notes() > 100);
  CHECK(summary(corpus).find("2 skipped") != std::string::npos);
}

TEST_CASE("corpus: a format 2 file is used if one of its sequences has notes; the silent ones are named") {
  const MusicFolder folder;
  const std::string path = (folder.path / "three.mid").string(), silent = (folder.path / "silent.mid").string();
  REQUIRE(write_file_atomic(path, midi_test::smf({"00 FF 01 01 41", "00 90 3C 40  60 3C 00", "00 FF 01 01 42"}, 2)));
  const Corpus corpus = corpus_from_files(std::vector{path, silent});
  CHECK(corpus.files == 2);
  CHECK(corpus.skipped_files == 1);
  REQUIRE(corpus.pieces.size() == 1);
  CHECK(corpus.pieces[0].name == path + "#1");
  REQUIRE(corpus.skipped.size() == 3);
  CHECK(corpus.skipped[0].name == path + "#0");
  CHECK(corpus.skipped[1].name == path + "#2");
  CHECK(corpus.skipped[2].name == silent);
}

TEST_CASE("corpus: the split follows the music, not its name, place or company") {
  const Corpus all = corpus_from_generator(200, 1, {.bars = 4});
  std::map<std::string, bool> side;
  for (const Piece& p : all.pieces) side[p.text] = p.held_out;
  const auto held = std::ranges::count(all.pieces, true, &Piece::held_out);
  CHECK(held >= 8);
  CHECK(held <= 36);

  std::vector<Piece> half(all.pieces.begin() + 50, all.pieces.begin() + 150);
  std::ranges::reverse(half);
  for (Piece& p : half) p.name = "renamed";
  split_by_content(half, 0.1);
  int moved = 0;
  for (const Piece& p : half) moved += p.held_out != side[p.text];
  CHECK(moved <= 2);  // the pieces with the smallest and the largest hash are placed by rule
}

TEST_CASE("corpus: neither side is empty where there are two different pieces, and copies stay together") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Corpus two = corpus_from_generator(2, seed * 10, {.bars = 2});
    two.pieces.push_back(two.pieces[0]);
    split_by_content(two.pieces, 0.1);
    CHECK(two.pieces[0].held_out != two.pieces[1].held_out);
    CHECK(two.pieces[0].held_out == two.pieces[2].held_out);
    split_by_content(two.pieces, 0);
    for (const Piece& p : two.pieces) CHECK_FALSE(p.held_out);
  }
}

TEST_CASE("corpus: every codec has the same split") {
  const Corpus a = corpus_from_generator(60, 1, {.bars = 4}), b = corpus_from_generator(60, 1, {.bars = 4}, {.codec = CodecKind::theremin});
  REQUIRE(a.pieces.size() == b.pieces.size());
  for (std::size_t i = 0; i < a.pieces.size(); ++i) {
    CHECK(a.pieces[i].text != b.pieces[i].text);
    CHECK(a.pieces[i].held_out == b.pieces[i].held_out);
  }
}

TEST_CASE("corpus: nothing depends on when or how often it is made") {
  const Corpus a = corpus_from_generator(10, 7), b = corpus_from_generator(10, 7);
  for (std::size_t i = 0; i < a.pieces.size(); ++i) CHECK(a.pieces[i].text == b.pieces[i].text);
}

TEST_CASE("corpus: training pieces in all keys, held-out pieces as they are") {
  Corpus corpus = corpus_from_generator(20, 1, {.bars = 4});
  const Corpus own = corpus;
  add_keys(corpus, 12);
  const auto held = static_cast<std::size_t>(std::ranges::count(own.pieces, true, &Piece::held_out));
  REQUIRE(corpus.pieces.size() == held + 12 * (20 - held));
  CHECK(static_cast<std::size_t>(std::ranges::count(corpus.pieces, true, &Piece::held_out)) == held);
  CHECK(corpus.notes() == own.notes());  // each piece counts once
  std::size_t at = own.pieces.size();
  for (const Piece& p : own.pieces) {
    if (p.held_out) continue;
    const Score score = from_text(p.text, own.codec);
    std::vector<std::string> texts{p.text};
    for (int k = 1; k < 12; ++k, ++at) {
      const Piece& moved = corpus.pieces[at];
      CHECK(moved.transposed);
      CHECK(moved.notes == p.notes);
      CHECK(moved.name.starts_with(p.name));
      // -1, +1, ... -6: moving it back gives the piece again, where no note had to stay within 0..127
      const int semitones = std::stoi(moved.name.substr(p.name.size()));
      CHECK(to_text(transpose(from_text(moved.text, own.codec), -semitones), own.codec) == p.text);
      texts.push_back(moved.text);
    }
    std::ranges::sort(texts);
    CHECK(std::ranges::adjacent_find(texts) == texts.end());
  }
}

TEST_CASE("corpus: every codec can be heard in other keys") {
  for (const CodecKind codec : {CodecKind::multitrack, CodecKind::split, CodecKind::theremin, CodecKind::theremin_compat}) {
    CAPTURE(codec_name(codec));
    Corpus corpus = corpus_from_generator(6, 1, {.bars = 4}, {.codec = codec});
    const auto held = static_cast<std::size_t>(std::ranges::count(corpus.pieces, true, &Piece::held_out));
    add_keys(corpus, 3);
    REQUIRE(corpus.pieces.size() == held + 3 * (6 - held));
    for (std::size_t i = 6; i < corpus.pieces.size(); ++i) CHECK(count_text_notes(corpus.pieces[i].text, codec) == corpus.pieces[i].notes);
  }
}

TEST_CASE("corpus: twelve keys up to a million notes, fewer beyond") {
  CHECK(suggested_keys(0) == 12);
  CHECK(suggested_keys(1) == 12);
  CHECK(suggested_keys(1'000'000) == 12);
  CHECK(suggested_keys(1'000'001) == 11);
  CHECK(suggested_keys(3'000'000) == 4);
  CHECK(suggested_keys(12'000'000) == 1);
  CHECK(suggested_keys(static_cast<std::size_t>(-1)) == 1);
}
