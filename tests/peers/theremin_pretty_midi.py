#!/usr/bin/env python3
"""theremin_compat beside the author's road: pretty_midi reads the file, his formulas (numpy doubles) make the characters.

usage: theremin_pretty_midi.py COMPAT_PEER FOLDER...
Compares the first 256 notes of instrument 0 of every file. Exit code 0: equal; 1: not; 77: skipped.
"""
import glob
import os
import subprocess
import sys
import warnings

try:
    import pretty_midi
except ImportError:
    print("skipped: no pretty_midi here")
    sys.exit(77)


def pack(note, previous):
    velocity = max(1, min(3, round(3 * (round((note.velocity / 127) * 100) / 100))))
    step = min(round(63 * (note.start - previous)), 63)
    duration = min(round((note.end - note.start) / 31 * 100), 31) | 4
    return velocity << 18 | step << 12 | duration << 7 | note.pitch


def expected(path):
    try:
        instruments = pretty_midi.PrettyMIDI(path).instruments
    except Exception:
        return None
    if not instruments:
        return []
    notes = sorted(instruments[0].notes, key=lambda n: n.start)[:256]
    previous, out = (notes[0].start if notes else 0), []
    for n in notes:
        out.append(pack(n, previous))
        previous = n.start
    return out


def main():
    warnings.filterwarnings("ignore")
    peer, folders = sys.argv[1], sys.argv[2:]
    paths = sorted(p for f in folders for p in glob.glob(os.path.join(f, "**", "*.mid"), recursive=True))
    if not paths:
        print("skipped: no MIDI files in", *folders)
        return 77
    lines = subprocess.run([peer, *paths], stdout=subprocess.PIPE, check=True, text=True).stdout.split("\n")
    notes = same = refused = 0
    different = []
    for path, line in zip(paths, lines):
        want = expected(path)
        if want is None:
            refused += 1
            continue
        got = [int(x, 16) for x in line.split()] if line != "!" else None
        notes += len(want)
        same += got == want
        if got != want:
            different.append(path)
    print(f"{len(paths)} files, {refused} refused by pretty_midi, {same} equal, {len(different)} different, {notes} notes")
    for path in different[:20]:
        print("  different:", path)
    return 1 if different else 0


sys.exit(main())
