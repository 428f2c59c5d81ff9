"""Meaning of raw values: columns of fields become reviews, or reasons why not.

Every format ends here, so that a rating, a label or a time is read alike in all of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reviews.corpora.json.values import ABSENT, FALSE, NULL, NUMBER, STRING, TRUE
from reviews.corpora.ratings import RatingScale, plain_number
from reviews.corpora.times import seconds
from reviews.features import Feature
from reviews.labels import NO_LABEL
from reviews.record import SCHEMA

# Why a record is bad; the first one means that it is not.
REASONS = (
    "", "invalid_json", "not_an_object", "invalid_utf8", "wrong_columns", "truncated_file",
    "missing_text", "missing_rating", "rating_out_of_range", "missing_label", "unknown_label",
    "too_long",
)  # fmt: skip
CODE = {reason: code for code, reason in enumerate(REASONS)}

MISSING = ("missing_text", "missing_rating", "missing_label")
STARS = RatingScale()
_UNKNOWN, _MISSING = NO_LABEL - 1, NO_LABEL - 2
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """One field of n records: kinds (n) of json_values, numbers (n), strings (n).

    `numbers` is valid where the kind is NUMBER; `strings` (no nulls) where it is STRING, and
    holds the digits of a NUMBER that was written as an integer.
    """

    kinds: NDArray[np.uint8]
    numbers: NDArray[np.float64]
    strings: pa.StringArray


def string_array(n: int, offsets: NDArray[np.int32], data: NDArray[np.uint8]) -> pa.StringArray:
    """An Arrow array of n strings over the scanners' buffers, without a copy."""
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(data))


def string_column(strings: pa.StringArray) -> Column:
    """A field that every record has, as a string: CSV knows nothing else."""
    n = len(strings)
    return Column(np.full(n, STRING, np.uint8), np.zeros(n), strings)


def to_reviews(
    columns: Mapping[str, Column],
    reasons: NDArray[np.uint8],
    meanings: Mapping[str, int] | None,
    features: Sequence[Feature] = (),
    scale: RatingScale = STARS,
    labels: bool = True,
) -> tuple[pa.RecordBatch, NDArray[np.uint8]]:
    """The good reviews, in order, and a reason (n) for each record, 0 for the good ones.

    `columns` are by part of the review; `reasons` (n) says which could not be read at all;
    `meanings` gives the class of each label, where labels are wanted.
    Then a rating may be missing, and an impossible one counts as missing; so it is where `labels`
    are not needed at all. Columns feature_0 and so on, and key, follow those of the schema.
    """
    n = len(reasons)
    reasons = reasons.copy()
    text = columns["text"]
    _blame(reasons, text.kinds != STRING, "missing_text")
    rating, present = _nothing(n)
    if "rating" in columns:
        rating, present = _ratings(columns["rating"], scale)
    possible = present & (rating >= scale.low) & (rating <= scale.high)
    label = None
    if meanings is not None:
        label = _labels(columns["label"], meanings)
        _blame(reasons, label == _MISSING, "missing_label")
        _blame(reasons, label == _UNKNOWN, "unknown_label")
        possible &= label != NO_LABEL  # who is called neutral is dropped, whatever its stars
    elif labels:
        _blame(reasons, ~present, "missing_rating")
        _blame(reasons, ~possible, "rating_out_of_range")
    with np.errstate(over="ignore"):
        ratings = rating.astype(np.float32)
    batch = pa.record_batch(
        [
            _with_title(columns.get("title"), text.strings),
            pa.array(ratings, mask=~possible),
            pa.nulls(n, pa.uint8()) if label is None else pa.array(label),
            _keys(columns.get("reviewer"), n),
            _keys(columns.get("product"), n),
            _times(columns.get("time"), n),
            _keys(columns.get("source"), n),
        ],
        schema=SCHEMA,
    )
    for number, feature in enumerate(features):
        name = f"feature_{number}"
        batch = batch.append_column(name, _feature(columns.get(name), feature.kind, n))
    if "key" in columns:
        batch = batch.append_column("key", _keys(columns["key"], n))
    if reasons.any():
        batch = batch.filter(pa.array(reasons == 0))
    return batch, reasons


def _blame(reasons: NDArray[np.uint8], where: NDArray[np.bool_], reason: str) -> None:
    """Give a reason to those records that have none yet."""
    reasons[where & (reasons == 0)] = CODE[reason]


