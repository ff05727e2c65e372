// token/model.hpp - a SentencePiece .model file as plain values, and its .vocab text.
//   Every field carries its SentencePiece name. `present` remembers which fields stood in the file (bit = field number),
//   so that parse and write of any model give the same bytes.
#pragma once

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/token/wire.hpp>

namespace midigpt {
inline namespace v0 {

enum class PieceType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };
enum class ModelType : std::uint8_t { unigram = 1, bpe, word, character };

struct SpmPiece {
  std::string piece;
  float score = 0.0f;
  PieceType type = PieceType::normal;
  /// Bits 1, 2, 3 = piece, score, type; a type other than normal is written in any case.
  std::uint8_t present = 0b0110;

  friend bool operator==(const SpmPiece&, const SpmPiece&) = default;
};

/// How a model was trained. A field is written when its bit in `present` is set or when it differs from its default.
struct TrainerSpec {
  std::vector<std::string> input;
  std::string model_prefix;
  ModelType model_type = ModelType::unigram;
  std::int32_t vocab_size = 8000;
  std::vector<std::string> accept_language;
  std::int32_t self_test_sample_size = 0;
  std::string input_format;
  float character_coverage = 0.9995f;
  std::uint64_t input_sentence_size = 0;
  std::int32_t mining_sentence_size = 0;    // deprecated, never written by spm_train
  std::int32_t training_sentence_size = 0;  // deprecated, never written by spm_train
  std::int32_t seed_sentencepiece_size = 1000000;
  float shrinking_factor = 0.75f;
  std::int32_t num_threads = 16;
  std::int32_t num_sub_iterations = 2;
  std::int32_t max_sentence_length = 4192;
  bool shuffle_input_sentence = true;
  std::int32_t max_sentencepiece_length = 16;
  bool split_by_unicode_script = true;
  bool split_by_whitespace = true;
  bool split_by_number = true;
  bool treat_whitespace_as_suffix = false;
  bool split_digits = false;
  bool allow_whitespace_only_pieces = false;
  std::vector<std::string> control_symbols;
  std::vector<std::string> user_defined_symbols;
  bool vocabulary_output_piece_score = true;
  bool hard_vocab_limit = true;
  bool use_all_vocab = false;
  bool byte_fallback = false;
  std::string required_chars;
  std::int32_t unk_id = 0;
  std::int32_t bos_id = 1;
  std::int32_t eos_id = 2;
  std::int32_t pad_id = -1;
  std::string unk_surface = " \xE2\x81\x87 ";  // " U+2047 "
  std::string unk_piece = "<unk>";
  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
  std::string pad_piece = "<pad>";
  bool train_extremely_large_corpus = false;
  bool enable_differential_privacy = false;
  float differential_privacy_noise_level = 0.0f;
  std::uint64_t differential_privacy_clipping_threshold = 0;
  std::string pretokenization_delimiter;
  std::string seed_sentencepieces_file;

  std::uint64_t present = 0;
  std::string unknown;  // fields this library does not know, as they stood

  friend bool operator==(const TrainerSpec&, const TrainerSpec&) = default;
};

struct NormalizerSpec {
  std::string name;
  std::string precompiled_charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  std::string normalization_rule_tsv;

  std::uint64_t present = 0;
  std::string unknown;

  friend bool operator==(const NormalizerSpec&, const NormalizerSpec&) = default;
};

struct SelfTestSample {
  std::string input, expected;  // expected: the pieces joined with one space

  friend bool operator==(const SelfTestSample&, const SelfTestSample&) = default;
};

/// Everything in a .model file. An id is an index into `pieces`.
struct SpmModel {
  std::vector<SpmPiece> pieces;
  TrainerSpec trainer;
  NormalizerSpec normalizer;
  std::vector<SelfTestSample> self_test;
  std::optional<NormalizerSpec> denormalizer;

  std::uint64_t present = 0;  // bits 2, 3, 4: a trainer, normalizer or self test that is written even when empty
  std::string unknown;

