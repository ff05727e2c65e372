#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/token/tokenizer.hpp>

using namespace midigpt;

namespace {

namespace fs = std::filesystem;

const fs::path k_golden = fs::path(MIDIGPT_SHARED_DIR) / "golden";

std::vector<std::string> lines_of(const fs::path& path) {
  std::vector<std::string> lines;
  const auto bytes = read_file(path.string());
  if (!bytes) return lines;
  std::string_view rest = as_chars(*bytes);
  while (!rest.empty()) {
    const std::size_t end = (std::min)(rest.find('\n'), rest.size());
    lines.emplace_back(rest.substr(0, end));
    rest.remove_prefix((std::min)(end + 1, rest.size()));
  }
  return lines;
}

std::vector<std::int32_t> ids_of(const std::string& line) {
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; at < line.size();) {
    std::size_t used = 0;
    ids.push_back(std::stoi(line.substr(at), &used));
    at += used + 1;
  }
  return ids;
}

struct Case {
  std::string name, corpus;
};

std::vector<Case> golden_cases() {
  std::vector<Case> cases;
  for (const std::string& line : lines_of(k_golden / "MANIFEST.tsv")) {
    const std::size_t tab = line.find('\t'), second = line.find('\t', tab + 1);
    const std::string name = line.substr(0, tab);
    if (fs::exists(k_golden / "out" / (name + ".model"))) cases.push_back({name, line.substr(tab + 1, second - tab - 1)});
  }
  return cases;
}

}  // namespace

TEST_CASE("tokenizer: golden ids, pieces, decodes and extra options given the golden models") {
  const auto cases = golden_cases();
  if (cases.empty()) MESSAGE("skipped: no ../shared/golden");
  std::size_t lines = 0;
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const fs::path base = k_golden / "out" / c.name;
    const auto created = read_tokenizer(base.string() + ".model");
    REQUIRE(created);
    const Tokenizer& t = *created;
    const auto tests = lines_of(k_golden / "in" / (c.corpus + ".test"));
    const auto ids = lines_of(base.string() + ".id"), pieces = lines_of(base.string() + ".piece");
    const auto decoded = lines_of(base.string() + ".dec"), extra = lines_of(base.string() + ".rbe");
    const auto options = t.parse_extra_options("reverse:bos:eos");
    REQUIRE(ids.size() == tests.size());
    std::size_t wrong_ids = 0, wrong_pieces = 0, wrong_decodes = 0, wrong_extra = 0;
    for (std::size_t i = 0; i < tests.size(); ++i) {
      std::vector<std::int32_t> got = t.encode(tests[i]);
      wrong_ids += got != ids_of(ids[i]);
      std::string joined;
      std::vector<std::int32_t> piece_ids;
      for (const EncodedPiece& p : t.encode_pieces(tests[i])) {
        if (!joined.empty()) joined += ' ';
        joined += p.piece;
        piece_ids.push_back(p.id);
      }
      wrong_pieces += joined != pieces[i] || piece_ids != got;
      wrong_decodes += t.decode(ids_of(ids[i])) != decoded[i];
      if (!extra.empty()) {
        t.apply(*options, got);
        wrong_extra += got != ids_of(extra[i]);
      }
    }
    CHECK(wrong_ids == 0);
    CHECK(wrong_pieces == 0);
    CHECK(wrong_decodes == 0);
    CHECK(wrong_extra == 0);
    lines += tests.size();
  }
  MESSAGE("golden: " << cases.size() << " models, " << lines << " lines");
}
