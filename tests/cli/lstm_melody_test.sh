#!/usr/bin/env bash
# Version 1's program: two seconds of training lower what it measures, and its files are music; V1+ and the author's net.
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

"$lstm_melody" --author 2 >stdout
cat stdout
first=$(awk '/^start/ {print $NF}' stdout) last=$(awk '/^trained/ {print $NF}' stdout)
awk -v a="$first" -v b="$last" 'BEGIN {exit !(b < 0.8 * a)}' || { echo "a loss of $first at first, $last after training"; exit 1; }
"$midigpt" info out/lstm_author.mid | tee info
grep -q 145 info || { echo 'not 145 notes'; exit 1; }
