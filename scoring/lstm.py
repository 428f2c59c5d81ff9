"""An LSTM of one layer over whole reviews, pooled on the way: no padding, no outputs in memory.

A word's part in the gates does not depend on its place, so that it is looked up in a table
(ids, 4 H): three fifths of the arithmetic of a layer of 100 inputs and 64 units.
"""

import math

import numpy as np
from numba import njit

from models.options import ModelOptions
from models.recurrent import RecurrentConfig
from reviews.compiled.intrinsics import prefetch
from scoring.simd import LANES, TILE_COLUMNS, TILE_ROWS, cell, tile

Array = np.ndarray
_GATES = 4
_SLOTS = 8  # reviews read beside one another, a multiple of TILE_ROWS: all of it stays in L1
_LINE = 16  # float32 of a cache line


class Direction:
    """The weights of one direction, as the kernel reads them."""

    def __init__(self, weights: dict[str, Array], number: int, hidden: int) -> None:
        name = f"layers.0.{number}."
        self.hidden, self.units = hidden, -(-hidden // LANES) * LANES

        def wide(values: Array) -> Array:
            """(..., 4 H) with zeros behind the units of each gate: (..., 4 units)."""
            out = _zeros(*values.shape[:-1], _GATES, self.units)
            out[..., :hidden] = values.reshape(*values.shape[:-1], _GATES, hidden)
            return out.reshape(*values.shape[:-1], _GATES * self.units)

        words = (weights["embedding.weight"].astype(np.float32)
                 @ weights[name + "weight_ih_l0"].astype(np.float32).T)
        words += (weights[name + "bias_ih_l0"] + weights[name + "bias_hh_l0"]).astype(np.float32)
        self.words = wide(words).reshape(-1)  # flat (ids, 4 units)
        between = wide(weights[name + "weight_hh_l0"].astype(np.float32).T)  # (H, 4 units)
        # A tile's columns lie together: lines that are a whole row apart push each other out of L1.
        tiles = _zeros(_GATES * self.units // TILE_COLUMNS, self.units, TILE_COLUMNS)
        tiles[:, :hidden] = between.reshape(hidden, -1, TILE_COLUMNS).swapaxes(0, 1)
        self.between = tiles.reshape(-1)

    def read(
        self, tokens: Array, lengths: Array, order: Array, back: bool, columns: Array, out: Array
    ) -> None:
        """Pool what is read of reviews into their rows of out (n, F).

        order: (n,) the reviews by length, the longest first. back: from the last word to the
        first. columns: as `columns_of` has them.
        """
        _read(tokens, lengths, order, self.words, self.between, self.units, back, self.hidden,
              columns, out)


def _zeros(*shape: int) -> Array:
    """Zeros, float32, that begin with a cache line: a vector across two of them takes longer."""
    size = math.prod(shape)
    room = np.zeros(size + _LINE, np.float32)
    first = -room.ctypes.data // room.itemsize % _LINE
    return room[first : first + size].reshape(shape)


def directions_of(
    weights: dict[str, Array], options: ModelOptions[RecurrentConfig]
) -> list[Direction]:
    """One or two of them."""
    return [Direction(weights, number, options.network.hidden_dim)
            for number in range(1 + options.network.bidirectional)]


@njit(cache=True, nogil=True)
def _read(
    tokens: Array, lengths: Array, order: Array, words: Array, between: Array, units: int,
    back: bool, shown: int, columns: Array, out: Array,
) -> None:
    width = 4 * units
    gates = np.empty(_SLOTS * width, np.float32)
    state, hidden = np.empty(_SLOTS * units, np.float32), np.zeros(_SLOTS * units, np.float32)
    total, highest = np.empty(_SLOTS * units, np.float32), np.empty(_SLOTS * units, np.float32)
    reviews, left = np.empty(_SLOTS, np.int64), np.zeros(_SLOTS, np.int64)  # left: words
    starts = np.zeros(_SLOTS + TILE_ROWS, np.int64)
    active = coming = 0
    while True:
        row = 0
        while row < active or (active < _SLOTS and coming < order.size):
            if row < active and left[row] > 0:
                row += 1
                continue
            place = row * units
            if row == active:
                active += 1
            else:
                review = reviews[row]
                _finish(out[review], columns, lengths[review], shown, place, hidden, total,
                        highest)
                if coming == order.size:  # the last one takes its place
                    active -= 1
                    reviews[row], left[row] = reviews[active], left[active]
                    for values in (state, hidden, total, highest):
                        for unit in range(units):
                            values[place + unit] = values[active * units + unit]
                    continue
            reviews[row], left[row] = order[coming], lengths[order[coming]]
            coming += 1
            for unit in range(place, place + units):
                state[unit], hidden[unit], total[unit], highest[unit] = 0, 0, 0, -np.inf
            row += 1
        if not active:
            return
        for _ in range(left[:active].min()):
            for row in range(active):
                review, now = reviews[row], left[row]
                place = now - 1 if back else lengths[review] - now
                starts[row] = np.int64(tokens[review, place]) * width
                left[row] = now - 1
                if now > 1:
                    following = np.int64(tokens[review, place - 1 if back else place + 1]) * width
                    for line in range(0, width, _LINE):
                        prefetch(words, following + line)
            for column in range(0, width, TILE_COLUMNS):
                for row in range(0, active, TILE_ROWS):
                    tile(hidden, row * units, units, between, column * units, words,
                         starts[row] + column, starts[row + 1] + column,
                         starts[row + 2] + column, starts[row + 3] + column,
                         gates, row * width + column, width)
            for row in range(active):
                cell(gates, row * width, units, state, hidden, total, highest, row * units)


@njit(cache=True, nogil=True)
def _finish(
    out: Array, columns: Array, length: int, units: int, place: int, hidden: Array, total: Array,
    highest: Array,
) -> None:
    """Write what was read of a review whose values begin at `place`."""
    mean, largest, last = columns
    for unit in range(units):
        if mean >= 0:
            out[mean + unit] = total[place + unit] / np.float32(length)
        if largest >= 0:
            out[largest + unit] = highest[place + unit]
        if last >= 0:
            out[last + unit] = hidden[place + unit]


def columns_of(pooling: str, hidden: int, directions: int) -> Array:
    """Of each direction (directions, 3): the first columns of the means and the maxima of its
    outputs and of its last output among the features, as docs/bundle-format.md has them; -1 of
    what is not pooled."""
    parts = pooling.split("+")
    first = [parts.index(name) * directions * hidden if name in parts else -1
             for name in ("mean", "max", "last")]
    return np.array([[column + number * hidden if column >= 0 else -1 for column in first]
                     for number in range(directions)])
