"""Synthetic run folders in the format that the trainer writes."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

LENGTHS = [*range(10, 100, 10), *range(100, 500, 50), *range(500, 2001, 250), 5000, 10**9]
CLASSES = ["negative", "positive"]


def make_manifest(rows: int = 49_000, classes: list[str] = CLASSES) -> dict[str, Any]:
    """A store's manifest without its files: 76 % positive, log-normal lengths."""
    parts = {"train": int(rows * 0.8), "validation": rows // 10}
    parts["test"] = rows - sum(parts.values())
    splits = {name: _split(n, classes) for name, n in parts.items()}
    dropped = {"no_words": 12, "not_sampled": 0, "overlap": 0, "duplicate": rows // 30,
               "neutral": rows // 11, "unused": 0}
    bad = {"not JSON": 31, "rating outside 1-5": 7}
    read = rows + sum(dropped.values()) + sum(bad.values())
    return {
        "format": "reviewmill-store/1",
        "recipe": {"format": "auto", "text_field": None, "split": [0.8, 0.1, 0.1], "seed": 0,
                   "stop_words": [f"word{i}" for i in range(179)], "length": 256},
        "classes": classes, "padding": 0, "unknown": 1, "special": {}, "length": 256,
        "vocabulary_size": 30_002, "distinct_words": 81_234, "splits": splits,
        "records": {"read": read, "stored": rows, "dropped": dropped, "bad": bad},
    }


def _split(rows: int, classes: list[str]) -> dict[str, Any]:
    negative = round(rows * 0.24)
    counts, done, before = [], 0, 0.0
    for bound in LENGTHS:
        below = 0.5 * (1 + math.erf((math.log(bound) - math.log(70)) / (0.95 * math.sqrt(2))))
        n = rows - done if bound == LENGTHS[-1] else round(rows * (below - before))
        counts.append([bound, n])
        done, before = done + n, below
    return {
        "rows": rows, "labels": dict(zip(classes, [negative, rows - negative], strict=True)),
        "ratings": {"1": negative // 2, "2": negative - negative // 2,
                    "4": (rows - negative) // 4, "5": rows - negative - (rows - negative) // 4},
        "lengths": counts, "words": rows * 108, "unknown_words": rows * 2,
        "truncated": round(rows * 0.085),
    }


def make_evaluation(classes: list[str] = CLASSES, n: int = 4900) -> dict[str, Any]:
    """Record that evaluate appends: 92.4 % accuracy with the default n."""
    negative = round(n * 0.24)
    matrix = [[negative - n // 25, n // 25], [n // 28, n - negative - n // 28]]
    right = matrix[0][0] + matrix[1][1]
    precision = [matrix[i][i] / (matrix[0][i] + matrix[1][i]) for i in range(2)]
    recall = [matrix[i][i] / sum(matrix[i]) for i in range(2)]
    f1 = [2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True)]
    return {
        "kind": "evaluation", "split": "test", "time": "2026-11-21T09:30:00Z", "n": n,
        "loss": 0.1987, "accuracy": right / n, "f1_macro": sum(f1) / 2,
        "precision": dict(zip(classes, precision, strict=True)),
        "recall": dict(zip(classes, recall, strict=True)),
        "f1": dict(zip(classes, f1, strict=True)),
        "roc_auc": 0.9712, "confusion_matrix": matrix,
    }


def step_records(steps: int, ranks: int = 2, per_epoch: int = 39, first: int = 1,
                 seed: int = 0) -> Iterator[dict[str, Any]]:
    """Step records first .. first + steps - 1 of a run on unequal ranks."""
    noise = random.Random(seed)
    for step in range(first, first + steps):
        wanted = 1024 // ranks
        shares = [wanted] * (ranks - 1) + [1024 - wanted * (ranks - 1)]
        compute = [0.30 * (1 + 0.25 * rank / ranks) * noise.uniform(0.9, 1.15)
                   for rank in range(ranks)]
        yield {
            "kind": "step", "step": step, "epoch": (step - 1) // per_epoch,
            "loss": 0.18 + 0.5 * math.exp(-step / 30) + noise.gauss(0, 0.018),
            "learning_rate": 2e-3 * min(1.0, step / 20) * max(0.0, 1 - step / (steps + 1)),
            "reviews": 1024, "tokens": 104_000, "step_s": max(compute) + 0.02,
            "reviews_per_s": 1024 / (max(compute) + 0.02), "shares": shares,
            "share_tokens": [s * 101 for s in shares], "compute_s": compute,
            "wait_s": [max(compute) - c for c in compute],
        }


def make_run(
    folder: Path, *, epochs: int = 5, ranks: int = 2, per_epoch: int = 39, finished: bool = True,
    evaluated: bool = True, classes: list[str] = CLASSES, extra: str = "",
) -> Path:
    """Write a run folder; extra is put at the end of metrics.jsonl as it is."""
    folder.mkdir(parents=True)
    config = {"store": "demo/store", "out": str(folder), "model": "lstm", "embedding_dim": 100,
              "hidden_dim": 64, "layers": 1, "bidirectional": False, "pooling": "mean+max",
              "dropout": 0.2, "word_dropout": 0.0, "epochs": epochs, "max_steps": 0,
              "batch_size": 1024, "micro_batch_tokens": 8192, "window": 64, "optimizer": "adam",
              "learning_rate": 2e-3, "momentum": 0.9, "schedule": "linear", "warmup_steps": 20,
              "positive_weight": 1.0, "balance": "equal", "shares": [], "backend": "gloo",
              "precision": "fp32", "keep": "best", "threads": 1, "seed": 0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    steps = epochs * per_epoch if finished else max(1, epochs * per_epoch // 2)
    records: list[dict[str, Any]] = []
    for record in step_records(steps, ranks, per_epoch):
        records.append(record)
        if record["step"] % per_epoch == 0:
            epoch = record["epoch"]
            good = 0.926 - 0.09 * math.exp(-epoch) - 0.002 * max(0, epoch - 3)
            records.append({
                "kind": "epoch", "epoch": epoch, "step": record["step"],
                "loss": 0.19 + 0.25 * math.exp(-epoch), "reviews": 1024 * per_epoch,
                "seconds": 16.2, "reviews_per_s": 2480.0,
                "cpu_percent": [99.2] * ranks, "memory_bytes": [412_000_000] * ranks,
                "gpu_percent": [None] * ranks, "gpu_memory_bytes": [None] * ranks,
                "validation": {"n": 4900, "loss": 0.2 + 0.16 * math.exp(-epoch) + 0.004 * epoch,
                               "accuracy": good, "f1_macro": good - 0.031,
                               "roc_auc": good + 0.045},
            })
    if evaluated:
        records.append(make_evaluation(classes))
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(lines + extra)
    if finished:
        summary = {
            "format": "reviewmill-run/1", "finished": True, "epochs": epochs, "steps": steps,
            "seconds": 84.2, "reviews_per_s": 2391.0, "best": {"epoch": epochs - 1,
            "accuracy": 0.924}, "parameters": 3_043_105, "ranks": ranks, "backend": "gloo",
            "hosts": ["node-1"] * ranks,
            "store": {"path": "demo/store", "fingerprint": "3f" * 32,
                      "manifest": make_manifest(classes=classes)},
            "environment": {"python": "3.11.2", "torch": "2.13.0", "numpy": "2.3.1",
                            "platform": "Linux-6.1-x86_64-with-glibc2.36",
                            "cpu": "AMD EPYC 7B13", "threads": 1},
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    return folder
