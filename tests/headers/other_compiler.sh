#!/usr/bin/env bash
# Every translation unit of the build, parsed by the other compiler with all warnings as errors.
#   other_compiler.sh BUILD_DIR COMPILER
set -euo pipefail
command -v "$2" >/dev/null || { echo "skipped: no $2 here"; exit 77; }
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Werror"
grep -o '"command": ".*"' "$1/compile_commands.json" | sed -e 's/^"command": "//' -e 's/"$//' -e 's/\\\\/\x01/g' -e 's/\\"/"/g' -e 's/\x01/\\/g' |
  grep -v verify_interface_header_sets |
  sed -E -e "s#^[^ ]+#$2#" -e 's# -o [^ ]+##' -e "s# -c # $warnings -fsyntax-only #" >"$1/other_compiler.txt"
[ -s "$1/other_compiler.txt" ]
cd "$1"
xargs -P"$(nproc)" -d'\n' -I{} sh -c '{} || { echo "failed: {}"; exit 255; }' <other_compiler.txt
echo "$(wc -l <other_compiler.txt) translation units"
