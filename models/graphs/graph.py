"""ONNX graph of a model, written node by node from the weights of its bundle.

torch's exporter is not used: it needs torch, and freezes the length of reviews read backwards.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray
# Opset 18 has every reduction's axes as an input; files of this IR version are read by all
# releases of ONNX Runtime since 1.14.
OPSET, IR_VERSION = 18, 8
LOGITS = "logits"
DIRECTIONS = {1: "forward", 2: "bidirectional"}
LARGEST = 2**31 - 2**20  # bytes of a file: what protobuf reads, less the names

# Inputs that a graph may have: type of the elements, and names of the dimensions. n reviews
# have at most T ids, and at most K words and n-grams.
INPUTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "tokens": (np.int32, ("n", "T")),  # right-padded
    "lengths": (np.int32, ("n",)),  # 1 to T
    "rows": (np.int32, ("n", "K")),  # of a table of n-grams, right-padded with any of its rows
    "row_weights": (np.float32, ("n", "K")),  # 1 / number of rows; 0 for padding
    "features": (np.float32, ("n", "F")),
}


class Graph:
    """A graph that grows by nodes; values are known by their names."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.weights = {name: value.astype(np.float32, copy=False)
                        for name, value in weights.items()}
        self._nodes: list[Any] = []
        self._inputs: dict[str, None] = {}
        self._domains = {"": OPSET}  # versions of the sets of operators
        self._constants: list[Any] = []

    def input(self, name: str) -> str:
        """One of INPUTS, which the graph then has."""
        self._inputs.setdefault(name)
        return name

    def constant(self, value: Any, type: Any = np.float32) -> str:
        """A tensor that is part of the file."""
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        array = np.ascontiguousarray(value, type)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """A list of int64: axes or a shape."""
        return self.constant(values, np.int64)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of an operation; an input that is left out is an empty name."""
        return self.nodes(kind, inputs, 1, **attributes)[0]

    def nodes(
        self, kind: str, inputs: tuple[str, ...], outputs: int, **attributes: Any
    ) -> list[str]:
        """The outputs of an operation that has several."""
        from onnx import helper

        names = [f"v{len(self._nodes)}.{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def lookup(self, table: Array, ids: str) -> str:
        """Rows (..., D) of a table (R, D)."""
        return self.node("Gather", self.constant(table), ids)

    def matrix(self, value: Array) -> str:
        """Weights that an operation reads as they are."""
        return self.constant(value)

    def dense(self, x: str, weight: Array, bias: Array) -> str:
        """x (..., A) through a layer of weights (B, A) and bias (B,): (..., B)."""
        return self.node("Add", self.node("MatMul", x, self.constant(weight.T)),
                         self.constant(bias))

    def recurrent(self, cell: str, x: str, w: Array, r: Array, b: Array) -> list[str]:
        """Outputs (T, D, n, H) of a layer of LSTM or GRU over x (T, n, E), and its last states
        (D, n, H), by weights in ONNX's order: w (D, G H, E), r (D, G H, H), b (D, 2 G H)."""
        attributes = {"linear_before_reset": 1} if cell == "GRU" else {}
        inputs = x, self.matrix(w), self.matrix(r), self.constant(b), self.input("lengths")
        return self.nodes(cell, inputs, 2, hidden_size=r.shape[2], direction=DIRECTIONS[len(r)],
                          **attributes)

    def linear(self, x: str, name: str) -> str:
        """x (n, A) through the layer of this name: (n, B)."""
        return self.node("Gemm", x, self.constant(self.weights[f"{name}.weight"]),
                         self.constant(self.weights[f"{name}.bias"]), transB=1)

    def inside(self) -> str:
        """(T, n) bool: which ids belong to the review."""
        width = self.node("Gather", self.node("Shape", self.input("tokens")),
                          self.constant(1, np.int64))
        steps = self.node("Range", self.constant(0, np.int32),
                          self.node("Cast", width, to=_INT32), self.constant(1, np.int32))
        return self.node("Less", self.node("Unsqueeze", steps, self.integers(1)),
                         self.input("lengths"))

    def word_vectors(self) -> str:
        """Vectors (T, n, E) of the words; any behind a review's end."""
        tokens = self.node("Transpose", self.input("tokens"), perm=[1, 0])
        return self.lookup(self.weights["embedding.weight"], tokens)

    def serialize(self, logits: str) -> bytes:
        """The file; `logits` (n, C) become the output. ValueError where it would be too large."""
        from onnx import TensorProto, helper

        kinds: dict[Any, int] = {np.int32: TensorProto.INT32, np.float32: TensorProto.FLOAT}
        inputs = [helper.make_tensor_value_info(name, kinds[INPUTS[name][0]], INPUTS[name][1])
                  for name in self._inputs]
        output = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ("n", "C"))
        self._nodes.append(helper.make_node("Identity", [logits], [LOGITS]))
        if sum(constant.ByteSize() for constant in self._constants) > LARGEST:
            raise ValueError("an ONNX file holds at most 2 GiB")
        graph = helper.make_graph(
            self._nodes, "reviewmill", inputs, [output], initializer=self._constants)
        operators = [helper.make_opsetid(*domain) for domain in self._domains.items()]
        model = helper.make_model(graph, opset_imports=operators, producer_name="reviewmill",
                                  ir_version=IR_VERSION)
        written: bytes = model.SerializeToString(deterministic=True)
        return written


_INT32 = 6  # TensorProto.INT32
