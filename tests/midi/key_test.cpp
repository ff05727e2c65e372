#include <doctest/doctest.h>

#include <string>

#include <midigpt/midi/key.hpp>

using namespace midigpt;

TEST_CASE("key: names give tonic, mode and key signature") {
  struct Row {
    const char* name;
    int tonic;
    Mode mode;
    int sharps;
    bool minor;
  };
  for (const Row& row :
       {Row{"C", 0, Mode::major, 0, false}, Row{"Am", 9, Mode::minor, 0, true}, Row{"F#m", 6, Mode::minor, 3, true},
        Row{"Bb", 10, Mode::major, -2, false}, Row{"C#", 1, Mode::major, 7, false},
        Row{"Gb", 6, Mode::major, -6, false}, Row{"Ebm", 3, Mode::minor, -6, true},
        Row{"D dorian", 2, Mode::dorian, 0, true}, Row{"G mixolydian", 7, Mode::mixolydian, 0, false},
        Row{"bbmin", 10, Mode::minor, -5, true}, Row{"a minor", 9, Mode::minor, 0, true},
        Row{"E harmonic minor", 4, Mode::harmonic_minor, 1, true}, Row{"Fmaj", 5, Mode::major, -1, false},
        Row{"A minor pentatonic", 9, Mode::minor_pentatonic, 0, true}}) {
    CAPTURE(row.name);
    const auto key = parse_key(row.name);
    REQUIRE(key);
    CHECK(key->tonic() == row.tonic);
    CHECK(key->mode == row.mode);
    CHECK(key_signature(*key).sharps == row.sharps);
    CHECK(key_signature(*key).minor == row.minor);
  }
}

TEST_CASE("key: what needs more than seven accidentals is respelled, the sound stays") {
  for (const char* name : {"G#", "D#", "A#", "Fb", "Cbm", "Fbm", "B# dorian"}) {
    CAPTURE(name);
    const auto key = parse_key(name);
    REQUIRE(key);
    const int sharps = key_signature(*key).sharps;
    CHECK(sharps >= -7);
    CHECK(sharps <= 7);
  }
  CHECK(parse_key("G#")->tonic() == 8);
  CHECK(key_name(*parse_key("G#")) == "Ab");
  CHECK(key_name(*parse_key("Cbm")) == "Bm");
}

TEST_CASE("key: key_name and parse_key are inverses on every spellable key") {
  int keys = 0;
  for (int mode = 0; mode < 7; ++mode) {
    for (int fifths = -15; fifths <= 15; ++fifths) {
      const Key key{static_cast<std::int8_t>(fifths), static_cast<Mode>(mode)};
      if (spellable(key) != key) continue;
      ++keys;
      const auto back = parse_key(key_name(key));
      CAPTURE(key_name(key));
      REQUIRE(back);
      CHECK(*back == key);
    }
  }
  CHECK(keys == 7 * 15);
}

TEST_CASE("key: what is not a key is an error at its first wrong character") {
  struct Row {
    const char* text;
    std::uint64_t offset;
  };
  for (const Row& row : {Row{"", 0}, Row{"H", 0}, Row{"#", 0}, Row{"Cx", 1}, Row{"C##", 2}, Row{"C#q", 2}, Row{"A ", 1},
                         Row{"Am ", 1}, Row{"C lydian", 1}, Row{"CC", 1}, Row{"\xff", 0}}) {
    CAPTURE(row.text);
    const auto key = parse_key(row.text);
    REQUIRE(!key);
    CHECK(key.error().code == Errc::bad_value);
    CHECK(key.error().offset == row.offset);
  }
  std::string any = "A";
  int accepted = 0;
  for (int first = 0; first < 256; ++first) {
    any[0] = static_cast<char>(first);
    accepted += parse_key(any) ? 1 : 0;
  }
  CHECK(accepted == 14);  // A..G and a..g
}

TEST_CASE("key: the scale mask holds the scale's pitch classes") {
  CHECK(scale_mask(*parse_key("C")) == 0b101010110101);
  CHECK(scale_mask(*parse_key("Am")) == scale_mask(*parse_key("C")));
  CHECK(scale_mask(*parse_key("D dorian")) == scale_mask(*parse_key("C")));
  CHECK(scale_mask(*parse_key("G mixolydian")) == scale_mask(*parse_key("C")));
  CHECK(scale_mask(*parse_key("A minor pentatonic")) == scale_mask(*parse_key("C major pentatonic")));
}
