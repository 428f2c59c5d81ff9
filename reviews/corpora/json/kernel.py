"""A JSON scanner over raw bytes that takes wanted fields out of many records at once.

It is careful rather than complete: a record it accepts is one that orjson accepts, with the
same values; anything unusual (escaped keys, repeated keys, exponents, deep nesting, every
error) it marks HARD and leaves to orjson, which alone decides what a good record is. No
record's result depends on its neighbours.
"""

import numpy as np
from numpy.typing import NDArray

from reviews.compiled.functions import kernel
from reviews.corpora.json.values import (
    ABSENT,
    COLON,
    COMMA,
    NUMBER,
    OTHER,
    QUOTE,
    STRING,
    decimal_value,
    number_end,
    put_string,
    skip_space,
    starts_number,
    string_end,
    word_end,
)  # fmt: skip
from reviews.corpora.utf8 import compiled

# What became of a record.
GOOD, HARD = 0, 255

_OBJECT, _ARRAY = ord("{"), ord("[")
_TO_CLOSE = 2  # from { to }, and from [ to ]
_DEPTH = 64  # orjson follows 1024 levels; reviews need three


@compiled
def _opens(byte):
    """True when an object or array begins with this byte."""
    return byte in (_OBJECT, _ARRAY)


@compiled
def _skip_key(data, i, end):
    """(first byte of the key `"key":` at i, its end, index of the value), or -1 for the last.

    A key with escapes is left to orjson: it might spell a wanted name.
    """
    if i >= end or data[i] != QUOTE:
        return 0, 0, -1
    close, escaped = string_end(data, i + 1, end)
    if close < 0 or escaped:
        return 0, 0, -1
    colon = skip_space(data, close + 1, end)
    if colon >= end or data[colon] != COLON:
        return 0, 0, -1
    return i + 1, close, skip_space(data, colon + 1, end)


@compiled
def _skip_scalar(data, i, end):
    """The index after the string, number or word at i, or -1."""
    if data[i] == QUOTE:
        close, _ = string_end(data, i + 1, end)
        return close + 1 if close >= 0 else -1
    if starts_number(data[i]):
        return number_end(data, i, end)[0]
    return word_end(data, i, end)[0]


@compiled
def _skip_nested(data, i, end, stack):
    """The index after the object or array at i, or -1; `stack` has room for the open ones."""
    depth = 0
    while True:
        # A value is due at i.
        if i >= end:
            return -1
        opening = data[i]
        if _opens(opening):
            if depth == stack.size:
                return -1
            stack[depth] = opening
            depth += 1
            i = skip_space(data, i + 1, end)
            if i < end and data[i] != opening + _TO_CLOSE:
                if opening == _OBJECT:
                    _, _, i = _skip_key(data, i, end)
                    if i < 0:
                        return -1
                continue
        else:
            i = _skip_scalar(data, i, end)
            if i < 0:
                return -1
        # A value has ended before i: close what ends with it.
        while True:
            i = skip_space(data, i, end)
            if i >= end:
                return -1
            opening = stack[depth - 1]
            if data[i] != opening + _TO_CLOSE:
                break
            i += 1
            depth -= 1
            if depth == 0:
                return i
        if data[i] != COMMA:
            return -1
        i = skip_space(data, i + 1, end)
        if opening == _OBJECT:
            _, _, i = _skip_key(data, i, end)
            if i < 0:
                return -1


@compiled
def _find(data, i, end, names, bounds):
    """Number of the wanted name that data[i:end] is, or -1."""
    for f in range(bounds.size - 1):
        if bounds[f + 1] - bounds[f] == end - i:
            same = True
            for j in range(end - i):
                if names[bounds[f] + j] != data[i + j]:
                    same = False
                    break
            if same:
                return f
    return -1


