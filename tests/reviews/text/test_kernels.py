"""Parts of the kernels, against plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from reviews.compiled.intrinsics import at_least, between, count_ones, equal, load64, trailing_zeros
from reviews.text.sequences import Compactor, Ragged, gather

sixty_four_bytes = st.binary(min_size=64, max_size=64)


@njit
def looked_at(data: np.ndarray, byte: int) -> tuple[int, int, int]:
    return load64(data, 0), at_least(data, 0, byte), equal(data, 0, byte)


@njit
def in_range(data: np.ndarray, bits: int, low: int, high: int) -> int:
    return between(data, 0, bits, low, high)


@njit
def lowest_bit(value: int) -> tuple[int, int]:
    return trailing_zeros(value), count_ones(value)


@given(sixty_four_bytes, st.integers(0, 255))
def test_64_bytes_are_compared_at_once(data: bytes, byte: int) -> None:
    number, high, same = looked_at(np.frombuffer(data, np.uint8), np.uint8(byte))
    assert int(number) == int.from_bytes(data[:8], "little")
    assert int(high) == sum((b >= byte) << i for i, b in enumerate(data))
    assert int(same) == sum((b == byte) << i for i, b in enumerate(data))


@given(sixty_four_bytes, st.sampled_from([0, 0x20]), st.integers(0, 255), st.integers(0, 255))
def test_64_bytes_are_compared_with_a_range(data: bytes, bits: int, one: int, two: int) -> None:
    low, high = sorted((one, two))
    found = in_range(np.frombuffer(data, np.uint8), *map(np.uint8, (bits, low, high)))
    assert int(found) == sum((low <= (b | bits) <= high) << i for i, b in enumerate(data))


@given(st.integers(0, 2**64 - 1))
def test_the_lowest_bit_is_found_and_bits_are_counted(value: int) -> None:
    lowest = (value & -value).bit_length() - 1 if value else 64
    assert lowest_bit(np.uint64(value)) == (lowest, value.bit_count())


@given(st.lists(st.lists(st.integers(0, 19)), min_size=1), st.data())
def test_rows_are_gathered_with_and_without_new_numbers_for_their_words(
    rows: list[list[int]], data: st.DataObject
) -> None:
    values = np.array([value for row in rows for value in row], np.int32)
    ends = np.cumsum([len(row) for row in rows])
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1))
    wanted = [rows[i] for i in chosen]

    got, got_ends = gather(values, ends, np.array(chosen))
    assert [part.tolist() for part in np.split(got, got_ends[:-1])] == wanted

    # Some of the words have a number that is common to all rows.
    known = data.draw(st.lists(st.integers(0, 19), unique=True))
    common = np.full(20, -1, np.int32)
    common[known] = np.arange(len(known))
    compactor = Compactor(common, len(known))
    for _ in range(2):  # it is used again and again
        ids, own = compactor.compact(Ragged.of(values, ends).take(np.array(chosen)))
        used = np.array([*known, *own], np.int64)
        assert sorted(own.tolist()) == sorted({v for row in wanted for v in row} - {*known})
        assert [used[part].tolist() for part in np.split(ids, got_ends[:-1])] == wanted
