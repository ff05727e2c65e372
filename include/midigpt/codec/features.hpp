// codec/features.hpp - what a character is made of, as columns of a sparse matrix.
//   A token id forgets that two notes differ only in length. The embedding of a token is therefore its own row plus the
//   sum of the rows of its features: for its j-th character (slot j, later ones share the last slot) the fields of the
//   note or the kind and value of the control. 4 slots x 256 columns:
//     0..63 step | 64..191 pitch | 192..223 duration | 224..227 velocity | 228..239 pitch class | 240..255 kind of
//     control
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <midigpt/codec/controls.hpp>
#include <midigpt/codec/layout.hpp>

namespace midigpt {
inline namespace v0 {

inline constexpr int k_feature_slots = 4;
inline constexpr std::int32_t k_features_per_slot = 256;

/// Columns of the feature matrix; the same for every codec.
[[nodiscard]] constexpr std::int32_t feature_count() noexcept { return k_feature_slots * k_features_per_slot; }

/// Appends the columns of the character `c` at place `slot` of its token. Nothing for a character that is neither a
/// note nor a control. A note of the split form has no pitch: pass `split_note`; its second character brings it.
inline void append_features(char32_t c, int slot, std::vector<std::int32_t>& out, bool split_note = false) {
  const std::int32_t base = std::clamp(slot, 0, k_feature_slots - 1) * k_features_per_slot;
  const auto put = [&](int column) { out.push_back(base + column); };
  const auto put_pitch = [&](int pitch) {
    put(64 + pitch);
    put(228 + pitch % 12);
  };
  if (PackedNote::is_note(c)) {
    const NoteBits n = PackedNote::unpack(c);
    put(n.step);
    if (!split_note) put_pitch(n.pitch);
    put(192 + n.duration);
    put(224 + n.velocity);
    return;
  }
  const Control control = parse_control(c);
  if (control.kind == ControlKind::none) return;
  if (control.kind == ControlKind::pitch) {
    put_pitch(control.value);
    return;
  }
  put(240 + static_cast<int>(control.kind));
}

}  // namespace v0
}  // namespace midigpt
