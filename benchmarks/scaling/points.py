"""Points of a scaling study, their speed-ups and efficiencies, and Amdahl's law through them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

STRONG, WEAK = "strong", "weak"
LEAST = 4  # measured counts for a fit: with fewer, any law would do


@dataclass(frozen=True)
class Point:
    """A stage on some nodes.

    Attributes:
        law: strong, where all counts of nodes do the same work, or weak, where the work grows with
            them.
        size: reviews of one node; the work under `strong`.
        nodes: workers or ranks, each with a core.
        reviews: reviews of the work.
        seconds: duration of the work.
        latency_s: what one waits for: a store, an update, the answer for one text.
        measured: False where it is simulated.
        cpu_percent: of each node; memory_bytes: the most that each had. Empty where simulated.
    """

    stage: str
    law: str
    size: int
    nodes: int
    reviews: int
    seconds: float
    latency_s: float
    measured: bool
    cpu_percent: Sequence[float] = field(default_factory=list)
    memory_bytes: Sequence[float] = field(default_factory=list)
    gpu_percent: Sequence[float | None] = field(default_factory=list)
    gpu_memory_bytes: Sequence[float | None] = field(default_factory=list)


def entries(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points as JSON has them, with `reviews_per_s`, `speed_up` and `efficiency`.

    The speed-up is that of the throughput over one node's of the same stage, law and size; the
    efficiency is the speed-up by the number of nodes.
    """
    alone = {(point.stage, point.law, point.size): point.reviews / point.seconds
             for point in points if point.nodes == 1}
    found = []
    for point in points:
        speed = point.reviews / point.seconds
        speed_up = speed / alone[point.stage, point.law, point.size]
        found.append({**asdict(point), "reviews_per_s": speed, "speed_up": speed_up,
                      "efficiency": speed_up / point.nodes})
    return found


def fit_amdahl(nodes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """The serial part s of the work by least squares in T(n) / T(1) = s + (1 - s) / n (Amdahl
    1967), from 0 to 1; None for fewer than LEAST counts.

    The first count is 1.
    """
    if len(nodes) < LEAST:
        return None
    assert nodes[0] == 1, "times are relative to one node's"
    share = 1 - 1 / np.asarray(nodes, np.float64)
    over = np.asarray(seconds, np.float64) / seconds[0] - 1 / np.asarray(nodes, np.float64)
    return float(np.clip((share @ over) / (share @ share), 0.0, 1.0))


def amdahl(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Serial part and highest speed-up of every stage and size that has enough measured counts."""
    found = []
    for stage, size in dict.fromkeys((point.stage, point.size) for point in points):
        some = sorted((point for point in points
                       if (point.stage, point.size, point.law) == (stage, size, STRONG)
                       and point.measured), key=lambda point: point.nodes)
        serial = fit_amdahl([p.nodes for p in some], [p.seconds for p in some])
        if serial is not None:
            found.append({"stage": stage, "size": size, "serial": serial,
                          "limit": 1 / serial if serial else None})
    return found
