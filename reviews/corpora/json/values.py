"""The values of JSON, scanned in raw bytes: where strings, numbers and words end, what they say.

Every function stops at `end` and answers -1 where the value is not valid, or is one that it
would rather leave to orjson.
"""

import numpy as np

from reviews.corpora.utf8 import compiled, utf8_length
from reviews.text.bits import at_least, equal, trailing_zeros

# What stands in a field of a record.
ABSENT, NULL, STRING, NUMBER, FALSE, TRUE, OTHER = range(7)

QUOTE, BACKSLASH, SLASH, COMMA, COLON = 34, 92, 47, 44, 58
MINUS, PLUS, POINT = 45, 43, 46
ZERO, NINE = 48, 57

_LONGEST_NUMBER = 100  # with an exponent of two digits this cannot overflow a double
_EXACT_DIGITS = 15  # integers of so many digits are exact as doubles
_POWERS = 10.0 ** np.arange(_EXACT_DIGITS + 1)  # and so are these
_NULL, _TRUE, _FALSE = (np.frombuffer(word, np.uint8) for word in (b"null", b"true", b"false"))

# The byte that \b, \f, \n, \r, \t, \", \\ and \/ stand for; 0 for what is no such escape.
_ESCAPED = np.zeros(256, np.uint8)
_ESCAPED[np.frombuffer(b'bfnrt"\\/', np.uint8)] = np.frombuffer(b'\b\f\n\r\t"\\/', np.uint8)


@compiled
def skip_space(data, i, end):
    """The index of the next byte that is not white space."""
    while i < end and (data[i] == 32 or data[i] == 10 or data[i] == 13 or data[i] == 9):
        i += 1
    return i


@compiled
def starts_number(byte):
    """True when a number may begin with this byte."""
    return byte == MINUS or ZERO <= byte <= NINE


@compiled
def _hex4(data, i, end):
    """The value of four hexadecimal digits at i, or -1."""
    if i + 4 > end:
        return -1
    value = 0
    for j in range(4):
        c = data[i + j]
        if ZERO <= c <= NINE:
            digit = c - ZERO
        elif 97 <= c | 32 <= 102:  # a-f, A-F
            digit = (c | 32) - 87
        else:
            return -1
        value = value * 16 + digit
    return value


@compiled
def _escape(data, i, end):
    """(index after the escape whose backslash is at i, its code point), or (-1, 0)."""
    if i + 1 >= end:
        return -1, 0
    if data[i + 1] != 117:  # u
        code = np.int64(_ESCAPED[data[i + 1]])
        return (i + 2 if code else -1), code
    code = _hex4(data, i + 2, end)
    if not 0xD800 <= code < 0xE000:
        return (i + 6 if code >= 0 else -1), code
    # Beyond U+FFFF a character is written as two surrogates; one alone is none.
    if code >= 0xDC00 or i + 8 > end or data[i + 6] != BACKSLASH or data[i + 7] != 117:
        return -1, 0
    low = _hex4(data, i + 8, end)
    if not 0xDC00 <= low < 0xE000:
        return -1, 0
    return i + 12, 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00


@compiled
def string_end(data, i, end):
    """(index of the closing quote or -1, whether there are escapes); i is after the opening."""
    escaped = False
    while i < end:
        while i + 64 <= data.size and i < end:
            special = (
                ~at_least(data, i, np.uint8(32)) | equal(data, i, np.uint8(QUOTE))
                | equal(data, i, np.uint8(BACKSLASH)) | at_least(data, i, np.uint8(128))
            )  # fmt: skip
            if special:
                i += trailing_zeros(special)
                break
            i += 64
        while i < end and 32 <= data[i] < 128 and data[i] != QUOTE and data[i] != BACKSLASH:
            i += 1
        if i >= end or data[i] < 32:
            return -1, escaped
        if data[i] == QUOTE:
            return i, escaped
        if data[i] == BACKSLASH:
            escaped = True
            i, _ = _escape(data, i, end)
            if i < 0:
                return -1, escaped
        while i < end and data[i] > 127:
            size = utf8_length(data, i, end)
            if size == 0:
                return -1, escaped
            i += size
    return -1, escaped


@compiled
def put_string(data, i, end, escaped, out, k):
    """Write the checked string data[i:end] without its escapes at out[k]; the index after it."""
    if not escaped:
        return copy_bytes(data, i, end, out, k)
    while i < end:
        stop = _next_backslash(data, i, end)
        k = copy_bytes(data, i, stop, out, k)
        i = stop
        while i < end and data[i] == BACKSLASH:
            i, code = _escape(data, i, end)
            k = _put_utf8(out, k, code)
    return k


@compiled
def _next_backslash(data, i, end):
    """The index of the first backslash in data[i:end], or end."""
    while i + 64 <= data.size and i < end:
        found = equal(data, i, np.uint8(BACKSLASH))
        if found:
            return min(i + trailing_zeros(found), end)
        i += 64
    while i < end and data[i] != BACKSLASH:
        i += 1
    return min(i, end)


@compiled
def copy_bytes(data, i, end, out, k):
    """Copy data[i:end] to out[k:]; the index after it there."""
    source, target = data[i:end], out[k : k + end - i]
    for j in range(source.size):
        target[j] = source[j]
    return k + source.size


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
def _digits_end(data, i, end):
    while i < end and ZERO <= data[i] <= NINE:
        i += 1
    return i


@compiled
def number_end(data, i, end):
    """(index after the number at i or -1, where its point or exponent begins or its end)."""
    first = i
    if data[i] == MINUS:
        i += 1
    whole = _digits_end(data, i, end)
    if whole == i or (data[i] == ZERO and whole > i + 1):
        return -1, whole
    i = whole
    if i < end and data[i] == POINT:
        i = _digits_end(data, i + 1, end)
        if i == whole + 1:
            return -1, whole
    if i < end and data[i] | 32 == 101:  # e, E
        i += 1
        if i < end and (data[i] == PLUS or data[i] == MINUS):
            i += 1
        power = i
        i = _digits_end(data, i, end)
        if i == power or i - power > 2:
            return -1, whole
    return (i if i - first <= _LONGEST_NUMBER else -1), whole


@compiled
def decimal_value(data, i, whole, end):
    """(value of the number data[i:end], whether it is surely the nearest double).

    It is for numbers without exponent that have at most 15 digits: an exact integer over an
    exact power of ten is one correctly rounded division. Not for -0.
    """
    negative = data[i] == MINUS
    if end - i > _EXACT_DIGITS + 2:
        return 0.0, False
    mantissa = digits = 0
    for j in range(i + negative, end):
        if ZERO <= data[j] <= NINE:
            mantissa = mantissa * 10 + (data[j] - ZERO)
            digits += 1
        elif data[j] != POINT:
            return 0.0, False
    if digits > _EXACT_DIGITS or (negative and mantissa == 0):
        return 0.0, False
    value = mantissa / _POWERS[max(end - whole - 1, 0)]
    return (-value if negative else value), True


@compiled
def _is_word(data, i, end, word):
    if i + word.size > end:
        return False
    for j in range(word.size):
        if data[i + j] != word[j]:
            return False
    return True


@compiled
def word_end(data, i, end):
    """(index after null, true or false at i, its kind), or (-1, OTHER)."""
    if _is_word(data, i, end, _NULL):
        return i + 4, NULL
    if _is_word(data, i, end, _TRUE):
        return i + 4, TRUE
    if _is_word(data, i, end, _FALSE):
        return i + 5, FALSE
    return -1, OTHER
