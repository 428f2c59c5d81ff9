"""JSON lines: one object a line. What orjson reads is a good record, and nothing else."""

import json
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reviews.corpora.columns import CODE, Column, string_array
from reviews.corpora.fields import FOR_TRAINING, Reading, choose_names
from reviews.corpora.inputs import head
from reviews.corpora.json import kernel
from reviews.corpora.json.kernel import HARD
from reviews.corpora.json.values import ABSENT, FALSE, NULL, NUMBER, OTHER, STRING, TRUE
from reviews.corpora.stretches import LONGEST_RECORD, Spans, find_lines
from reviews.recipe import Recipe

SNIFFED_BYTES = 1 << 20
SNIFFED_RECORDS = 1000


class JsonLines:
    """Reads the fields of a review from each line; names missing ones by what the file has."""

    def __init__(self, path: str, recipe: Recipe, reading: Reading = FOR_TRAINING) -> None:
        self._nan = recipe.input.json_nan
        names = choose_names(path, recipe, self._samples(path), reading).roles()
        self.labelled = "label" in names
        self._fields = sorted(set(names.values()))
        self._place = {role: self._fields.index(name) for role, name in names.items()}

    def _samples(self, path: str) -> list[dict[str, Any]]:
        """The first objects; more is read where long records come before them."""
        size = SNIFFED_BYTES
        while True:
            data, whole = head(path, size)
            starts, ends, _ = self.find(data, whole)
            found = objects(data, starts, ends)
            if found or whole or len(starts) > SNIFFED_RECORDS or size > LONGEST_RECORD:
                return found
            size *= 8

    def find(self, data: bytes, final: bool) -> tuple[Spans, Spans, int]:
        """The lines that are whole in data."""
        return find_lines(data, final)

    def parse(
        self, data: bytes, starts: Spans, ends: Spans
    ) -> tuple[dict[str, Column], NDArray[np.uint8]]:
        """Columns by part of the review, and for each record (n) why it cannot be read, or 0."""
        columns, reasons = take_fields(data, starts, ends, self._fields, self._nan)
        return {role: columns[place] for role, place in self._place.items()}, reasons


def objects(data: bytes, starts: Spans, ends: Spans) -> list[dict[str, Any]]:
    """The readable objects among the first records."""
    found = []
    for start, end in zip(starts[:SNIFFED_RECORDS], ends[:SNIFFED_RECORDS], strict=True):
        value, _ = read_record(data[start:end], nan=True)
        if value is not None:
            found.append(value)
    return found


def read_record(record: bytes, nan: bool = False) -> tuple[dict[str, Any] | None, int]:
    """The object, or None and the reason: the definition of a good record.

    nan: NaN and Infinity, which Python's json writes and JSON does not have, are null.
    """
    try:
        value = orjson.loads(record)
    except orjson.JSONDecodeError:
        if nan and (b"NaN" in record or b"Infinity" in record):
            return _read_nan(record)
        try:
            record.decode()
        except UnicodeDecodeError:
            return None, CODE["invalid_utf8"]
        return None, CODE["invalid_json"]
    return (value, 0) if isinstance(value, dict) else (None, CODE["not_an_object"])


def _read_nan(record: bytes) -> tuple[dict[str, Any] | None, int]:
    """The same of a record that may have NaN and Infinity; all else has to be JSON."""
    try:
        loose = json.loads(record, parse_constant=lambda name: None)
        return read_record(orjson.dumps(loose))
    except UnicodeDecodeError:
        return None, CODE["invalid_utf8"]
    except (ValueError, TypeError, RecursionError):
        return None, CODE["invalid_json"]


def describe(value: Any) -> tuple[int, float, str]:
    """(kind, number, string) of one JSON value, as json_values names them."""
    if value is None:
        return NULL, 0.0, ""
    if isinstance(value, str):
        return STRING, 0.0, value
    if isinstance(value, bool):
        return (TRUE if value else FALSE), 0.0, ""
    if isinstance(value, int):
        return NUMBER, float(value), str(value)
    if isinstance(value, float):
        return NUMBER, value, ""
    return OTHER, 0.0, ""


def take_fields(
    data: bytes, starts: Spans, ends: Spans, fields: list[str], nan: bool = False
) -> tuple[list[Column], NDArray[np.uint8]]:
    """One column per field, and for each record (n) why it cannot be read, or 0."""
    n = len(starts)
    names = [name.encode() for name in fields]
    status, kinds, numbers, out, offsets = kernel.scan(data, starts, ends, names)
    reasons = np.zeros(n, np.uint8)
    strings = [string_array(n, offsets[f], out[f]) for f in range(len(fields))]
    hard = np.flatnonzero(status == HARD)
    if hard.size:
        patches: list[list[str]] = [[] for _ in fields]
        for row in hard:
            value, reasons[row] = read_record(data[starts[row] : ends[row]], nan)
            for f, name in enumerate(fields):
                there = value is not None and name in value
                found = describe(value[name]) if value and there else (ABSENT, 0.0, "")
                kinds[f, row], numbers[f, row], text = found
                patches[f].append(text)
        mask = pa.array(status == HARD)
        strings = [
            pc.replace_with_mask(fast, mask, pa.array(slow, pa.string()))
            for fast, slow in zip(strings, patches, strict=True)
        ]
    return [Column(kinds[f], numbers[f], strings[f]) for f in range(len(fields))], reasons