def _nothing(n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.zeros(n), np.zeros(n, np.bool_)


def _by_value(strings: pa.StringArray, meaning: Callable[[str], Any], type: Any) -> NDArray[Any]:
    """meaning(string) of each string (n), asked once for each distinct one."""
    encoded = strings.dictionary_encode()
    values = np.array([meaning(value) for value in encoded.dictionary.to_pylist()], type)
    return values[encoded.indices.to_numpy()] if len(values) else np.zeros(0, type)


def _ratings(
    column: Column, scale: RatingScale
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(values, whether there is a number at all), each (n)."""
    present = column.kinds == NUMBER
    values = np.where(present, column.numbers, 0.0)
    texts = column.kinds == STRING
    if texts.any():
        parsed = _by_value(column.strings, scale.read, object)
        numeric = texts & np.not_equal(parsed, None)  # type: ignore[call-overload]
        values[numeric] = parsed[numeric].astype(np.float64)
        present |= numeric
    return values, present


def _labels(column: Column, meanings: Mapping[str, int]) -> NDArray[np.uint8]:
    """Class index (n), or _MISSING or _UNKNOWN."""
    kinds = column.kinds
    labels = np.full(len(kinds), _UNKNOWN, np.uint8)
    labels[(kinds == ABSENT) | (kinds == NULL)] = _MISSING
    labels[kinds == FALSE] = meanings.get("false", _UNKNOWN)
    labels[kinds == TRUE] = meanings.get("true", _UNKNOWN)
    numbers, which = np.unique(column.numbers[kinds == NUMBER], return_inverse=True)
    found = np.array([meanings.get(f"{number:g}", _UNKNOWN) for number in numbers], np.uint8)
    labels[kinds == NUMBER] = found[which]
    texts = kinds == STRING
    if texts.any():
        found = _by_value(column.strings, lambda text: _label(text, meanings), np.uint8)
        labels[texts] = found[texts]
    return labels


def _label(text: str, meanings: Mapping[str, int]) -> int:
    text = text.strip(" \t\r\n").lower()
    if not text:
        return _MISSING
    number = plain_number(text)  # 1.0 is 1
    return meanings.get(text, meanings.get(text if number is None else f"{number:g}", _UNKNOWN))


def unknown_label(column: Column, reasons: NDArray[np.uint8]) -> str | None:
    """The first, by the alphabet, of the labels (n) that are of no class; None where they are no
    texts and no numbers."""
    wrong = reasons == CODE["unknown_label"]
    texts = column.strings.filter(pa.array(wrong & (column.kinds == STRING))).unique()
    numbers = np.unique(column.numbers[wrong & (column.kinds == NUMBER)])
    return min([*map(str.strip, texts.to_pylist()), *(f"{number:g}" for number in numbers)],
               default=None)


def _with_title(column: Column | None, texts: pa.StringArray) -> pa.StringArray:
    """The texts after their titles, as fastText's files of Amazon reviews have them."""
    if column is None:
        return texts
    there = pc.and_(pa.array(column.kinds == STRING), pc.not_equal(column.strings, ""))
    titles = pc.if_else(there, column.strings, pa.scalar(None, pa.string()))
    return pc.binary_join_element_wise(titles, texts, ": ", null_handling="skip")


def _keys(column: Column | None, n: int) -> pa.StringArray:
    """Names of reviewers, products or sources: strings and integers; an empty one is none."""
    if column is None:
        return pa.nulls(n, pa.string())
    fitting = (column.kinds == STRING) | (column.kinds == NUMBER)
    wanted = pc.and_(pa.array(fitting), pc.not_equal(column.strings, ""))
    return pc.if_else(wanted, column.strings, pa.scalar(None, pa.string()))


def _times(column: Column | None, n: int) -> pa.Int64Array:
    """Seconds since 1970 from seconds, milliseconds or ISO dates; null where unreadable."""
    if column is None:
        return pa.nulls(n, pa.int64())
    return seconds(column.kinds == NUMBER, column.numbers, column.kinds == STRING, column.strings)


def _feature(column: Column | None, kind: str, n: int) -> pa.Array:
    """Strings of a category, float64 of a number or time; null where there is none."""
    if column is None:
        return pa.nulls(n, pa.string() if kind == "category" else pa.float64())
    if kind == "time":
        return _times(column, n).cast(pa.float64())
    words = column.kinds == STRING
    truth = (column.kinds == TRUE) | (column.kinds == FALSE)
    if kind == "category":
        values = pc.utf8_trim_whitespace(column.strings)
        # A number with a point has no digits of its own.
        numbers = (column.kinds == NUMBER) & np.asarray(pc.equal(values, ""))
        values = pc.if_else(pa.array(numbers), pa.array(column.numbers).cast(pa.string()), values)
        values = pc.if_else(pa.array(column.kinds == TRUE), "true", values)
        values = pc.if_else(pa.array(column.kinds == FALSE), "false", values)
        there = (words | truth | (column.kinds == NUMBER)) & np.asarray(pc.not_equal(values, ""))
        return pc.if_else(pa.array(there), values, pa.scalar(None, pa.string()))
    found = np.full(n, np.nan)
    if words.any():
        found[words] = _by_value(column.strings, _number, np.float64)[words]
    found[column.kinds == NUMBER] = column.numbers[column.kinds == NUMBER]
    found[truth] = column.kinds[truth] == TRUE
    possible = np.abs(found) <= _LARGEST
    return pa.array(found + 0.0, mask=~possible)  # there is one zero


def _number(text: str) -> float:
    """The number of a string, NaN if there is none; 1,234 and true are numbers too."""
    text = text.strip(" \t\r\n").lower()
    if text in ("true", "false"):
        return float(text == "true")
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    number = plain_number(text)
    return float("nan") if number is None else number
