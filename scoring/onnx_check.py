"""Check of an ONNX file before ONNX Runtime sees it: it may hold what our writer writes, no more.

A file with external data, operators or functions of its own, or graphs inside of attributes is
refused (CVE-2025-51480, CVE-2026-27489, CVE-2026-34445). The check reads protobuf's wire format
by itself, so that scoring needs no onnx.
"""

from collections.abc import Iterator, Mapping
from math import prod

from reviews.errors import UserError

# Fields of the messages of onnx.proto that are written; any other is refused.
_MODEL = {1: "ir_version", 2: "producer_name", 7: "graph", 8: "opset_import"}
_OPSET = {1: "domain", 2: "version"}
_GRAPH = {1: "node", 2: "name", 5: "initializer", 11: "input", 12: "output"}
_NODE = {1: "input", 2: "output", 4: "op_type", 5: "attribute", 7: "domain"}
_ATTRIBUTE = {1: "name", 2: "f", 3: "i", 4: "s", 8: "ints", 20: "type"}
_TENSOR = {1: "dims", 2: "data_type", 8: "name", 9: "raw_data"}
# Strings, and descriptions of inputs and outputs, which are short.
_TEXTS = frozenset(["producer_name", "name", "input", "output", "op_type", "domain", "s"])
_ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8}  # float32, uint8, int8, int32, int64

# Operators by their domain. That of com.microsoft is part of ONNX Runtime itself, and loads no
# library: ONNX has no LSTM of 8 bits. Any other of that domain is refused.
OPERATORS = {
    b"": frozenset(
        b"Abs Add Cast Concat Conv Div Equal Erf Expand GRU Gather Gemm Identity LSTM "
        b"LayerNormalization Less MatMul MatMulInteger Max Mul Range ReduceMax ReduceSum Relu "
        b"Reshape Round Shape Slice Softmax Squeeze Sub Tanh Transpose Unsqueeze Where".split()),
    b"com.microsoft": frozenset([b"DynamicQuantizeLSTM"]),
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Value = int | memoryview


class _Refused(Exception):
    """Reason for which a file is refused."""


def check_onnx(data: bytes, where: str) -> None:
    """Raise UserError for a file that could not come from models.graphs.graph."""
    try:
        graphs = 0
        for name, value in _message(memoryview(data), _MODEL, "model"):
            if name == "graph":
                graphs += 1
                _check_graph(_bytes(value))
            elif name == "opset_import":
                _domain(_bytes(value), _OPSET, "opset")
        if graphs != 1:
            raise _Refused(f"{graphs} graphs")
    except _Refused as error:
        raise UserError(f"{where} is refused: {error}; `reviewmill export` writes it anew"
                        ) from None


def _check_graph(graph: memoryview) -> None:
    for name, value in _message(graph, _GRAPH, "graph"):
        if name == "node":
            _check_node(_bytes(value))
        elif name == "initializer":
            _check_tensor(_bytes(value))


def _check_node(node: memoryview) -> None:
    operators = OPERATORS[_domain(node, _NODE, "node")]
    for name, value in _message(node, _NODE, "node"):
        if name == "op_type" and bytes(_bytes(value)) not in operators:
            raise _Refused(f"operator {bytes(_bytes(value))[:40]!r}")
        if name == "attribute":
            for _ in _message(_bytes(value), _ATTRIBUTE, "attribute"):
                pass


def _check_tensor(tensor: memoryview) -> None:
    """Its bytes lie in it, and are as many as its shape says."""
    dims, kind, size = [], 0, 0
    for name, value in _message(tensor, _TENSOR, "tensor"):
        if name == "dims":
            dims += _integers(value)
        elif name == "data_type":
            kind = value if isinstance(value, int) else 0
        elif name == "raw_data":
            size = len(_bytes(value))
    if kind not in _ELEMENT_BYTES or prod(dims) * _ELEMENT_BYTES[kind] != size:
        raise _Refused(f"tensor of type {kind} and shape {dims[:8]} in {size} bytes")


def _domain(message: memoryview, fields: Mapping[int, str], what: str) -> bytes:
    """The domain that a message names, one of OPERATORS."""
    found = [bytes(_bytes(value)) for name, value in _message(message, fields, what)
             if name == "domain"]
    if len(found) > 1 or (found and found[0] not in OPERATORS):
        raise _Refused(f"{what} of the domain {found[0][:40]!r}")
    return found[0] if found else b""


def _message(
    data: memoryview, fields: Mapping[int, str], what: str
) -> Iterator[tuple[str, Value]]:
    """Fields of a message by name; _Refused for one that is not among `fields`."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        value, place = _value(data, place, key & 7)
        if key >> 3 not in fields:
            raise _Refused(f"{what} with field {key >> 3}")
        name = fields[key >> 3]
        if name in _TEXTS and not (isinstance(value, memoryview) and bytes(value).isascii()):
            raise _Refused(f"{what} whose {name} is not ASCII")
        yield name, value


def _value(data: memoryview, place: int, wire: int) -> tuple[Value, int]:
    if wire == _VARINT:
        return _varint(data, place)
    if wire == _BYTES:
        size, place = _varint(data, place)
    elif wire in (_FIXED32, _FIXED64):
        size = 4 if wire == _FIXED32 else 8
    else:
        raise _Refused("no protobuf")
    if size > len(data) - place:
        raise _Refused("cut off")
    return data[place : place + size], place + size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _Refused("cut off")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _Refused("no protobuf")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Refused("no protobuf")
    return value


def _integers(value: Value) -> list[int]:
    """A repeated integer: one of them, or several packed."""
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(number)
    return found
