"""An ONNX file that is not of our making never reaches ONNX Runtime."""

import random
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper, numpy_helper

from models.records import RECORDS, onnx_file, options_of
from reviews.bundle import ONNX, put_file, read_bundle
from reviews.errors import UserError
from scoring import load
from scoring.onnx_check import check_onnx
from tests.scoring.bundles import MODELS, TEXTS, make_bundle


def file_of(folder: Path, model: str = "views", int8: bool = False) -> bytes:
    bundle = read_bundle(make_bundle(folder, model)[0])
    return onnx_file(options_of(bundle), bundle.weights, int8)


@pytest.mark.parametrize("model", MODELS)
def test_what_we_write_passes(tmp_path: Path, model: str) -> None:
    check_onnx(file_of(tmp_path, model), "model.onnx")
    if RECORDS[options_of(read_bundle(tmp_path)).model].int8:
        check_onnx(file_of(tmp_path, model, int8=True), "model.onnx")


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_beside_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="../x")


def own_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def own_opset(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="ai.mine", version=1)


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "If"


def subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def tensor_in_attribute(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[0]))
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="x")


def metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="a", value="b")


def wrong_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] += 1 << 40


def negative_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -1


def strings(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.STRING


def lstm_of(model: onnx.ModelProto) -> onnx.NodeProto:
    """The first node of ONNX Runtime's own operator."""
    return next(node for node in model.graph.node if node.domain)


def other_operator_of_that_domain(model: onnx.ModelProto) -> None:
    lstm_of(model).op_type = "FusedMatMul"


def that_operator_of_another_domain(model: onnx.ModelProto) -> None:
    lstm_of(model).domain = "com.mine"


def that_operator_of_no_domain(model: onnx.ModelProto) -> None:
    lstm_of(model).domain = ""


def known_operator_in_that_domain(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if not node.domain).domain = "com.microsoft"


CHANGES: list[Callable[[onnx.ModelProto], None]] = [
    external, external_beside_data, own_domain, own_opset, unknown_operator, subgraph,
    tensor_in_attribute, function, metadata, wrong_size, negative_size, strings,
]
CHANGES_IN_8_BITS = [
    *CHANGES, other_operator_of_that_domain, that_operator_of_another_domain,
    that_operator_of_no_domain, known_operator_in_that_domain,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_we_never_write_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    model = onnx.load_from_string(file_of(tmp_path))
    change(model)
    with pytest.raises(UserError, match=r"model\.onnx is refused: "):
        check_onnx(model.SerializeToString(), "model.onnx")


@pytest.mark.parametrize("change", CHANGES_IN_8_BITS, ids=lambda change: change.__name__)
def test_what_we_never_write_is_refused_in_8_bits(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    model = onnx.load_from_string(file_of(tmp_path, int8=True))
    change(model)
    with pytest.raises(UserError, match=r"model\.onnx is refused: "):
        check_onnx(model.SerializeToString(), "model.onnx")


def test_a_node_of_two_domains_is_refused(tmp_path: Path) -> None:
    """Readers of protobuf take the last one."""
    file = file_of(tmp_path, int8=True)
    field = b"\x3a\x0dcom.microsoft"
    assert len(field) == 15 and field in file
    # The first domain becomes two shorter ones in the bytes of the same message.
    two = b"\x3a\x06com.mi" + b"\x3a\x05crsft"
    assert len(two) == len(field)
    with pytest.raises(UserError, match="of the domain"):
        check_onnx(file.replace(field, two, 1), "model.onnx")


@pytest.mark.parametrize("data", [b"", b"\x00", b"PK\x03\x04" * 9, b"\xff" * 40, b"\x3a\xff\xff"])
def test_what_is_no_onnx_file_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="is refused"):
        check_onnx(data, "model.onnx")


def test_mutants_are_refused_or_score(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "views")
    bundle, original = read_bundle(folder), (folder / "model.onnx").read_bytes()
    dice, refused = random.Random(0), 0
    for _ in range(150):
        mutant = bytearray(original)
        for _ in range(dice.randint(1, 4)):
            # Names, shapes and operators, which lie between the numbers.
            mutant[dice.randrange(len(mutant))] = dice.randrange(256)
        if dice.random() < 0.3:
            del mutant[dice.randrange(len(mutant)) :]
        put_file(bundle, ONNX, bytes(mutant))
        try:
            load(str(folder))(TEXTS)
        except UserError:
            refused += 1
    assert refused > 30
