"""Training runs of a few seconds, and readers of what they leave."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpi_train.__main__ import main
from reviews.store import Store
from tests.mpi_train.ranks import run_ranks

SMALL = {"model": "lstm", "batch_size": 64, "embedding_dim": 8, "hidden_dim": 6,
         "micro_batch_tokens": 256, "epochs": 2, "threads": 1}
Weights = dict[str, np.ndarray]


def arguments(data: Store, run: Path, /, **options: Any) -> list[str]:
    values = {"store": data.path, "out": run, **SMALL, **options}
    if options.get("model") in ("cnn", "bag"):
        del values["hidden_dim"]
    line = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            line.append(f"--{flag}={value}")
    return line


def train(store: Store, out: Path, **options: Any) -> Path:
    assert main(arguments(store, out, **options)) == 0
    return out


def program_of(runs: Sequence[Sequence[Any]]) -> list[str]:
    """Arguments of python for runs one after the other, each given by its arguments."""
    program = ("import json, sys\n"
               "from mpi_train.__main__ import main\n"
               "for arguments in json.loads(sys.argv[1]):\n"
               "    assert main(arguments) == 0\n")
    return ["-c", program, json.dumps([[*map(str, run)] for run in runs])]


def train_on_ranks(ranks: int, runs: Sequence[Sequence[Any]]) -> None:
    """One start of some ranks for such runs."""
    done = run_ranks(ranks, *program_of(runs))
    assert done.returncode == 0, done.stderr


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def losses(run: Path) -> list[float]:
    return [step["loss"] for step in records(run, "step")]


def norm(one: Weights, other: Weights) -> float:
    """Norm of the difference of all weights together."""
    assert one.keys() == other.keys()
    return float(np.sqrt(sum(np.square(one[name] - other[name], dtype=np.float64).sum()
                             for name in one)))


def difference(one: Weights, other: Weights) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)
