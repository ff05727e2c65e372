// token/normalization_rules.hpp - the built-in rules by name (nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf, identity) and rules from
//   TSV, as charsmap rules. They are computed from Unicode data: a character to its NFKC, and every sequence whose parts
//   decompose to a composite's decomposition to that composite.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/charsmap_builder.hpp>
#include <midigpt/token/unicode_tables.hpp>

namespace midigpt {
inline namespace v0 {

/// The Unicode version behind a rule: SentencePiece 0.2.2 as Debian builds it has 17, releases up to 0.2.1 have 13.
enum class UnicodeVersion : std::uint8_t { v13, v17 };

namespace detail::normalization_rules {

/// Calls visit(code point, mapped) for the entries of a packed table, in ascending order.
template <class Visit>
void for_each_entry(std::span<const std::string_view> table, UnicodeVersion version, Visit&& visit) {
  std::size_t line = 0, at = 0;
  const auto digit = [](char c) {
    const int v = c >= 'a' ? c - 'a' + 26 : c >= 'A' ? c - 'A' : c >= '0' ? c - '0' + 52 : c == '+' ? 62 : 63;
    return static_cast<std::uint32_t>(v);
  };
  const auto number = [&] {
    std::uint32_t value = 0;
    for (int shift = 0;; shift += 5) {
      const std::uint32_t d = digit(table[line][at]);
      if (++at == table[line].size()) {
        ++line;
        at = 0;
      }
      value |= (d & 31u) << shift;
      if (d < 32) return value;
    }
  };
  std::uint32_t point = 0, last = 0;
  std::u32string mapped;
  while (line < table.size()) {
    const std::uint32_t head = number();
    point += head >> 1;
    mapped.clear();
    for (std::uint32_t n = number(); n > 0; --n) {
      const std::uint32_t step = number();
      last = (step & 1u) != 0 ? last - (step + 1) / 2 : last + step / 2;
      mapped += static_cast<char32_t>(last);
    }
    if ((head & 1u) == 0 || version == UnicodeVersion::v17) visit(static_cast<char32_t>(point), std::u32string_view(mapped));
  }
}

inline constexpr char32_t k_hangul = 0xAC00, k_hangul_end = 0xD7A4;

/// The NFKC rules: code point sequences in no order, each once.
class Nfkc {
 public:
  explicit Nfkc(UnicodeVersion version) : index_(0x110000, 0) {
    namespace tables = unicode_tables;
    std::vector<std::pair<char32_t, std::u32string>> composites;
    for_each_entry(tables::k_composites, version, [&](char32_t c, std::u32string_view parts) { composites.emplace_back(c, parts); });
    for (char32_t c = k_hangul; c < k_hangul_end; ++c) {
      const std::uint32_t s = static_cast<std::uint32_t>(c) - k_hangul;
      std::u32string parts{static_cast<char32_t>(0x1100 + s / 588), static_cast<char32_t>(0x1161 + s % 588 / 28)};
      if (s % 28 != 0) parts += static_cast<char32_t>(0x11A7 + s % 28);
      composites.emplace_back(c, std::move(parts));
    }
    std::vector<bool> composite(0x110000, false);
    for (const auto& entry : composites) composite[entry.first] = true;

    // what else decomposes to one character, beside that character itself
    for_each_entry(tables::k_nfkc, version, [&](char32_t c, std::u32string_view to) {
      add(std::u32string_view(&c, 1), to);
      if (to.size() != 1 || composite[to[0]] || (to[0] >= k_hangul && to[0] < k_hangul_end)) return;
      if (index_[to[0]] == 0) {
        variants_.push_back({utf8_encode(to)});
        index_[to[0]] = static_cast<std::uint16_t>(variants_.size());
      }
      variants_[index_[to[0]] - 1u].push_back(utf8_encode(std::u32string_view(&c, 1)));
    });
    for (const auto& [c, parts] : composites) {
      text_ = utf8_encode(std::u32string_view(&c, 1));
      expand(parts, {});
    }
  }

  [[nodiscard]] CharsmapRules take() && { return std::move(rules_); }

 private:
  void add(std::u32string_view from, std::u32string_view to) { rules_.emplace_back(utf8_encode(from), utf8_encode(to)); }

  /// Every way to write `parts`; recursion as deep as a composite has parts (at most 4).
  void expand(std::u32string_view parts, const std::string& before) {
    if (parts.empty()) {
      rules_.emplace_back(before, text_);
      return;
    }
    if (index_[parts[0]] == 0) {
      expand(parts.substr(1), before + utf8_encode(parts.substr(0, 1)));
      return;
    }
    for (const std::string& way : variants_[index_[parts[0]] - 1u]) expand(parts.substr(1), before + way);
  }

  std::vector<std::uint16_t> index_;  // into variants_, + 1
  std::vector<std::vector<std::string>> variants_;
  std::string text_;
  CharsmapRules rules_;
};

/// What nmt_ adds: control characters go, all kinds of spaces become U+0020, the wide tilde stays.
inline void add_nmt(CharsmapRules& rules) {
  const auto put = [&](char32_t c, const char* to) { rules.emplace_back(utf8_encode(std::u32string_view(&c, 1)), to); };
  CharsmapRules nfkc = std::exchange(rules, {});
  for (char32_t c = 1; c < 0xA0; ++c) {
    const bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD;
    if (space || c < 0x20 || c == 0x7F || c == 0x8F || c == 0x9F) put(c, space ? " " : "");
  }
  for (const int c : {0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD}) {
    put(static_cast<char32_t>(c), " ");
  }
  const std::string wide_tilde = "\xEF\xBD\x9E";  // U+FF5E
  for (auto& rule : nfkc) {
    if (rule.first != wide_tilde) rules.push_back(std::move(rule));
  }
}

/// Folds the case of every result, and of the characters that no rule touched.
inline void add_case_folding(CharsmapRules& rules, UnicodeVersion version) {
  std::vector<char32_t> fold(0x110000, 0);
  for_each_entry(unicode_tables::k_case_folding, version, [&](char32_t c, std::u32string_view to) { fold[c] = to[0]; });
  std::vector<bool> known(0x110000, false);
  for (auto& [key, text] : rules) {
    const Utf8Char first = utf8_decode(key, 0);
    if (first.size == key.size()) known[first.code_point] = true;
    std::string folded;
    for (const char32_t c : utf8_code_points(text)) utf8_append(folded, fold[c] != 0 ? fold[c] : c);
    text = std::move(folded);
  }
  for (char32_t c = 0; c < fold.size(); ++c) {
    if (fold[c] != 0 && !known[c]) rules.emplace_back(utf8_encode(std::u32string_view(&c, 1)), utf8_encode(std::u32string_view(&fold[c], 1)));
  }
}

}  // namespace detail::normalization_rules

/// The rules of a built-in name. identity has none.
[[nodiscard]] inline Result<CharsmapRules> normalization_rules(std::string_view name, UnicodeVersion version = UnicodeVersion::v17) {
  namespace impl = detail::normalization_rules;
  if (name == "identity") return CharsmapRules{};
  if (name != "nfkc" && name != "nmt_nfkc" && name != "nfkc_cf" && name != "nmt_nfkc_cf") {
    return Error{Errc::unsupported, 0,
                 concat({"no normalisation rule is called ", name, "; there are identity, nfkc, nmt_nfkc, nfkc_cf, nmt_nfkc_cf"})};
  }
  CharsmapRules rules = impl::Nfkc(version).take();
  if (name.starts_with("nmt_")) impl::add_nmt(rules);
  if (name.ends_with("_cf")) impl::add_case_folding(rules, version);
  return rules;
}

/// Rules from TSV rows: code points in hex, separated by spaces (U+ allowed) | TAB | the same of the replacement, or nothing;
/// further fields are ignored.
[[nodiscard]] inline Result<CharsmapRules> normalization_rules_from_tsv(std::string_view tsv) {
  CharsmapRules rules;
  std::uint64_t offset = 0;
  while (!tsv.empty()) {
    const std::size_t lf = tsv.find('\n');
    const std::string_view row = tsv.substr(0, lf);
    const std::size_t size = lf == std::string_view::npos ? tsv.size() : lf + 1;
    std::string parts[2];
    std::size_t field = 0;
    const auto bad = [&](const char* what) { return Error{Errc::bad_value, offset, std::string("normalisation rules: ") + what}; };
    for (std::size_t at = 0; at < row.size() && field < 2;) {
      if (row[at] == ' ' || row[at] == '\r') {
        ++at;
      } else if (row[at] == '\t') {
        ++field;
        ++at;
      } else {
        if (row.substr(at).starts_with("U+")) at += 2;
        std::uint32_t c = 0;
        std::size_t digits = 0;
        for (; at < row.size() && row[at] != ' ' && row[at] != '\t' && row[at] != '\r'; ++at, ++digits) {
          const char d = row[at];
          const int v = d >= '0' && d <= '9' ? d - '0' : d >= 'a' && d <= 'f' ? d - 'a' + 10 : d >= 'A' && d <= 'F' ? d - 'A' + 10 : -1;
          if (v < 0 || digits == 6) return bad("a code point is not up to six hex digits");
          c = c << 4 | static_cast<std::uint32_t>(v);
        }
        if (digits == 0 || c == 0 || !is_scalar_value(c)) return bad("a code point is outside 1..10FFFF or a surrogate");
        utf8_append(parts[field], c);
      }
    }
    if (!row.empty()) {
      if (parts[0].empty()) return bad("a row has nothing to replace");
      rules.emplace_back(std::move(parts[0]), std::move(parts[1]));
    }
    tsv.remove_prefix(size);
    offset += size;
  }
  return rules;
}

}  // namespace v0
}  // namespace midigpt
