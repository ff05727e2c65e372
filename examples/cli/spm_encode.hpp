// examples/cli/spm_encode.hpp - spm_encode and spm_decode as commands: the flags and the output of SentencePiece's programs.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/token/tokenizer.hpp>

#include "spm.hpp"

namespace cli {

/// Where lines come from and go to: files, or stdin and stdout where no name is given.
class SpmLines {
 public:
  SpmLines(const char* program, std::vector<std::string> inputs, std::string output)
      : program_(program), inputs_(std::move(inputs)), output_(std::move(output)) {}

  /// Calls each(line, out) for every line without its LF; what it appends to `out` is written. Returns the exit status.
  int run(const std::function<std::string(std::string_view, std::string&)>& each, const std::function<void(std::string&)>& at_end = {}) {
    out_ = output_.empty() ? stdout : std::fopen(output_.c_str(), "wb");
    if (out_ == nullptr) return spm_fail(program_, "cannot write " + output_);
    int status = 0;
    if (inputs_.empty()) status = read(stdin, each);
    for (const std::string& path : inputs_) {
      std::FILE* in = status == 0 ? std::fopen(path.c_str(), "rb") : nullptr;
      if (in == nullptr) {
        if (status == 0) status = spm_fail(program_, "cannot open " + path);
        break;
      }
      status = read(in, each);
      std::fclose(in);
    }
    if (status == 0 && at_end) at_end(text_);
    if (!flush() && status == 0) status = spm_fail(program_, "cannot write the output");
    if (out_ != stdout) std::fclose(out_);
    return status;
  }

 private:
  int read(std::FILE* in, const std::function<std::string(std::string_view, std::string&)>& each) {
    std::string block;
    bool more = true;
    while (more) {
      const std::size_t have = block.size();
      block.resize(have + (std::size_t{1} << 16));
      const std::size_t got = std::fread(block.data() + have, 1, block.size() - have, in);
      block.resize(have + got);
      more = got != 0;
      std::string_view rest = block;
      while (!rest.empty()) {
        std::size_t lf = rest.find('\n', rest.size() == block.size() ? have : 0);
        if (lf == std::string_view::npos && more) break;
        lf = (std::min)(lf, rest.size());
        if (const std::string what = each(rest.substr(0, lf), text_); !what.empty()) return spm_fail(program_, what);
        if (text_.size() > (std::size_t{1} << 16) && !flush()) return spm_fail(program_, "cannot write the output");
        rest.remove_prefix((std::min)(lf + 1, rest.size()));
      }
      block.erase(0, block.size() - rest.size());
    }
    return 0;
  }

  bool flush() {
    const bool ok = std::fwrite(text_.data(), 1, text_.size(), out_) == text_.size() && std::fflush(out_) == 0;
    text_.clear();
    return ok;
  }

  const char* program_;
  std::vector<std::string> inputs_;
  std::string output_, text_;
  std::FILE* out_ = nullptr;
};

inline void put_number(std::string& out, std::int32_t n) {
  char digits[16];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, n).ptr);
}

inline void put_ids(std::string& out, std::span<const std::int32_t> ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i != 0) out += ' ';
    put_number(out, ids[i]);
  }
  out += '\n';
}

inline void put_pieces(std::string& out, std::span<const midigpt::EncodedPiece> pieces, bool as_ids) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i != 0) out += ' ';
    if (as_ids) {
      put_number(out, pieces[i].id);
    } else {
      out += pieces[i].piece;
    }
  }
  out += '\n';
}

/// The pieces a --vocabulary file allows: `piece TAB frequency` with a frequency of at least `threshold` (1 if absent).
inline std::vector<std::string> allowed_pieces(std::string_view text, int threshold) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t tab = line.find('\t');
    const int frequency = tab == std::string_view::npos ? 1 : std::atoi(std::string(line.substr(tab + 1)).c_str());
    if (frequency >= threshold) out.emplace_back(line.substr(0, tab));
    text.remove_prefix((std::min)(text.size(), line.size() + 1));
  }
  return out;
}

