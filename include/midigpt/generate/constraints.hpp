// generate/constraints.hpp - which ids may come next so that the text stays a legal score.
//   Always: no control pieces but the end, no unknown, no character that is neither a note nor a control of the codec,
//   byte pieces only where four of them spell such a character, both halves of a split note. On demand: a key, a pitch
//   range, a number of notes that sound together, a least number of notes. Whatever is drawn under these masks decodes
//   to music.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/codec/controls.hpp>
#include <midigpt/codec/layout.hpp>
#include <midigpt/codec/multitrack.hpp>
#include <midigpt/codec/text.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/key.hpp>
#include <midigpt/token/tokenizer.hpp>

namespace midigpt {
inline namespace v0 {

/// Drums are free of key and range.
struct ConstraintOptions {
  std::optional<Key> key = std::nullopt;
  int lowest_pitch = 0, highest_pitch = 127;
  int polyphony = 0;          // notes that may sound together, 1..16; 0: any number
  std::size_t min_notes = 1;  // the piece cannot end before
};

/// Follows a piece id by id and says which ids may come next. Looks at the tokenizer for as long as it lives.
class MusicConstraint {
 public:
  MusicConstraint(const Tokenizer& tokenizer, CodecKind codec, const ConstraintOptions& options = {})
      : tokenizer_(tokenizer),
        options_(options),
        split_(codec == CodecKind::split),
        controls_(codec == CodecKind::multitrack || codec == CodecKind::split),
        scale_(options.key ? scale_mask(*options.key) : std::uint16_t{0xFFF}) {
    options_.polyphony = std::clamp(options_.polyphony, 0, k_max_polyphony);
    const auto V = static_cast<std::size_t>(tokenizer.vocab_size());
    begin_.push_back(0);
    for (std::size_t id = 0; id < V; ++id) {
      if (type(id) == PieceType::normal || type(id) == PieceType::user_defined) {
        points_ += utf8_code_points(tokenizer.model().pieces[id].piece);
      }
      begin_.push_back(points_.size());
    }
    for (std::size_t i = 0; i < masks_.size(); ++i) {
      State s;
      s.pending = (i & 1) != 0;
      s.drums = (i & 2) != 0;
      s.notes = (i & 4) != 0 ? options_.min_notes : 0;
      masks_[i].resize(V);
      for (std::size_t id = 0; id < V; ++id) masks_[i][id] = allows(s, id) ? 1 : 0;
    }
    scratch_.resize(V);
    reset();
  }

  /// The beginning of a piece.
  void reset() {
    state_ = State{};
    partial_.clear();
    pushed_ = complete_ = 0;
  }

  /// One byte per id: 1 where it may come next. Stands until the next call of a member that is not const.
  [[nodiscard]] std::span<const std::uint8_t> allowed() {
    if (!partial_.empty() || state_.ended) {
      std::fill(scratch_.begin(), scratch_.end(), std::uint8_t{0});
      for (unsigned byte = 0x80; byte < 0xC0 && !state_.ended; ++byte) {
        const std::int32_t id = tokenizer_.vocab().byte_id(static_cast<unsigned char>(byte));
        if (id >= 0 && possible(state_, partial_ + static_cast<char>(byte))) scratch_[static_cast<std::size_t>(id)] = 1;
      }
      return scratch_;
    }
    const auto& mask =
        masks_[(state_.pending ? 1u : 0u) + (state_.drums ? 2u : 0u) + (state_.notes >= options_.min_notes ? 4u : 0u)];
    if (options_.polyphony == 0) return mask;
    for (std::size_t id = 0; id < mask.size(); ++id) scratch_[id] = mask[id] != 0 && allows(state_, id) ? 1 : 0;
    return scratch_;
  }

  /// Takes an id of the piece, one of a prompt too: those need not obey.
  void push(std::int32_t id) {
    ++pushed_;
    const auto i = static_cast<std::size_t>(id);
    if (id == tokenizer_.eos_id()) state_.ended = true;
    if (i < begin_.size() - 1) {
      if (type(i) == PieceType::byte) {
        partial_.push_back(
            static_cast<char>(static_cast<unsigned char>(detail::vocab::byte_of_piece(tokenizer_.piece(id)))));
        const Utf8Char c = utf8_decode(partial_, 0);
        if (c.valid) follow(c.code_point);
        if (c.valid || partial_.size() == 4) partial_.clear();
      } else {
        partial_.clear();
        for (const char32_t c : characters(i)) follow(c);
      }
    }
    if (partial_.empty() && !state_.pending) complete_ = pushed_;
  }

  /// The piece is over: EOS or the codec's end came. Then nothing is allowed.
  [[nodiscard]] bool ended() const noexcept { return state_.ended; }
  [[nodiscard]] std::size_t notes() const noexcept { return state_.notes; }
  /// How many of the ids pushed end on a whole character and a whole note: what stands behind is to be cut off.
  [[nodiscard]] std::size_t complete() const noexcept { return complete_; }

 private:
  static constexpr int k_max_polyphony = 16;

  struct State {
    bool pending = false;  // a split note waits for its pitch
    bool drums = false, ended = false;
    std::uint8_t sounding = 0;
    std::size_t notes = 0;
    std::int64_t now = 0;  // grid units; a bar line does not move it, which errs on the side of fewer notes
    std::int64_t pending_end = 0;
    std::array<std::int64_t, k_max_polyphony> ends{};  // of the notes that sound
  };

  [[nodiscard]] PieceType type(std::size_t id) const noexcept { return tokenizer_.model().pieces[id].type; }
  [[nodiscard]] std::u32string_view characters(std::size_t id) const noexcept {
    return std::u32string_view(points_).substr(begin_[id], begin_[id + 1] - begin_[id]);
  }

  [[nodiscard]] bool pitch_fits(const State& s, int pitch) const noexcept {
    return s.drums ||
           (pitch >= options_.lowest_pitch && pitch <= options_.highest_pitch && (scale_ >> (pitch % 12) & 1) != 0);
  }

  /// One more note until `end`; false when too many sound.
  [[nodiscard]] bool sound(State& s, std::int64_t end) const noexcept {
    ++s.notes;
    if (options_.polyphony == 0) return true;
    std::uint8_t still = 0;
    for (std::uint8_t i = 0; i < s.sounding; ++i) {
      if (s.ends[i] > s.now) s.ends[still++] = s.ends[i];
    }
    s.sounding = still;
    if (still >= options_.polyphony) return false;
    s.ends[s.sounding++] = end;
    return true;
  }

  /// The character `c` in state `s`; false when it must not stand there.
  [[nodiscard]] bool advance(State& s, char32_t c) const noexcept {
    if (s.ended) return false;
    if (PackedNote::is_note(c)) {
      const NoteBits n = PackedNote::unpack(c);
      s.now += n.step;
      const std::int64_t length =
          controls_ ? k_duration_units[static_cast<std::size_t>(n.duration)] : n.duration * 20;  // 0.32 s in 63rds
      if (!split_) return sound(s, s.now + length) && pitch_fits(s, n.pitch);
      const bool fits = n.pitch == 0 && !s.pending && would_sound(s);
      s.pending = true;
      s.pending_end = s.now + length;
      return fits;
    }
    const Control control = controls_ ? parse_control(c) : Control{};
    if (control.kind == ControlKind::pitch) {
      const bool fits = split_ && s.pending && pitch_fits(s, control.value);
      s.pending = false;
      return sound(s, s.pending_end) && fits;
    }
    if (control.kind == ControlKind::none || s.pending) return false;
    if (control.kind == ControlKind::end) {
      s.ended = true;
      return s.notes >= options_.min_notes;
    }
    if (control.kind == ControlKind::advance) s.now += control.value;
    if (control.kind == ControlKind::rest) s.now += std::int64_t{control.value} * k_units_per_rest;
    if (control.kind == ControlKind::part) s.drums = numbered_part(control.value).is_drums();
    return true;
  }

  [[nodiscard]] bool would_sound(State s) const noexcept { return sound(s, s.now); }

  /// Where the text really went, legal or not.
  void follow(char32_t c) {
    State next = state_;
    if (!advance(next, c) && !PackedNote::is_note(c)) next.pending = false;
    state_ = next;
  }

  [[nodiscard]] bool allows(const State& state, std::size_t id) const {
    if (static_cast<std::int32_t>(id) == tokenizer_.eos_id())
      return !state.pending && state.notes >= options_.min_notes;
    if (type(id) == PieceType::byte) {
      return possible(state, std::string(1, static_cast<char>(static_cast<unsigned char>(
                                                detail::vocab::byte_of_piece(tokenizer_.model().pieces[id].piece)))));
    }
    State s = state;
    for (const char32_t c : characters(id)) {
      if (!advance(s, c)) return false;
    }
    return begin_[id] != begin_[id + 1];
  }

  /// Some character of the codec begins with these bytes and may stand here.
  [[nodiscard]] bool possible(const State& state, std::string_view bytes) const {
    const auto lead = static_cast<unsigned char>(bytes[0]);
    if (lead < 0xF0 || lead > 0xF3) return false;  // notes and controls have four bytes
    std::uint32_t first = lead & 7u;
    for (std::size_t i = 1; i < 4; ++i)
      first = first << 6 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) & 0x3Fu : 0u);
    const std::uint32_t last = first + ((1u << (6 * (4 - bytes.size()))) - 1);
    const auto fits = [&](std::uint32_t c) {
      State s = state;
      return advance(s, static_cast<char32_t>(c));
    };
    if (lead == 0xF0) {
      for (std::uint32_t c = (std::max)(first, static_cast<std::uint32_t>(k_control_first));
           c <= last && c <= k_control_last; ++c) {
        if (fits(c)) return true;
      }
      return false;
    }
    const std::uint32_t pitches = (std::min)(last - first + 1, 128u), steps = last - first + 1 > 4096 ? 64 : 1;
    for (std::uint32_t step = steps; step-- > 0;) {  // the longest first: it leaves the fewest notes sounding
      for (std::uint32_t pitch = 0; pitch < pitches; ++pitch) {
        if (fits(first + step * 4096 + pitch)) return true;
      }
    }
    return false;
  }

  const Tokenizer& tokenizer_;
  ConstraintOptions options_;
  bool split_, controls_;
  std::uint16_t scale_;
  std::u32string points_;           // the characters of all pieces
  std::vector<std::size_t> begin_;  // where those of a piece begin
  std::array<std::vector<std::uint8_t>, 8> masks_;
  std::vector<std::uint8_t> scratch_;
  State state_;
  std::string partial_;
  std::size_t pushed_ = 0, complete_ = 0;
};

}  // namespace v0
}  // namespace midigpt
