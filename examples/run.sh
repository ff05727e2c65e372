#!/usr/bin/env bash
# From music to a trained model to new music, in one command.
#   bash examples/run.sh                 on music this program makes itself
#   bash examples/run.sh PATH/TO/MIDI    on your own folder (.mid .midi .rmi, searched recursively)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
input=()
if [ $# -gt 0 ]; then
  [ -e "$1" ] || { echo "run.sh: $1: no such file or folder" >&2; exit 1; }
  input=("$(cd "$(dirname "$1")" && pwd)/$(basename "$1")")
fi
cd "$here"

bash tests/setup.sh
cmake --preset release >/dev/null
cmake --build --preset release --target start --parallel "$(nproc 2>/dev/null || echo 2)"
exec ./build/release/train_tiny "${input[@]}"
