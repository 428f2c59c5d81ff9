"""A folder of predictions in parts, which a later start goes on with.

    _scoring.json       what is scored, and how; written first
    part-00000.parquet  predictions of the first bytes of input, and so on in their order
    _SUCCESS            empty; written last

A part is there whole or not at all, and says in its footer where in the input it ends and what
became of the records up to there, so that the last one is all that a later start needs.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reviews.errors import UserError
from reviews.storage.files import is_remote
from reviews.storage.folders import delete, join, names_below, read_whole, whole_file, write_whole
from reviews.storage.input_file import open_input
from scoring.files import START, Position, Scored, Tally
from scoring.output import parquet_writer

PART_BYTES = 128 << 20  # bytes of inflated input whose predictions are a part
PLAN, DONE = "_scoring.json", "_SUCCESS"
FORMAT = "reviewmill-predictions/1"
_PART = re.compile(r"part-([0-9]{5,})\.parquet")
_STATE = b"reviewmill"


@dataclasses.dataclass(frozen=True)
class Begun:
    """Parts of a folder that earlier starts have written."""

    parts: int = 0
    position: Position = START
    tally: Tally = dataclasses.field(default_factory=Tally)


def begin(folder: str, plan: dict[str, Any], resume: bool, overwrite: bool) -> Begun:
    """Make a folder ready for parts.

    plan: what decides the predictions, as plain values; only a folder of an equal one is resumed.
    Raises UserError for a folder that holds something else.
    """
    plan = json.loads(json.dumps({"format": FORMAT, **plan}))
    names = names_below(folder)
    if names and PLAN not in names:
        raise UserError(f"{folder} is there, and is no folder of predictions")
    if names and overwrite and not resume:
        delete(folder)
        names = {}
    if names and not resume:
        raise UserError(f"{folder} exists already; --resume goes on with it, --overwrite "
                        "replaces it")
    if not names:
        if not is_remote(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        write_whole(join(folder, PLAN), json.dumps(plan, indent=1).encode() + b"\n")
        return Begun()
    _check_plan(folder, plan)
    for name in names:
        if name.startswith("."):  # of a start that was killed while it wrote
            delete(join(folder, name))
    return _last_part(folder, sum(bool(_PART.fullmatch(name)) for name in names))


def _check_plan(folder: str, plan: dict[str, Any]) -> None:
    try:
        earlier = json.loads(read_whole(join(folder, PLAN)))
        different = [key for key in plan if plan[key] != earlier.get(key)]
    except (ValueError, AttributeError):
        raise UserError(f"{folder}/{PLAN} cannot be read") from None
    if different:
        raise UserError(f"{folder} was begun with other {' and '.join(different)}: --resume "
                        "goes on with the same alone")


def _last_part(folder: str, parts: int) -> Begun:
    if not parts:
        return Begun()
    name = join(folder, part_name(parts - 1))
    try:
        with open_input(name) as file:
            state = json.loads(pq.read_metadata(file).metadata[_STATE])
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
        raise UserError(f"{name} is no part of predictions") from None
    return Begun(parts, Position(**state["position"]), Tally.of(state["tally"]))


def part_name(number: int) -> str:
    """The file of a part."""
    return f"part-{number:05d}.parquet"


def write_parts(
    folder: str, scored: Iterator[Scored], schema: pa.Schema, tally: Tally, first: int,
    part_bytes: int,
) -> None:
    """Write parts from the number `first` on; tally: counts all of `scored` as it comes."""
    numbers = count(first)
    piece = next(scored, None)
    while piece is not None:
        path = join(folder, part_name(next(numbers)))
        piece = _write(path, piece, scored, schema, tally, part_bytes)


def write_part(
    folder: str, name: str, scored: Iterator[Scored], schema: pa.Schema, tally: Tally
) -> None:
    """Write all of `scored` as one part of this name; none where there is nothing."""
    piece = next(scored, None)
    if piece is not None:
        _write(join(folder, name), piece, scored, schema, tally, sys.maxsize)


def _write(
    path: str, piece: Scored | None, scored: Iterator[Scored], schema: pa.Schema, tally: Tally,
    part_bytes: int,
) -> Scored | None:
    """Write a part of `piece` and what follows it; return the piece behind the part."""
    size = 0
    with whole_file(path) as local, parquet_writer(local, schema) as writer:
        while piece is not None and size < part_bytes:
            for batch in piece.batches:
                writer.write_batch(batch)
            size += piece.size
            state = {"position": dataclasses.asdict(piece.after), "tally": tally.to_json()}
            piece = next(scored, None)
        writer.add_key_value_metadata({_STATE: json.dumps(state).encode()})
    return piece


def finish(folder: str) -> None:
    """Say that all parts are there."""
    write_whole(join(folder, DONE), b"")
