"""`reviewmill export`: the ONNX file of a model, the model in 8 bits, and figures of its card."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.records import check_shapes, onnx_file, options_of
from reviews.bundle import ONNX, put_card_line, put_file, read_bundle
from reviews.errors import UserError
from reviews.options import (
    add_options,
    check_bounds,
    check_conditions,
    config_from,
    flag,
    given,
    make_parser,
    option,
)
from reviews.store import Store
from scoring.explain.measure import measure_explanations
from scoring.int8 import MOST_LOST, export_int8
from scoring.predictor import load


@dataclass(frozen=True)
class ExportOptions:
    """Options of `export`."""

    explanations: str | None = option(
        None, "store that it was trained on: measure on 500 test reviews of it how far the words "
        "that explanations name move the probability, and write it into the card")
    int8: bool = option(
        False, "bundle of the model in 8 bits, too, beside its own and with -int8 behind its name, "
        f"unless that costs more than {MOST_LOST} points of accuracy")
    store: str | None = option(
        None, "store that it was trained on, whose validation reviews both are compared on; by "
        "default the one that the run names", only_if={"int8": (True,)})
    reviews: int = option(
        20_000, "largest number of these reviews", at_least=1, only_if={"int8": (True,)})
    force: bool = option(
        False, "write it whatever accuracy it costs", only_if={"int8": (True,)})

    def __post_init__(self) -> None:
        check_bounds(self, flag)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = make_parser("reviewmill export", "Write the ONNX file of a trained model.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    add_options(parser, ExportOptions)
    arguments = parser.parse_args(argv)
    options = config_from(arguments, ExportOptions)
    check_conditions(options, given(arguments, ExportOptions),
                     lambda *_: "an export without it")
    path = arguments.model
    size = export(path)
    print(f"{path}: {ONNX}, {size:,} bytes")
    if options.explanations is not None:
        print(f"{path}: {describe_explanations(path, options.explanations)}")
    if options.int8:
        folder, found = export_int8(path, options.store, options.reviews, options.force)
        print(f"{folder}: {found}")
    return 0


def export(path: str) -> int:
    """Put model.onnx into a bundle, in place of one that is there; return its bytes."""
    bundle = read_bundle(path)
    options = options_of(bundle)
    check_shapes(bundle, options)
    try:
        data = onnx_file(options, bundle.weights)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    put_file(bundle, ONNX, data)
    return len(data)


def describe_explanations(path: str, store: str) -> str:
    """Measure the explanations of a model; the line that is put into its card."""
    predictor = load(path)
    text = str(measure_explanations(predictor, Store(store)))
    put_card_line(predictor.bundle, "Explanations", text)
    return text
