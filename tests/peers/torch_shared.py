"""What torch_gpt.py and torch_lstm.py share: the library's random numbers, and the way from results to a test.

Leaves with exit code 77 when PyTorch is missing."""
import os
import subprocess
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

MASK = (1 << 64) - 1


def mix64(z):
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def numbers(seed, stream, n):
    key = mix64(seed ^ mix64(stream ^ 0x6D696469))
    return [mix64((key + mix64(i)) & MASK) for i in range(n)]


def uniform(seed, stream, shape):
    n = int(np.prod(shape))
    x = np.array([(r >> 40) / 2.0**24 - 0.5 for r in numbers(seed, stream, n)], dtype=np.float64)
    return torch.tensor(x.reshape(shape))


def finish(main, doc, variable, test_case):
    """Writes main()'s numbers to the file that the first argument names; with a second one, a test program, runs it on them."""
    if len(sys.argv) < 2:
        sys.exit(doc)
    data = np.concatenate([t.reshape(-1).to(torch.float32).numpy() for t in main()]).astype("<f4")
    data.tofile(sys.argv[1])
    print(f"torch {torch.__version__}: {data.size} numbers, the last {data[-1]:.6f}")
    if len(sys.argv) > 2:
        environment = dict(os.environ, **{variable: os.path.abspath(sys.argv[1])})
        run = subprocess.run([sys.argv[2], f"--test-case={test_case}"], env=environment, stdout=subprocess.PIPE, text=True)
        print(run.stdout, end="")
        if " 1 passed" not in run.stdout:
            sys.exit(f"no test case '{test_case}' has passed")
        sys.exit(run.returncode)
