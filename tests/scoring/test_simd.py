"""Vector code computes what NumPy computes."""

import numpy as np
import pytest
from numba import njit

from scoring.simd import LANES, TILE_COLUMNS, TILE_ROWS, cell, tile

Array = np.ndarray


@njit
def call_tile(x: Array, size: int, weights: Array, width: int, column: int, start: Array,
              starts: Array, out: Array) -> None:
    tile(x, 0, size, weights, column * size, start, starts[0], starts[1], starts[2], starts[3],
         out, column, width)


@njit
def call_cell(gates: Array, size: int, state: Array, hidden: Array, total: Array,
              highest: Array) -> None:
    cell(gates, 0, size, state, hidden, total, highest, 0)


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_a_tile_is_a_matrix_product_added_to_rows_from_anywhere(size: int) -> None:
    rng = np.random.default_rng(size)
    width, column = 3 * TILE_COLUMNS, TILE_COLUMNS
    x = rng.normal(size=(TILE_ROWS, size)).astype(np.float32)
    weights = rng.normal(size=(size, width)).astype(np.float32)
    start = rng.normal(size=100).astype(np.float32)
    starts, out = np.array([7, 0, 30, 7]), np.zeros((TILE_ROWS, width), np.float32)
    tiles = weights.reshape(size, -1, TILE_COLUMNS).swapaxes(0, 1)
    call_tile(x.reshape(-1), size, tiles.reshape(-1), width, column, start, starts,
              out.reshape(-1))
    columns = slice(column, column + TILE_COLUMNS)
    wanted = x @ weights[:, columns] + [start[s : s + TILE_COLUMNS] for s in starts]
    np.testing.assert_allclose(out[:, columns], wanted, rtol=1e-5, atol=1e-5)
    assert (out[:, :column] == 0).all()
    assert (out[:, column + TILE_COLUMNS :] == 0).all()


def test_a_cell_is_that_of_an_lstm_at_any_size_of_its_gates() -> None:
    gates = np.linspace(-30, 30, 4 * 40 * LANES).astype(np.float32).reshape(4, -1)
    gates = np.random.default_rng(0).permuted(gates, axis=1)
    size = gates.shape[1]
    state = np.linspace(-3, 3, size).astype(np.float32)
    before, hidden = state.copy(), np.zeros(size, np.float32)
    total, highest = np.full(size, 0.5, np.float32), np.full(size, 0.1, np.float32)
    call_cell(gates.reshape(-1), size, state, hidden, total, highest)
    i, f, g, o = gates.astype(np.float64)
    wanted = before / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    output = np.tanh(wanted) / (1 + np.exp(-o))
    np.testing.assert_allclose(state, wanted, rtol=0, atol=2e-6)
    np.testing.assert_allclose(hidden, output, rtol=0, atol=2e-6)
    np.testing.assert_allclose(total, 0.5 + output, rtol=0, atol=2e-6)
    np.testing.assert_allclose(highest, np.maximum(0.1, output), rtol=0, atol=2e-6)