  friend bool operator==(const SpmModel&, const SpmModel&) = default;
};

/// The bit of a field number in a `present` mask.
[[nodiscard]] constexpr std::uint64_t spec_bit(std::uint32_t number) noexcept { return std::uint64_t{1} << number; }

/// The bits of fields first..last.
[[nodiscard]] constexpr std::uint64_t spec_bits(std::uint32_t first, std::uint32_t last) noexcept {
  return (spec_bit(last) - spec_bit(first)) | spec_bit(last);
}

/// What the program spm_train (0.2.0 and later) always writes, defaults too. 0.1.97 lacks 53 and 54.
inline constexpr std::uint64_t k_spm_train_trainer_fields =
    spec_bits(2, 4) | spec_bits(6, 7) | spec_bits(10, 11) | spec_bits(14, 26) | spec_bits(32, 36) | spec_bits(40, 54);
inline constexpr std::uint64_t k_spm_train_normalizer_fields = spec_bits(1, 4) | spec_bit(6);

/// Calls visit(number, name, pointer to member) for every field of a TrainerSpec, in ascending number.
template <class Visit>
void for_each_field(const TrainerSpec*, Visit&& visit) {
  using T = TrainerSpec;
  visit(1u, "input", &T::input);
  visit(2u, "model_prefix", &T::model_prefix);
  visit(3u, "model_type", &T::model_type);
  visit(4u, "vocab_size", &T::vocab_size);
  visit(5u, "accept_language", &T::accept_language);
  visit(6u, "self_test_sample_size", &T::self_test_sample_size);
  visit(7u, "input_format", &T::input_format);
  visit(10u, "character_coverage", &T::character_coverage);
  visit(11u, "input_sentence_size", &T::input_sentence_size);
  visit(12u, "mining_sentence_size", &T::mining_sentence_size);
  visit(13u, "training_sentence_size", &T::training_sentence_size);
  visit(14u, "seed_sentencepiece_size", &T::seed_sentencepiece_size);
  visit(15u, "shrinking_factor", &T::shrinking_factor);
  visit(16u, "num_threads", &T::num_threads);
  visit(17u, "num_sub_iterations", &T::num_sub_iterations);
  visit(18u, "max_sentence_length", &T::max_sentence_length);
  visit(19u, "shuffle_input_sentence", &T::shuffle_input_sentence);
  visit(20u, "max_sentencepiece_length", &T::max_sentencepiece_length);
  visit(21u, "split_by_unicode_script", &T::split_by_unicode_script);
  visit(22u, "split_by_whitespace", &T::split_by_whitespace);
  visit(23u, "split_by_number", &T::split_by_number);
  visit(24u, "treat_whitespace_as_suffix", &T::treat_whitespace_as_suffix);
  visit(25u, "split_digits", &T::split_digits);
  visit(26u, "allow_whitespace_only_pieces", &T::allow_whitespace_only_pieces);
  visit(30u, "control_symbols", &T::control_symbols);
  visit(31u, "user_defined_symbols", &T::user_defined_symbols);
  visit(32u, "vocabulary_output_piece_score", &T::vocabulary_output_piece_score);
  visit(33u, "hard_vocab_limit", &T::hard_vocab_limit);
  visit(34u, "use_all_vocab", &T::use_all_vocab);
  visit(35u, "byte_fallback", &T::byte_fallback);
  visit(36u, "required_chars", &T::required_chars);
  visit(40u, "unk_id", &T::unk_id);
  visit(41u, "bos_id", &T::bos_id);
  visit(42u, "eos_id", &T::eos_id);
  visit(43u, "pad_id", &T::pad_id);
  visit(44u, "unk_surface", &T::unk_surface);
  visit(45u, "unk_piece", &T::unk_piece);
  visit(46u, "bos_piece", &T::bos_piece);
  visit(47u, "eos_piece", &T::eos_piece);
  visit(48u, "pad_piece", &T::pad_piece);
  visit(49u, "train_extremely_large_corpus", &T::train_extremely_large_corpus);
  visit(50u, "enable_differential_privacy", &T::enable_differential_privacy);
  visit(51u, "differential_privacy_noise_level", &T::differential_privacy_noise_level);
  visit(52u, "differential_privacy_clipping_threshold", &T::differential_privacy_clipping_threshold);
  visit(53u, "pretokenization_delimiter", &T::pretokenization_delimiter);
  visit(54u, "seed_sentencepieces_file", &T::seed_sentencepieces_file);
}

template <class Visit>
void for_each_field(const NormalizerSpec*, Visit&& visit) {
  using T = NormalizerSpec;
  visit(1u, "name", &T::name);
  visit(2u, "precompiled_charsmap", &T::precompiled_charsmap);
  visit(3u, "add_dummy_prefix", &T::add_dummy_prefix);
  visit(4u, "remove_extra_whitespaces", &T::remove_extra_whitespaces);
  visit(5u, "escape_whitespaces", &T::escape_whitespaces);
  visit(6u, "normalization_rule_tsv", &T::normalization_rule_tsv);
}

namespace detail::spm_model {

/// A known field into its member; false when the wire type or the enum value does not fit (protobuf then keeps the
/// field as an unknown one).
template <class T>
[[nodiscard]] bool assign(T& member, const WireField& field) {
  if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    if (field.type != WireType::length) return false;
    member.push_back(field.text());
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (field.type != WireType::length) return false;
    member = field.text();
  } else if constexpr (std::is_same_v<T, float>) {
    if (field.type != WireType::fixed32) return false;
    member = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
  } else {
    if (field.type != WireType::varint) return false;
    if constexpr (std::is_same_v<T, bool>) {
      member = field.value != 0;
    } else if constexpr (std::is_same_v<T, ModelType>) {
      if (field.value < 1 || field.value > 4) return false;
      member = static_cast<ModelType>(field.value);
    } else if constexpr (std::is_same_v<T, PieceType>) {
      if (field.value < 1 || field.value > 6) return false;
      member = static_cast<PieceType>(field.value);
    } else if constexpr (std::is_same_v<T, std::int32_t>) {
      member = static_cast<std::int32_t>(static_cast<std::uint32_t>(field.value));
    } else {
      member = field.value;
    }
  }
  return true;
}

template <class Spec>
[[nodiscard, gnu::cold]] Result<void> parse_spec(Spec& spec, const WireField& message) {
  WireReader in(message.bytes, message.offset);
  while (!in.done()) {
    const auto field = in.next();
    if (!field) return field.error();
    bool known = false;
    for_each_field(&spec, [&](std::uint32_t number, const char*, auto member) {
      if (number == field->number && assign(spec.*member, *field)) {
        spec.present |= spec_bit(number);
        known = true;
      }
    });
    if (!known) spec.unknown += as_chars(field->raw);
  }
  return {};
}

template <class T>
void write_field(WireWriter& out, std::uint32_t number, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    out.text(number, value);
  } else if constexpr (std::is_same_v<T, float>) {
    out.float32(number, value);
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    out.int32(number, value);
  } else {
    out.varint(number, static_cast<std::uint64_t>(value));
  }
}

