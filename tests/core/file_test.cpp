#include <midigpt/core/file.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

using namespace midigpt;
namespace fs = std::filesystem;

namespace {
struct TempFolder {
  fs::path path = fs::temp_directory_path() / ("midigpt_file_test_" + std::to_string(::getpid()));
  TempFolder() { fs::create_directories(path); }
  ~TempFolder() { fs::remove_all(path); }
  [[nodiscard]] std::string operator/(const char* name) const { return (path / name).string(); }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};
}  // namespace

TEST_CASE("file: what was written is read, and replaces what was there") {
  const TempFolder dir;
  const std::string path = dir / "a.bin";
  const std::string big(300000, 'x');
  REQUIRE(write_file_atomic(path, "first"));
  REQUIRE(write_file_atomic(path, big));
  const auto got = read_file(path);
  REQUIRE(got);
  CHECK(as_chars(*got) == big);
  CHECK(dir.files() == 1);
  REQUIRE(write_file_atomic(path, ""));
  CHECK(read_file(path)->empty());
}

TEST_CASE("file: errors say what and where") {
  const TempFolder dir;
  const auto missing = read_file(dir / "none");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::io);
  CHECK(missing.error().what.find("none: No such file") != std::string::npos);
  const auto unwritable = write_file_atomic(dir / "no/such/folder/x", "x");
  REQUIRE_FALSE(unwritable);
  CHECK(unwritable.error().what.find("cannot write") == 0);
  REQUIRE(write_file_atomic(dir / "big", std::string(1001, 'b')));
  const auto too_large = read_file(dir / "big", 1000);
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().code == Errc::too_large);
  CHECK(read_file(dir / "big", 1001));
  CHECK_FALSE(read_file(dir.path.string()));  // a folder is not a file
}

TEST_CASE("file: an uncommitted AtomicFile leaves the old file and no litter") {
  const TempFolder dir;
  const std::string path = dir / "keep";
  REQUIRE(write_file_atomic(path, "old"));
  {
    auto f = AtomicFile::create(path);
    REQUIRE(f);
    REQUIRE(f->write(as_byte_span("half")));
    CHECK(dir.files() == 2);
  }
  CHECK(dir.files() == 1);
  CHECK(as_chars(*read_file(path)) == "old");
}

TEST_CASE("file: a full disk is an Error and the old file stays") {
  if (!fs::exists("/dev/full")) return;
  // /dev/full accepts the open and refuses the bytes; AtomicFile writes beside its target, so link to it
  const TempFolder dir;
  const std::string path = dir / "x";
  REQUIRE(write_file_atomic(path, "old"));
  fs::create_symlink("/dev/full", path + ".tmp" + std::to_string(::getpid()));
  const auto r = write_file_atomic(path, std::string(1 << 20, 'y'));
  REQUIRE_FALSE(r);
  CHECK(r.error().what.find("No space left") != std::string::npos);
  CHECK(as_chars(*read_file(path)) == "old");
}
