"""A JSON scanner over raw bytes that takes wanted fields out of many records at once.

It is careful rather than complete: a record it accepts is one that orjson accepts, with the
same values; anything unusual (escaped keys, repeated keys, exponents, deep nesting, every
error) it marks HARD and leaves to orjson, which alone decides what a good record is. No
record's result depends on its neighbours.
"""

import numpy as np
from numpy.typing import NDArray

from reviews.corpora.utf8 import compiled, utf8_length

# What stands in a field of a record.
ABSENT, NULL, STRING, NUMBER, FALSE, TRUE, OTHER = range(7)
# What became of a record.
GOOD, HARD = 0, 255

_DEPTH = 64  # orjson follows 1024 levels; reviews need three
_LONGEST_NUMBER = 100  # with an exponent of two digits this cannot overflow a double
_POWERS = 10.0 ** np.arange(23)  # each exact as a double


@compiled
def _skip_space(data, i, end):
    while i < end and (data[i] == 32 or data[i] == 10 or data[i] == 13 or data[i] == 9):
        i += 1
    return i


@compiled
def _hex4(data, i, end):
    """The value of four hexadecimal digits at i, or -1."""
    if i + 4 > end:
        return -1
    value = 0
    for j in range(4):
        c = data[i + j]
        if 48 <= c <= 57:
            digit = c - 48
        elif 97 <= c <= 102:
            digit = c - 87
        elif 65 <= c <= 70:
            digit = c - 55
        else:
            return -1
        value = value * 16 + digit
    return value


@compiled
def _escape_end(data, i, end):
    """The index after the escape whose backslash is at i, or -1 when it is not valid."""
    if i + 1 >= end:
        return -1
    c = data[i + 1]
    if c != 117:  # u
        known = c == 34 or c == 92 or c == 47 or c == 98 or c == 102
        return i + 2 if known or c == 110 or c == 114 or c == 116 else -1
    unit = _hex4(data, i + 2, end)
    if unit < 0 or 0xDC00 <= unit < 0xE000:
        return -1
    if unit < 0xD800 or unit > 0xDFFF:
        return i + 6
    if i + 8 > end or data[i + 6] != 92 or data[i + 7] != 117:
        return -1
    low = _hex4(data, i + 8, end)
    return i + 12 if 0xDC00 <= low < 0xE000 else -1


@compiled
def _string_end(data, i, end):
    """(index of the closing quote or -1, whether there are escapes); i is after the opening."""
    escaped = False
    while i < end:
        while i + 32 <= end:  # a fixed count without an exit inside: LLVM makes this SIMD
            special = False
            for j in range(32):
                c = data[i + j]
                special |= (c < 32) | (c == 34) | (c == 92) | (c > 127)
            if special:
                break
            i += 32
        while i < end and 32 <= data[i] < 128 and data[i] != 34 and data[i] != 92:
            i += 1
        if i >= end or data[i] < 32:
            return -1, escaped
        if data[i] == 34:
            return i, escaped
        if data[i] == 92:
            escaped = True
            i = _escape_end(data, i, end)
            if i < 0:
                return -1, escaped
        while i < end and data[i] > 127:
            size = utf8_length(data, i, end)
            if size == 0:
                return -1, escaped
            i += size
    return -1, escaped


@compiled
def _put_utf8(out, k, code):
    """Write one code point at out[k]; the index after it."""
    if code < 0x80:
        out[k] = code
        return k + 1
    if code < 0x800:
        out[k] = 0xC0 | code >> 6
        out[k + 1] = 0x80 | code & 63
        return k + 2
    if code < 0x10000:
        out[k] = 0xE0 | code >> 12
        out[k + 1] = 0x80 | code >> 6 & 63
        out[k + 2] = 0x80 | code & 63
        return k + 3
    out[k] = 0xF0 | code >> 18
    out[k + 1] = 0x80 | code >> 12 & 63
    out[k + 2] = 0x80 | code >> 6 & 63
    out[k + 3] = 0x80 | code & 63
    return k + 4


