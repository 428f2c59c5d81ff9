"""A block of reviews: the unit in which all text work is done."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("rating", pa.float32()),  # on the recipe's scale, 1 to 5 by default
        pa.field("label", pa.uint8()),  # index of the class
        pa.field("reviewer", pa.string()),
        pa.field("product", pa.string()),
        pa.field("time", pa.int64()),  # seconds since 1970, UTC
        pa.field("source", pa.string()),
    ]
)


@dataclass(frozen=True, order=True)
class BadRecord:
    """Place of a record that could not be read; `line` counts from 1 within its split, or
    within the file where that is read from front to back."""

    path: str
    line: int
    reason: str


@dataclass(frozen=True)
class ValuesSeen:
    """The lowest and the highest number of some ratings, a text that is no rating, and a label
    that is of no class."""

    low: float | None = None
    high: float | None = None
    text: str | None = None
    label: str | None = None

    def __add__(self, other: "ValuesSeen") -> "ValuesSeen":
        """Values seen of both."""
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        texts = [text for text in (self.text, other.text) if text is not None]
        labels = [label for label in (self.label, other.label) if label is not None]
        return ValuesSeen(min(lows, default=None), max(highs, default=None),
                          min(texts, default=None), min(labels, default=None))


@dataclass
class Block:
    """Readable reviews of one stretch of input, and what was wrong with the others.

    `records` counts good, bad and dropped ones; `size` is in bytes of uncompressed input.
    `dropped` counts those that lack a part, where the recipe drops such; `seen` is about the
    ratings or labels, where some are bad.
    """

    reviews: pa.RecordBatch
    records: int
    size: int
    bad: dict[str, int] = field(default_factory=dict)
    places: list[BadRecord] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    seen: ValuesSeen = field(default_factory=ValuesSeen)
    # (n,) int64: the number of each review among the records, from 0
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
