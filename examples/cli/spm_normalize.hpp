// examples/cli/spm_normalize.hpp - spm_normalize and spm_export_vocab as commands: SentencePiece's flags and output.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/train_input.hpp>

#include "spm.hpp"
#include "spm_encode.hpp"

namespace cli {

/// A charsmap as TSV: code points in hex, TAB, those of the replacement, and both as text in a comment.
inline std::string charsmap_tsv(const midigpt::Charsmap& map) {
  const auto hex = [](std::string_view text) {
    std::string out;
    for (const char32_t c : midigpt::utf8_code_points(text)) {
      char digits[16];
      std::snprintf(digits, sizeof digits, "%s%X", out.empty() ? "" : " ", static_cast<unsigned>(c));
      out += digits;
    }
    return out;
  };
  std::string out;
  map.for_each([&](std::string_view key, std::string_view text) {
    out += hex(key) + '\t' + hex(text) + "\t# " + std::string(key) + " => " + std::string(text) + '\n';
  });
  return out;
}

/// Writes all of `text` to a file, or to stdout where no name is given.
inline int spm_write(const char* program, const std::string& path, const std::string& text) {
  if (path.empty()) return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : spm_fail(program, "cannot write the output");
  const auto ok = midigpt::write_file_atomic(path, text);
  return ok ? 0 : spm_fail(program, describe(ok.error()));
}

inline int run_spm_normalize(std::span<const std::string_view> args) {
  using namespace midigpt;
  const char* const program = "spm_normalize";
  std::string model_path, input, output;
  bool internal = false, trim = true, decompile = false;
  int minloglevel = 0;
  NormalizerSpec spec;
  SpmFlags flags;
  flags.add("model", model_path);
  flags.add("use_internal_normalization", internal);
  flags.add("normalization_rule_name", spec.name);
  flags.add("normalization_rule_tsv", spec.normalization_rule_tsv);
  flags.add("remove_extra_whitespaces", trim);
  flags.add("decompile", decompile);
  flags.add("input", input);
  flags.add("output", output);
  flags.add("minloglevel", minloglevel);
  std::vector<std::string> inputs;
  if (const std::string what = flags.parse(args, inputs); !what.empty()) return spm_fail(program, what);
  if (!input.empty()) inputs = {input};

  if (!model_path.empty()) {
    auto model = read_spm_model(model_path);
    if (!model) return spm_fail(program, describe(model.error()));
    spec = model->normalizer;
  } else if (spec.name.empty() && spec.normalization_rule_tsv.empty()) {
    return spm_fail(program, "Sets --model, normalization_rule_tsv, or normalization_rule_name flag.");
  } else if (auto ok = fill_charsmap(spec); !ok) {
    return spm_fail(program, describe(ok.error()));
  }
  if (!internal) {
    spec.add_dummy_prefix = spec.escape_whitespaces = false;
    spec.remove_extra_whitespaces = trim;
  }
  const auto normalizer = Normalizer::create(spec);
  if (!normalizer) return spm_fail(program, describe(normalizer.error()));
  if (decompile) return spm_write(program, output, charsmap_tsv(normalizer->charsmap()));
  std::string text;
  return SpmLines(program, inputs, output).run([&](std::string_view line, std::string& out) {
    normalizer->normalise(line, text);
    out += text;
    out += '\n';
    return std::string();
  });
}

inline int run_spm_export_vocab(std::span<const std::string_view> args) {
  using namespace midigpt;
  const char* const program = "spm_export_vocab";
  std::string model_path, format = "vocab", output;
  int minloglevel = 0;
  SpmFlags flags;
  flags.add("model", model_path);
  flags.add("output_format", format);
  flags.add("output", output);
  flags.add("minloglevel", minloglevel);
  std::vector<std::string> rest;
  if (const std::string what = flags.parse(args, rest); !what.empty()) return spm_fail(program, what);
  auto model = read_spm_model(model_path);
  if (!model) return spm_fail(program, describe(model.error()));
  std::string text;
  if (format == "vocab") {
    model->trainer.vocabulary_output_piece_score = true;  // the program writes scores whatever the model says
    text = vocab_text(*model);
  } else if (format == "syms") {
    for (std::size_t id = 0; id < model->pieces.size(); ++id) text += model->pieces[id].piece + '\t' + std::to_string(id) + '\n';
  } else {
    return spm_fail(program, "Unsupported output format: " + format);
  }
  return spm_write(program, output, text);
}

}  // namespace cli
