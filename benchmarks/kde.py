"""The KDE bounds against torch, and their memory: `python -m benchmarks.kde`."""

import functools
import os
import sys

import numpy as np
import torch

from benchmarks.cases import Result, _child, paired
from benchmarks.tables import show
from ibfast.estimators import KDE

THREADS = 2
# NumPy's BLAS asks once, when it is loaded.
ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS)
)
SAXE = 1e-3**0.5

MEMORY = """
import numpy as np
from ibfast.estimators import KDE
def status(key):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) * 1024
acts = np.random.default_rng(0).normal(size=(10_000, UNITS)).astype(np.float32)
KDE(NOISE, threads=2).i_xt(acts[:200])
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
KDE(NOISE, threads=2).i_xt(acts)
print((status("VmHWM") - before) / 1e6)
"""


def idiom(acts, noise):
    """The upper bound alone, as it is written: distances, then log-sum-exp of each row."""
    kernel = -(torch.cdist(acts, acts) ** 2) / (2 * noise**2)
    return float(np.log(len(acts)) - torch.logsumexp(kernel, dim=1).mean()) / np.log(2)


def in_place(acts, noise):
    """The same with the fewest temporaries."""
    kernel = torch.cdist(acts, acts).square_().div_(-2 * noise**2)
    return float(np.log(len(acts)) - torch.logsumexp(kernel, dim=1).mean()) / np.log(2)


def cases():
    torch.set_num_threads(THREADS)
    for d, target in ((20, 10), (1024, 1)):
        acts = np.random.default_rng(0).normal(size=(10_000, d)).astype(np.float32)
        tensor = torch.from_numpy(acts)
        # One where all pairs count, and the field's, where few do.
        for noise in ((d / 10) ** 0.5, SAXE):
            ours = functools.partial(KDE(noise, THREADS).i_xt, acts)
            for other in (idiom, in_place):
                a, b = paired(ours, functools.partial(other, tensor, noise), 5)
                name = f"10,000 x {d}, s = {noise:.3g}: torch, {other.__name__} / ibfast"
                yield Result(name, b / a, target, False, f"{a * 1e3:.0f} ms, {b * 1e3:.0f} ms")
            code = MEMORY.replace("UNITS", str(d)).replace("NOISE", str(noise))
            name = f"10,000 x {d}, s = {noise:.3g}: peak extra MB"
            yield Result(name, _child(code), 100, True, "resident memory of a new process")


def main():
    if not ENVIRONMENT.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.kde"]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})
    show(cases(), f"{THREADS} threads")


if __name__ == "__main__":
    main()
