#include <midigpt/midi/read.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/midi/view.hpp>
#include <midigpt/midi/write.hpp>

#include "midi_support.hpp"
#include "nasty_row.hpp"

using namespace midigpt;

namespace {

// Bytes in use, and the most there were: every operator new of this program passes here.
std::atomic<std::size_t> in_use = 0, most_in_use = 0;

void* counted_new(std::size_t size) {
  void* p = std::malloc(size + 16);
  if (p == nullptr) std::abort();
  *static_cast<std::size_t*>(p) = size;
  const std::size_t now = in_use += size;
  if (now > most_in_use) most_in_use = now;
  return static_cast<char*>(p) + 16;
}

void counted_delete(void* p) noexcept {
  if (p == nullptr) return;
  char* const start = static_cast<char*>(p) - 16;
  in_use -= *static_cast<std::size_t*>(static_cast<void*>(start));
  std::free(start);
}

/// Reads `bytes` strict and with repair; the most that either held above what was held before.
std::size_t bytes_needed(ByteSpan bytes) {
  std::size_t most = 0;
  for (const bool repair : {false, true}) {
    const std::size_t before = in_use;
    most_in_use = before;
    {
      ReadReport report;
      const auto scores = parse_midi_sequences(bytes, {.repair = repair}, &report);
      if (!scores && scores.error().offset > bytes.size()) std::abort();
    }
    most = (std::max)(most, most_in_use - before);
  }
  return most;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return counted_new(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted_new(size); }
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted_new(size); }  // else a sanitizer's own
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted_new(size); }
[[gnu::noinline]] void operator delete(void* p) noexcept { counted_delete(p); }
[[gnu::noinline]] void operator delete[](void* p) noexcept { counted_delete(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { counted_delete(p); }
[[gnu::noinline]] void operator delete[](void* p, std::size_t) noexcept { counted_delete(p); }

TEST_CASE("midi nasty: every file of the table has the outcome of the table, strict and repaired") {
  const std::string folder = std::string(MIDIGPT_SHARED_DIR) + "/data/midi-nasty/";
  std::ifstream table(std::string(MIDIGPT_SOURCE_DIR) + "/tests/golden/midi-nasty.tsv");
  REQUIRE(table);
  std::string line;
  std::getline(table, line);
  CHECK(line == std::string("file\t") + midi_test::k_nasty_columns + "\tmido");
  int rows = 0;
  while (std::getline(table, line)) {
    const std::string name = line.substr(0, line.find('\t'));
    if (!read_file(folder + name)) {
      MESSAGE("skipped: no ../shared/data/midi-nasty");
      return;
    }
    ++rows;
    CHECK(line.substr(0, line.rfind('\t')) == name + "\t" + midi_test::nasty_row(folder + name));
  }
  CHECK(rows == 164);
}

TEST_CASE("midi nasty: no file costs more memory than its bytes allow") {
  for (const std::string& path : midi_test::shared_files("data/midi-nasty")) {
    const auto bytes = read_file(path);
    CAPTURE(path);
    // 65535 tracks of eight bytes each are the costliest there is: a Track is larger than its chunk
    CHECK(bytes_needed(*bytes) <= 32 * bytes->size() + (std::size_t{1} << 20));
  }
}

TEST_CASE("midi nasty: real files cut at every length, and with every byte replaced, cost at most 8 times their bytes and a MiB") {
  const bool slow = std::getenv("MIDIGPT_SLOW_TESTS") != nullptr;
  std::uint64_t wrong = 0, runs = 0;
  const auto files = midi_test::shared_files("data/midi");
  if (files.empty()) MESSAGE("skipped: no ../shared/data/midi");
  for (std::size_t f = 0; f < files.size(); f += slow ? 1 : 173) {
    Bytes bytes = *read_file(files[f]);
    const std::size_t allowed = 8 * bytes.size() + (std::size_t{1} << 20);
    // big files are sampled: at most so many places, spread evenly
    const std::size_t places = slow ? 400 : 150;
    const std::size_t step = (std::max)(bytes.size() / places, std::size_t{1});
    for (std::size_t at = f % step; at < bytes.size(); at += step) {
      const std::byte old = bytes[at];
      for (const unsigned value : {0x00u, 0x7Fu, 0x80u, 0xF0u, 0xFFu, std::to_integer<unsigned>(old) ^ 1u}) {
        bytes[at] = static_cast<std::byte>(value);
        ++runs;
        if (bytes_needed(bytes) > allowed) ++wrong;
      }
      bytes[at] = old;
      ++runs;
      if (bytes_needed(ByteSpan(bytes).first(at)) > allowed) ++wrong;
    }
  }
  MESSAGE(runs << " damaged files read");
  CHECK(wrong == 0);
}

TEST_CASE("midi nasty: a small file cut at every length and with every byte replaced by every value") {
  Bytes bytes = midi_bytes(midi_test::random_score(11));
  if (bytes.size() > 400) bytes.resize(400);
  std::uint64_t wrong = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const std::byte old = bytes[at];
    for (unsigned value = 0; value < 256; ++value) {
      bytes[at] = static_cast<std::byte>(value);
      if (bytes_needed(bytes) > (std::size_t{1} << 20)) ++wrong;
    }
    bytes[at] = old;
    const ByteSpan cut = ByteSpan(bytes).first(at);
    ReadReport report;  // a cut file is never taken for a whole one: where chunks end the count of tracks tells
    if (parse_midi(cut, {}, &report) && report.mend_count == 0) ++wrong;
    if (bytes_needed(cut) > (std::size_t{1} << 20)) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("midi nasty: lengths of 0, 1, 2^31 - 1 and 2^32 - 1 everywhere a length stands") {
  const Bytes good = midi_test::smf({"00 FF 01 02 41 42  00 90 3C 40  60 3C 00", "00 F0 01 F7"});
  for (const std::size_t at : {std::size_t{4}, std::size_t{18}, good.size() - 12}) {
    for (const std::uint32_t length : {0u, 1u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) {
      ByteWriter bad;
      bad.raw(ByteSpan(good));
      bad.patch_be32(at, length);
      const Bytes bytes = std::move(bad).take();
      CHECK(bytes_needed(bytes) < 100000);
      if (length > 1) CHECK_FALSE(parse_midi(bytes));
    }
  }
}
