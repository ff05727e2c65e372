#!/usr/bin/env bash
# The README's compiler line as printed there, with each compiler that is present; the program must start and refuse
# a folder that does not exist in one line and with exit code 1.
#   one_line.sh SOURCE_DIR WORK_DIR
set -euo pipefail
cd "$1"
mkdir -p "$2"
line=$(grep -m1 -E '^c\+\+ .*examples/train_tiny\.cpp' README.md)
for compiler in g++ clang++; do
  command -v "$compiler" >/dev/null || { echo "skipped: no $compiler here"; continue; }
  command=${line/#c++/$compiler}
  command=${command/%-o train_tiny/-o $2/train_tiny_$compiler}
  echo "$command"
  start=$SECONDS
  $command
  echo "$compiler: $((SECONDS - start)) s"
  code=0
  message=$("$2/train_tiny_$compiler" /no/such/folder 2>&1 >/dev/null) || code=$?
  echo "exit code $code: $message"
  [ "$code" -eq 1 ] && [ "$(wc -l <<<"$message")" -eq 1 ]
done