@compiled
def _take(data, i, end, stack, out, k):
    """The wanted value at i: (index after it or -1, kind, number, index after its string)."""
    c = data[i]
    if c == QUOTE:
        close, escaped = string_end(data, i + 1, end)
        if close < 0:
            return -1, STRING, 0.0, k
        return close + 1, STRING, 0.0, put_string(data, i + 1, close, escaped, out, k)
    if starts_number(c):
        after, whole = number_end(data, i, end)
        if after < 0:
            return -1, NUMBER, 0.0, k
        value, exact = decimal_value(data, i, whole, after)
        if after == whole:  # the digits too: identifiers may be written as numbers
            k = put_string(data, i, after, False, out, k)
        return (after if exact else -1), NUMBER, value, k
    if _opens(c):
        return _skip_nested(data, i, end, stack), OTHER, 0.0, k
    after, kind = word_end(data, i, end)
    return after, kind, 0.0, k


@compiled
def _record(data, i, end, names, bounds, stack, row, kinds, numbers, out, filled):
    """Take the fields of the record data[i:end]; False where orjson must look."""
    i = skip_space(data, i, end)
    if i >= end or data[i] != _OBJECT:
        return False
    i = skip_space(data, i + 1, end)
    if i < end and data[i] == _OBJECT + _TO_CLOSE:
        return skip_space(data, i + 1, end) == end
    while True:
        first, last, i = _skip_key(data, i, end)
        if i < 0 or i >= end:
            return False
        f = _find(data, first, last, names, bounds)
        if f >= 0:
            if kinds[f, row] != ABSENT:
                return False
            i, kinds[f, row], numbers[f, row], filled[f] = _take(
                data, i, end, stack, out[f], filled[f]
            )
        elif _opens(data[i]):
            i = _skip_nested(data, i, end, stack)
        else:
            i = _skip_scalar(data, i, end)
        if i < 0:
            return False
        i = skip_space(data, i, end)
        if i < end and data[i] == _OBJECT + _TO_CLOSE:
            return skip_space(data, i + 1, end) == end
        if i >= end or data[i] != COMMA:
            return False
        i = skip_space(data, i + 1, end)


@kernel()
def _records(
    data, starts, ends, names, bounds, stack, filled, status, kinds, numbers, out, offsets
):
    """All records; out[f] takes the strings of field f end to end, offsets[f] their bounds, and
    filled[f] how far it is filled. `stack` is for what is nested."""
    for row in range(starts.size):
        good = _record(
            data, starts[row], ends[row], names, bounds, stack, row, kinds, numbers, out, filled
        )
        status[row] = GOOD if good else HARD
        for f in range(filled.size):
            offsets[f, row + 1] = filled[f]


def scan(
    data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], names: list[bytes]
) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Take the named fields (n_fields) of the records data[starts[i]:ends[i]] (n of them).

    Returns status (n) GOOD or HARD; kinds (n_fields, n) of json_values; numbers (n_fields, n),
    float64, valid where the kind is NUMBER; the bytes of the strings (n_fields, room), and
    their offsets (n_fields, n + 1), int32. A NUMBER that is an integer has its digits as its
    string. What stands in the columns of a HARD record means nothing.
    """
    rows, fields = starts.size, len(names)
    room = int((ends - starts).sum())
    status = np.zeros(rows, np.uint8)
    kinds = np.zeros((fields, rows), np.uint8)
    numbers = np.empty((fields, rows))
    out = np.empty((fields, max(room, 1)), np.uint8)  # untouched pages cost nothing
    offsets = np.zeros((fields, rows + 1), np.int32)
    bounds = np.cumsum([0, *map(len, names)], dtype=np.int64)
    _records(
        np.frombuffer(data, np.uint8), starts, ends, np.frombuffer(b"".join(names), np.uint8),
        bounds, np.empty(_DEPTH, np.uint8), np.zeros(fields, np.int64), status, kinds, numbers,
        out, offsets,
    )  # fmt: skip
    return status, kinds, numbers, out, offsets
