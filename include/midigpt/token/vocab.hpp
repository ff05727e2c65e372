// token/vocab.hpp - a checked model: text to id, types, the ids with a meaning. What every encoder stands on.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/token/model.hpp>

namespace midigpt {
inline namespace v0 {

namespace detail::vocab {

/// Eight bytes at a time; for tables in memory only, never written to a file.
[[nodiscard]] inline std::uint64_t text_hash(std::string_view s) noexcept {
  std::uint64_t h = 0x9E3779B97F4A7C15u ^ s.size();
  std::size_t at = 0;
  for (; at + 8 <= s.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, s.data() + at, 8);
    h = (h ^ word) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 29;
  }
  if (at < s.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, s.data() + at, s.size() - at);
    h = (h ^ word) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 29;
  }
  h *= 0x94D049BB133111EBu;
  return h ^ (h >> 32);
}

/// Piece text -> id, open addressing over the ids; the texts stay where they are.
class PieceTable {
 public:
  explicit PieceTable(std::size_t expected) {
    std::size_t slots = 16;
    while (slots < expected * 2) slots *= 2;
    slots_.assign(slots, -1);
  }

  [[nodiscard]] std::int32_t find(const std::vector<SpmPiece>& pieces, std::string_view text) const noexcept {
    for (std::size_t at = text_hash(text);; ++at) {
      const std::int32_t id = slots_[at & (slots_.size() - 1)];
      if (id < 0 || pieces[static_cast<std::size_t>(id)].piece == text) return id;
    }
  }

  /// False when the text is there already. Requires: fewer insertions than `expected`.
  [[nodiscard]] bool insert(const std::vector<SpmPiece>& pieces, std::int32_t id) {
    const std::string_view text = pieces[static_cast<std::size_t>(id)].piece;
    for (std::size_t at = text_hash(text);; ++at) {
      std::int32_t& slot = slots_[at & (slots_.size() - 1)];
      if (slot < 0) {
        slot = id;
        return true;
      }
      if (pieces[static_cast<std::size_t>(slot)].piece == text) return false;
    }
  }

 private:
  std::vector<std::int32_t> slots_;
};

/// The byte that `<0x41>` stands for, or -1.
[[nodiscard]] inline int byte_of_piece(std::string_view piece) noexcept {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/// Bytes of the character that begins with this byte, as SentencePiece counts them in text it did not check.
[[nodiscard]] inline std::size_t char_size(std::string_view text) noexcept {
  constexpr std::string_view sizes = "\1\1\1\1\1\1\1\1\1\1\1\1\2\2\3\4";
  const auto n = static_cast<std::size_t>(sizes[static_cast<unsigned char>(text[0]) >> 4]);
  return (std::min)(n, text.size());
}

}  // namespace detail::vocab

/// One piece of an encoding: `size` bytes of the normalised text became `id`.
struct PieceSpan {
  std::int32_t id = 0;
  std::uint32_t size = 0;

  friend bool operator==(const PieceSpan&, const PieceSpan&) = default;
};

/// Immutable after create(): safe to share between threads.
class Vocab {
 public:
  /// Refuses what SentencePiece refuses (no piece, an empty one, a repeated one, none or two unknown, byte pieces that
  /// are not <0x00>..<0xFF>), scores that are not finite and pieces of more than 8,000 bytes.
  [[nodiscard]] static Result<Vocab> create(SpmModel model) {
    const auto bad = [](std::size_t id, const std::string& what) {
      return Error{Errc::bad_value, 0, concat({"piece ", id, ": ", what})};
    };
    if (model.pieces.empty()) return Error{Errc::bad_value, 0, "model without pieces"};
    if (model.pieces.size() > k_max_pieces) return Error{Errc::too_large, 0, "model of more than 2^27 pieces"};
    std::size_t reserved = 0;
    for (const SpmPiece& p : model.pieces) reserved += is_reserved(p.type) ? 1u : 0u;
    Vocab v(model.pieces.size() - reserved, reserved);
    v.byte_ids_.fill(-1);
    for (std::size_t i = 0; i < model.pieces.size(); ++i) {
      const SpmPiece& p = model.pieces[i];
      const auto id = static_cast<std::int32_t>(i);
      if (p.piece.empty()) return bad(i, "empty text");
      if (p.piece.size() > k_max_piece_bytes) return Error{Errc::too_large, 0, concat({"piece ", i, ": longer than 8,000 bytes"})};
      if (!std::isfinite(p.score)) return bad(i, "its score is not a finite number");
      PieceTable& table = is_reserved(p.type) ? v.reserved_ : v.matchable_;
      if (!table.insert(model.pieces, id)) return bad(i, concat({"`", p.piece, "` is already defined"}));
      switch (p.type) {
        case PieceType::unknown:
          if (v.unk_id_ >= 0) return bad(i, "a second unknown piece");
          v.unk_id_ = id;
          break;
        case PieceType::byte: {
          if (!model.trainer.byte_fallback) return bad(i, "a byte piece, but byte_fallback is false");
          const int byte = detail::vocab::byte_of_piece(p.piece);
          if (byte < 0) return bad(i, concat({"not the text of a byte piece: `", p.piece, "`"}));
          v.byte_ids_[static_cast<std::size_t>(byte)] = id;
          break;
        }
        case PieceType::normal:
          v.min_score_ = (std::min)(v.min_score_, p.score);
          v.max_score_ = (std::max)(v.max_score_, p.score);
          break;
        case PieceType::user_defined: v.user_defined_.push_back(p.piece); break;
        case PieceType::control:
        case PieceType::unused: break;
      }
      v.has_unused_ = v.has_unused_ || p.type == PieceType::unused;
    }
    if (v.unk_id_ < 0) return Error{Errc::bad_value, 0, "model without an unknown piece"};
    if (model.trainer.byte_fallback) {
      for (const std::int32_t id : v.byte_ids_) {
        if (id < 0) return Error{Errc::bad_value, 0, "byte_fallback, but not all 256 byte pieces are there"};
      }
    }
    v.model_ = std::move(model);
    const auto meta = [&](const std::string& piece, const char* fallback) {
      const std::int32_t id = v.id(piece.empty() ? std::string_view(fallback) : std::string_view(piece));
      return v.type(id) == PieceType::control ? id : -1;
    };
    v.bos_id_ = meta(v.model_.trainer.bos_piece, "<s>");
    v.eos_id_ = meta(v.model_.trainer.eos_piece, "</s>");
    v.pad_id_ = meta(v.model_.trainer.pad_piece, "<pad>");
    return v;
  }