inline int run_spm_encode(std::span<const std::string_view> args) {
  using namespace midigpt;
  const char* const program = "spm_encode";
  std::string model_path, format = "piece", input, output, extra, vocabulary;
  int nbest_size = 10, threshold = 0, minloglevel = 0;
  float alpha = 0.5f;
  std::uint32_t seed = 0;
  bool generate_vocabulary = false;
  SpmFlags flags;
  flags.add("model", model_path);
  flags.add("output_format", format);
  flags.add("input", input);
  flags.add("output", output);
  flags.add("extra_options", extra);
  flags.add("nbest_size", nbest_size);
  flags.add("alpha", alpha);
  flags.add("random_seed", seed);
  flags.add("vocabulary", vocabulary);
  flags.add("vocabulary_threshold", threshold);
  flags.add("generate_vocabulary", generate_vocabulary);
  flags.add("minloglevel", minloglevel);
  std::vector<std::string> inputs;
  if (const std::string what = flags.parse(args, inputs); !what.empty()) return spm_fail(program, what);
  if (!input.empty()) inputs.insert(inputs.begin(), input);
  if (model_path.empty()) return spm_fail(program, "--model is missing");

  auto model = read_spm_model(model_path);
  if (!model) return spm_fail(program, describe(model.error()));
  if (!vocabulary.empty()) {
    const auto text = read_file(vocabulary);
    if (!text) return spm_fail(program, describe(text.error()));
    auto restricted = restrict_vocabulary(*std::move(model), allowed_pieces(as_chars(*text), threshold));
    if (!restricted) return spm_fail(program, describe(restricted.error()));
    model = std::move(restricted);
  }
  const auto tokenizer = Tokenizer::create(*std::move(model));
  if (!tokenizer) return spm_fail(program, model_path + ": " + tokenizer.error().what);
  const auto options = tokenizer->parse_extra_options(extra);
  if (!options) return spm_fail(program, "--extra_options: " + options.error().what);

  SpmLines lines(program, std::move(inputs), output);
  if (generate_vocabulary) {
    std::map<std::string, std::size_t> counts;
    return lines.run(
        [&](std::string_view line, std::string&) {
          for (const EncodedPiece& p : tokenizer->encode_pieces(line)) {
            const PieceType type = tokenizer->vocab().type(p.id);
            if (type != PieceType::unknown && type != PieceType::control) ++counts[p.piece];
          }
          return std::string();
        },
        [&](std::string& out) {
          std::vector<std::pair<std::string, std::size_t>> sorted(counts.begin(), counts.end());
          std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
          for (const auto& [piece, count] : sorted) out += piece + '\t' + std::to_string(count) + '\n';
        });
  }
  if (format == "id") {
    std::vector<std::int32_t> ids;
    return lines.run([&](std::string_view line, std::string& out) {
      tokenizer->encode(line, ids);
      tokenizer->apply(*options, ids);
      put_ids(out, ids);
      return std::string();
    });
  }
  const bool as_ids = format.ends_with("_id");
  if (format == "piece") {
    return lines.run([&](std::string_view line, std::string& out) {
      auto pieces = tokenizer->encode_pieces(line);
      tokenizer->apply(*options, pieces);
      put_pieces(out, pieces, false);
      return std::string();
    });
  }
  if (format == "nbest_piece" || format == "nbest_id") {
    return lines.run([&](std::string_view line, std::string& out) {
      auto best = tokenizer->n_best(line, nbest_size);
      if (!best) return best.error().what;
      for (ScoredEncoding& encoding : *best) {
        tokenizer->apply(*options, encoding.pieces);
        put_pieces(out, encoding.pieces, as_ids);
      }
      return std::string();
    });
  }
  if (format == "sample_piece" || format == "sample_id") {
    Rng rng(seed);
    return lines.run([&](std::string_view line, std::string& out) {
      auto pieces = tokenizer->sample_pieces(line, rng, {.alpha = static_cast<double>(alpha), .nbest_size = nbest_size});
      tokenizer->apply(*options, pieces);
      put_pieces(out, pieces, as_ids);
      return std::string();
    });
  }
  return spm_fail(program, "--output_format: piece, id, nbest_piece, nbest_id, sample_piece or sample_id, not " + format);
}

inline int run_spm_decode(std::span<const std::string_view> args) {
  using namespace midigpt;
  const char* const program = "spm_decode";
  std::string model_path, input, output, input_format = "piece", output_format = "string", extra;
  int minloglevel = 0;
  SpmFlags flags;
  flags.add("model", model_path);
  flags.add("input", input);
  flags.add("output", output);
  flags.add("input_format", input_format);
  flags.add("output_format", output_format);
  flags.add("extra_options", extra);
  flags.add("minloglevel", minloglevel);
  std::vector<std::string> inputs;
  if (const std::string what = flags.parse(args, inputs); !what.empty()) return spm_fail(program, what);
  if (!input.empty()) inputs.insert(inputs.begin(), input);
  if (model_path.empty()) return spm_fail(program, "--model is missing");
  if (input_format != "piece" && input_format != "id") return spm_fail(program, "--input_format: piece or id, not " + input_format);
  if (output_format != "string") return spm_fail(program, "--output_format: string, not " + output_format);
  const auto tokenizer = read_tokenizer(model_path);
  if (!tokenizer) return spm_fail(program, model_path + ": " + describe(tokenizer.error()));
  const auto options = tokenizer->parse_extra_options(extra);
  if (!options) return spm_fail(program, "--extra_options: " + options.error().what);

  return SpmLines(program, std::move(inputs), output).run([&](std::string_view line, std::string& out) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t end = (std::min)(line.find(' ', at), line.size());
      if (end > at) words.emplace_back(line.substr(at, end - at));
      at = end + 1;
    }
    if (input_format == "piece") {
      std::vector<EncodedPiece> pieces;
      for (std::string& word : words) pieces.push_back({.id = tokenizer->id(word), .piece = std::move(word)});
      tokenizer->apply(*options, pieces);
      words.clear();
      for (EncodedPiece& p : pieces) words.push_back(std::move(p.piece));
      out += tokenizer->decode_pieces(words);
    } else {
      std::vector<std::int32_t> ids;
      for (const std::string& word : words) {
        const int id = std::atoi(word.c_str());
        if (id < 0 || id >= tokenizer->vocab_size()) return "no such id: " + word;
        ids.push_back(id);
      }
      tokenizer->apply(*options, ids);
      out += tokenizer->decode(ids);
    }
    out += '\n';
    return std::string();
  });
}

}  // namespace cli
