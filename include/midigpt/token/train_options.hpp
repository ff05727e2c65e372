// token/train_options.hpp - what a training is asked for, its checks in the words of spm_train, and what it reports.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/token/charsmap_builder.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalization_rules.hpp>
#include <midigpt/token/normalizer.hpp>

namespace midigpt {
inline namespace v0 {

/// Which rule of SentencePiece decides: `heap` = 0.2.2 and later, `window` = 0.1.99 to 0.2.1. They differ among pairs of
/// the lowest frequencies only.
enum class BpeEra : std::uint8_t { heap, window };

/// A spec with that rule and the usual space handling.
[[nodiscard]] inline NormalizerSpec normalizer_rule(std::string name) {
  NormalizerSpec spec;
  spec.name = std::move(name);
  return spec;
}

/// Compiles the charsmap that `spec` names, unless it has one.
[[nodiscard]] inline Result<void> fill_charsmap(NormalizerSpec& spec, UnicodeVersion version = UnicodeVersion::v17) {
  if (!spec.precompiled_charsmap.empty()) return {};
  CharsmapRules rules;
  if (!spec.normalization_rule_tsv.empty()) {
    const auto tsv = read_file(spec.normalization_rule_tsv);
    if (!tsv) return tsv.error();
    auto parsed = normalization_rules_from_tsv(as_chars(*tsv));
    if (!parsed) return parsed.error();
    rules = *std::move(parsed);
    spec.name = "user_defined";
  } else if (!spec.name.empty()) {
    auto named = normalization_rules(spec.name, version);
    if (!named) return named.error();
    rules = *std::move(named);
  }
  spec.precompiled_charsmap = compile_charsmap(rules);
  return {};
}

struct TokenTrainOptions {
  TrainerSpec spec;
  /// `name` picks a built-in rule, normalization_rule_tsv a file of rules, precompiled_charsmap (from another model, say)
  /// goes before both. Notes need none: "identity".
  NormalizerSpec normalizer = normalizer_rule("identity");
  std::string denormalization_rule_tsv;
  BpeEra era = BpeEra::heap;
  /// Train what the text has and report it, instead of "Vocabulary size too high".
  bool cap_vocab = false;
  /// For input_sentence_size with shuffle_input_sentence: the same seed, the same lines, on every platform.
  std::uint32_t sampling_seed = 12345678;
};

/// What became of the text.
struct TokenTrainReport {
  std::uint64_t lines = 0;             // read
  std::uint64_t lines_empty = 0;       // dropped: nothing in them, before or after normalisation
  std::uint64_t lines_too_long = 0;    // dropped: more bytes than max_sentence_length
  std::uint64_t lines_reserved = 0;    // dropped: they contain U+2585
  std::uint64_t lines_not_drawn = 0;   // dropped: beyond input_sentence_size
  std::uint64_t words = 0;             // distinct words (whole lines without split_by_whitespace)
  std::uint64_t characters = 0;        // in the lines kept, counted after normalisation
  std::uint64_t characters_covered = 0;
  std::uint64_t distinct_characters = 0;
  std::uint64_t distinct_covered = 0;  // these are pieces
  std::uint64_t merges = 0;            // learnt pieces
  std::uint64_t last_frequency = 0;    // how often the last learnt piece occurred
  std::int32_t vocab_size = 0;         // pieces in the model
};

namespace detail::token_train {

/// Pieces that are not learnt: unknown, control, user-defined, bytes, at fixed ids.
struct MetaPiece {
  std::int32_t id = 0;
  std::string text;
  PieceType type = PieceType::control;
};

[[nodiscard, gnu::cold]] inline Error refuse(std::string what) { return Error{Errc::bad_value, 0, std::move(what)}; }

/// The checks of spm_train, each with its condition as text.
[[nodiscard, gnu::cold]] inline Result<void> check_spec(const TrainerSpec& s) {
  struct Range {
    const char* name;
    double value, low, high;
    const char* bounds[2];
  };
  for (const Range& r : {Range{"character_coverage", s.character_coverage, 0.98f, 1, {"0.98", "1.0"}},
                         Range{"max_sentencepiece_length", static_cast<double>(s.max_sentencepiece_length), 1, 512, {"1", "512"}},
                         Range{"num_sub_iterations", static_cast<double>(s.num_sub_iterations), 1, 10, {"1", "10"}},
                         Range{"num_threads", static_cast<double>(s.num_threads), 1, 1024, {"1", "1024"}},
                         Range{"self_test_sample_size", static_cast<double>(s.self_test_sample_size), 0, 1000, {"0", "1000"}},
                         Range{"shrinking_factor", s.shrinking_factor, 0.5f, 0.95f, {"0.5", "0.95"}},
                         Range{"max_sentence_length", static_cast<double>(s.max_sentence_length), 10, 1073741824, {"10", "1073741824"}}}) {
    if (r.value >= r.low && r.value <= r.high) continue;
    const std::string name = concat({"trainer_spec.", r.name, "()"});
    return refuse(concat({"[", name, " >= ", r.bounds[0], " && ", name, " <= ", r.bounds[1], "] ", r.name, " is ", std::to_string(r.value)}));
  }
  const bool learns = s.model_type == ModelType::unigram || s.model_type == ModelType::bpe;
  if (s.vocab_size <= 0) return refuse(concat({"[(trainer_spec.vocab_size()) > (0)] vocab_size is ", s.vocab_size}));
  if (s.use_all_vocab && learns) {
    return refuse("[!trainer_spec.use_all_vocab()] --use_all_vocab=true is valid for WORD/CHAR model.");
  }
  if (!s.pretokenization_delimiter.empty() && !learns) {
    return refuse("[trainer_spec.model_type() == TrainerSpec::UNIGRAM || trainer_spec.model_type() == TrainerSpec::BPE] "
                  "PretokenizerForTraining is only supported in UNIGRAM or BPE mode.");
  }
  if (s.input_sentence_size != 0 && s.input_sentence_size <= 100) {
    return refuse(concat({"[trainer_spec.input_sentence_size() <= 0 || trainer_spec.input_sentence_size() > 100] input_sentence_size is ",
        s.input_sentence_size}));
  }
  if (!s.input_format.empty() && s.input_format != "text" && s.input_format != "tsv") {
    return refuse("Supported formats are 'text' and 'tsv', not " + s.input_format);
  }
  return {};
}

/// The fixed pieces sorted by id.
[[nodiscard, gnu::cold]] inline Result<std::vector<MetaPiece>> meta_pieces(const TrainerSpec& s, BpeEra era = BpeEra::heap) {
  std::vector<MetaPiece> out;
  const auto find = [&](std::int32_t id) {
    return std::find_if(out.begin(), out.end(), [&](const MetaPiece& m) { return m.id == id; });
  };
  bool has_unk = false;
  struct Special {
    const char* flag;
    std::int32_t id;
    const std::string& text;
  };
  for (const Special& p : {Special{"unk", s.unk_id, s.unk_piece}, Special{"bos", s.bos_id, s.bos_piece},
                           Special{"eos", s.eos_id, s.eos_piece}, Special{"pad", s.pad_id, s.pad_piece}}) {
    if (p.id < 0) continue;
    const bool is_unk = p.text == s.unk_piece;
    if (p.id >= s.vocab_size || find(p.id) != out.end() || (is_unk && has_unk)) {
      return refuse(concat({p.flag, "_id ", p.id, ": [insert_id(trainer_spec_.", p.flag, "_id(), trainer_spec_.", p.flag,
          "_piece())] outside the vocabulary, taken, or a second unk"}));
    }
    has_unk = has_unk || is_unk;
    out.push_back({p.id, p.text, is_unk ? PieceType::unknown : PieceType::control});
  }
  if (!has_unk) return refuse(s.unk_piece + " must be defined.");

  std::vector<std::pair<std::string, PieceType>> symbols;
  for (const std::string& text : s.control_symbols) symbols.push_back({text, PieceType::control});
  for (const std::string& text : s.user_defined_symbols) {
    symbols.push_back({text, PieceType::user_defined});
    if (s.model_type == ModelType::word && era == BpeEra::heap) {  // 0.2.2 adds each symbol as a word, too
      symbols.push_back({std::string(k_space_mark) + text, PieceType::user_defined});
    }
  }
  if (s.byte_fallback) {
    for (int b = 0; b < 256; ++b) {
      constexpr char digits[] = "0123456789ABCDEF";
      symbols.push_back({std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", PieceType::byte});
    }
  }
  std::vector<bool> taken(out.size() + symbols.size() + 1, false);
  for (const MetaPiece& m : out) {
    if (static_cast<std::size_t>(m.id) < taken.size()) taken[static_cast<std::size_t>(m.id)] = true;
  }
  std::size_t next = 0;
  const std::size_t specials = out.size();
  std::set<std::string> seen;
  for (const auto& [text, type] : symbols) {
    if (text.empty()) return refuse("[!sp->piece().empty()] a control or user-defined symbol is empty");
    if (!seen.insert(text).second) return refuse(text + " is already defined. duplicated symbols are not allowed.");
    if (text == s.unk_piece) return refuse(text + " must not be defined with --control_symbols and --user_defined_symbols.");
    const bool renames = (text == s.bos_piece && s.bos_id >= 0) || (text == s.eos_piece && s.eos_id >= 0) ||
                         (text == s.pad_piece && s.pad_id >= 0);
    if (renames) {
      for (std::size_t i = 0; i < specials; ++i) {
        if (out[i].text == text) {
          out[i].type = type;
          break;
        }
      }
      continue;
    }
    while (next < taken.size() && taken[next]) ++next;
    out.push_back({static_cast<std::int32_t>(next), text, type});
    ++next;
  }
  sort_stably(out, [](const MetaPiece& a, const MetaPiece& b) { return a.id < b.id; });
  return out;
}

}  // namespace detail::token_train
}  // namespace v0
}  // namespace midigpt
