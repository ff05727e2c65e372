#include <midigpt/token/charsmap_builder.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/token/charsmap.hpp>

using namespace midigpt;

namespace {

/// A blob taken apart as its layout is written down, beside Charsmap: it follows every label and stops at none.
struct Blob {
  std::vector<std::uint32_t> units;
  std::string pool;

  explicit Blob(const std::string& blob) {
    const auto u32 = [&](std::size_t at) {
      std::uint32_t v = 0;
      for (std::size_t i = 4; i-- > 0;) v = v << 8 | static_cast<unsigned char>(blob.at(at + i));
      return v;
    };
    const std::size_t bytes = u32(0);
    for (std::size_t at = 4; at < 4 + bytes; at += 4) units.push_back(u32(at));
    pool = blob.substr(4 + bytes);
  }
  [[nodiscard]] std::size_t children(std::size_t unit) const {
    const std::uint32_t u = units[unit];
    return unit ^ ((u >> 9 & 1u) != 0 ? u >> 10 << 8 : u >> 10);
  }
  /// The unit that `label` leads to, 0 if none.
  [[nodiscard]] std::size_t step(std::size_t unit, std::uint32_t label) const {
    const std::size_t at = children(unit) ^ label;
    return at < units.size() && (units[at] & 0x800000FFu) == label ? at : 0;
  }
  [[nodiscard]] const char* replacement(std::size_t unit) const {
    if ((units[unit] & 0x100u) == 0) return nullptr;
    const std::uint32_t value = units.at(children(unit));
    return (value & 0x80000000u) != 0 && (value & 0x7FFFFFFFu) < pool.size() ? &pool[value & 0x7FFFFFFFu] : "(outside)";
  }
};

/// How many labels lead where no key does, or not where one does, and how many keys have another replacement.
int count_wrong(const Blob& blob, const std::map<std::string, std::string>& rules) {
  int wrong = 0;
  std::vector<std::pair<std::string, std::size_t>> open{{"", 0}};
  std::size_t found = 0;
  while (!open.empty()) {
    const auto [key, unit] = open.back();
    open.pop_back();
    const auto rule = rules.find(key);
    const char* to = blob.replacement(unit);
    wrong += (to != nullptr) != (rule != rules.end()) || (to != nullptr && to != rule->second);
    found += to != nullptr;
    for (std::uint32_t label = 1; label < 256; ++label) {
      const std::string longer = key + static_cast<char>(label);
      const auto at = rules.lower_bound(longer);
      const bool leads = at != rules.end() && at->first.starts_with(longer);
      const std::size_t next = blob.step(unit, label);
      wrong += (next != 0) != leads;
      if (next != 0 && leads) open.emplace_back(longer, next);
    }
  }
  return wrong + static_cast<int>(rules.size() - found);
}

std::string random_text(Rng& rng, int low, int high) {
  std::string text;
  for (int k = rng.between(low, high); k > 0; --k)
    text += static_cast<char>(rng.chance(0.3) ? rng.between(-128, -1) : rng.between('a', 'd'));
  return text;
}

CharsmapRules random_rules(Rng& rng) {
  CharsmapRules rules;
  const int n = rng.between(1, 60);
  for (int i = 0; i < n; ++i) rules.emplace_back(random_text(rng, 1, 5), random_text(rng, 0, 2));
  return rules;
}

/// Of equal keys the first counts.
std::map<std::string, std::string> first_of(const CharsmapRules& rules) {
  std::map<std::string, std::string> first;
  for (const auto& [key, text] : rules) first.emplace(key, text);
  return first;
}

}  // namespace

TEST_CASE("charsmap builder: every label of every state leads where a std::map of the rules says, and nowhere else") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng(seed, 1);
    const CharsmapRules rules = random_rules(rng);
    const Blob blob(compile_charsmap(rules));
    wrong += count_wrong(blob, first_of(rules));
    std::set<std::string> texts;  // each once, in byte order
    for (const auto& rule : rules) texts.insert(rule.second);
    std::string pool;
    for (const std::string& text : texts) pool += text + '\0';
    wrong += blob.pool != pool;
  }
  CHECK(wrong == 0);
}

