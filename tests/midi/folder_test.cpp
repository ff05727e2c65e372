#include <midigpt/midi/folder.hpp>

#include <atomic>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/midi/write.hpp>

#include "midi_support.hpp"

using namespace midigpt;
namespace fs = std::filesystem;

namespace {

struct TempFolder {
  fs::path path = fs::temp_directory_path() / ("midigpt_folder_test_" + std::to_string(::getpid()));
  TempFolder() { fs::create_directories(path); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { fs::remove_all(path); }
  void put(const std::string& name, const Bytes& bytes) const {
    fs::create_directories((path / name).parent_path());
    REQUIRE(write_file_atomic((path / name).string(), ByteSpan(bytes)));
  }
};

}  // namespace

TEST_CASE("midi folder: files are found in all folders, in any case, sorted bytewise") {
  const TempFolder dir;
  for (const char* name : {"b.mid", "A.MID", "sub/deep/c.Midi", "sub/d.rmi", "sub/notes.txt", "mid", "e.midx"}) dir.put(name, midi_test::smf({""}));
  fs::create_directories(dir.path / "folder.mid");
  const auto found = find_midi_files(dir.path.string());
  REQUIRE(found);
  std::vector<std::string> names;
  for (const std::string& f : *found) names.push_back(fs::path(f).lexically_relative(dir.path).generic_string());
  CHECK(names == std::vector<std::string>{"A.MID", "b.mid", "sub/d.rmi", "sub/deep/c.Midi"});
  const std::string one = (dir.path / "sub/notes.txt").string();
  CHECK(*find_midi_files(one) == std::vector<std::string>{one});
  CHECK(find_midi_files((dir.path / "none").string()).error().code == Errc::io);
}

TEST_CASE("midi folder: scores come in the order of the paths, whatever the threads, and reasons for what was skipped") {
  const TempFolder dir;
  for (int i = 0; i < 100; ++i) {
    const std::string name = (i < 10 ? "0" : "") + std::to_string(i) + ".mid";
    if (i % 10 == 3) {
      dir.put(name, midi_test::hex("4D 54"));
    } else if (i % 10 == 5) {
      dir.put(name, midi_test::smf({"00 90 3C 40", "00 90 3C 40"}, 2));
    } else if (i % 10 == 7) {
      dir.put(name, midi_test::smf({"00 F4 00 90 3C 40"}));
    } else {
      dir.put(name, midi_bytes(midi_test::random_score(static_cast<std::uint64_t>(i))));
    }
  }
  std::vector<std::string> paths = *find_midi_files(dir.path.string());
  paths.insert(paths.begin() + 50, (dir.path / "gone.mid").string());
  std::vector<std::vector<Score>> first;
  for (const std::size_t threads : {1u, 4u}) {
    ThreadPool pool(threads);
    std::vector<std::vector<Score>> all;
    const LoadSummary summary = load_folder(paths, {.files_in_memory = 7}, pool, [&](LoadedFile&& file) {
      CHECK(file.index == all.size());
      CHECK(file.path == paths[file.index]);
      CHECK(file.scores.empty() == file.error.has_value());
      all.push_back(std::move(file.scores));
      return true;
    });
    CHECK(summary.files == 101);
    CHECK(summary.scores == 80 + 20);
    CHECK(summary.mended == 10);
    REQUIRE(summary.skipped.size() == 11);
    CHECK(summary.skipped[0].path == paths[3]);
    CHECK(summary.skipped[0].error.code == Errc::bad_magic);
    CHECK(summary.skipped[5].error.code == Errc::io);
    if (first.empty()) first = all;
    CHECK(first == all);
  }
}

TEST_CASE("midi folder: the callback can stop the run") {
  const TempFolder dir;
  for (const char* name : {"a.mid", "b.mid", "c.mid", "d.mid"}) dir.put(name, midi_test::smf({""}));
  ThreadPool pool(2);
  int seen = 0;
  const LoadSummary summary = load_folder(*find_midi_files(dir.path.string()), {}, pool, [&](LoadedFile&&) { return ++seen < 2; });
  CHECK(seen == 2);
  CHECK(summary.files == 2);
}
