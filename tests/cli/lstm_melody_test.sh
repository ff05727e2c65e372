#!/usr/bin/env bash
# Version 1's program: two seconds of training lower the held-out bits, and its file is music.
#   lstm_melody_test.sh LSTM_MELODY MIDIGPT WORK_DIR
set -euo pipefail
lstm_melody=$1 midigpt=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
cd "$work"
"$lstm_melody" 2 >stdout
cat stdout
first=$(awk '/^step     0/ {print $(NF - 3)}' stdout) last=$(awk '/^trained/ {print $(NF - 3)}' stdout)
awk -v a="$first" -v b="$last" 'BEGIN {exit !(b < 0.8 * a)}' || { echo "$first bits per note at first, $last after training"; exit 1; }
"$midigpt" info out/lstm_melody.mid | tee info
grep -q 125 info || { echo 'not 125 notes'; exit 1; }
