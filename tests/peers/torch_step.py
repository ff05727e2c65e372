#!/usr/bin/env python3
"""The peer of bench/midigpt_step: the same training step in PyTorch, made fair.

  OPENBLAS_CORETYPE=SkylakeX torch_step.py L H C V T B THREADS [STEPS]

nanoGPT's net with a tied head, foreach AdamW. Debian's OpenBLAS does not know new processors and falls to SSE kernels unless
OPENBLAS_CORETYPE is set; its OpenMP build (libopenblas0-openmp) shares one pool with PyTorch. Prints one line of JSON.
Exit code 77: PyTorch is missing.
"""
import json
import os
import resource
import statistics
import sys
import time

os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
if len(sys.argv) < 8:
    sys.exit(__doc__)
L, H, C, V, T, B, THREADS = map(int, sys.argv[1:8])
STEPS = int(sys.argv[8]) if len(sys.argv) > 8 else 5
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
torch.set_num_threads(THREADS)
torch.manual_seed(1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.c_attn, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.c_fc, self.c_proj = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)
        self.register_buffer("mask", torch.triu(torch.ones(T, T, dtype=torch.bool), 1))

    def forward(self, x):
        b = x.shape[0]
        q, k, v = (t.view(b, T, H, C // H).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(C, dim=2))
        a = (q @ k.transpose(-2, -1)) * (C // H) ** -0.5
        a = a.masked_fill(self.mask, float("-inf")).softmax(-1)
        x = x + self.proj((a @ v).transpose(1, 2).reshape(b, T, C))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, C), nn.Embedding(T, C)
        self.blocks = nn.Sequential(*[Block() for _ in range(L)])
        self.ln_f, self.head = nn.LayerNorm(C), nn.Linear(C, V, bias=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, 0, 0.02)
        self.head.weight = self.wte.weight

    def forward(self, ids, targets):
        x = self.ln_f(self.blocks(self.wte(ids) + self.wpe.weight))
        return F.cross_entropy(self.head(x).view(-1, V), targets.view(-1))


net = Net()
decay = [p for p in net.parameters() if p.dim() == 2]
others = [p for p in net.parameters() if p.dim() != 2]
groups = [{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=3e-4, foreach=True)
ids, targets = torch.randint(0, V, (B, T)), torch.randint(0, V, (B, T))
wall, cpu = [], []
for step in range(STEPS + 1):
    start, cpu_start = time.perf_counter(), time.process_time()
    loss = net(ids, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    loss.item()
    if step > 0:
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - cpu_start))
ms = statistics.median(wall)
flops = B * T * (6 * (12 * L * C * C + V * C) + 6 * L * C * T)
print(json.dumps({
    "ms": round(ms, 2), "min_ms": round(min(wall), 2), "cpu_ms": round(statistics.median(cpu), 2), "min_cpu_ms": round(min(cpu), 2),
    "tokens_per_s": round(B * T / ms * 1e3), "gflops": round(flops / ms / 1e6, 1),
    "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), "loss": round(loss.item(), 5)}))
