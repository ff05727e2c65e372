#!/usr/bin/env python3
"""Every note character and every control character passes Debian's spm_normalize unchanged, under every rule set.

Each rule by name, then by a model trained with that rule and used as segmentation uses it (which puts U+2581 in front).
Exit code 0: unchanged; 1: changed, with the first differences; 77: skipped, spm_train or spm_normalize is not here.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile

RULES = ["identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"]
RANGES = [(0x34000, 0x3FFFF), (0x40000, 0xFFFFF)]


def lines():
    points = [c for low, high in RANGES for c in range(low, high + 1)]
    singles = [chr(c) for c in points]
    random.Random(1).shuffle(points)
    runs = ["".join(map(chr, points[i:i + 256])) for i in range(0, len(points), 256)]
    return singles + runs


def run(arguments, text):
    return subprocess.run(arguments, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout


def report(label, want, got, failures):
    got = got.decode("utf-8").split("\n")
    if got and got[-1] == "":
        got.pop()
    wrong = [(w, g) for w, g in zip(want, got) if w != g]
    if len(got) != len(want) or wrong:
        failures.append(label)
        print(f"{label}: {len(wrong)} of {len(want)} lines changed, {len(got)} lines came back")
        for w, g in wrong[:5]:
            print("  ", [hex(ord(c)) for c in w[:4]], "->", [hex(ord(c)) for c in g[:4]])
    else:
        print(f"{label}: {len(want)} lines unchanged")


def changes_other_text(rule):
    """That the rule is really at work: a full-width A becomes a plain one, and folded rules make it small."""
    got = run(["spm_normalize", f"--normalization_rule_name={rule}"], "\uff21\n".encode("utf-8")).decode("utf-8").strip()
    return got == ("\uff21" if rule == "identity" else "a" if rule.endswith("_cf") else "A")


def main():
    for tool in ("spm_train", "spm_normalize"):
        if shutil.which(tool) is None:
            print(f"skipped: no {tool} here (Debian package sentencepiece)")
            return 77
    want = lines()
    text = ("\n".join(want) + "\n").encode("utf-8")
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus.txt")
        with open(corpus, "w", encoding="utf-8") as f:
            rng = random.Random(2)
            for _ in range(300):
                f.write("".join(chr(0x40000 + rng.randrange(40) * 128 + 60) for _ in range(40)) + "\n")
        for rule in RULES:
            if not changes_other_text(rule):
                failures.append(rule)
                print(f"{rule}: the rule is not the one expected")
            report(f"--normalization_rule_name={rule}", want, run(["spm_normalize", f"--normalization_rule_name={rule}"], text), failures)
            prefix = os.path.join(folder, rule)
            run(["spm_train", f"--input={corpus}", f"--model_prefix={prefix}", "--vocab_size=60", "--model_type=bpe",
                 f"--normalization_rule_name={rule}", "--minloglevel=2"], b"")
            got = run(["spm_normalize", f"--model={prefix}.model", "--use_internal_normalization"], text)
            report(f"model trained with {rule}", ["\u2581" + line for line in want], got, failures)
    return 1 if failures else 0


sys.exit(main())