template <class Spec>
[[nodiscard, gnu::cold]] Bytes spec_bytes(const Spec& spec) {
  const Spec defaults;
  WireWriter out;
  for_each_field(&spec, [&](std::uint32_t number, const char*, auto member) {
    const auto& value = spec.*member;
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::vector<std::string>>) {
      for (const std::string& item : value) out.text(number, item);
    } else if ((spec.present & spec_bit(number)) != 0 || value != defaults.*member) {
      write_field(out, number, value);
    }
  });
  out.raw(spec.unknown);
  return std::move(out).take();
}

[[nodiscard]] inline Result<SpmPiece> parse_piece(const WireField& message) {
  SpmPiece out;
  out.present = 0;
  WireReader in(message.bytes, message.offset);
  while (!in.done()) {
    const auto field = in.next();
    if (!field) return field.error();
    const bool known = field->number == 1   ? assign(out.piece, *field)
                       : field->number == 2 ? assign(out.score, *field)
                       : field->number == 3 && assign(out.type, *field);
    if (known) out.present = static_cast<std::uint8_t>(out.present | 1u << field->number);
  }
  return out;
}

[[nodiscard]] inline Result<SelfTestSample> parse_sample(const WireField& message) {
  SelfTestSample out;
  WireReader in(message.bytes, message.offset);
  while (!in.done()) {
    const auto field = in.next();
    if (!field) return field.error();
    if (field->number == 1 && field->type == WireType::length) out.input = field->text();
    if (field->number == 2 && field->type == WireType::length) out.expected = field->text();
  }
  return out;
}

}  // namespace detail::spm_model