@compiled
def _put_string(data, i, end, escaped, out, k):
    """Write the checked string data[i:end] without its escapes at out[k]; the index after it."""
    if not escaped:
        out[k : k + end - i] = data[i:end]
        return k + end - i
    while i < end:
        c = data[i]
        if c != 92:
            out[k] = c
            k += 1
            i += 1
            continue
        c = data[i + 1]
        if c == 117:
            code = _hex4(data, i + 2, end)
            i += 6
            if 0xD800 <= code < 0xDC00:
                code = 0x10000 + ((code - 0xD800) << 10) + _hex4(data, i + 2, end) - 0xDC00
                i += 6
            k = _put_utf8(out, k, code)
            continue
        if c == 110:
            c = 10
        elif c == 116:
            c = 9
        elif c == 114:
            c = 13
        elif c == 98:
            c = 8
        elif c == 102:
            c = 12
        out[k] = c
        k += 1
        i += 2
    return k


@compiled
def _number(data, i, end):
    """(index after the number or -1, value, whether value is surely orjson's, whether an int)."""
    first = i
    if data[i] == 45:
        i += 1
    mantissa = 0
    digits = 0
    leading = i
    while i < end and 48 <= data[i] <= 57:
        if digits < 16:
            mantissa = mantissa * 10 + (data[i] - 48)
        digits += 1
        i += 1
    if digits == 0 or (digits > 1 and data[leading] == 48):
        return -1, 0.0, False, False
    whole = digits
    if i < end and data[i] == 46:
        i += 1
        while i < end and 48 <= data[i] <= 57:
            if digits < 16:
                mantissa = mantissa * 10 + (data[i] - 48)
            digits += 1
            i += 1
        if digits == whole:
            return -1, 0.0, False, False
    integral = digits == whole
    # At most 15 digits over an exact power of ten: one correctly rounded division.
    exact = digits <= 15 and (mantissa > 0 or data[first] != 45)
    if i < end and (data[i] == 101 or data[i] == 69):
        exact = integral = False
        i += 1
        if i < end and (data[i] == 43 or data[i] == 45):
            i += 1
        power = i
        while i < end and 48 <= data[i] <= 57:
            i += 1
        if i == power or i - power > 2:
            return -1, 0.0, False, False
    if i - first > _LONGEST_NUMBER:
        return -1, 0.0, False, False
    value = 0.0
    if exact:
        value = mantissa / _POWERS[digits - whole]
        if data[first] == 45:
            value = -value
    return i, value, exact, integral


@compiled
def _literal(data, i, end):
    """(index after null, false or true, its kind), or (-1, OTHER)."""
    if i + 4 <= end:
        a, b, c, d = data[i], data[i + 1], data[i + 2], data[i + 3]
        if a == 110 and b == 117 and c == 108 and d == 108:
            return i + 4, NULL
        if a == 116 and b == 114 and c == 117 and d == 101:
            return i + 4, TRUE
        if i + 5 <= end and a == 102 and b == 97 and c == 108 and d == 115 and data[i + 4] == 101:
            return i + 5, FALSE
    return -1, OTHER


@compiled
def _skip_scalar(data, i, end):
    c = data[i]
    if c == 34:
        close, _ = _string_end(data, i + 1, end)
        return close + 1 if close >= 0 else -1
    if c == 45 or 48 <= c <= 57:
        return _number(data, i, end)[0]
    return _literal(data, i, end)[0]


@compiled
def _skip_key(data, i, end):
    """The index after `"key":` at i, or -1."""
    if i >= end or data[i] != 34:
        return -1
    close, _ = _string_end(data, i + 1, end)
    if close < 0:
        return -1
    i = _skip_space(data, close + 1, end)
    return i + 1 if i < end and data[i] == 58 else -1


@compiled
def _skip_nested(data, i, end, stack):
    """The index after the object or array at i, or -1."""
    depth = 0
    while True:
        i = _skip_space(data, i, end)
        if i >= end:
            return -1
        c = data[i]
        if c == 123 or c == 91:  # { [
            if depth == stack.size:
                return -1
            stack[depth] = c
            depth += 1
            i = _skip_space(data, i + 1, end)
            if i >= end:
                return -1
            if data[i] != c + 2:
                if c == 123:
                    i = _skip_key(data, i, end)
                    if i < 0:
                        return -1
                continue
        else:
            i = _skip_scalar(data, i, end)
            if i < 0:
                return -1
        while True:
            i = _skip_space(data, i, end)
            if i >= end:
                return -1
            opening = stack[depth - 1]
            if data[i] == opening + 2:  # } is { + 2, ] is [ + 2
                i += 1
                depth -= 1
                if depth == 0:
                    return i
            elif data[i] == 44:
                i += 1
                if opening == 123:
                    i = _skip_key(data, _skip_space(data, i, end), end)
                    if i < 0:
                        return -1
                break
            else:
                return -1


