#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/token/token_file.hpp>

using namespace midigpt;

TEST_CASE("token file: ids come back, two bytes each while the vocabulary allows") {
  const std::string path = "token_file_test.bin";
  struct Row {
    std::int32_t vocab;
    std::size_t width;
  };
  for (const auto& row : {Row{2, 2}, Row{65536, 2}, Row{65537, 4}, Row{0x7FFFFFFF, 4}}) {
    CAPTURE(row.vocab);
    Rng rng(1);
    std::vector<std::int32_t> want;
    auto writer = TokenFileWriter::create(path, row.vocab).value();
    for (int block = 0; block < 5; ++block) {
      std::vector<std::int32_t> ids;
      for (int i = 0; i < block * 100; ++i) ids.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint32_t>(row.vocab))));
      writer.append(ids).value();
      want.insert(want.end(), ids.begin(), ids.end());
    }
    writer.commit().value();
    CHECK(read_file(path).value().size() == 24 + want.size() * row.width);
    TokenFile file = TokenFile::open(path).value();
    const TokenFile moved = std::move(file);
    CHECK(moved.vocab_size() == row.vocab);
    CHECK(moved.all() == want);
    CHECK(moved[17] == want[17]);
    std::vector<std::int32_t> part(30);
    moved.copy(500, part);
    CHECK(part == std::vector<std::int32_t>(want.begin() + 500, want.begin() + 530));
  }
  std::remove(path.c_str());
}

TEST_CASE("token file: ids outside the vocabulary are refused, an uncommitted file leaves nothing") {
  const std::string path = "token_file_refused.bin";
  {
    auto writer = TokenFileWriter::create(path, 10).value();
    CHECK(writer.append(std::vector<std::int32_t>{3, 10}).error().code == Errc::bad_value);
    CHECK(writer.append(std::vector<std::int32_t>{-1}).error().code == Errc::bad_value);
  }
  CHECK(TokenFile::open(path).error().code == Errc::io);
  CHECK(TokenFileWriter::create(path, 0).error().code == Errc::bad_value);
}

TEST_CASE("token file: cut at every length or with any header byte replaced, it opens within bounds or is an error") {
  const std::string path = "token_file_hostile.bin";
  auto writer = TokenFileWriter::create(path, 300).value();
  writer.append(std::vector<std::int32_t>{1, 2, 299}).value();
  writer.commit().value();
  const Bytes good = read_file(path).value();
  const auto open = [&](const Bytes& bytes) {
    write_file_atomic(path, bytes).value();
    auto f = TokenFile::open(path);
    if (!f) return;
    CHECK(f->size() <= bytes.size());
    for (const std::int32_t id : f->all()) CHECK(id < f->vocab_size());
  };
  for (std::size_t n = 0; n < good.size(); ++n) open(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)));
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int v : {0, 1, 2, 3, 4, 8, 127, 128, 255}) {
      Bytes bad = good;
      bad[i] = static_cast<std::byte>(v);
      open(bad);
    }
  }
  std::remove(path.c_str());
}