/// Reads a serialized ModelProto of any model type. Checks the wire format only; Tokenizer::create checks the meaning.
[[nodiscard]] inline Result<SpmModel> parse_spm_model(ByteSpan bytes) {
  namespace impl = detail::spm_model;
  SpmModel model;
  WireReader in(bytes);
  while (!in.done()) {
    const auto field = in.next();
    if (!field) return field.error();
    if (field->type != WireType::length || field->number > 5) {
      model.unknown += as_chars(field->raw);
      continue;
    }
    Result<void> parsed;
    switch (field->number) {
      case 1: {
        auto piece = impl::parse_piece(*field);
        if (!piece) return piece.error();
        model.pieces.push_back(*std::move(piece));
        break;
      }
      case 2: parsed = impl::parse_spec(model.trainer, *field); break;
      case 3: parsed = impl::parse_spec(model.normalizer, *field); break;
      case 4: {
        WireReader samples(field->bytes, field->offset);
        while (!samples.done()) {
          const auto item = samples.next();
          if (!item) return item.error();
          if (item->number != 1 || item->type != WireType::length) continue;
          auto sample = impl::parse_sample(*item);
          if (!sample) return sample.error();
          model.self_test.push_back(*std::move(sample));
        }
        break;
      }
      default:
        if (!model.denormalizer) model.denormalizer.emplace();
        parsed = impl::parse_spec(*model.denormalizer, *field);
        break;
    }
    if (!parsed) return parsed.error();
    model.present |= spec_bit(field->number);
  }
  return model;
}

/// The file's bytes: fields in ascending number, as protobuf writes them.
[[nodiscard, gnu::cold]] inline Bytes spm_model_bytes(const SpmModel& model) {
  namespace impl = detail::spm_model;
  WireWriter out;
  for (const SpmPiece& p : model.pieces) {
    WireWriter piece;
    if ((p.present & 2u) != 0 || !p.piece.empty()) piece.text(1, p.piece);
    if ((p.present & 4u) != 0 || std::bit_cast<std::uint32_t>(p.score) != 0) piece.float32(2, p.score);
    if ((p.present & 8u) != 0 || p.type != PieceType::normal) piece.varint(3, static_cast<std::uint64_t>(p.type));
    out.bytes(1, piece.bytes());
  }
  const auto put = [&](std::uint32_t number, const Bytes& spec) {
    if (!spec.empty() || (model.present & spec_bit(number)) != 0) out.bytes(number, spec);
  };
  put(2, impl::spec_bytes(model.trainer));
  put(3, impl::spec_bytes(model.normalizer));
  WireWriter samples;
  for (const SelfTestSample& s : model.self_test) {
    WireWriter sample;
    sample.text(1, s.input);
    sample.text(2, s.expected);
    samples.bytes(1, sample.bytes());
  }
  put(4, samples.bytes());
  if (model.denormalizer) out.bytes(5, impl::spec_bytes(*model.denormalizer));
  out.raw(model.unknown);
  return std::move(out).take();
}

[[nodiscard]] inline Result<SpmModel> read_spm_model(const std::string& path) {
  const auto bytes = read_file(path, (std::uint64_t{1} << 31) - 1);  // protobuf's own limit
  if (!bytes) return bytes.error();
  return parse_spm_model(*bytes);
}

[[nodiscard]] inline Result<void> write_spm_model(const std::string& path, const SpmModel& model) {
  return write_file_atomic(path, spm_model_bytes(model));
}

/// The .vocab file: one line per piece in id order, `piece TAB score`, the score with six significant digits.
/// Without scores when the model was trained with vocabulary_output_piece_score=false.
[[nodiscard, gnu::cold]] inline std::string vocab_text(const SpmModel& model) {
  std::string out;
  for (const SpmPiece& p : model.pieces) {
    out += p.piece;
    if (model.trainer.vocabulary_output_piece_score) {
      char digits[32];
      const auto end = std::to_chars(digits, digits + sizeof digits, p.score, std::chars_format::general, 6);
      out += '\t';
      out.append(digits, end.ptr);
    }
    out += '\n';
  }
  return out;
}

}  // namespace v0
}  // namespace midigpt
