#!/usr/bin/env python3
"""PyTorch's version 1 (the author's LSTM): the losses of five Adam steps, as little-endian float32.

  torch_lstm.py OUT           writes the golden file (tests/golden/lstm_v1.bin was made so)
  torch_lstm.py OUT TEST      writes OUT, then runs the program TEST against it (the live comparison)

Exit code 77: PyTorch is missing.
"""
from torch_shared import F, finish, numbers, torch, uniform

WINDOW, H, B = 25, 128, 16
SHAPES = {
    "lstm.kernel": (3, 4 * H), "lstm.recurrent_kernel": (H, 4 * H), "lstm.bias": (4 * H,),
    "dense.kernel": (H, 16), "dense.bias": (16,), "dense_1.kernel": (16, 12), "dense_1.bias": (12,),
    "pitch.kernel": (12, 128), "pitch.bias": (128,), "step.kernel": (12, 1), "step.bias": (1,),
    "duration.kernel": (12, 1), "duration.bias": (1,),
}


def log1(x):
    return torch.log1p(torch.clamp(x, min=1e-7))


def main():
    w = {n: (0.2 * uniform(1, i, s)).to(torch.float32).requires_grad_() for i, (n, s) in enumerate(SHAPES.items())}
    raw = torch.tensor([[r % 128, (r >> 8) % 1024 / 1024.0, (r >> 20) % 2048 / 1024.0] for r in numbers(2, 0, B * (WINDOW + 1))], dtype=torch.float32)
    notes = raw.view(B, WINDOW + 1, 3)
    x, y = notes[:, :-1].clone(), notes[:, -1]
    x[:, :, 0] /= 128.0
    optimizer = torch.optim.Adam(list(w.values()), lr=0.005, eps=1e-7)
    losses = []
    for _ in range(5):
        h = c = torch.zeros(B, H)
        for t in range(WINDOW):
            i, f, g, o = (x[:, t] @ w["lstm.kernel"] + h @ w["lstm.recurrent_kernel"] + w["lstm.bias"]).split(H, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        for name in ("dense", "dense_1"):
            h = h @ w[name + ".kernel"] + w[name + ".bias"]
        pitch, step, duration = (h @ w[n + ".kernel"] + w[n + ".bias"] for n in ("pitch", "step", "duration"))
        loss = (0.5 * F.cross_entropy(pitch, y[:, 0].long()) + 0.9 * F.mse_loss(step[:, 0], y[:, 1])
                + 0.8 * ((log1(duration[:, 0]) - log1(y[:, 2])) ** 2).mean())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [torch.tensor(losses)]


if __name__ == "__main__":
    finish(main, __doc__, "MIDIGPT_GOLDEN_LSTM", "torch: the author*")
