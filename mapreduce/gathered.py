"""What job 1 said, as the later jobs need it: cuts of the splits, counts, bad places."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from mapreduce.splitting import Cuts, cuts_of
from reviews.errors import UserError
from reviews.recipe import Recipe


@dataclass(frozen=True)
class Gathered:
    """All lines of job 1 taken together."""

    recipe: Recipe
    lines: list[dict[str, Any]]
    cuts: Cuts
    counts: dict[str, int]
    bad: dict[str, int]
    places: list[dict[str, Any]]  # the first three records that could not be read

    @classmethod
    def read(cls, path: str | Path, recipe: Recipe) -> "Gathered":
        """From the output of job 1, `partition<TAB>line` each."""
        entries = [line.split(b"\t", 1) for line in Path(path).read_bytes().splitlines()]
        return cls.of([orjson.loads(entry[1]) for entry in entries], recipe)

    @classmethod
    def of(cls, lines: list[dict[str, Any]], recipe: Recipe) -> "Gathered":
        """From the lines, in any order."""
        counts: Counter[str] = Counter()
        bad: Counter[str] = Counter()
        places: list[dict[str, Any]] = []
        for line in lines:
            counts.update(line["counts"])
            bad.update(line["bad"])
            places += line["places"]
        places.sort(key=lambda place: (place["path"], place["line"]))
        return cls(recipe, lines, cuts_of(recipe, lines), dict(counts), dict(bad), places[:3])

    @property
    def partitions(self) -> int:
        """Number of partitions that hold rows."""
        return sum("file" in line for line in self.lines)

    def splits(self, rows: pa.Table) -> np.ndarray:
        """The split (n,) uint8 of the rows of a partition file; 3 is unused."""
        return self.cuts.assign(
            np.asarray(rows["stratum"]), np.asarray(rows["split_key"]), np.asarray(rows["given"])
        )

    def check(self) -> None:
        """Stop when too much could not be read, or nothing is left."""
        for line in self.lines:
            if "error" in line:
                raise UserError(line["error"])
        read, bad = self.counts.get("read", 0), sum(self.bad.values())
        if bad > self.recipe.max_bad_fraction * read:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(self.bad.items()))
            where = "; ".join(f"{p['path']}:{p['line']} {p['reason']}" for p in self.places)
            raise UserError(
                f"{bad:,} of {read:,} records cannot be read ({reasons}), more than "
                f"--max-bad-fraction {self.recipe.max_bad_fraction:g}; first: {where}"
            )
        if not self.partitions:
            raise UserError(f"no review is left of {read:,} records: {dropped_words(self)}")


def dropped_words(gathered: Gathered) -> str:
    """The counts of what was dropped, for a message."""
    parts = [f"{n:,} {rule}" for rule, n in sorted(gathered.counts.items())
             if n and rule not in ("read", "bytes", "without_key")]
    return ", ".join(parts) or "the input is empty"


