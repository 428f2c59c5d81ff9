"""UTF-8 checks for the scanners, compiled."""

from reviews.compiled.functions import compiled as compiled_with

# Inlined into each other: a scanner calls many small functions for every field.
compiled = compiled_with(nogil=True, forceinline=True)


@compiled
def utf8_length(data, i, end):
    """Bytes of the UTF-8 sequence at i, whose first byte is >= 0x80; 0 if it is not valid."""
    c = data[i]
    if c < 0xC2 or c > 0xF4:
        return 0
    if c < 0xE0:
        size = 2
    elif c < 0xF0:
        size = 3
    else:
        size = 4
    if i + size > end:
        return 0
    second = data[i + 1]
    if second < 0x80 or second > 0xBF:
        return 0
    if (
        (c == 0xE0 and second < 0xA0)  # overlong
        or (c == 0xED and second > 0x9F)  # a surrogate
        or (c == 0xF0 and second < 0x90)  # overlong
        or (c == 0xF4 and second > 0x8F)  # beyond U+10FFFF
    ):
        return 0
    for j in range(2, size):
        if data[i + j] < 0x80 or data[i + j] > 0xBF:
            return 0
    return size


@compiled
def utf8_valid(data, i, end):
    """True when data[i:end] is UTF-8 as Python's strict decoder reads it."""
    while i < end:
        while i + 32 <= end:  # a fixed count without an exit inside: LLVM makes this SIMD
            high = False
            for j in range(32):
                high |= data[i + j] > 127
            if high:
                break
            i += 32
        while i < end and data[i] < 128:
            i += 1
        while i < end and data[i] > 127:
            size = utf8_length(data, i, end)
            if size == 0:
                return False
            i += size
    return True
