// Encodes and decodes random and adversarial lines with this library and with the installed SentencePiece, by the models
// of ../shared/golden (where it is) and by made ones, and counts differences: ids, pieces, offsets, decoded text, n best.
// Built only where libsentencepiece is. MIDIGPT_SLOW_TESTS=1: a million lines.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sentencepiece_processor.h>

#include <midigpt/core/file.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/tokenizer.hpp>

#include <token/token_texts.hpp>

using namespace midigpt;

namespace {

namespace fs = std::filesystem;

struct Source {
  std::string name, bytes;
  std::vector<std::string> lines;  // of its own kind of text, may be empty
};

std::string text_of(const fs::path& path) {
  const auto bytes = read_file(path.string());
  return bytes ? std::string(as_chars(*bytes)) : std::string();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = (std::min)(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// The installed library aborts when text holds a character that is a control piece.
bool has_single_control(const SpmModel& model) {
  for (const SpmPiece& p : model.pieces) {
    if (p.type == PieceType::control && !p.piece.empty() && utf8_decode(p.piece, 0).size == p.piece.size()) return true;
  }
  return false;
}

std::vector<Source> sources() {
  std::vector<Source> out;
  const fs::path golden = fs::path(MIDIGPT_SHARED_DIR) / "golden";
  for (const std::string& row : lines_of(text_of(golden / "MANIFEST.tsv"))) {
    const std::size_t tab = row.find('\t'), second = row.find('\t', tab + 1);
    const std::string name = row.substr(0, tab), corpus = row.substr(tab + 1, second - tab - 1);
    const std::string bytes = text_of(golden / "out" / (name + ".model"));
    if (bytes.empty()) continue;
    out.push_back({name, bytes, lines_of(text_of(golden / "in" / (corpus + ".test")))});
  }
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const ModelType type = seed % 3 == 2 ? ModelType::unigram : ModelType::bpe;
    const SpmModel model = token_texts::random_model(seed, type, seed % 2 == 1);
    if (has_single_control(model)) continue;
    out.push_back({"random " + std::to_string(seed), std::string(as_chars(spm_model_bytes(model))), {}});
  }
  return out;
}

/// A line of the model's own text, mutated; or pieces of the model in a row; or difficult text; or random code points.
std::string line_for(const Source& source, const SpmModel& model, Rng& rng) {
  const std::uint32_t kind = rng.below(5);
  std::string line;
  if (kind <= 1 && !source.lines.empty()) {
    line = source.lines[rng.below(static_cast<std::uint32_t>(source.lines.size()))];
    const std::string& other = source.lines[rng.below(static_cast<std::uint32_t>(source.lines.size()))];
    if (kind == 1 && !line.empty() && !other.empty()) {
      const std::size_t at = rng.below(static_cast<std::uint32_t>(line.size()));
      line = line.substr(0, at) + other.substr(rng.below(static_cast<std::uint32_t>(other.size())));
      if (rng.chance(0.3)) line[rng.below(static_cast<std::uint32_t>(line.size()))] = static_cast<char>(1 + rng.below(255));
    }
    if (line.size() > 300) line.resize(300);
  } else if (kind == 2) {
    for (std::uint32_t n = rng.below(20); n > 0; --n) {
      line += model.pieces[rng.below(static_cast<std::uint32_t>(model.pieces.size()))].piece;
      if (rng.chance(0.1)) line += ' ';
    }
  } else if (kind == 3) {
    for (std::uint32_t n = rng.below(40); n > 0; --n) {
      const std::uint32_t range = rng.below(4);
      const std::uint32_t c = range == 0 ? 1 + rng.below(0x2FF) : range == 1 ? 0x2000 + rng.below(0x1000) : range == 2 ? rng.below(0x30000) + 1 : rng.below(0x10FFFF) + 1;
      if (is_scalar_value(static_cast<char32_t>(c))) utf8_append(line, static_cast<char32_t>(c));
    }
  } else {
    line = token_texts::random_line(rng);
  }
  return line;
}

struct Counts {
  std::size_t lines = 0, ids = 0, pieces = 0, offsets = 0, decodes = 0, n_best = 0;
};

void compare(const Source& source, std::size_t lines, std::uint64_t seed, Counts& total) {
  const Tokenizer ours = Tokenizer::create(parse_spm_model(as_byte_span(source.bytes)).value()).value();
  sentencepiece::SentencePieceProcessor theirs;
  if (const auto status = theirs.LoadFromSerializedProto(source.bytes); !status.ok()) {
    std::printf("%s: refused by the installed SentencePiece: %s\n", source.name.c_str(), status.ToString().c_str());
    std::exit(1);
  }
  Tokenizer::Encoder encoder(ours);
  Counts c;
  Rng rng(seed, 9);
  for (std::size_t i = 0; i < lines; ++i) {
    const std::string line = line_for(source, ours.model(), rng);
    const sentencepiece::ImmutableSentencePieceText theirs_text = theirs.EncodeAsImmutableProto(line);
    const std::vector<EncodedPiece> pieces = ours.encode_pieces(line);
    std::vector<int> ids;
    bool same_pieces = theirs_text.pieces_size() == pieces.size(), same_offsets = same_pieces;
    for (std::size_t k = 0; k < theirs_text.pieces_size(); ++k) {
      const auto piece = theirs_text.pieces(static_cast<int>(k));
      ids.push_back(static_cast<int>(piece.id()));
      if (!same_pieces || k >= pieces.size()) continue;
      same_pieces = piece.piece() == pieces[k].piece && static_cast<std::int32_t>(piece.id()) == pieces[k].id;
      same_offsets = same_offsets && piece.begin() == pieces[k].begin && piece.end() == pieces[k].end;
    }
    const std::vector<std::int32_t> got = ours.encode(line);
    std::string decoded;
    if (!theirs.Decode(ids, &decoded).ok()) std::exit(1);
    if (got != ids && c.ids == 0) {
      std::printf("%s: ids differ on `%s`\n ours:  ", source.name.c_str(), line.c_str());
      for (const int id : got) std::printf(" %d", id);
      std::printf("\n theirs:");
      for (const int id : ids) std::printf(" %d", id);
      std::printf("\n");
    }
    c.ids += got != ids || encoder.encode(line) != ids;
    c.pieces += !same_pieces;
    c.offsets += !same_offsets;
    c.decodes += ours.decode(got) != decoded;
    if (ours.model_type() == ModelType::unigram && i % 20 == 0) {
      const auto best = ours.n_best(line, 5).value();
      const auto want = theirs.NBestEncodeAsIds(line, 5);
      bool same = best.size() == want.size();
      for (std::size_t k = 0; same && k < best.size(); ++k) {
        std::vector<int> mine;
        for (const EncodedPiece& p : best[k].pieces) mine.push_back(p.id);
        same = mine == want[k];
      }
      c.n_best += !same;
    }
  }
  if (c.ids + c.pieces + c.offsets + c.decodes + c.n_best != 0) {
    std::printf("%s: of %zu lines differ: ids %zu, pieces %zu, offsets %zu, decodes %zu, n best %zu\n", source.name.c_str(), lines, c.ids,
                c.pieces, c.offsets, c.decodes, c.n_best);
  }
  total.lines += lines;
  total.ids += c.ids;
  total.pieces += c.pieces;
  total.offsets += c.offsets;
  total.decodes += c.decodes;
  total.n_best += c.n_best;
}

}  // namespace

int main() {
  const std::vector<Source> all = sources();
  const std::size_t lines = (std::getenv("MIDIGPT_SLOW_TESTS") != nullptr ? 1000000 : 20000) / all.size() + 1;
  Counts total;
  for (std::size_t i = 0; i < all.size(); ++i) compare(all[i], lines, i, total);
  std::printf("%zu models, %zu lines: different ids %zu, pieces %zu, offsets %zu, decodes %zu, n best %zu\n", all.size(), total.lines,
              total.ids, total.pieces, total.offsets, total.decodes, total.n_best);
  return total.ids + total.pieces + total.offsets + total.decodes + total.n_best == 0 ? 0 : 1;
}
