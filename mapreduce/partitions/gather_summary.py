"""Summary of job 1 for the later jobs: cuts of the splits, counts, records that are bad."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from mapreduce.job_lines import BadRecordFields, PartitionResult
from mapreduce.partitions.splitting import Cuts, cuts_of
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.record import ValuesSeen

_SUMMARY = b"summary\t"  # begins the file of a summary


@dataclass(frozen=True)
class GatherSummary:
    """All lines of job 1 taken together."""

    recipe: Recipe
    partitions: int  # number of those that hold rows
    cuts: Cuts
    counts: dict[str, int]
    bad: dict[str, int]
    examples: list[BadRecordFields]  # the first three records that could not be read
    seen: ValuesSeen
    empty: list[str]  # files without a record
    errors: list[str]  # input that could not be read

    @classmethod
    def read(cls, path: str | Path, recipe: Recipe) -> "GatherSummary":
        """From a file that `write` wrote, or the output of job 1, `partition<TAB>line` each."""
        lines = Path(path).read_bytes().splitlines()
        try:
            if lines and lines[0].startswith(_SUMMARY):
                return cls._of_fields(json.loads(lines[0].removeprefix(_SUMMARY)), recipe)
            return cls.of([orjson.loads(line.partition(b"\t")[2]) for line in lines], recipe)
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(f"{path}: not the output of gather_reviews") from None

    def write(self, path: Path) -> Path:
        """A file of the summary, which is short where the lines of all partitions are not."""
        fields = {name: value for name, value in vars(self).items() if name != "recipe"}
        fields |= {"cuts": sorted(self.cuts.starts.items()), "seen": astuple(self.seen)}
        path.write_bytes(_SUMMARY + json.dumps(fields, sort_keys=True).encode() + b"\n")
        return path

    @classmethod
    def _of_fields(cls, fields: dict[str, Any], recipe: Recipe) -> "GatherSummary":
        cuts = Cuts({stratum: tuple(starts) for stratum, starts in fields["cuts"]})
        return cls(recipe, **{**fields, "cuts": cuts, "seen": ValuesSeen(*fields["seen"])})

    @classmethod
    def of(cls, lines: Sequence[PartitionResult], recipe: Recipe) -> "GatherSummary":
        """From the lines, in any order."""
        counts: Counter[str] = Counter()
        bad: Counter[str] = Counter()
        examples: list[BadRecordFields] = []
        seen = ValuesSeen()
        for line in lines:
            counts.update(line["counts"])
            bad.update(line["bad"])
            examples += line["examples"]
            seen += ValuesSeen(*line["seen"])
        examples.sort(key=lambda record: (record["path"], record["line"]))
        partitions = [line for line in lines if line["kind"] == "partition"]
        return cls(recipe, len(partitions), cuts_of(recipe.selection, partitions), dict(counts),
                   dict(bad), examples[:3], seen,
                   sorted(path for line in lines for path in line["empty"]),
                   [message for line in lines for message in line["errors"]])

    def splits(self, rows: pa.Table) -> np.ndarray:
        """The split (n,) uint8 of the rows of a partition file; 3 is unused."""
        return self.cuts.assign(
            np.asarray(rows["stratum"]), np.asarray(rows["split_key"]), np.asarray(rows["given"])
        )

    def check(self) -> None:
        """Stop when too much could not be read, or nothing is left."""
        if self.errors:
            raise UserError(self.errors[0])
        read = self.counts.get("read", 0)
        refuse_bad(read, self.bad, self.recipe, self.examples, self.seen)
        if not self.partitions:
            raise UserError(nothing_left(self.counts))


NOTHING_SEEN = ValuesSeen()
# What the reader of a message may not know about a reason.
_HINTS = {
    "invalid_utf8": "texts have to be UTF-8; iconv -f WINDOWS-1252 -t UTF-8 converts older ones",
    "wrong_columns": "a row has as many fields as the header; where quotes are text, --no-quotes "
                     "says so; quotes inside quotes are doubled, not escaped by backslashes",
    "unknown_label": "--classes and --label-values say what labels mean",
}


def refuse_bad(
    read: int, bad: Mapping[str, int], recipe: Recipe,
    examples: Sequence[BadRecordFields] = (), seen: ValuesSeen = NOTHING_SEEN,
) -> None:
    """Raise UserError when more records cannot be read than the recipe allows.

    `bad` counts them by reason, `examples` are the first of them, and `seen` says what ratings
    and labels there are.
    """
    if sum(bad.values()) <= recipe.max_bad_fraction * read:
        return
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(bad.items()))
    where = "; ".join(f"{one['path']}:{one['line']} {one['reason']}" for one in examples)
    worst = max(bad, key=lambda reason: bad[reason])
    hint = None if worst == "wrong_columns" and not recipe.input.quotes else _HINTS.get(worst)
    if worst in ("rating_out_of_range", "missing_rating"):
        hint = _rating_hint(worst, seen, recipe)
    if worst == "unknown_label" and seen.label is not None:
        hint = (f"a label such as {seen.label[:40]!r} is of no class; {hint}: "
                "--label-values=BAD,GOOD")
    raise UserError(
        f"{sum(bad.values()):,} of {read:,} records cannot be read ({reasons}), more than "
        f"--max-bad-fraction {recipe.max_bad_fraction:g}"
        + (f"; first: {where}" if where else "") + (f"; {hint}" if hint else "")
    )


def _rating_hint(reason: str, seen: ValuesSeen, recipe: Recipe) -> str:
    """Advice for ratings that are not on the recipe's scale, or are none."""
    low, high = recipe.labels.rating_range
    if seen.low is not None and seen.high is not None and (seen.low < low or seen.high > high):
        return (f"ratings from {seen.low:g} to {seen.high:g} are in the input, and the scale is "
                f"{low:g} to {high:g}: --rating-scale LOW,HIGH names another")
    if reason == "rating_out_of_range":
        return f"ratings are {low:g} to {high:g}; --rating-scale LOW,HIGH names another scale"
    if seen.text is not None:
        return (f"a rating such as {seen.text[:40]!r} is no number, and no text that names its "
                "scale (--rating-texts); --rating-scale LOW,HIGH is for numbers of another scale")
    return "--label-field names a field of labels; --missing drop leaves such records out"


def fate_text(read: int, dropped: Mapping[str, int], bad: Mapping[str, int]) -> str:
    """Fate of the records, in a line."""
    rules = ", ".join(f"{n:,} {rule}" for rule, n in dropped.items() if n)
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in bad.items())
    return f"{read:,} records read; dropped: {rules or 'none'}; bad: {reasons or 'none'}"


def nothing_left(counts: Mapping[str, int]) -> str:
    """The message that no review is left, with what was dropped."""
    parts = [f"{n:,} {rule}" for rule, n in sorted(counts.items())
             if n and rule not in ("read", "bytes", "without_key")]
    return (f"no review is left of {counts.get('read', 0):,} records: "
            + (", ".join(parts) or "the input is empty"))
