"""Offline HTML pages about a run, a store, a comparison, a search, scaling, or predictions of
`score`.

Reads files, imports only reviews.
"""

from collections.abc import Sequence
from pathlib import Path

from reviews.errors import UserError
from reviews.options import make_parser
from reviews.storage.files import is_remote
from reviews.storage.folders import write_atomically
from reviews.store import Store


def main(argv: Sequence[str] | None = None) -> int:
    """`reviewmill report PATH`: write PATH/report.html, print its path as the last line."""
    parser = make_parser(
        "reviewmill report",
        "Write PATH/report.html about a run, a store, a comparison or a search: it works offline.")
    parser.add_argument("path", metavar="PATH",
                        help="a run folder, finished or not, a store, or a folder of compare, "
                             "tune or bench scaling")
    parser.add_argument("--out", metavar="FILE", help="the page (default: PATH/report.html)")
    options = parser.parse_args(argv)
    try:
        from reports.comparison import FILE, read_comparison, render_comparison
        from reports.data import render_store
        from reports.page import render
        from reports.predictions import read_predictions_summary, render_predictions
        from reports.studies.scaling import FILE as SCALING_FILE
        from reports.studies.scaling import read_scaling, render_scaling
        from reports.studies.tuning import FILE as TUNING_FILE
        from reports.studies.tuning import read_tuning, render_tuning
    except ImportError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise UserError(
            "the report needs matplotlib: pip install 'reviewmill[report]'"
        ) from None
    from reports.run import read_run

    if is_remote(options.path) and not options.out:
        raise UserError(f"{options.path} is an address: say with --out where the page goes")
    folder = Path(options.path)
    if folder.suffix == ".json" and folder.is_file():
        page = render_predictions(read_predictions_summary(folder))
    elif is_remote(options.path) or (folder / "manifest.json").is_file():
        page = render_store(Store(options.path))
    elif (folder / FILE).is_file():
        page = render_comparison(read_comparison(folder), folder.resolve().name)
    elif (folder / TUNING_FILE).is_file():
        page = render_tuning(read_tuning(folder), folder.resolve().name)
    elif (folder / SCALING_FILE).is_file():
        page = render_scaling(read_scaling(folder), folder.resolve().name)
    else:
        page = render(read_run(folder))
    target = Path(options.out) if options.out else folder / "report.html"
    try:
        write_atomically(target, page.encode())
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}") from None
    print(target)
    return 0
