#!/usr/bin/env bash
# Makes the single header and compiles the big example against it and nothing else of ours.
#   single_header.sh SOURCE_DIR WORK_DIR COMPILER EIGEN_DIR
set -euo pipefail
mkdir -p "$2"
"$3" -std=c++20 "$1/tests/package/amalgamate.cpp" -o "$2/amalgamate"
"$2/amalgamate" "$1/include" "$2/include/midigpt/midigpt.hpp"
"$3" -std=c++20 -fsyntax-only -I"$2/include" -isystem "$4" "$1/examples/train_tiny.cpp"
echo '#include <midigpt/midigpt.hpp>
int main() { return count_notes(midigpt::dice()) > 0 ? 0 : 1; }' >"$2/use.cpp"
"$3" -std=c++20 -pthread -I"$2/include" -isystem "$4" "$2/use.cpp" -o "$2/use"
"$2/use"
