#!/usr/bin/env python3
"""Notes and seconds of the reader against mido's, file by file.

usage: mido_compare.py [--every=N] MIDO_DUMP_PROGRAM FOLDER...    each Nth file of the folders
       mido_compare.py --table MIDO_DUMP_PROGRAM FOLDER    prints tests/golden/midi-nasty.tsv

Pairs mido's messages per track, channel and pitch, first in first out, unclosed notes to the end of their track. Prints one
line for each file where the two differ or mido refuses, then a summary; exit 1 if a difference remains that KNOWN does not
explain, 77 without mido or without files.
"""
import subprocess
import sys
from pathlib import Path

try:
    import mido
except ImportError:
    print("skipped: no mido (apt install python3-mido)")
    sys.exit(77)


# Files that mido reads otherwise, or whose seconds it counts otherwise, and why we do not.
KNOWN = {
    "19_ntrks_too_few.mid": "stops at the declared number of tracks; here every MTrk is read",
    "20_ntrks_zero.mid": "stops at the declared number of tracks; here every MTrk is read",
    "23_data_after_eot.mid": "reads on after the end of the track; here it ends the track",
    "26_len_zero_then_data.mid": "believes the length 0; here the events behind it are read",
    "48_tempo_zero.mid": "plays tempo 0 in no time; here it is dropped",
    "14_type2.mid": "plays the sequences at once, by one tempo map",
}


def mido_notes(path):
    file = mido.MidiFile(path)
    notes, changes, last = [], {}, 0
    for index, track in enumerate(file.tracks):
        tick, open_notes, found = 0, {}, []
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity > 0:
                note = [index, tick, None, message.channel, message.note, message.velocity]
                found.append(note)
                open_notes.setdefault((message.channel, message.note), []).append(note)
            elif message.type in ("note_on", "note_off"):
                queue = open_notes.get((message.channel, message.note))
                if queue:
                    note = queue.pop(0)
                    note[2] = tick - note[1]
            elif message.type == "set_tempo":
                changes[tick] = message.tempo
        for note in found:
            if note[2] is None:
                note[2] = tick - note[1]
        notes += found
        last = max(last, tick)
    changes = sorted(changes.items())

    def seconds(tick):
        total, at, tempo = 0.0, 0, 500000
        for when, us in changes:
            if when >= tick:
                break
            total += mido.tick2second(when - at, file.ticks_per_beat, tempo)
            at, tempo = when, us
        return total + mido.tick2second(tick - at, file.ticks_per_beat, tempo)

    smpte = file.ticks_per_beat < 0
    times = [] if smpte else [(seconds(n[1]), seconds(n[1] + n[2])) for n in notes]
    return [tuple(n) for n in notes], times, None if smpte else seconds(last)


def cell(path, ours, theirs):
    """The column `mido` of the table."""
    if isinstance(theirs, Exception):
        return "refuses" + ("" if ours[0] == "error" else f": {type(theirs).__name__} {theirs}".rstrip().replace("\t", " "))
    if ours[0] != "error" and ours[1] == theirs[0]:
        return "agrees"
    return f"{len(theirs[0])} notes: {KNOWN.get(Path(path).name, 'differs')}"


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    every = next((int(a.split("=")[1]) for a in sys.argv if a.startswith("--every=")), 1)
    program, folders = arguments[0], arguments[1:]
    paths = sorted(str(p) for f in folders for p in Path(f).rglob("*.mid"))[::every]
    if not paths:
        print(f"skipped: no MIDI files in {' '.join(folders)}")
        return 77
    run = lambda mode: subprocess.run([program, mode, *paths], check=True, capture_output=True, text=True).stdout.splitlines()
    ours = {}
    for line in run("notes"):
        cells = line.split("\t")
        if cells[0] == "file":
            current = ours[cells[1]] = (cells[2], [], [])
        else:
            current[1].append(tuple(int(c) for c in cells[:6]))
            current[2].append((float(cells[6]), float(cells[7])))
    theirs = {}
    for path in paths:
        try:
            theirs[path] = mido_notes(path)
        except Exception as failure:  # mido raises whatever comes up
            theirs[path] = failure
    cells = {path: cell(path, ours[path], theirs[path]) for path in paths}
    if "--table" in sys.argv:
        print("file\tstrict\tstrict offset\trepaired\tmended\tmido")
        for path, row in (line.split("\t", 1) for line in run("rows")):
            print(f"{Path(path).relative_to(folders[0])}\t{row}\t{cells[path]}")
        return 0
    worst, notes = 0.0, 0
    for path in paths:
        if cells[path] != "agrees":
            print(f"{path}: mido {cells[path]}")
        elif theirs[path][2] is not None and Path(path).name not in KNOWN:
            gaps = [abs(a - b) for pair, other in zip(ours[path][2], theirs[path][1]) for a, b in zip(pair, other)]
            worst = max([worst, abs(float(ours[path][0]) - theirs[path][2]), *gaps])
            notes += len(theirs[path][0])
    count = lambda start: sum(c.startswith(start) for c in cells.values())
    unexplained = sum(c.endswith(": differs") for c in cells.values())
    print(f"{len(paths)} files: {count('agrees')} agree ({notes} notes, seconds within {worst:.3g}), mido refuses {count('refuses')}, "
          f"{unexplained} unexplained differences")
    return 1 if unexplained or worst > 1e-6 else 0


sys.exit(main())
