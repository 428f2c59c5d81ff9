"""`reviewmill export`: the ONNX file of a model that was trained without it."""

from collections.abc import Sequence

from models.records import check_shapes, onnx_file, options_of
from reviews.bundle import ONNX, add_onnx, read_bundle
from reviews.errors import UserError
from reviews.options import make_parser


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = make_parser("reviewmill export", "Write the ONNX file of a trained model.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    path = parser.parse_args(argv).model
    size = export(path)
    print(f"{path}: {ONNX}, {size:,} bytes")
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
    add_onnx(bundle, data)
    return len(data)
