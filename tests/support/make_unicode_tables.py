#!/usr/bin/env python3
"""Writes include/midigpt/token/unicode_tables.hpp from the Unicode Character Database.

usage: make_unicode_tables.py UCD_FOLDER > include/midigpt/token/unicode_tables.hpp
UCD_FOLDER holds UnicodeData.txt, DerivedAge.txt, DerivedNormalizationProps.txt, CaseFolding.txt and Scripts.txt
(Debian: package unicode-data, /usr/share/unicode)."""
import re
import sys

OLD = (13, 0)  # characters younger than this are marked
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"


def rows(path):
    for line in open(path, encoding="utf-8"):
        line = line.split("#")[0].strip()
        if line:
            yield [f.strip() for f in line.split(";")]


def span(field):
    low, _, high = field.partition("..")
    return range(int(low, 16), int(high or low, 16) + 1)


def points(field):
    return [int(x, 16) for x in field.split()]


class Ucd:
    def __init__(self, folder):
        self.age, self.ccc, self.mapping, self.excluded, self.fold, self.canonical = {}, {}, {}, set(), {}, {}
        for f in rows(folder + "/DerivedAge.txt"):
            for c in span(f[0]):
                self.age[c] = tuple(int(x) for x in f[1].split("."))
        for f in rows(folder + "/UnicodeData.txt"):
            c = int(f[0], 16)
            if f[3] != "0":
                self.ccc[c] = int(f[3])
            if f[5]:
                compatible = f[5].startswith("<")
                self.mapping[c] = points(f[5].partition("> ")[2] if compatible else f[5])
                if not compatible:
                    self.canonical[c] = self.mapping[c]
        for f in rows(folder + "/DerivedNormalizationProps.txt"):
            if f[1] == "Full_Composition_Exclusion":
                self.excluded.update(span(f[0]))
        for f in rows(folder + "/CaseFolding.txt"):
            if f[1] in "CS":
                self.fold[int(f[0], 16)] = points(f[2])
        self.composed = {tuple(d): c for c, d in self.canonical.items() if c not in self.excluded and len(d) == 2}

    def full(self, c):
        return [y for x in self.mapping[c] for y in self.full(x)] if c in self.mapping else [c]

    def nfkd(self, c):
        out, i = self.full(c), 0
        while i < len(out):
            j = i
            while j < len(out) and self.ccc.get(out[j], 0) != 0:
                j += 1
            out[i:j] = sorted(out[i:j], key=lambda x: self.ccc[x])
            i = max(j, i + 1)
        return out

    def pair(self, a, b):
        if 0x1100 <= a < 0x1113 and 0x1161 <= b < 0x1176:
            return 0xAC00 + ((a - 0x1100) * 21 + b - 0x1161) * 28
        if 0xAC00 <= a < 0xD7A4 and (a - 0xAC00) % 28 == 0 and 0x11A7 < b < 0x11C3:
            return a + b - 0x11A7
        return self.composed.get((a, b))

    def nfkc(self, c):
        out, starter, last = [], None, 0
        for x in self.nfkd(c):
            k = self.ccc.get(x, 0)
            if starter is not None and (last < k or last == 0 and len(out) - 1 == starter):
                whole = self.pair(out[starter], x)
                if whole is not None:
                    out[starter] = whole
                    continue
            out.append(x)
            if k == 0:
                starter, last = len(out) - 1, 0
            else:
                last = k
        return out


def scripts(folder):
    """Script changes: (first code point, script number); Common is 0, Inherited 1, Han 2, the rest by name."""
    ranges = sorted((span(f[0])[0], span(f[0])[-1], f[1]) for f in rows(folder + "/Scripts.txt"))
    names = sorted({r[2] for r in ranges} - {"Common", "Inherited", "Han", "Hiragana", "Katakana"})
    number = {"Common": 0, "Inherited": 1, "Han": 2, "Hiragana": 2, "Katakana": 2}
    number.update({n: i + 3 for i, n in enumerate(names)})
    out, at, now = [], 0, 0
    for low, high, name in ranges:
        if low > at and now != 0:
            out.append((at, 0))
            now = 0
        if number[name] != now:
            out.append((low, number[name]))
            now = number[name]
        at = high + 1
    if now != 0:
        out.append((at, 0))
    return out


def numbers(name, values, width=116):
    print(f"inline constexpr std::uint32_t {name}[] = {{")
    line = "   "
    for v in values:
        item = f" {v:#x},"
        if len(line) + len(item) > width:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def packed(name, entries, age):
    """Entries (code point, mapped code points) as numbers of 5 bits a letter, the lowest first, bit 5 = more follow:
    step << 1 | younger than OLD, length, then each mapped code point as zigzag of its distance to the one before."""
    text, at, last = "", 0, 0

    def put(n):
        nonlocal text
        while n >= 32:
            text += DIGITS[n & 31 | 32]
            n >>= 5
        text += DIGITS[n]

    for c, mapped in sorted(entries.items()):
        put((c - at) << 1 | (age[c] > OLD))
        put(len(mapped))
        for x in mapped:
            put((x - last) << 1 if x >= last else ((last - x) << 1) - 1)
            last = x
        at = c
    print(f"inline constexpr std::string_view {name}[] = {{")
    for i in range(0, len(text), 112):
        print(f'    "{text[i:i + 112]}",')
    print("};")


def main():
    folder = sys.argv[1]
    version = re.search(r"Scripts-([\d.]+)\.txt", open(folder + "/Scripts.txt", encoding="utf-8").readline()).group(1)
    ucd = Ucd(folder)
    nfkc, composites = {}, {}
    for c in ucd.mapping:
        to = ucd.nfkc(c)
        if to != [c]:
            nfkc[c] = to
        elif len(ucd.nfkd(c)) > 1:
            composites[c] = ucd.nfkd(c)
    print(f"""// token/unicode_tables.hpp - Unicode {version} as compact tables. Generated by tests/support/make_unicode_tables.py.
#pragma once

#include <cstdint>
#include <string_view>

namespace midigpt {{
inline namespace v0 {{
namespace detail::unicode_tables {{

// Where the script changes: first code point << 8 | script. 0 Common, 1 Inherited, 2 Han (with Hiragana and Katakana).""")
    numbers("k_script_starts", [c << 8 | s for c, s in scripts(folder)])
    print("""
// The three below: per entry `step from the entry before << 1 | younger than Unicode 13`, length, then as many code points,
// each as the zigzag distance to the one before. Numbers in base 32, A..Za..z0..9+-, lowest digit first, +32 = more follow.

// Code point -> its NFKC, where that is another text.""")
    packed("k_nfkc", nfkc, ucd.age)
    print("\n// Code point that NFKC leaves alone -> its NFKD, where that is longer; Hangul syllables are computed.")
    packed("k_composites", composites, ucd.age)
    print("\n// Code point -> its simple case folding.")
    packed("k_case_folding", ucd.fold, ucd.age)
    print("""
}  // namespace detail::unicode_tables
}  // namespace v0
}  // namespace midigpt""")


main()
