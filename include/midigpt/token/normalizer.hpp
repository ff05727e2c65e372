// token/normalizer.hpp - text as the pieces see it: charsmap, spaces to U+2581, with the way back to the original bytes.
//   Steps at the read position: a user-defined symbol is copied; else the longest charsmap key is replaced; else a valid
//   character is copied; else one byte becomes U+FFFD.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/charsmap.hpp>
#include <midigpt/token/model.hpp>

namespace midigpt {
inline namespace v0 {

/// U+2581, how a space is written inside pieces.
inline constexpr std::string_view k_space_mark = "\xE2\x96\x81";
/// U+FFFD, what an ill-formed byte becomes.
inline constexpr std::string_view k_replacement_character = "\xEF\xBF\xBD";

/// Finds the longest of a set of strings at a position of a text. O(length log n), no recursion, no trie.
class SymbolMatcher {
 public:
  SymbolMatcher() = default;
  explicit SymbolMatcher(std::vector<std::string> symbols) {
    sort_stably(symbols);
    for (std::string& s : symbols) {
      if (s.empty() || (!symbols_.empty() && symbols_.back() == s)) continue;
      starts_[static_cast<unsigned char>(s[0])] = true;
      symbols_.push_back(std::move(s));
    }
  }

  [[nodiscard]] bool empty() const noexcept { return symbols_.empty(); }
  [[nodiscard]] bool may_start(unsigned char first) const noexcept { return starts_[first]; }

  /// Bytes of the longest symbol that `text` begins with; 0 if there is none.
  [[nodiscard]] std::size_t longest(std::string_view text) const noexcept {
    if (text.empty() || symbols_.empty() || !starts_[static_cast<unsigned char>(text[0])]) return 0;
    std::size_t best = 0, low = 0, high = symbols_.size();
    for (std::size_t depth = 0; depth < text.size() && low < high; ++depth) {
      const auto c = static_cast<unsigned char>(text[depth]);
      const auto byte_at = [&](std::size_t i) {
        return depth < symbols_[i].size() ? static_cast<int>(static_cast<unsigned char>(symbols_[i][depth])) : -1;
      };
      low = first_where(low, high, [&](std::size_t i) { return byte_at(i) >= int{c}; });
      high = first_where(low, high, [&](std::size_t i) { return byte_at(i) > int{c}; });
      if (low < high && symbols_[low].size() == depth + 1) best = depth + 1;
    }
    return best;
  }

 private:
  template <class Test>
  [[nodiscard]] static std::size_t first_where(std::size_t low, std::size_t high, Test&& test) noexcept {
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (test(middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  std::vector<std::string> symbols_;
  std::array<bool, 256> starts_{};
};

/// Normalised text and, for each of its bytes and its end, the offset in the original that it came from.
struct NormalizedText {
  std::string text;
  std::vector<std::size_t> norm_to_orig;
};

/// Immutable after create(): safe to share between threads.
class Normalizer {
 public:
  /// The identity with the usual space rules.
  Normalizer() = default;

  /// `user_defined_symbols` are copied verbatim where they occur (an encoder passes them, a trainer does not).
  [[nodiscard]] static Result<Normalizer> create(const NormalizerSpec& spec, bool treat_whitespace_as_suffix = false,
                                                 std::vector<std::string> user_defined_symbols = {}) {
    auto map = Charsmap::create(spec.precompiled_charsmap);
    if (!map) return map.error();
    Normalizer n;
    n.map_ = *std::move(map);
    n.add_dummy_prefix_ = spec.add_dummy_prefix;
    n.remove_extra_whitespaces_ = spec.remove_extra_whitespaces;
    n.space_ = spec.escape_whitespaces ? k_space_mark : std::string_view(" ");
    n.suffix_ = treat_whitespace_as_suffix;
    n.symbols_ = SymbolMatcher(std::move(user_defined_symbols));
    for (std::size_t c = 0; c < 256; ++c) {
      const auto first = static_cast<unsigned char>(c);
      n.copied_[c] = first != ' ' && !n.symbols_.may_start(first) && !n.map_.may_start(first);
    }
    return n;
  }

  /// What one step at the start of `text` writes and how many bytes it reads. Requires: !text.empty().
  struct Step {
    std::string_view out;
    std::size_t read = 0;
  };
  [[nodiscard]] Step step(std::string_view text) const noexcept {
    if (const std::size_t n = symbols_.longest(text); n != 0) return {text.substr(0, n), n};
    if (map_.may_start(static_cast<unsigned char>(text[0]))) {
      if (const CharsmapMatch m = map_.longest(text); m.bytes != 0) return {m.replacement, m.bytes};
    }
    const Utf8Char c = utf8_decode(text, 0);
    if (!c.valid) return {k_replacement_character, 1};
    return {text.substr(0, c.size), c.size};
  }

  /// Replaces `out` by the normalised text. Safe to call with one `out` again and again: its memory is kept.
  void normalise(std::string_view text, std::string& out) const { run<false>(text, out, nullptr); }

  [[nodiscard]] std::string normalise(std::string_view text) const {
    std::string out;
    normalise(text, out);
    return out;
  }

  [[nodiscard]] NormalizedText normalise_with_offsets(std::string_view text) const {
    NormalizedText out;
    run<true>(text, out.text, &out.norm_to_orig);
    return out;
  }

  /// True when a well-formed character that begins with this byte is always copied as it is.
  [[nodiscard]] bool copies(unsigned char first) const noexcept { return copied_[first]; }

  [[nodiscard]] const Charsmap& charsmap() const noexcept { return map_; }

 private:
  template <bool Offsets>
  void run(std::string_view text, std::string& out, std::vector<std::size_t>* map) const {
    out.clear();
    if constexpr (Offsets) map->clear();
    std::size_t at = 0;
    const auto put = [&](std::string_view bytes) {
      out.append(bytes);
      if constexpr (Offsets) map->insert(map->end(), bytes.size(), at);
    };
    if (remove_extra_whitespaces_) {
      while (at < text.size()) {
        const Step s = step(text.substr(at));
        if (s.out != " ") break;
        at += s.read;
      }
    }
    if (at == text.size()) {  // nothing, or nothing but spaces: not even a prefix
      if constexpr (Offsets) map->push_back(at);
      return;
    }
    out.reserve(text.size() + 2 * k_space_mark.size());
    if constexpr (Offsets) map->reserve(text.size() + 2 * k_space_mark.size());
    if (add_dummy_prefix_ && !suffix_) put(space_);

    bool after_space = remove_extra_whitespaces_;
    while (at < text.size()) {
      if (const std::size_t n = copied_run<Offsets>(text, at); n != 0) {
        put(text.substr(at, n));
        after_space = false;
        at += n;
        continue;
      }
      Step s = step(text.substr(at));
      while (after_space && s.out.starts_with(' ')) s.out.remove_prefix(1);
      if (!s.out.empty()) {
        after_space = remove_extra_whitespaces_ && s.out.ends_with(' ');
        for (std::size_t space; (space = s.out.find(' ')) != std::string_view::npos; s.out.remove_prefix(space + 1)) {
          put(s.out.substr(0, space));
          put(space_);
        }
        put(s.out);
      }
      at += s.read;
    }
    if (remove_extra_whitespaces_) {
      while (out.ends_with(space_)) {
        out.resize(out.size() - space_.size());
        if constexpr (Offsets) {
          at = (*map)[out.size()];
          map->resize(out.size());
        }
      }
    }
    if (add_dummy_prefix_ && suffix_) put(space_);
    if constexpr (Offsets) map->push_back(at);
  }

  /// Bytes from `at` on that are copied; one character only where each character needs its own offset.
  template <bool One>
  [[nodiscard]] std::size_t copied_run(std::string_view text, std::size_t at) const noexcept {
    const std::size_t begin = at;
    while (at < text.size() && copied_[static_cast<unsigned char>(text[at])]) {
      if (!One && text.size() - at >= 4) {  // U+40000..U+FFFFF, where packed notes lie, and ASCII: no decoding
        const std::uint32_t four = load_le<std::uint32_t>(as_byte_span(text.substr(at, 4)).data());
        if ((four & 0xC0C0C0FCu) == 0x808080F0u && (four & 0xFFu) != 0xF0u) {
          at += 4;
          continue;
        }
        if ((four & 0x80u) == 0) {
          ++at;
          continue;
        }
      }
      const Utf8Char c = utf8_decode(text, at);
      if (!c.valid) break;
      at += c.size;
      if (One) break;
    }
    return at - begin;
  }

  [[nodiscard]] static constexpr std::array<bool, 256> all_but_space() noexcept {
    std::array<bool, 256> out{};
    for (std::size_t c = 0; c < 256; ++c) out[c] = c != ' ';
    return out;
  }

  Charsmap map_;
  SymbolMatcher symbols_;
  std::array<bool, 256> copied_ = all_but_space();
  std::string_view space_ = k_space_mark;
  bool add_dummy_prefix_ = true, remove_extra_whitespaces_ = true, suffix_ = false;
};

}  // namespace v0
}  // namespace midigpt