TEST_CASE("charsmap builder: a compiled map finds the longest key, as a search through the rules does") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    const CharsmapRules rules = random_rules(rng);
    auto first = first_of(rules);
    const auto map = Charsmap::create(compile_charsmap(rules));
    REQUIRE(map);
    std::map<std::string, std::string> read_back;
    map->for_each([&](std::string_view key, std::string_view text) { read_back.emplace(key, text); });
    wrong += read_back != first;
    for (int i = 0; i < 100; ++i) {
      const std::string text = random_text(rng, 1, 8);
      std::size_t want = 0;
      for (std::size_t n = 1; n <= text.size(); ++n) want = first.contains(text.substr(0, n)) ? n : want;
      const CharsmapMatch got = map->longest(text);
      wrong += got.bytes != want || (want != 0 && got.replacement != first[text.substr(0, want)]);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("charsmap builder: more units than the window of free ones still lead nowhere else") {
  for (const std::uint32_t letters : {3000u, 30000u}) {  // dense beginnings, sparse ones
    Rng rng(letters, 2);
    CharsmapRules rules;
    for (int i = 0; i < 4000; ++i) {
      std::string key;
      for (int k = rng.between(1, 3); k > 0; --k) utf8_append(key, 0x80 + rng.below(letters));
      rules.emplace_back(key, std::to_string(rng.below(2000)));
    }
    const Blob blob(compile_charsmap(rules));
    CHECK(blob.units.size() > 4096 + 256);
    CHECK(blob.units.size() % 256 == 0);
    CHECK(count_wrong(blob, first_of(rules)) == 0);
  }
}

TEST_CASE("charsmap builder: all 255 bytes as keys, one key inside another, and states two million units apart") {
  CharsmapRules rules;
  for (int c = 1; c < 256; ++c) {
    rules.emplace_back(std::string(1, static_cast<char>(c)), std::to_string(c));
    rules.emplace_back(std::string(2, static_cast<char>(c)), "");
  }
  CHECK(count_wrong(Blob(compile_charsmap(rules)), first_of(rules)) == 0);

  const std::string far((std::size_t{1} << 21) + 1000, 'a');  // behind it an offset has too few bits to be exact
  const Blob blob(compile_charsmap(
      {{"Atail", "T"}, {far, "long"}, {"b", "B"}, {"bcd", "C"}, {"b1tail", "T"}, {"b2tail", "T"}, {"xyz", "D"}}));
  CHECK(blob.units.size() > std::size_t{1} << 21);
  const auto find = [&](std::string_view key) {
    std::size_t unit = 0;
    for (const char c : key) {
      unit = blob.step(unit, static_cast<unsigned char>(c));
      if (unit == 0) return std::string("none");
    }
    const char* to = blob.replacement(unit);
    return std::string(to != nullptr ? to : "inner");
  };
  CHECK(find(far) == "long");
  CHECK(find(far.substr(1)) == "inner");
  CHECK(find("b") == "B");
  CHECK(find("bc") == "inner");
  CHECK(find("bcd") == "C");
  CHECK(find("xyz") == "D");
  for (const char* key : {"Atail", "b1tail", "b2tail"}) CHECK(find(key) == "T");  // one tail, too far to be shared
  CHECK(find("bd") == "none");
}

TEST_CASE("charsmap builder: equal tails are kept once") {
  CharsmapRules same, other;
  for (char a = 'a'; a <= 'p'; ++a) {
    for (char b = 'a'; b <= 'p'; ++b) {
      const std::string key = std::string{a, b} + std::string(40, 'z');
      same.emplace_back(key, "one");
      other.emplace_back(key, std::to_string(same.size()));
    }
  }
  CHECK(Blob(compile_charsmap(same)).units.size() <= 1024);       // 1 + 16 + 256 states and one tail
  CHECK(Blob(compile_charsmap(other)).units.size() >= 256 * 40);  // a tail for each
  CHECK(count_wrong(Blob(compile_charsmap(same)), first_of(same)) == 0);

  CharsmapRules once, twice;  // some thousand different states, then all of them again
  for (int i = 0; i < 300; ++i) {
    const std::string tail = std::to_string(i * 7919) + std::string(10, 'z'), text = std::to_string(i);
    once.emplace_back("a" + tail, text);
    twice.emplace_back("a" + tail, text);
    twice.emplace_back("b" + tail, text);
  }
  CHECK(Blob(compile_charsmap(once)).units.size() > 3000);
  CHECK(Blob(compile_charsmap(twice)).units.size() <= Blob(compile_charsmap(once)).units.size() + 256);
}

TEST_CASE("charsmap builder: the order of rules with different keys does not matter, of equal keys the first counts") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed, 3);
    const CharsmapRules rules = random_rules(rng);
    const auto first = first_of(rules);
    CharsmapRules ordered(first.begin(), first.end());
    const std::string blob = compile_charsmap(ordered);
    rng.shuffle(std::span(ordered));
    CHECK(compile_charsmap(ordered) == blob);
  }
  CHECK(compile_charsmap({{"a", "1"}, {"a", "1"}, {"b", ""}}) == compile_charsmap({{"b", ""}, {"a", "1"}}));
  CHECK(Charsmap::create(compile_charsmap({{"a", "1"}, {"a", "0"}}))->longest("a").replacement == "1");
  CHECK(compile_charsmap({}).empty());
}

TEST_CASE("charsmap builder: rules are sorted by unsigned bytes, stably, as std::stable_sort does") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed, 4);
    CharsmapRules rules;
    for (int i = 0; i < 300; ++i) {  // many equal up to the eighth byte, shorter ones, and both signs of char
      std::string key = std::string(rng.below(10), 'a') + random_text(rng, 0, 2);
      rules.emplace_back(key, random_text(rng, 0, 12));
    }
    for (const auto member : {&CharsmapRules::value_type::first, &CharsmapRules::value_type::second}) {
      std::vector<std::uint32_t> want(rules.size());
      std::iota(want.begin(), want.end(), 0u);
      std::stable_sort(want.begin(), want.end(), [&](std::uint32_t a, std::uint32_t b) {
        const auto less = [](char x, char y) { return static_cast<unsigned char>(x) < static_cast<unsigned char>(y); };
        const std::string &x = rules[a].*member, &y = rules[b].*member;
        return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end(), less);
      });
      CHECK(detail::charsmap_builder::byte_order(rules, member) == want);
    }
  }
}