@compiled
def _find(data, i, end, names, bounds):
    """Which wanted name data[i:end] is, or -1."""
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
def _record(data, i, end, names, bounds, stack, row, kinds, numbers, out, filled):
    """Take the fields of one record; False where orjson must look."""
    i = _skip_space(data, i, end)
    if i >= end or data[i] != 123:
        return False
    i = _skip_space(data, i + 1, end)
    if i < end and data[i] == 125:
        return _skip_space(data, i + 1, end) == end
    while True:
        if i >= end or data[i] != 34:
            return False
        close, escaped = _string_end(data, i + 1, end)
        if close < 0 or escaped:
            return False
        field = _find(data, i + 1, close, names, bounds)
        i = _skip_space(data, close + 1, end)
        if i >= end or data[i] != 58:
            return False
        i = _skip_space(data, i + 1, end)
        if i >= end:
            return False
        c = data[i]
        if field < 0:
            i = (
                _skip_nested(data, i, end, stack)
                if c == 123 or c == 91
                else (_skip_scalar(data, i, end))
            )
            if i < 0:
                return False
        else:
            if kinds[field, row] != ABSENT:
                return False
            if c == 34:
                close, escaped = _string_end(data, i + 1, end)
                if close < 0:
                    return False
                filled[field] = _put_string(data, i + 1, close, escaped, out[field], filled[field])
                kinds[field, row] = STRING
                i = close + 1
            elif c == 45 or 48 <= c <= 57:
                after, value, exact, integral = _number(data, i, end)
                if after < 0 or not exact:
                    return False
                if integral:  # the digits too: identifiers may be written as numbers
                    filled[field] = _put_string(data, i, after, False, out[field], filled[field])
                kinds[field, row] = NUMBER
                numbers[field, row] = value
                i = after
            elif c == 123 or c == 91:
                i = _skip_nested(data, i, end, stack)
                if i < 0:
                    return False
                kinds[field, row] = OTHER
            else:
                i, kind = _literal(data, i, end)
                if i < 0:
                    return False
                kinds[field, row] = kind
        i = _skip_space(data, i, end)
        if i >= end:
            return False
        if data[i] == 125:
            return _skip_space(data, i + 1, end) == end
        if data[i] != 44:
            return False
        i = _skip_space(data, i + 1, end)


@compiled
def _records(data, starts, ends, names, bounds, status, kinds, numbers, out, offsets):
    """All records; out[f] takes the strings of field f end to end, offsets[f] their bounds."""
    fields = bounds.size - 1
    stack = np.empty(_DEPTH, np.uint8)
    filled = np.zeros(fields, np.int64)
    before = np.zeros(fields, np.int64)
    for row in range(starts.size):
        for f in range(fields):
            before[f] = filled[f]
        if not _record(
            data, starts[row], ends[row], names, bounds, stack, row, kinds, numbers, out, filled
        ):
            status[row] = HARD
            for f in range(fields):
                filled[f] = before[f]
                kinds[f, row] = ABSENT
        for f in range(fields):
            offsets[f, row + 1] = filled[f]


def scan(
    data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], names: list[bytes]
) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Take the named fields (n_fields) of the records data[starts[i]:ends[i]] (n of them).

    Returns status (n) GOOD or HARD; kinds (n_fields, n); numbers (n_fields, n), float64, valid
    where the kind is NUMBER; the bytes of the strings (n_fields, room), and their offsets
    (n_fields, n + 1), int32. A NUMBER that is an integer has its digits as its string.
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
        bounds, status, kinds, numbers, out, offsets,
    )  # fmt: skip
    return status, kinds, numbers, out, offsets
