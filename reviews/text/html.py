"""HTML out of review texts: tags become a space, entities their characters.

The rule is one pass of `PATTERN` over the text: what a decoded entity spells is not looked at
again. An entity needs its semicolon; names are those of HTML 5.
"""

import re
from functools import cache
from html import entities
from typing import Any

import numpy as np
import pyarrow as pa

from reviews.compiled.functions import compiled, kernel
from reviews.text.bits import equal, trailing_zeros
from reviews.text.strings import string_buffers, strings_from

Array = np.ndarray

PATTERN = re.compile(
    r"<(?:[A-Za-z]|/[A-Za-z]|!)[^<>]*>"
    r"|&(?:\#([0-9]{1,7})|\#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));"
)


def clean_text(text: str) -> str:
    """The rule for one text, spelled out in Python: what `clean_html` is tested against."""

    def replace(match: re.Match[str]) -> str:
        decimal, hexadecimal, name = match.groups()
        if name:
            return entities.html5.get(name + ";", match[0])
        if not decimal and not hexadecimal:
            return " "
        code = int(decimal) if decimal else int(hexadecimal, 16)
        if not 0 < code < 0x110000 or 0xD800 <= code < 0xE000:
            return match[0]
        return chr(code)

    return PATTERN.sub(replace, text)


def clean_html(texts: pa.Array) -> pa.Array:
    """The texts (no nulls) without tags and entities."""
    data, offsets = string_buffers(texts)
    if _next_mark(data, np.int64(offsets[0]), np.int64(offsets[-1])) == offsets[-1]:
        return texts
    # Decoding grows a text by a fifth at most: &nGt; becomes six bytes.
    size = int(offsets[-1] - offsets[0])
    out = np.empty(size + size // 5 + 1, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    names, name_ends, values, value_ends = _names()
    _clean(data, offsets, names, name_ends, values, value_ends, out, ends)
    return strings_from(out[: ends[-1]], ends)


@cache
def _names() -> tuple[Array, ...]:
    """HTML 5 names as a sorted ragged array of bytes, beside the bytes each stands for."""
    known = {
        name[:-1].encode(): value.encode()
        for name, value in entities.html5.items()
        if name.endswith(";")
    }
    names = sorted(known)
    values = [known[name] for name in names]
    return (
        np.frombuffer(b"".join(names), np.uint8),
        np.cumsum([0] + [len(name) for name in names]),
        np.frombuffer(b"".join(values), np.uint8),
        np.cumsum([0] + [len(value) for value in values]),
    )


@compiled()
def _is_letter(byte: int) -> bool:
    return 65 <= byte <= 90 or 97 <= byte <= 122


@compiled()
def _find_name(data: Array, start: Any, end: Any, names: Array, name_ends: Array) -> Any:
    """Binary search for data[start:end] among the names; -1 when it is none of them."""
    low, high = 0, name_ends.size - 2
    while low <= high:
        middle = (low + high) // 2
        first, last = name_ends[middle], name_ends[middle + 1]
        order: Any = 0
        k = 0
        while order == 0 and k < end - start and k < last - first:
            order = np.int64(data[start + k]) - np.int64(names[first + k])
            k += 1
        if order == 0:
            order = (end - start) - (last - first)
        if order == 0:
            return middle
        if order < 0:
            high = middle - 1
        else:
            low = middle + 1
    return -1


@compiled()
def _put_code(out: Array, n: Any, code: Any) -> Any:
    """Write a code point as UTF-8; return the new end."""
    if code < 0x80:
        out[n] = code
        return n + 1
    if code < 0x800:
        out[n] = 0xC0 | code >> 6
        out[n + 1] = 0x80 | (code & 0x3F)
        return n + 2
    if code < 0x10000:
        out[n] = 0xE0 | code >> 12
        out[n + 1] = 0x80 | (code >> 6 & 0x3F)
        out[n + 2] = 0x80 | (code & 0x3F)
        return n + 3
    out[n] = 0xF0 | code >> 18
    out[n + 1] = 0x80 | (code >> 12 & 0x3F)
    out[n + 2] = 0x80 | (code >> 6 & 0x3F)
    out[n + 3] = 0x80 | (code & 0x3F)
    return n + 4


@compiled()
def _number(data: Array, i: Any, last: Any) -> tuple[Any, Any]:
    """The code point of a numeric entity whose '&#' ends before i, and where its ';' stands;
    (-1, 0) when it is none."""
    base, most = 10, 7
    if i < last and (data[i] == 120 or data[i] == 88):
        base, most = 16, 6
        i += 1
    code: Any = 0
    digits = 0
    while i < last and digits <= most:
        byte = np.int64(data[i])
        if 48 <= byte <= 57:
            digit = byte - 48
        elif base == 16 and (65 <= byte <= 70 or 97 <= byte <= 102):
            digit = (byte & 0xDF) - 55
        else:
            break
        code = code * base + digit
        digits += 1
        i += 1
    if digits == 0 or digits > most or i >= last or data[i] != 59:
        return -1, 0
    if code == 0 or code >= 0x110000 or 0xD800 <= code < 0xE000:
        return -1, 0
    return code, i


@kernel(returns=int)
def _next_mark(data: Array, i: Any, last: Any) -> Any:
    """The place of the first < or & in data[i:last], else last."""
    while i < last and i + 64 <= data.size:
        found = equal(data, i, np.uint8(60)) | equal(data, i, np.uint8(38))
        if found:
            return min(i + trailing_zeros(found), last)
        i += 64
    while i < last and data[i] != 60 and data[i] != 38:
        i += 1
    return min(i, last)


@kernel()
def _clean(
    data: Array, offsets: Array, names: Array, name_ends: Array, values: Array,
    value_ends: Array, out: Array, ends: Array,
) -> None:
    n: Any = 0
    for row in range(offsets.size - 1):
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        while True:
            mark = _next_mark(data, i, last)
            source, target = data[i:mark], out[n : n + mark - i]
            for k in range(source.size):
                target[k] = source[k]
            n += source.size
            i = mark
            if i == last:
                break
            byte = data[i]
            if byte == 60 and i + 1 < last:  # <
                opens = _is_letter(data[i + 1]) or data[i + 1] == 33
                if data[i + 1] == 47 and i + 2 < last:
                    opens = _is_letter(data[i + 2])
                j = i + 1
                while opens and j < last and data[j] != 60 and data[j] != 62:
                    j += 1
                if opens and j < last and data[j] == 62:
                    out[n] = 32
                    n += 1
                    i = j + 1
                    continue
            elif byte == 38 and i + 2 < last:  # &
                if data[i + 1] == 35:  # #
                    code, end = _number(data, i + 2, last)
                    if code >= 0:
                        n = _put_code(out, n, code)
                        i = end + 1
                        continue
                elif _is_letter(data[i + 1]):
                    j = i + 1
                    while (j < last and j - i <= 32
                           and (_is_letter(data[j]) or 48 <= data[j] <= 57)):
                        j += 1
                    if j < last and data[j] == 59:
                        name = _find_name(data, i + 1, j, names, name_ends)
                        if name >= 0:
                            for k in range(value_ends[name], value_ends[name + 1]):
                                out[n] = values[k]
                                n += 1
                            i = j + 1
                            continue
            out[n] = byte
            n += 1
            i += 1
        ends[row + 1] = n
