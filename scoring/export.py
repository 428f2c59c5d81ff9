"""`reviewmill export`: the ONNX file of a model, and figures that its card lacks."""

from collections.abc import Sequence

from models.records import check_shapes, onnx_file, options_of
from reviews.bundle import ONNX, put_card_line, put_file, read_bundle
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.store import Store
from scoring.explain.measure import measure_explanations
from scoring.predictor import load


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = make_parser("reviewmill export", "Write the ONNX file of a trained model.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    parser.add_argument("--explanations", metavar="STORE",
                        help="measure on 500 test reviews of the store it was trained on how far "
                        "the words that explanations name move the probability, and write it into "
                        "the card")
    options = parser.parse_args(argv)
    path = options.model
    size = export(path)
    print(f"{path}: {ONNX}, {size:,} bytes")
    if options.explanations is not None:
        print(f"{path}: {describe_explanations(path, options.explanations)}")
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
