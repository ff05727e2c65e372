#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests. In CI warnings are errors (preset dev).
#   bash tests/run.sh              MIDIGPT_PRESET=asan bash tests/run.sh for another preset
set -euo pipefail
cd "$(dirname "$0")/.."

bash tests/setup.sh
preset=${MIDIGPT_PRESET:-release}
[ -z "${CI-}" ] || preset=${MIDIGPT_PRESET:-dev}
jobs=$(nproc 2>/dev/null || echo 2)

cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$jobs"
ctest --preset "$preset" --parallel "$jobs"
