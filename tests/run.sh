#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests. In CI warnings are errors.
#   bash tests/run.sh              MIDIGPT_PRESET=asan bash tests/run.sh for another preset than dev
set -euo pipefail
cd "$(dirname "$0")/.."

bash tests/setup.sh
preset=${MIDIGPT_PRESET:-dev}
jobs=$(nproc 2>/dev/null || echo 2)

cmake --preset "$preset" ${CI:+-DCMAKE_COMPILE_WARNING_AS_ERROR=ON}
cmake --build --preset "$preset" --parallel "$jobs"
ctest --preset "$preset" --parallel "$jobs"
