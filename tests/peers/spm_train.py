#!/usr/bin/env python3
"""Trains with random corpora and random flags, once with `midigpt spm_train`, once with SentencePiece's own spm_train, and
compares .model and .vocab byte for byte (a refused training must be refused by both).

usage: spm_train.py MIDIGPT_COMMAND [ROUNDS [SEED]]        such as: spm_train.py "build/dev/midigpt spm_train"
SPM_TRAIN names the peer's command (default: spm_train). It must be 0.2.2 or later: older ones break ties in another way.
Exits 77 when there is no such peer."""
import os
import random
import shlex
import subprocess
import sys
import tempfile


def corpus(r):
    kind = r.choice(["letters", "words", "mixed", "notes", "runs", "spaces", "hostile"])
    lines = []
    alphabet = {"mixed": "abcXYZ019.,-'éäжяλあアー漢字한국１２\u0301\u200bﬁＡ", "spaces": "ab \u2581\u3000", "hostile": "a<s>/\x01\tunk[]\ufffd\ufeff0x41>\u2585 "}
    words = ["".join(r.choice("abcdefgh0123") for _ in range(r.randint(1, 9))) for _ in range(60)]
    for _ in range(r.randint(5, 300)):
        n = r.randint(0, 60)
        if kind == "letters":
            line = "".join(r.choice("abcde ") for _ in range(n))
        elif kind == "words":
            line = " ".join(words[min(int(r.paretovariate(0.7)) - 1, 59)] for _ in range(n // 5))
        elif kind == "notes":
            line = "".join(chr(0x40000 + int(r.paretovariate(0.5)) % 3000 * 97) for _ in range(n))
        elif kind == "runs":
            line = "".join(r.choice("ab ") * r.randint(1, 9) for _ in range(n // 5))
        else:
            line = "".join(r.choice(alphabet[kind]) for _ in range(n))
        lines.append(line)
    return "\n".join(lines) + r.choice(["", "\n"])


def flags(r):
    out = ["--model_type=" + r.choice(["bpe"] * 8 + ["char", "word"]), "--num_threads=1", f"--vocab_size={r.choice([20, 40, 60, 100, 200, 400, 1000])}"]
    maybe = lambda p, *choices: out.append(r.choice(choices)) if r.random() < p else None
    maybe(0.7, "--normalization_rule_name=identity", "--normalization_rule_name=nfkc", "--normalization_rule_name=nmt_nfkc_cf")
    maybe(0.6, "--hard_vocab_limit=false")
    maybe(0.5, "--character_coverage=1.0", "--character_coverage=0.98", "--character_coverage=0.99")
    maybe(0.2, "--byte_fallback=true")
    maybe(0.2, "--split_by_whitespace=false")
    maybe(0.2, "--split_by_unicode_script=false")
    maybe(0.2, "--split_by_number=false")
    maybe(0.2, "--split_digits")
    maybe(0.2, "--treat_whitespace_as_suffix=true")
    maybe(0.2, "--allow_whitespace_only_pieces=true")
    maybe(0.2, "--remove_extra_whitespaces=false")
    maybe(0.2, "--add_dummy_prefix=false")
    maybe(0.2, "--max_sentencepiece_length=2", "--max_sentencepiece_length=5", "--max_sentencepiece_length=40")
    maybe(0.1, "--max_sentence_length=30")
    maybe(0.2, "--user_defined_symbols=ab,<x>,a", '--user_defined_symbols="a,b",c', "--user_defined_symbols=<s>")
    maybe(0.2, "--control_symbols=<c>,cd", "--control_symbols=</s>,<c>")
    maybe(0.1, "--required_chars=ab", "--required_chars=aé")
    maybe(0.1, "--unk_id=3", "--pad_id=3", "--bos_id=-1", "--eos_id=-1", "--unk_id=5")
    maybe(0.1, "--unk_piece=[UNK]", "--bos_piece=<unk>", "--unk_surface=")
    maybe(0.1, "--self_test_sample_size=1000")
    maybe(0.1, "--vocabulary_output_piece_score=false")
    maybe(0.1, "--use_all_vocab=true")
    maybe(0.1, "--pretokenization_delimiter=a")
    maybe(0.1, "--accept_language=en,de")
    return out


def command_words(text):
    """The words of a command, those that name files from here made absolute: the trainings run in a folder of their own."""
    words = shlex.split(text)
    return [os.path.abspath(w) if os.path.exists(w) and (i > 0 or os.sep in w) else w for i, w in enumerate(words)]


def main():
    own = command_words(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    peer = command_words(os.environ.get("SPM_TRAIN", "spm_train"))
    try:
        version = subprocess.run(peer + ["--version"], capture_output=True, text=True).stdout.split()[-1]
    except (OSError, IndexError):
        print("skipped: no spm_train here")
        sys.exit(77)
    if tuple(int(x) for x in version.split(".")) < (0, 2, 2):
        print(f"skipped: spm_train {version} is older than 0.2.2")
        sys.exit(77)
    differ = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for k in range(rounds):
            r = random.Random(seed * 1000003 + k)
            with open("in.txt", "wb") as f:
                f.write(corpus(r).encode())
            args = flags(r)
            got = []
            for command in (peer, own):
                for name in ("m.model", "m.vocab"):
                    if os.path.exists(name):
                        os.remove(name)
                p = subprocess.run(command + ["--input=in.txt", "--model_prefix=m"] + args, capture_output=True)
                got.append([open(n, "rb").read() if os.path.exists(n) and p.returncode == 0 else None for n in ("m.model", "m.vocab")])
                got[-1].append(p.stderr[-300:])
            refused += got[0][0] is None
            if got[0][:2] != got[1][:2]:
                differ += 1
                what = "model" if got[0][1] == got[1][1] else "vocab"
                if got[0][0] is None or got[1][0] is None:
                    what = f"refused: peer {got[0][0] is None} {got[0][2][-160:]}, own {got[1][0] is None} {got[1][2][-160:]}"
                print(f"round {k}: {' '.join(args)}: {what}")
    print(f"{rounds} rounds against {version}: {differ} differ, {refused} refused by the peer")
    sys.exit(differ != 0)


main()
