"""The step records of a run of any length as a few hundred points, in bounded memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reviews.runtime.noise_sums import NoiseSums

POINTS = 600  # at most; a chart is narrower than this in pixels


@dataclass
class Point:
    """One or several consecutive steps, added up."""

    first: int  # number of the first step in it
    last: int
    steps: int
    loss: float  # sum of the finite losses
    finite: int  # how many of the steps had a finite loss
    learning_rate: float  # of the last step
    reviews: int
    seconds: float
    tokens: list[float]  # padded tokens of each rank
    compute: list[float]  # seconds of each rank
    wait: list[float]
    noise: NoiseSums = field(default_factory=NoiseSums)  # over the steps that measured it

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Point":
        """The point of one step record; KeyError, TypeError or ValueError for a malformed one."""
        loss, step = float(record["loss"]), int(record["step"])
        finite = math.isfinite(loss)
        noise = NoiseSums()
        if measured := record.get("noise"):
            noise.add(float(measured["squared_norm"]), float(measured["trace"]))
        return cls(
            first=step,
            last=step,
            steps=1,
            loss=loss if finite else 0.0,
            finite=int(finite),
            learning_rate=float(record["learning_rate"]),
            reviews=int(record["reviews"]),
            seconds=float(record["step_s"]),
            tokens=[float(x) for x in record.get("share_tokens", record["shares"])],
            compute=[float(x) for x in record["compute_s"]],
            wait=[float(x) for x in record["wait_s"]],
            noise=noise,
        )

    def add(self, other: "Point") -> None:
        """Take in the steps that follow."""
        self.last = other.last
        self.steps += other.steps
        self.loss += other.loss
        self.finite += other.finite
        self.learning_rate = other.learning_rate
        self.reviews += other.reviews
        self.seconds += other.seconds
        self.tokens = add_ranks(self.tokens, other.tokens)
        self.compute = add_ranks(self.compute, other.compute)
        self.wait = add_ranks(self.wait, other.wait)
        self.noise.merge(other.noise)

    @property
    def mean_loss(self) -> float:
        """Mean of the finite losses, or NaN."""
        return self.loss / self.finite if self.finite else math.nan


@dataclass
class Curve:
    """Points of equal numbers of steps; when there are too many, neighbours are joined."""

    points: list[Point] = field(default_factory=list)
    width: int = 1  # steps in a full point

    def append(self, point: Point) -> None:
        """Take in the next step. A step seen before starts a resumed run: it wins."""
        while self.points and self.points[-1].first >= point.first:
            self.points.pop()
        if self.points and self.points[-1].steps < self.width:
            self.points[-1].add(point)
            return
        if len(self.points) == POINTS:
            for left, right in zip(self.points[::2], self.points[1::2], strict=True):
                left.add(right)
            del self.points[1::2]
            self.width *= 2
        self.points.append(point)

    @property
    def last_step(self) -> int:
        """Number of the last step, -1 before the first."""
        return self.points[-1].last if self.points else -1

    @property
    def total(self) -> Point | None:
        """All steps added up; None without any."""
        if not self.points:
            return None
        total = Point(self.points[0].first, -1, 0, 0.0, 0, 0.0, 0, 0.0, [], [], [])
        for point in self.points:
            total.add(point)
        return total


def add_ranks(left: list[float], right: list[float]) -> list[float]:
    """Sum rank by rank; the number of ranks may change when a run is resumed."""
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    return [x + y for x, y in zip(longer, shorter, strict=False)] + longer[len(shorter) :]
