"""What a person looks at: one offline HTML page about a run. Reads files, imports only reviews."""

from collections.abc import Sequence
from pathlib import Path

from reviews.errors import UserError
from reviews.folders import write_atomically
from reviews.options import make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """`reviewmill report RUN`: write RUN/report.html, print its path as the last line, return 0."""
    parser = make_parser("reviewmill report", "Write RUN/report.html: one page, works offline.")
    parser.add_argument("run", metavar="RUN", help="a run folder, finished or not")
    folder = Path(parser.parse_args(argv).run)
    try:
        from reports.page import render
    except ImportError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise UserError(
            "the report needs matplotlib: pip install 'reviewmill[report]'"
        ) from None
    from reports.run import read_run

    page = render(read_run(folder))
    target = folder / "report.html"
    try:
        write_atomically(target, page.encode())
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}") from None
    print(target)
    return 0
