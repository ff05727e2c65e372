// token/hf_export.hpp - a model as tokenizer.json and tokenizer_config.json for Hugging Face's tokenizers library.
//   BPE becomes a vocabulary and a list of merges in rank order; unigram a list of pieces with their scores.
//   What the format has no word for (charsmaps, whitespace clean-up, character and word models) is an Error.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/error.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/vocab.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::hf_export {

/// A JSON string; everything beyond ASCII as \uXXXX, planes above 0 as surrogate pairs: notes are noncharacters to some
/// readers. Requires: well-formed UTF-8.
[[nodiscard]] inline std::string quoted(std::string_view text) {
  static constexpr char k_hex[] = "0123456789abcdef";
  std::string out = "\"";
  const auto escape = [&](std::uint32_t unit) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += k_hex[unit >> shift & 15u];
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_decode(text, at);
    const auto u = static_cast<std::uint32_t>(c.code_point);
    if (u == '"' || u == '\\') {
      out += '\\';
      out += static_cast<char>(u);
    } else if (u >= 0x20 && u < 0x7F) {
      out += static_cast<char>(u);
    } else if (u < 0x10000) {
      escape(u);
    } else {
      escape(0xD800 + ((u - 0x10000) >> 10));
      escape(0xDC00 + ((u - 0x10000) & 0x3FF));
    }
    at += c.size;
  }
  return out + '"';
}

[[nodiscard]] inline std::string number(float value) {
  char digits[48];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// The halves of each joined piece, best piece first; of all splits into two pieces the one whose later half is best.
[[nodiscard]] inline std::vector<std::pair<std::string, std::string>> merges(const Vocab& vocab) {
  const auto& pieces = vocab.model().pieces;
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].type == PieceType::normal) ids.push_back(static_cast<std::int32_t>(i));
  }
  sort_stably(ids, [&](std::int32_t a, std::int32_t b) { return vocab.score(a) > vocab.score(b); });
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::int32_t id : ids) {
    const std::string& piece = vocab.piece(id);
    std::size_t best_cut = 0;
    float best = 0.0f;
    for (std::size_t cut = utf8_decode(piece, 0).size; cut < piece.size(); cut += utf8_decode(piece, cut).size) {
      const auto half = [&](std::string_view text) -> float {  // single characters are there from the start
        const std::int32_t found = vocab.find_matchable(text);
        if (found < 0 || vocab.type(found) != PieceType::normal) return -HUGE_VALF;
        return utf8_decode(text, 0).size == text.size() ? HUGE_VALF : vocab.score(found);
      };
      const std::string_view text = piece;
      const float worse = (std::min)(half(text.substr(0, cut)), half(text.substr(cut)));
      if (worse > -HUGE_VALF && (best_cut == 0 || worse > best)) {
        best = worse;
        best_cut = cut;
      }
    }
    if (best_cut != 0) out.emplace_back(piece.substr(0, best_cut), piece.substr(best_cut));
  }
  return out;
}

}  // namespace detail::hf_export

/// The two files; write them beside the weights.
struct HfTokenizer {
  std::string tokenizer_json, tokenizer_config_json;
};

/// Exports a BPE or unigram model that normalises by the identity and keeps extra spaces (what midigpt trains for notes)
/// without loss. A model that removes extra spaces is exported too when `allow_extra_spaces`: text with runs of spaces
/// then encodes otherwise there.
[[nodiscard]] inline Result<HfTokenizer> hf_tokenizer(const SpmModel& model, bool allow_extra_spaces = true) {
  namespace impl = detail::hf_export;
  auto vocab = Vocab::create(model);
  if (!vocab) return vocab.error();
  const auto unsupported = [](const char* what) { return Error{Errc::unsupported, 0, std::string("tokenizer.json: ") + what}; };
  const bool bpe = model.trainer.model_type == ModelType::bpe;
  if (!bpe && model.trainer.model_type != ModelType::unigram) return unsupported("only BPE and unigram models");
  if (!model.normalizer.precompiled_charsmap.empty()) return unsupported("a model with a charsmap");
  if (model.trainer.treat_whitespace_as_suffix) return unsupported("a model with U+2581 as suffix");
  if (model.normalizer.remove_extra_whitespaces && !allow_extra_spaces) return unsupported("a model that removes extra spaces");
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    if (utf8_first_invalid(model.pieces[i].piece) != std::string::npos) {
      return Error{Errc::unsupported, 0, "tokenizer.json: piece " + std::to_string(i) + " is not UTF-8"};
    }
  }
  const bool prefix = model.normalizer.add_dummy_prefix;
  const auto flag = [](bool value) { return value ? "true" : "false"; };

  std::string json = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  bool first = true;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const SpmPiece& p = model.pieces[i];
    if (p.type != PieceType::unknown && p.type != PieceType::control && p.type != PieceType::user_defined) continue;
    json += first ? "\n    " : ",\n    ";
    first = false;
    json += "{\"id\": " + std::to_string(i) + ", \"content\": " + impl::quoted(p.piece) +
            ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": " +
            flag(p.type != PieceType::user_defined) + "}";
  }
  const std::string metaspace = std::string("{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"") +
                                (prefix ? "always" : "never") + "\", \"split\": " + flag(model.trainer.split_by_whitespace) + "}";
  json += "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": " + metaspace + ",\n  \"post_processor\": null,\n  \"decoder\": ";
  if (model.trainer.byte_fallback) {
    json += "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteFallback\"}, " + metaspace + "]}";
  } else {
    json += metaspace;
  }
  json += ",\n  \"model\": {\n    ";
  if (bpe) {
    json += "\"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": " + impl::quoted(vocab->piece(vocab->unk_id())) +
            ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": true,\n    \"byte_fallback\": " +
            flag(model.trainer.byte_fallback) + ",\n    \"ignore_merges\": false,\n    \"vocab\": {";
    for (std::size_t i = 0; i < model.pieces.size(); ++i) {
      json += (i == 0 ? "\n      " : ",\n      ") + impl::quoted(model.pieces[i].piece) + ": " + std::to_string(i);
    }
    json += "\n    },\n    \"merges\": [";
    first = true;
    for (const auto& [left, right] : impl::merges(*vocab)) {
      json += (first ? "\n      [" : ",\n      [") + impl::quoted(left) + ", " + impl::quoted(right) + "]";
      first = false;
    }
    json += "\n    ]\n  }\n}\n";
  } else {
    json += "\"type\": \"Unigram\",\n    \"unk_id\": " + std::to_string(vocab->unk_id()) + ",\n    \"vocab\": [";
    for (std::size_t i = 0; i < model.pieces.size(); ++i) {
      json += (i == 0 ? "\n      [" : ",\n      [") + impl::quoted(model.pieces[i].piece) + ", " + impl::number(model.pieces[i].score) + "]";
    }
    json += std::string("\n    ],\n    \"byte_fallback\": ") + flag(model.trainer.byte_fallback) + "\n  }\n}\n";
  }

  std::string config = "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": false";
  const auto token = [&](const char* name, std::int32_t id) {
    if (id >= 0) config += std::string(",\n  \"") + name + "\": " + impl::quoted(vocab->piece(id));
  };
  token("unk_token", vocab->unk_id());
  token("bos_token", vocab->bos_id());
  token("eos_token", vocab->eos_id());
  token("pad_token", vocab->pad_id());
  config += "\n}\n";
  return HfTokenizer{std::move(json), std::move(config)};
}

}  // namespace v0
}  // namespace midigpt
