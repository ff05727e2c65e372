#!/usr/bin/env bash
# Compiles every ```cpp block of README.md and docs/*.md: a block with main() as it is, another as statements or as
# definitions after the umbrella.
# The first README program that reads song.mid is also run.
#   snippets.sh SOURCE_DIR WORK_DIR COMPILER MIDIGPT_PROGRAM [compiler flags...]
set -euo pipefail
source=$1 work=$2 compiler=$3 midigpt=$4
shift 4
rm -rf "$work"
mkdir -p "$work"
for page in "$source"/README.md "$source"/docs/*.md; do
  awk -v stem="$work/$(basename "$page" .md)" '
    /^```cpp/ {n++; file = stem "_" n ".cpp"; inside = 1; next}
    /^```/ {inside = 0}
    inside {print > file}' "$page"
done
count=0
# the umbrella is parsed once: a file beside its precompiled form, found first
mkdir -p "$work/parsed/midigpt"
"$compiler" -std=c++20 -pthread -I"$source/include" "$@" -x c++-header "$source/include/midigpt/midigpt.hpp" -o "$work/parsed/midigpt/midigpt.hpp.gch"
compiles() { "$compiler" -std=c++20 -pthread -fsyntax-only -I"$work/parsed" -I"$source/include" "$@" 2>>"$work/errors"; }
for snippet in "$work"/*.cpp; do
  : >"$work/errors"
  if grep -q 'int main(' "$snippet"; then
    compiles "$@" "$snippet"
  else
    includes=$(grep -E '^#include' "$snippet" || true)
    body=$(grep -vE '^#include' "$snippet")
    head=$'#include <midigpt/midigpt.hpp>\n#include <cstdio>\n'"$includes"$'\nusing namespace midigpt;\n'
    printf '%s\nvoid snippet() {\n%s\n}\n' "$head" "$body" >"$work/statements.cc"
    printf '%s\n%s\n' "$head" "$body" >"$work/definitions.cc"
    compiles "$@" "$work/statements.cc" || compiles "$@" "$work/definitions.cc"
  fi || { cat "$work/errors"; echo "does not compile: $snippet"; exit 1; }
  count=$((count + 1))
done
echo "$count snippets compile"
first=$(grep -l 'song.mid' "$work"/README_*.cpp | head -1)
"$compiler" -std=c++20 -O1 -pthread -I"$source/include" "$@" "$first" -o "$work/first"
cd "$work"
"$midigpt" dice -o song.mid
./first >text.txt
[ -s text.txt ] && ls -l "$work"/*.mid
[ "$(find . -name '*.mid' | wc -l)" -eq 2 ]
