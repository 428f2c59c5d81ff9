"""Input cut into stretches of whole records, whatever the sizes in which its bytes arrive."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reviews.compiled.functions import kernel
from reviews.corpora.inputs import BOM, TruncatedInput
from reviews.text.bits import count_ones, equal, trailing_zeros

Spans = NDArray[np.int64]
# (data, whether the input ends with it) -> first bytes and ends of records, bytes used up
Find = Callable[[bytes, bool], tuple[Spans, Spans, int]]

_STRETCH = 4 << 20  # bytes; a block of several thousand reviews
LONGEST_RECORD = 64 << 20  # bytes; a longer one is bad, and its line is read past


NO_SPANS = (np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Stretch:
    """Records data[starts[i]:ends[i]]; `line` lines of the input lie before data.

    `used` bytes of data belong to it. With `cut`, one more record begins at `used` and is cut
    off by the early end of a compressed file. `too_long` is another one of which data is the end;
    with `goes_on` it is another part of it. What is longer than `longest` bytes is too long, too.
    """

    data: bytes
    starts: Spans
    ends: Spans
    line: int
    used: int
    cut: bool
    longest: int
    too_long: bool = False
    goes_on: bool = False

    @property
    def records(self) -> int:
        """Number of records, good and bad ones."""
        return len(self.starts) + self.cut + self.too_long

    def line_of(self, position: int) -> int:
        """The line, from 1, in which a byte of data stands."""
        return self.line + self.data.count(b"\n", 0, position) + 1


def stretches(
    pieces: Iterator[bytes], find: Find, at_start: bool, line: int = 0,
    longest: int = LONGEST_RECORD,
) -> Iterator[Stretch]:
    """Cut pieces of bytes into stretches; a BOM is left out when they are a file's start.

    `line` lines of the file lie before them. No more than a piece is read beyond `longest` bytes
    of a record; the rest of its line goes by in stretches that hold no record.
    """
    left, cut, final = b"", False, False
    while not final:
        fresh, size = [left], 0
        # At least doubling: long records stay linear.
        while size < min(max(_STRETCH, len(left)), longest + 3 - len(left)):
            try:
                piece = next(pieces)
            except StopIteration:
                final = True
                break
            except TruncatedInput:
                final = cut = True
                break
            fresh.append(piece)
            size += len(piece)
        data = b"".join(fresh)
        if at_start:
            data = data.removeprefix(BOM)
            at_start = False
        starts, ends, used = find(data, final and not cut)
        yield Stretch(data, starts, ends, line, used, cut, longest)
        left = data[used:]
        line += _count_newlines(np.frombuffer(data, np.uint8, used))
        # A carriage return at its end is no part of every format's records.
        if not final and len(left) > longest + 1:
            left, final = yield from _pass_by(pieces, left, line, longest)
            line += not final


def _pass_by(
    pieces: Iterator[bytes], left: bytes, line: int, longest: int
) -> Generator[Stretch, None, tuple[bytes, bool]]:
    """Stretches of the line that begins with `left`, one bad record unless it is blank; returns
    the bytes behind it, and True at the end of the input."""
    blank = True
    while True:
        used = left.find(b"\n") + 1
        ended = used > 0
        used = used or len(left)
        blank = blank and not left[:used].strip()
        yield Stretch(left, *NO_SPANS, line, used, False, longest,
                      too_long=ended and not blank, goes_on=not ended)
        if ended:
            return left[used:], False
        try:
            left = next(pieces)
        except (StopIteration, TruncatedInput):
            yield Stretch(b"", *NO_SPANS, line, 0, False, longest, too_long=not blank)
            return b"", True


@kernel(returns=int)
def _count_newlines(codes):
    """Number of newlines among the bytes."""
    count = i = 0
    while i + 64 <= codes.size:
        count += count_ones(equal(codes, i, np.uint8(10)))
        i += 64
    while i < codes.size:
        count += codes[i] == 10
        i += 1
    return count


@kernel()
def _put_newlines(codes, places):
    """Places of the newlines, into an array that has room for just these."""
    n = i = 0
    while i + 64 <= codes.size:
        found = equal(codes, i, np.uint8(10))
        while found:
            places[n] = i + trailing_zeros(found)
            found &= found - np.uint64(1)
            n += 1
        i += 64
    while i < codes.size:
        if codes[i] == 10:
            places[n] = i
            n += 1
        i += 1


def newline_places(codes: NDArray[np.uint8]) -> Spans:
    """Places of the newlines, in order."""
    newlines = np.empty(_count_newlines(codes), np.int64)
    _put_newlines(codes, newlines)
    return newlines


def find_lines(data: bytes, final: bool) -> tuple[Spans, Spans, int]:
    """Lines that are not blank; the last one needs no newline when the input is at its end."""
    codes = np.frombuffer(data, np.uint8)
    newlines = newline_places(codes)
    used = int(newlines[-1]) + 1 if newlines.size else 0
    starts = np.concatenate([[0], newlines[:-1] + 1]) if newlines.size else newlines
    if final and used < len(data):
        starts = np.append(starts, used)
        newlines = np.append(newlines, len(data))
        used = len(data)
    keep = starts < newlines
    doubtful = np.flatnonzero(keep & (codes[np.minimum(starts, len(data) - 1)] <= 32))
    for row in doubtful if data else ():
        keep[row] = bool(data[starts[row] : newlines[row]].strip(b" \t\r"))
    return starts[keep], newlines[keep], used
