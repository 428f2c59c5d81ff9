"""Searches in the format that `reviewmill tune` writes."""

import json
from pathlib import Path
from typing import Any

from reports.studies.tuning import FORMAT

SPACE = {
    "learning_rate": {"values": [], "low": 4e-4, "high": 1e-2, "log": True},
    "hidden_dim": {"values": [], "low": 32, "high": 128, "log": True},
    "pooling": {"values": ["last", "max", "mean+max"], "low": 0, "high": 0, "log": False},
    "dropout": {"values": [], "low": 0, "high": 0.6, "log": False},
}
DEFAULTS = {"learning_rate": 2e-3, "hidden_dim": 64, "pooling": "mean+max", "dropout": 0.2}


def make_tuning(folder: Path, **changes: Any) -> Path:
    """A folder with the tune.json of a dozen trials, of which one is pruned and one failed."""
    trials = [_trial(number) for number in range(12)]
    trials[5] |= {"state": "pruned", "value": 0.71}
    trials[7] |= {"state": "failed", "value": None, "reason": "no memory"}
    found = {
        "format": FORMAT, "store": "stores/amazon", "fingerprint": "ab" * 32, "model": "lstm",
        "base": {"model": "lstm", "epochs": 2}, "metric": "accuracy", "direction": "maximize",
        "sample": 25_000, "folds": 0, "validated": 5_012, "seed": 0, "space": SPACE,
        "defaults": DEFAULTS, "trials": trials, "best": 9,
        "importance": {"learning_rate": 0.7, "pooling": 0.2, "hidden_dim": 0.1}, **changes,
    }
    folder.mkdir(parents=True)
    (folder / "tune.json").write_text(json.dumps(found))
    return folder


def _trial(number: int) -> dict[str, Any]:
    params = DEFAULTS if number == 0 else {
        "learning_rate": 4e-4 * 1.3**number, "hidden_dim": 32 + 7 * number,
        "pooling": SPACE["pooling"]["values"][number % 3], "dropout": 0.05 * number}
    return {"number": number, "params": params, "state": "complete",
            "value": 0.88 - 0.0011 * (number - 9) ** 2 / 9, "steps": [[0, 0.8]], "seconds": 31.4,
            "reason": ""}
