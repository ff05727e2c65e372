#!/usr/bin/env python3
"""PyTorch's gpt-nano: logits, every gradient and ten AdamW losses, as little-endian float32.

  torch_gpt.py OUT            writes the golden file (tests/golden/gpt_nano.bin was made so)
  torch_gpt.py OUT TEST       writes OUT, then runs the program TEST against it (the live comparison)

Weights and tokens follow from the counter-based generator of core/rng.hpp, so the file holds results only.
Exit code 77: PyTorch is missing.
"""
from torch_shared import F, finish, numbers, torch, uniform

L, H, C, V, T, B = 3, 3, 48, 67, 16, 4


def shapes():
    yield "wte.weight", (V, C)
    yield "wpe.weight", (T, C)
    for l in range(L):
        h = f"h.{l}."
        yield h + "ln_1.weight", (C,)
        yield h + "ln_1.bias", (C,)
        yield h + "attn.c_attn.weight", (C, 3 * C)
        yield h + "attn.c_attn.bias", (3 * C,)
        yield h + "attn.c_proj.weight", (C, C)
        yield h + "attn.c_proj.bias", (C,)
        yield h + "ln_2.weight", (C,)
        yield h + "ln_2.bias", (C,)
        yield h + "mlp.c_fc.weight", (C, 4 * C)
        yield h + "mlp.c_fc.bias", (4 * C,)
        yield h + "mlp.c_proj.weight", (4 * C, C)
        yield h + "mlp.c_proj.bias", (C,)
    yield "ln_f.weight", (C,)
    yield "ln_f.bias", (C,)


def forward(w, ids):
    x = w["wte.weight"][ids] + w["wpe.weight"][: ids.shape[1]]
    mask = torch.triu(torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool), 1)
    for l in range(L):
        p = lambda name: w[f"h.{l}.{name}"]
        n = F.layer_norm(x, (C,), p("ln_1.weight"), p("ln_1.bias"))
        q, k, v = (n @ p("attn.c_attn.weight") + p("attn.c_attn.bias")).split(C, dim=2)
        q, k, v = (t.view(*t.shape[:2], H, C // H).transpose(1, 2) for t in (q, k, v))
        a = (q @ k.transpose(-2, -1)) / (C // H) ** 0.5
        a = a.masked_fill(mask, float("-inf")).softmax(-1)
        y = (a @ v).transpose(1, 2).reshape(x.shape)
        x = x + y @ p("attn.c_proj.weight") + p("attn.c_proj.bias")
        n = F.layer_norm(x, (C,), p("ln_2.weight"), p("ln_2.bias"))
        g = F.gelu(n @ p("mlp.c_fc.weight") + p("mlp.c_fc.bias"), approximate="tanh")
        x = x + g @ p("mlp.c_proj.weight") + p("mlp.c_proj.bias")
    x = F.layer_norm(x, (C,), w["ln_f.weight"], w["ln_f.bias"])
    return x @ w["wte.weight"].T


def main():
    ids = torch.tensor([r % V for r in numbers(2, 0, B * T)]).view(B, T)
    targets = torch.tensor([-1 if r % 10 == 0 else r % V for r in numbers(2, 1, B * T)]).view(B, T)

    def weights(dtype):
        w = {}
        for i, (name, shape) in enumerate(shapes()):
            x = 0.2 * uniform(1, i, shape) + (1.0 if "ln_" in name and name.endswith("weight") else 0.0)
            w[name] = x.to(torch.float32).to(dtype).requires_grad_()
        return w

    out = []
    w = weights(torch.float64)  # the truth behind float32
    logits = forward(w, ids)
    F.cross_entropy(logits.view(-1, V), targets.view(-1), ignore_index=-1).backward()
    out.append(logits.detach())
    out += [p.grad for p in w.values()]

    w = weights(torch.float32)  # PyTorch's own float32 training
    matrices = [p for n, p in w.items() if p.dim() == 2]
    others = [p for n, p in w.items() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.95), eps=1e-8
    )
    losses = []
    for _ in range(10):
        loss = F.cross_entropy(forward(w, ids).view(-1, V), targets.view(-1), ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    out.append(torch.tensor(losses))
    return out


if __name__ == "__main__":
    finish(main, __doc__, "MIDIGPT_GOLDEN_GPT", "torch: gpt-nano*")
