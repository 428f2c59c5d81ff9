"""ONNX graph in 8 bits: tables, and layers whose weights and inputs are rounded to integers.

Weights have a scale for each output. Those that are multiplied with 8-bit inputs keep 7 bits, as
processors without VNNI add pairs of products in 16 bits, which saturate. Inputs are rounded when
the graph runs, by ranges that do not depend on the other reviews of a batch: a review has the
same logits in all of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.graphs.graph import DIRECTIONS, Array, Graph

CONTRIB = "com.microsoft"  # operators that are part of every ONNX Runtime
_FLOAT, _UINT8 = 1, 2  # TensorProto.FLOAT, UINT8
_MIDDLE = 128  # of uint8: what 0 becomes
_EIGHT, _SEVEN = 127, 63  # largest integers
_NARROW = 32  # columns of a table whose rows would not be worth a scale of their own
_ENDS = 2  # units that say what the range is
_OPEN, _SHUT, _FULL = 30.0, -30.0, 20.0  # gates and cells where their functions are 1, 0 and 1


def quantize(values: Array, axis: int, largest: int) -> tuple[Array, Array]:
    """Integers up to `largest` (int8), and the scale for each index but those along `axis`, which
    stays with length 1: values are about integers * scale."""
    scale = np.abs(values).max(axis, keepdims=True) / np.float32(largest)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.round(values / scale).astype(np.int8), scale


class Int8Graph(Graph):
    """A graph in 8 bits."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        super().__init__(weights)
        if "embedding.weight" in self.weights:
            self.weights = with_equal_columns(self.weights)
        self._words = ""
        self._rows: dict[str, tuple[str, str]] = {}

    def lookup(self, table: Array, ids: str) -> str:
        """As Graph; a table has a scale for each row, a narrow one for each column."""
        axis = 1 if table.shape[1] > _NARROW else 0
        integers, scale = quantize(table, axis, _EIGHT)
        found = self._float(self.node("Gather", self.constant(integers, np.int8), ids))
        factor = self.constant(scale)
        return self.node("Mul", found, self.node("Gather", factor, ids) if axis else factor)

    def word_vectors(self) -> str:
        """As Graph, in whole numbers up to 127, which the weights know of."""
        tokens = self.node("Transpose", self.input("tokens"), perm=[1, 0])
        table = np.round(self.weights["embedding.weight"])
        self._words = self._float(self.node("Gather", self.constant(table, np.int8), tokens))
        return self._words

    def matrix(self, value: Array) -> str:
        """As Graph; they become float32 when the file is loaded."""
        integers, scale = quantize(value, -1, _EIGHT)
        return self.node("Mul", self._float(self.constant(integers, np.int8)),
                         self.constant(scale))

    def linear(self, x: str, name: str) -> str:
        """As Graph; the output layer, which is small and has the last say, stays in float32."""
        if name == "output":
            return super().linear(x, name)
        return self.dense(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def dense(self, x: str, weight: Array, bias: Array) -> str:
        """As Graph: every row of x has a scale of its own."""
        integers, scale = quantize(weight, 1, _SEVEN)
        rows, size = self._in_rows(x)
        sums = self._float(self.node("MatMulInteger", rows, self.constant(integers.T, np.int8),
                                     self.constant(_MIDDLE, np.uint8)))
        found = self.node("Mul", self.node("Mul", sums, size), self.constant(scale[:, 0]))
        return self.node("Add", found, self.constant(bias))

    def _in_rows(self, x: str) -> tuple[str, str]:
        """x (..., A) as uint8 around 128, and the scales (..., 1) of its rows."""
        if x not in self._rows:
            highest = self.node("ReduceMax", self.node("Abs", x), self.integers(-1))
            size = self.node("Max", self.node("Div", highest, self.constant(_EIGHT)),
                             self.constant(np.finfo(np.float32).tiny))
            whole = self.node("Round", self.node("Div", x, size))
            around = self.node("Add", whole, self.constant(_MIDDLE))
            self._rows[x] = self.node("Cast", around, to=_UINT8), size
        return self._rows[x]

    def recurrent(self, cell: str, x: str, w: Array, r: Array, b: Array) -> list[str]:
        """As Graph.

        LSTM: ONNX Runtime's operator, which rounds x, and at each word the states, by the range
        that these have in the batch. Two columns of x and two units hold its ends, so that it
        is the same in every batch. There is no such operator for GRU, whose weights alone are in
        8 bits.
        """
        if cell == "GRU":
            return super().recurrent(cell, x, w, r, b)
        self._domains[CONTRIB] = 1
        directions, _, hidden = r.shape
        ends = (127.0, -128.0) if x == self._words else (1.0, -1.0)  # states are in -1 to 1
        w, r, b, cells = with_ends(w, r, b)
        (w, of_w), (r, of_r) = quantize(w, 1, _SEVEN), quantize(r, 1, _SEVEN)
        shape = self.node("Concat", self.integers(directions),
                          self.node("Shape", self.input("lengths")), self.integers(1), axis=0)
        given: list[Any] = [
            self._between(x, ends), self.constant(w, np.int8), self.constant(r, np.int8),
            self.constant(b), self.input("lengths"), "",
            self.node("Expand", self.constant(cells), shape), "",
            self.constant(of_w[:, 0]), self.constant(np.zeros_like(of_w[:, 0]), np.int8),
            self.constant(of_r[:, 0]), self.constant(np.zeros_like(of_r[:, 0]), np.int8)]
        found = self.nodes("DynamicQuantizeLSTM", tuple(given), 2, domain=CONTRIB,
                           hidden_size=hidden + _ENDS, direction=DIRECTIONS[directions])
        return [self.node("Slice", value, self.integers(0), self.integers(hidden),
                          self.integers(-1)) for value in found]

    def _between(self, x: str, ends: tuple[float, float]) -> str:
        """x (T, n, E) with two more columns: (T, n, E + 2)."""
        shape = self.node("Concat", self.node("Shape", x, start=0, end=2), self.integers(1),
                          axis=0)
        more = self.node("Expand", self.constant([[ends]]), shape)
        return self.node("Concat", x, more, axis=2)

    def _float(self, x: str) -> str:
        return self.node("Cast", x, to=_FLOAT)


def with_equal_columns(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The same model, whose columns of word vectors reach from -127 to 127: what a column is
    divided by goes into the weights that read it."""
    table = weights["embedding.weight"]
    size = np.abs(table).max(0) / np.float32(_EIGHT)
    size = np.where(size > 0, size, 1).astype(np.float32)
    found = {name: value * size if _reads_words(name) else value
             for name, value in weights.items()}
    return {**found, "embedding.weight": table / size}


def _reads_words(name: str) -> bool:
    return name.startswith("layers.0.") and name.endswith(".weight_ih_l0")


def with_ends(w: Array, r: Array, b: Array) -> tuple[Array, Array, Array, Array]:
    """An LSTM of H + 2 units over E + 2 columns, of which the last do nothing but hold 1 and -1.

    Weights in ONNX's order become w (D, E + 2, 4 (H + 2)), r (D, H + 2, 4 (H + 2)), b
    (D, 8 (H + 2)); with them come the cells (1, 1, H + 2) that it begins with.
    """
    directions, hidden = len(r), r.shape[2]
    taken, shown, kept, _ = range(4)

    def wider(value: Array) -> Array:
        """(D, 4 H, A) as (D, A + 2, 4 (H + 2))."""
        gates = value.reshape(directions, 4, hidden, -1)
        room = np.pad(gates, [(0, 0), (0, 0), (0, _ENDS), (0, _ENDS)])
        return np.ascontiguousarray(
            room.reshape(directions, 4 * (hidden + _ENDS), -1).swapaxes(1, 2))

    biases = np.pad(b.reshape(directions, 2, 4, hidden), [(0, 0)] * 3 + [(0, _ENDS)])
    biases[:, 0, taken, hidden:] = _SHUT
    biases[:, 0, [[shown], [kept]], hidden:] = _OPEN
    cells = np.zeros((1, 1, hidden + _ENDS), np.float32)
    cells[..., hidden:] = _FULL, -_FULL
    return wider(w), wider(r), biases.reshape(directions, -1), cells
