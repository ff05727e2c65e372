#!/usr/bin/env bash
# The main job end to end: what train_tiny leaves behind, twice with the same bytes; and that other programs open it.
#   whole_way_test.sh TRAIN_TINY MIDIGPT WORK_DIR
set -euo pipefail
train_tiny=$1 midigpt=$2 work=$3
rm -rf "$work"
mkdir -p "$work/demo"
cd "$work/demo"
"$train_tiny" >stdout 2>stderr
cat stdout
for f in piece-{1,2,3}.{mid,wav,svg} model.safetensors tokenizer.model tokenizer.vocab curve.svg log.csv; do
  [ -s "out/$f" ] || { echo "missing: out/$f"; exit 1; }
done
for word in 'notes' 'code points' 'tokens per note' 'bits/note' uniform 'order-0 Markov' 'order-2 Markov' 'next: '; do
  grep -q -- "$word" stdout || { echo "the table lacks: $word"; exit 1; }
done
gpt=$(awk '/this GPT/ {print $NF}' stdout) markov=$(awk '/order-2 Markov/ {print $NF}' stdout)
awk -v g="$gpt" -v m="$markov" 'BEGIN {exit !(g < m)}' || { echo "the GPT ($gpt bits per note) does not beat order 2 ($markov)"; exit 1; }

cd "$work"
for seed in $(seq 1 40); do "$midigpt" dice --seed "$seed" --bars 4 -o "$(printf 'm%02d.mid' "$seed")"; done
mkdir music && mv m*.mid music
for threads in 1 2; do
  "$midigpt" train music -o "run$threads" --preset nano --steps 20 --batch-size 6 --seed 5 --threads $threads 2>/dev/null >&2
  "$midigpt" generate --model "run$threads" --seed 9 -o "gen$threads.mid" 2>/dev/null
done
cmp run1/model.safetensors run2/model.safetensors
cmp run1/tokenizer.model run2/tokenizer.model
cmp gen1.mid gen2.mid
echo "1 and 2 threads: the same bytes"

"$midigpt" pack music -o packed.txt 2>/dev/null
"$midigpt" spm_encode --model=demo/out/tokenizer.model --output_format=id <packed.txt >ours.ids
if command -v spm_encode >/dev/null; then
  spm_encode --model=demo/out/tokenizer.model --output_format=id <packed.txt >theirs.ids
  cmp ours.ids theirs.ids
  echo "spm_encode: $(wc -w <ours.ids) ids, the same"
else
  echo "skipped: no spm_encode here"
fi
python=$(command -v -p python3 || true)
if [ -n "$python" ] && "$python" -c 'import mido' 2>/dev/null; then
  "$python" -W error - demo/out/piece-*.mid gen1.mid music/*.mid <<'PY'
import sys, mido
notes = 0
for path in sys.argv[1:]:
    midi = mido.MidiFile(path, clip=False)
    notes += sum(m.type == 'note_on' and m.velocity > 0 for t in midi.tracks for m in t)
    assert midi.length > 0, path
assert notes > 0
print(f'mido: {len(sys.argv) - 1} files, {notes} notes')
PY
else
  echo "skipped: no mido here"
fi
