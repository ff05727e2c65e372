#!/usr/bin/env bash
# The program `midigpt` as a user calls it: every command, its exit codes, what it prints where, what it leaves behind.
#   cli_test.sh PATH/TO/midigpt WORK_DIR
set -uo pipefail
midigpt=$1 work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
passed=0 failed=0

ok() { passed=$((passed + 1)); }
no() { failed=$((failed + 1)); echo "FAILED: $*"; }
# expect CODE WORDS... : the exit code; a failure is said in one line on stderr that starts with the program
expect() {
  local want=$1 code=0
  shift
  "$@" >stdout 2>stderr </dev/null || code=$?
  if [ "$code" -ne "$want" ]; then no "exit code $code, not $want: $*"; cat stderr; return; fi
  if [ "$want" -ne 0 ] && [ "$(grep -cE '^(midigpt|spm_)' stderr)" -ne 1 ]; then no "not one line that says what is wrong: $*"; cat stderr; return; fi
  ok
}
has() { if grep -q -- "$2" "$1"; then ok; else no "no '$2' in $1"; head -3 "$1"; fi; }
exists() { for f in "$@"; do if [ -s "$f" ]; then ok; else no "missing: $f"; fi; done; }
absent() { for f in "$@"; do if [ -e "$f" ]; then no "left behind: $f"; else ok; fi; done; }
same() { if cmp -s "$1" "$2"; then ok; else no "$1 and $2 differ"; fi; }

# help, version, wrong use
expect 0 "$midigpt" --help
has stdout dice
expect 0 "$midigpt" --version
has stdout '0\.'
for command in dice info pack unpack train generate eval; do
  expect 0 "$midigpt" "$command" --help
  grep -qi example stdout && ok || no "$command --help has no example"
done
for command in spm_train spm_encode spm_decode; do
  expect 0 "$midigpt" "$command" --help
done
expect 2 "$midigpt"
expect 2 "$midigpt" nonsense
expect 2 "$midigpt" dice --bars many -o x.mid
expect 2 "$midigpt" dice
expect 2 "$midigpt" dice --key H7 -o x.mid
expect 2 "$midigpt" dice --style polka -o x.mid
absent x.mid

# dice
mkdir music
for seed in $(seq 1 30); do "$midigpt" dice --seed "$seed" -o "music/$seed.mid" || no "dice $seed"; done
exists music/1.mid music/30.mid
expect 0 "$midigpt" dice --key Am --bars 4 --style band --seed 7 -o a.mid --wav a.wav --svg a.svg
exists a.mid a.wav a.svg
expect 0 "$midigpt" dice --key Am --bars 4 --style band --seed 7 -o b.mid
same a.mid b.mid
for style in melody chords drums band; do expect 0 "$midigpt" dice --style $style -o "$style.mid"; done
expect 1 "$midigpt" dice -o no/such/folder/x.mid

# info
expect 0 "$midigpt" info a.mid
has stdout a.mid
expect 0 "$midigpt" info a.mid b.mid --json
for key in file format division tracks notes seconds mended; do has stdout "\"$key\""; done
expect 1 "$midigpt" info missing.mid
has stderr missing.mid
echo nonsense >bad.mid
expect 1 "$midigpt" info bad.mid
has stderr bad.mid

# pack and unpack: text -> MIDI -> text is a fixed point (a MIDI file cannot say two notes of one pitch inside each
# other on one channel, so the first trip may change such a pair)
for codec in multitrack theremin theremin-compat; do
  expect 0 "$midigpt" pack music -o "$codec.txt" --codec $codec
  exists "$codec.txt"
  [ "$(wc -l <"$codec.txt")" -eq 30 ] && ok || no "$codec: not one line a piece"
done
expect 0 "$midigpt" unpack multitrack.txt -o unpacked
[ "$(ls unpacked/*.mid | wc -l)" -eq 30 ] && ok || no "unpack: not one file a line"
expect 0 "$midigpt" pack unpacked -o once.txt
[ "$(cmp -l multitrack.txt once.txt | wc -l)" -le 20 ] && ok || no "pack, unpack, pack changes more than nested notes"
expect 0 "$midigpt" unpack once.txt -o unpacked_again
expect 0 "$midigpt" pack unpacked_again -o twice.txt
same once.txt twice.txt
mkdir empty text
echo hello >text/readme.txt
expect 1 "$midigpt" pack empty -o none.txt
expect 1 "$midigpt" pack text -o none.txt
expect 1 "$midigpt" pack /no/such/folder -o none.txt
expect 1 "$midigpt" pack music -o no/such/folder/x.txt
absent none.txt
cp bad.mid music/zz_bad.mid
expect 0 "$midigpt" pack music -o with_bad.txt
has stderr zz_bad.mid
same multitrack.txt with_bad.txt

