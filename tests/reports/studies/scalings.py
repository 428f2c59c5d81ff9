"""Folders of scaling studies, as `bench scaling` writes them."""

import json
from pathlib import Path
from typing import Any

from benchmarks.scaling.points import Point, amdahl, entries

NODES = (1, 2, 4, 8)


def make_points(
    stages: tuple[str, ...] = ("prepare", "train", "score"), sizes: tuple[int, ...] = (20_000,),
    measured: int = 2,
) -> list[Point]:
    """Points that lose a tenth of each further node; those above `measured` nodes simulated."""
    found = []
    for stage in stages:
        for law in ("strong", "weak"):
            for size in sizes:
                for nodes in NODES:
                    reviews = size * (nodes if law == "weak" else 1)
                    known = nodes <= measured
                    found.append(Point(
                        stage, law, size, nodes, reviews,
                        reviews / 5000 / nodes * (1 + 0.1 * (nodes - 1)), 0.0123, known,
                        [96.0] * nodes if known else [], [4.2e8] * nodes if known else []))
    return found


def make_scaling(folder: Path, points: list[Point] | None = None, **changes: Any) -> Path:
    """A folder with scaling.json."""
    points = make_points() if points is None else points
    checks = [{"stage": "prepare", "law": "strong", "size": 20_000, "nodes": 2,
               "measured_s": 2.0, "simulated_s": 1.9}]
    folder.mkdir(parents=True)
    (folder / "scaling.json").write_text(json.dumps({
        "format": "reviewmill-scaling/1", "machine": "AMD EPYC, 2 cores, Python 3.11.7",
        "measured_nodes": [1, 2], "config": "plain-lstm", "batch_size": 1024,
        "points": entries(points), "amdahl": amdahl(points), "checks": checks, **changes}))
    return folder
