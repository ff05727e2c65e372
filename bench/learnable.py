#!/usr/bin/env python3
"""What makes notes learnable: trains the ways of writing notes as tokens and draws their curves.

  learnable.py MIDIGPT FOLDER OUT [SECONDS]

Each way is one run of `MIDIGPT train FOLDER --threads 1 --seconds SECONDS` (900) into OUT/<way>, by the wall clock, so
leave it a core to itself; a run that is there is kept.
Prints bits per note of the held-out pieces (of the best model, which is the one a run keeps) and writes OUT/curves.svg.
"""
import csv
import os
import re
import subprocess
import sys

WAYS = {  # name: (flags, colour, dashes)
    "pairs": (["--keys", "1"], "#1f77b4", ""),
    "pairs, no features": (["--keys", "1", "--no-features"], "#1f77b4", "2 4"),
    "pairs, 12 keys": (["--keys", "12"], "#d62728", ""),
    "notes": (["--keys", "1", "--no-merges"], "#2ca02c", ""),
    "notes, no features": (["--keys", "1", "--no-merges", "--no-features"], "#2ca02c", "2 4"),
    "notes, 12 keys": (["--keys", "12", "--no-merges"], "#9467bd", ""),
}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 50, 150, 30, 40


def run(midigpt, folder, out, seconds, flags):
    """Trains if need be; returns ([(second, bits per note)], bits per note of the best, the same of order 2)."""
    table = out + "/figures.txt"
    if not os.path.exists(table):
        command = [midigpt, "train", folder, "-o", out, "--threads", "1", "--steps", "1000000", "--seconds", str(seconds)]
        text = subprocess.run(command + ["--eval-every", "100"] + flags, check=True, stdout=subprocess.PIPE, text=True).stdout
        with open(table, "w") as f:
            f.write(text)
    with open(table) as f:
        text = f.read()
    rows = {name: [float(x) for x in re.search(name + r"\s+(\S+)\s+(\S+)", text).groups()] for name in ("this GPT", "order-2 Markov")}
    trained = re.search(r"trained\s+(\d+) steps, (\S+) s", text)
    second = float(trained[2]) / int(trained[1])
    bits = rows["this GPT"][1] / rows["this GPT"][0]  # per note, of one nat per token
    with open(out + "/log.csv") as f:
        log = [(int(r["step"]), r["held_out_nats_per_token"]) for r in csv.DictReader(f)]
    return [(step * second, float(x) * bits) for step, x in log if x], rows["this GPT"][1], rows["order-2 Markov"][1]


def draw(curves, seconds):
    top = 1.6 * max(c[-1][1] for c in curves.values())
    low = min(y for c in curves.values() for _, y in c)
    low, top = int(low), int(top) + 1
    x_of = lambda x: LEFT + x / seconds * (WIDTH - LEFT - RIGHT)
    y_of = lambda y: TOP + (top - y) / (top - low) * (HEIGHT - TOP - BOTTOM)
    text = lambda x, y, anchor, s: f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{s}</text>'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="#fff"/>', text(LEFT, 18, "start", "bits per note, held out")]
    for y in range(low, top + 1):
        out += [f'<path d="M{LEFT} {y_of(y):.1f}H{WIDTH - RIGHT}" stroke="#e6e6e6"/>', text(LEFT - 6, y_of(y) + 4, "end", y)]
    for minute in range(0, int(seconds / 60) + 1, max(1, round(seconds / 300))):
        out.append(text(x_of(60 * minute), HEIGHT - BOTTOM + 18, "middle", f"{minute} min"))
    ends = sorted((c[-1][1], name) for name, c in curves.items())
    at = HEIGHT  # names from the bottom up, none on another
    for y, name in ends:
        colour, dashes = WAYS[name][1:]
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in curves[name] if y <= top)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        out.append(f'<circle cx="{x_of(curves[name][-1][0]):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>')
        at = min(y_of(y) + 4, at - 14)
        out.append(f'<g fill="{colour}">{text(WIDTH - RIGHT + 6, at, "start", name)}</g>')
    return "\n".join(out) + "\n</svg>\n"


def main(midigpt, folder, out, seconds="900"):
    curves = {}
    os.makedirs(out, exist_ok=True)
    for name, (flags, _, _) in WAYS.items():
        curves[name], best, markov = run(midigpt, folder, out + "/" + re.sub("[, ]+", "-", name), seconds, flags)
        print(f"{name:20} best {best:.3f}, last {curves[name][-1][1]:.3f}, order 2 {markov:.3f}", flush=True)
    with open(out + "/curves.svg", "w") as f:
        f.write(draw(curves, float(seconds)))


if len(sys.argv) not in (4, 5):
    sys.exit(__doc__)
main(*sys.argv[1:])