# the SentencePiece programs
expect 0 "$midigpt" spm_train --input=multitrack.txt --model_prefix=m --vocab_size=1600 --model_type=bpe \
  --normalization_rule_name=identity --byte_fallback=true --character_coverage=0.98 --hard_vocab_limit=false --max_sentence_length=1000000
exists m.model m.vocab
"$midigpt" spm_encode --model=m.model --output_format=id <multitrack.txt >ids.txt && ok || no spm_encode
"$midigpt" spm_decode --model=m.model --input_format=id <ids.txt >decoded.txt && ok || no spm_decode
same multitrack.txt decoded.txt
expect 1 "$midigpt" spm_train --input=missing.txt --model_prefix=n
absent n.model n.vocab
expect 1 "$midigpt" spm_encode --model=missing.model

# train, resume, generate, eval
expect 0 "$midigpt" train music -o run --preset nano --steps 6 --seed 3
exists run/model.safetensors run/tokenizer.model run/tokenizer.vocab run/log.csv run/curve.svg
expect 0 "$midigpt" train music -o run2 --preset nano --steps 6 --seed 3
same run/model.safetensors run2/model.safetensors
same run/tokenizer.model run2/tokenizer.model
# Ctrl-C: the step is finished, the state saved, and resuming ends in the same bytes as never having stopped
"$midigpt" train music -o whole --preset nano --steps 60 --seed 3 2>/dev/null >&2 && ok || no "train whole"
"$midigpt" train music -o half --preset nano --steps 60 --seed 3 >stdout 2>stderr &
pid=$!
for _ in $(seq 1 200); do [ -s half/log.csv ] && [ "$(wc -l <half/log.csv)" -gt 2 ] && break; sleep 0.05; done
kill -INT $pid
wait $pid
[ $? -eq 130 ] && ok || no "Ctrl-C: exit code"
has stderr --resume
expect 0 "$midigpt" train music -o half --resume
same whole/model.safetensors half/model.safetensors
# rows of other makes; a run keeps its own
expect 0 "$midigpt" train music -o lines --preset nano --steps 6 --packing lines
has stderr 'steps of 16 x 31 tokens'
has lines/settings.json '"packing": "lines"'
cp lines/model.safetensors lines.safetensors
expect 0 "$midigpt" train music -o lines --resume --packing packed
same lines/model.safetensors lines.safetensors
expect 0 "$midigpt" generate --model lines -o from_lines.mid
exists from_lines.mid
expect 0 "$midigpt" train music -o plain --preset nano --steps 6 --seed 3 --no-features
has plain/settings.json '"token_features": false'
same plain/tokenizer.model run/tokenizer.model
cmp -s plain/model.safetensors run/model.safetensors && no "--no-features changes nothing" || ok
cp plain/model.safetensors plain.safetensors
expect 0 "$midigpt" train music -o plain --resume
same plain/model.safetensors plain.safetensors
expect 0 "$midigpt" generate --model plain -o from_plain.mid
exists from_plain.mid
expect 2 "$midigpt" train music -o run4 --packing circles
absent run4
expect 0 "$midigpt" generate --model run --seed 5 -o g.mid --count 2
exists g-1.mid g-2.mid
expect 0 "$midigpt" generate --model run --seed 5 -o h.mid --count 2
same g-1.mid h-1.mid
expect 0 "$midigpt" generate --model run --prompt music/1.mid --temperature 0.9 --top-k 40 --top-p 0.95 -o p.mid
exists p.mid
expect 0 "$midigpt" eval --model run music --json
for key in files notes tokens bits_per_note nats_per_token tokens_per_note markov2_bits_per_note; do has stdout "\"$key\""; done
expect 1 "$midigpt" eval --model missing music
expect 1 "$midigpt" generate --model missing -o x.mid
expect 1 "$midigpt" train empty -o run3
absent run3 x.mid
head -c 1000 run/model.safetensors >cut.safetensors
expect 1 "$midigpt" generate --model cut.safetensors -o x.mid
absent x.mid
expect 2 "$midigpt" train music -o run4 --preset enormous

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
