"""A block of reviews: the unit in which all text work is done."""

from dataclasses import dataclass, field

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("rating", pa.float32()),  # 1 to 5
        pa.field("label", pa.uint8()),  # index of the class
        pa.field("reviewer", pa.string()),
        pa.field("product", pa.string()),
        pa.field("time", pa.int64()),  # seconds since 1970, UTC
    ]
)


@dataclass(frozen=True, order=True)
class BadRecord:
    """Where a record stands that could not be read; `line` counts from 1 within its split, or
    within the file where that is read from front to back."""

    path: str
    line: int
    reason: str


@dataclass
class Block:
    """Readable reviews of one stretch of input, and what was wrong with the others.

    `records` counts good and bad ones; `size` is in bytes of uncompressed input.
    """

    reviews: pa.RecordBatch
    records: int
    size: int
    bad: dict[str, int] = field(default_factory=dict)
    places: list[BadRecord] = field(default_factory=list)
