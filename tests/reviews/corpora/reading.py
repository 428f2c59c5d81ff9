"""Reading a corpus to the end, and the corpora of the tests."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reviews.corpora import InputSplit, plan_splits, read_blocks
from reviews.recipe import Recipe
from reviews.record import SCHEMA, BadRecord

# A recipe that looks at every part of a review.
WHOLE = Recipe.of(dedupe="reviewer-product")


@dataclass
class Reading:
    """Reviews of an input in order, and an account of the rest."""

    reviews: list[dict[str, Any]] = field(default_factory=list)
    records: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    places: list[BadRecord] = field(default_factory=list)
    size: int = 0

    @property
    def texts(self) -> list[str]:
        return [review["text"] for review in self.reviews]

    def column(self, name: str) -> list[Any]:
        return [review[name] for review in self.reviews]


def read_splits(splits: Iterable[InputSplit], recipe: Recipe = WHOLE, rows: int = 16384) -> Reading:
    """Everything in the splits. No record may be lost on the way, whatever the input is."""
    found = Reading()
    for split in splits:
        for block in read_blocks(split, recipe, rows):
            assert block.reviews.schema.equals(SCHEMA)
            block.reviews.validate(full=True)
            assert block.records == len(block.reviews) + sum(block.bad.values()) <= rows
            assert len(block.places) == min(3, sum(block.bad.values()))
            found.reviews += block.reviews.to_pylist()
            found.records += block.records
            found.bad.update(block.bad)
            found.places += block.places
            found.size += block.size
    return found


def read(path: Path | str, recipe: Recipe = WHOLE, rows: int = 16384) -> Reading:
    """Everything in a file, its format found by looking."""
    return read_splits(plan_splits([str(path)], recipe), recipe, rows)


def read_bytes(folder: Path, data: bytes, recipe: Recipe = WHOLE, rows: int = 16384) -> Reading:
    """Everything in a file of these bytes, whose name says nothing."""
    path = folder / "input"
    path.write_bytes(data)
    return read(path, recipe, rows)


def json_lines(rows: Iterable[Mapping[str, Any]], **options: Any) -> bytes:
    return "".join(json.dumps(row, **options) + "\n" for row in rows).encode()


def review(text: str = "fine", rating: Any = 5, **others: Any) -> dict[str, Any]:
    return {"text": text, "rating": rating, **others}


def mcauley(number: int, **changes: Any) -> dict[str, Any]:
    """A record of the 2014 Amazon corpus."""
    return {
        "reviewerID": f"A{number:013d}",
        "asin": f"{number % 7:010d}",
        "reviewerName": 'Jo "the reader" Doe',
        "helpful": [number, 7],
        "reviewText": f'Number {number}, a "fine" caf\u00e9 \\ bar',
        "overall": float(number % 5 + 1),
        "summary": "Fine {really}",
        "unixReviewTime": 1_300_000_000 + number,
        "reviewTime": "03 13, 2011",
        **changes,
    }
