#!/usr/bin/env python3
"""Trains the same model on the same batches in PyTorch and compares; opens our model files from Python.

  torch_train.py TRAIN_PEER [STEPS PRESET T B [MIDI]]     (default 120 nano 64 8, generated music)

1. same start, same batches, AdamW, warm-up, cosine, clipping: losses within 1 %, held-out loss within 0.5 %
2. the model file, trained with token features and folded, read with numpy and json alone: PyTorch's held-out loss equals ours
Exit code 77: PyTorch or the folder MIDI is missing.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    types = {"F32": np.float32, "I32": np.int32}
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        raw = np.frombuffer(data[8 + size + begin : 8 + size + end], dtype=types[t["dtype"]])
        tensors[name] = torch.tensor(raw.reshape(t["shape"]))
    return tensors, metadata


def forward(w, arch, ids):
    C, H, T = arch["n_embd"], arch["n_head"], ids.shape[1]
    x = w["wte.weight"][ids] + w["wpe.weight"][:T]
    mask = torch.triu(torch.ones(T, T, dtype=torch.bool), 1)
    for l in range(arch["n_layer"]):
        p = lambda name: w[f"h.{l}.{name}"]
        n = F.layer_norm(x, (C,), p("ln_1.weight"), p("ln_1.bias"))
        q, k, v = (n @ p("attn.c_attn.weight") + p("attn.c_attn.bias")).split(C, dim=2)
        q, k, v = (t.view(-1, T, H, C // H).transpose(1, 2) for t in (q, k, v))
        a = ((q @ k.transpose(-2, -1)) / math.sqrt(C // H)).masked_fill(mask, float("-inf")).softmax(-1)
        x = x + (a @ v).transpose(1, 2).reshape(x.shape) @ p("attn.c_proj.weight") + p("attn.c_proj.bias")
        n = F.layer_norm(x, (C,), p("ln_2.weight"), p("ln_2.bias"))
        g = F.gelu(n @ p("mlp.c_fc.weight") + p("mlp.c_fc.bias"), approximate="tanh")
        x = x + g @ p("mlp.c_proj.weight") + p("mlp.c_proj.bias")
    return F.layer_norm(x, (C,), w["ln_f.weight"], w["ln_f.bias"]) @ w["wte.weight"].T


def held_out(w, arch, data):
    nats, count = 0.0, 0
    with torch.no_grad():
        for i in range(0, data["eval_tokens"].shape[0], 16):
            targets = data["eval_targets"][i : i + 16].long().reshape(-1)
            logits = forward(w, arch, data["eval_tokens"][i : i + 16].long()).reshape(len(targets), -1)
            nats += F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum").item()
            count += int((targets >= 0).sum())
    return nats / count, count


def rate(step, steps, peak=1e-3, warmup=20, fraction=0.1):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (fraction + (1 - fraction) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))


def main():
    program = os.path.abspath(sys.argv[1])
    if len(sys.argv) > 6 and not os.path.isdir(sys.argv[6]):
        print(f"skipped: no folder {sys.argv[6]}")
        sys.exit(77)
    steps, preset, T, B = (sys.argv[2:6] + ["120", "nano", "64", "8"][len(sys.argv[2:6]) :])
    run = lambda folder, **env: json.loads(
        subprocess.run([program, folder, steps, preset, T, B] + sys.argv[6:7], check=True, capture_output=True, env=dict(os.environ, **env)).stdout
    )
    with tempfile.TemporaryDirectory() as folder:
        ours = run(folder)
        data, _ = read_safetensors(folder + "/data.safetensors")
        w, metadata = read_safetensors(folder + "/start.safetensors")
        arch = json.loads(metadata["midigpt.arch"])
        w = {name: t.clone().requires_grad_() for name, t in w.items()}
        matrices = [p for p in w.values() if p.dim() == 2]
        others = [p for p in w.values() if p.dim() == 1]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
        worst, begin, n = 0.0, time.time(), int(steps)
        for step in range(n):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, n)
            targets = data["targets"][step].long().reshape(-1)
            loss = F.cross_entropy(forward(w, arch, data["tokens"][step].long()).reshape(len(targets), -1), targets, ignore_index=-1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
            optimizer.step()
            error = abs(loss.item() / ours["losses"][step] - 1)
            worst = worst if error <= worst else error  # a NaN stays
        seconds = time.time() - begin
        theirs, count = held_out(w, arch, data)
        apart = abs(theirs / ours["held_out"] - 1)
        print(f"{preset} V={ours['vocab']} T={T} B={B}, {steps} steps: held-out {ours['held_out']:.6f} here, {theirs:.6f} in PyTorch ({apart:.2e} apart), "
              f"worst step {worst:.2e}; {ours['seconds']:.1f} s here with evaluation, {seconds:.1f} s there")
        good = count == ours["tokens"] and apart <= 0.005 and worst <= 0.01

    with tempfile.TemporaryDirectory() as folder:
        ours = run(folder, FEATURES="1")
        data, _ = read_safetensors(folder + "/data.safetensors")
        w, metadata = read_safetensors(folder + "/model.safetensors")
        good = good and metadata["format"] == "pt" and "wte.features" not in w
        theirs, _ = held_out(w, json.loads(metadata["midigpt.arch"]), data)
        apart = abs(theirs / ours["held_out"] - 1)
        print(f"with token features: held-out {ours['held_out']:.6f} here, {theirs:.6f} when PyTorch opens the file ({apart:.2e} apart)")
        good = good and apart <= 1e-5
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
