#!/usr/bin/env bash
# Seconds (user) and peak memory to compile: Eigen/Core alone, the umbrella alone, examples/train_tiny.cpp; as ratios.
#   bash bench/compile_time.sh [COMPILER...]      median of 3, -O2
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo '#include <Eigen/Core>' >"$work/eigen.cpp"
echo '#include <midigpt/midigpt.hpp>' >"$work/umbrella.cpp"
cp examples/train_tiny.cpp "$work/train_tiny.cpp"
for compiler in "${@:-c++}"; do
  for unit in eigen umbrella train_tiny; do
    for _ in 1 2 3; do
      /usr/bin/time -f '%U %M' -o "$work/time" "$compiler" -std=c++20 -O2 -Iinclude -I/usr/include/eigen3 -c "$work/$unit.cpp" -o "$work/o"
      tail -1 "$work/time"
    done | sort -n | sed -n 2p | sed "s/^/$unit /"
  done | awk -v c="$compiler" '{if (!s) {s = $2; m = $3} printf "%-8s %-10s %6.2f s (%.2f x)  %5.0f MB (%.2f x)\n", c, $1, $2, $2 / s, $3 / 1024, $3 / m}'
done