  [[nodiscard]] const SpmModel& model() const noexcept { return model_; }
  [[nodiscard]] std::int32_t size() const noexcept { return static_cast<std::int32_t>(model_.pieces.size()); }
  [[nodiscard]] const std::string& piece(std::int32_t id) const noexcept { return at(id).piece; }
  [[nodiscard]] float score(std::int32_t id) const noexcept { return at(id).score; }
  [[nodiscard]] PieceType type(std::int32_t id) const noexcept { return at(id).type; }

  /// The id of a piece's text; control, unknown and byte pieces are looked at first; unk_id() if there is none.
  [[nodiscard]] std::int32_t id(std::string_view text) const noexcept {
    if (const std::int32_t id = reserved_.find(model_.pieces, text); id >= 0) return id;
    const std::int32_t id = matchable_.find(model_.pieces, text);
    return id >= 0 ? id : unk_id_;
  }
  /// The id of a piece that text can become (normal, user-defined, unused), or -1.
  [[nodiscard]] std::int32_t find_matchable(std::string_view text) const noexcept {
    return matchable_.find(model_.pieces, text);
  }

  [[nodiscard]] std::int32_t unk_id() const noexcept { return unk_id_; }
  /// -1 when the model has none.
  [[nodiscard]] std::int32_t bos_id() const noexcept { return bos_id_; }
  [[nodiscard]] std::int32_t eos_id() const noexcept { return eos_id_; }
  [[nodiscard]] std::int32_t pad_id() const noexcept { return pad_id_; }
  [[nodiscard]] bool byte_fallback() const noexcept { return model_.trainer.byte_fallback; }
  [[nodiscard]] std::int32_t byte_id(unsigned char byte) const noexcept { return byte_ids_[byte]; }
  [[nodiscard]] bool has_unused() const noexcept { return has_unused_; }
  [[nodiscard]] const std::vector<std::string>& user_defined() const noexcept { return user_defined_; }
  /// Over normal pieces. As in SentencePiece the maximum starts from the least positive float: it is never negative.
  [[nodiscard]] float min_score() const noexcept { return min_score_; }
  [[nodiscard]] float max_score() const noexcept { return max_score_; }

 private:
  using PieceTable = detail::vocab::PieceTable;
  static constexpr std::size_t k_max_pieces = std::size_t{1} << 27;
  static constexpr std::size_t k_max_piece_bytes = 8000;

  Vocab(std::size_t matchable, std::size_t reserved) : matchable_(matchable), reserved_(reserved) {}

  [[nodiscard]] static bool is_reserved(PieceType type) noexcept {
    return type == PieceType::control || type == PieceType::unknown || type == PieceType::byte;
  }
  [[nodiscard]] const SpmPiece& at(std::int32_t id) const noexcept { return model_.pieces[static_cast<std::size_t>(id)]; }

  SpmModel model_;
  PieceTable matchable_, reserved_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::vector<std::string> user_defined_;
  std::int32_t unk_id_ = -1, bos_id_ = -1, eos_id_ = -1, pad_id_ = -1;
  float min_score_ = (std::numeric_limits<float>::max)(), max_score_ = (std::numeric_limits<float>::min)();
  bool has_unused_ = false;
};

/// The model with every normal piece of more than one character marked unused unless `allowed` lists it: an encoder then
/// splits it into smaller ones (subword regularisation of rare pieces; SentencePiece's --vocabulary). BPE and unigram only.
[[nodiscard]] inline Result<SpmModel> restrict_vocabulary(SpmModel model, std::vector<std::string> allowed) {
  if (model.trainer.model_type != ModelType::bpe && model.trainer.model_type != ModelType::unigram) {
    return Error{Errc::unsupported, 0, "a vocabulary can be restricted for BPE and unigram models only"};
  }
  sort_stably(allowed);
  for (SpmPiece& p : model.pieces) {
    if (p.piece.empty() || (p.type != PieceType::normal && p.type != PieceType::unused)) continue;
    const bool keep = detail::vocab::char_size(p.piece) == p.piece.size() || std::binary_search(allowed.begin(), allowed.end(), p.piece);
    p.type = keep ? PieceType::normal : PieceType::unused;
  }
  return model;
}

}  // namespace v0
}  // namespace midigpt
