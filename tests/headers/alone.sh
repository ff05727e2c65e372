#!/usr/bin/env bash
# Every header compiles alone, with all warnings as errors.
#   alone.sh SOURCE_DIR COMPILER EIGEN_DIR
set -euo pipefail
command -v "$2" >/dev/null || { echo "skipped: no $2 here"; exit 77; }
cd "$1/include"
export compiler=$2 eigen=$3
find midigpt -name '*.hpp' | LC_ALL=C sort | xargs -P"$(nproc)" -I{} bash -c 'echo "#include <{}>" |
  "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Werror \
    -I. -isystem "$eigen" -x c++ - || { echo "does not compile alone: {}"; exit 255; }'
echo "$(find midigpt -name '*.hpp' | wc -l) headers compile alone"
