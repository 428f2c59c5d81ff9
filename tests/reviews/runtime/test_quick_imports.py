"""Imports that leave out what nobody uses."""

import subprocess
import sys

LATER = """
import gc, sys
from reviews.runtime.quick_imports import (
    lasting_imports, load_meta_kernels, meta_kernels_later)
meta_kernels_later()
with lasting_imports():
    import torch
assert gc.isenabled() and gc.get_freeze_count() > 10_000
assert "torch._decomp" not in sys.modules

def shape():
    points = torch.empty(3, 4, device="meta", requires_grad=True)
    return tuple(torch.cdist(points, points).shape)

try:
    shape()
except NotImplementedError:
    print("later")
load_meta_kernels()
assert "torch._decomp" in sys.modules
print(shape())
load_meta_kernels()  # has nothing left to do
"""


def test_meta_kernels_are_loaded_when_somebody_needs_them() -> None:
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True,
                          timeout=120)
    assert done.stdout.split("\n") == ["later", "(3, 3)", ""], done.stderr
