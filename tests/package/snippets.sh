#!/usr/bin/env bash
# Compiles every ```cpp block of README.md and docs/*.md: a block with main() as it is, another inside a function.
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
for snippet in "$work"/*.cpp; do
  if ! grep -q 'int main(' "$snippet"; then
    { echo '#include <midigpt/midigpt.hpp>'
      echo '#include <cstdio>'
      grep -E '^#include' "$snippet" || true
      if grep -qE '^(template|struct|class|concept|inline) ' "$snippet"; then grep -vE '^#include' "$snippet"
      else echo 'using namespace midigpt;'; echo 'void snippet() {'; grep -vE '^#include' "$snippet"; echo '}'; fi
    } >"$snippet.tmp"
    mv "$snippet.tmp" "$snippet"
  fi
  "$compiler" -std=c++20 -fsyntax-only -I"$source/include" "$@" "$snippet" || { echo "does not compile: $snippet"; exit 1; }
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
