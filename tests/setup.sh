#!/usr/bin/env bash
# Installs what building and testing need, through apt (Debian 12, Ubuntu 23.04 or newer). The one list of packages.
#   bash tests/setup.sh           what README's commands need
#   bash tests/setup.sh --peers   also the programs that some tests compare with; without them those tests are skipped
set -euo pipefail

packages=(g++ make cmake libeigen3-dev doctest-dev libbenchmark-dev libcli11-dev)
peers=(clang libclang-rt-14-dev sentencepiece libsentencepiece-dev python3-mido python3-numpy python3-torch libopenblas0-openmp)
case "${1-}" in
  "") ;;
  --peers) packages+=("${peers[@]}") ;;
  *) echo "usage: bash tests/setup.sh [--peers]" >&2; exit 2 ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  for tool in c++ cmake make; do
    command -v "$tool" >/dev/null || { echo "setup: $tool is missing and this system has no apt; install the equivalents of: ${packages[*]}" >&2; exit 1; }
  done
  echo "setup: no apt here; trusting that Eigen, doctest, Google Benchmark and CLI11 are installed" >&2
  exit 0
fi

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

run_as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    run_as_root=(sudo)
  else
    echo "setup: missing packages; run this as root, then start again:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${run_as_root[@]}" apt-get update -q >/dev/null
"${run_as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
