"""A job before job 1, on clusters: long files that one task alone could read, in pieces for many.

A compressed file, or one whose records may be anywhere, is read once from front to back and
written to the work folder as plain bytes, cut between records. Each piece is then a split of its
own, which still says where it lies in the file: messages name the file and its lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from mrjob.protocol import RawValueProtocol

from mapreduce.job import ReviewsJob, split_of
from mapreduce.job_lines import ErrorLine, PieceLine
from reviews.corpora import InputSplit, is_read_by_one, read_stretches
from reviews.corpora.stretches import LONGEST_RECORD
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.folders import join
from reviews.storage.work_files import WorkFileWriter

MB = 10**6
CUT_ABOVE = 1000  # MB of a file, from which it is long unless told otherwise


class CutFiles(ReviewsJob):
    """Long files to pieces."""

    INPUT_PROTOCOL = RawValueProtocol
    LINES_PER_TASK = 1

    def configure_args(self) -> None:
        super().configure_args()
        self.add_passthru_arg("--piece-bytes", type=int, required=True, help="size of a piece")

    def mapper(self, _: Any, line: str) -> Iterator[tuple[str, PieceLine | ErrorLine]]:
        """One file: its pieces, each with the file's role."""
        role = ""
        try:
            split, more = split_of(line)
            role = more["role"]
            for piece in cut_file(split, self.recipe, self.options.piece_bytes, self.work):
                yield role, {"kind": "piece", "split": vars(piece)}
        except UserError as error:
            yield role, {"kind": "error", "message": self.unread(error)}

    def reducer(
        self, role: str, lines: Iterator[PieceLine | ErrorLine]
    ) -> Iterator[tuple[str, PieceLine | ErrorLine]]:
        """All of them, as they are."""
        for line in lines:
            yield role, line


def cut_file(
    split: InputSplit, recipe: Recipe, piece_bytes: int, work: str, longest: int = LONGEST_RECORD
) -> Iterator[InputSplit]:
    """Write a file's bytes to pieces of about so many; yields a split for each, in order."""
    begun = replace(split, length=0)
    writer = WorkFileWriter(join(work, "pieces"), "piece")
    whole = True  # False inside of a record that is too long
    for stretch in read_stretches(split, recipe, longest=longest):
        if whole and begun.length >= piece_bytes:
            writer.close()
            yield begun
            begun = replace(split, offset=begun.offset + begun.length, length=0, line=stretch.line)
            writer = WorkFileWriter(join(work, "pieces"), "piece")
        whole = not stretch.goes_on
        # Behind the last whole record lies what an early end of the file has left of one.
        used = len(stretch.data) if stretch.cut else stretch.used
        writer.write_bytes(pa.py_buffer(stretch.data).slice(0, used))
        begun = replace(begun, piece=writer.path, length=begun.length + used,
                        ends_early=stretch.cut)
    writer.close()
    yield begun


def files_to_cut(
    splits: dict[str, list[InputSplit]], above_mb: int
) -> tuple[dict[str, list[InputSplit]], dict[str, list[InputSplit]]]:
    """The files that are to be cut, and all other splits, by role."""
    def is_long(split: InputSplit) -> bool:
        return is_read_by_one(split) and split.file_bytes > above_mb * MB

    long = {role: list(filter(is_long, some)) for role, some in splits.items()}
    rest = {role: [split for split in some if split not in long[role]]
            for role, some in splits.items()}
    return long, rest


def pieces_of(
    pairs: Sequence[tuple[str, PieceLine | ErrorLine]]
) -> dict[str, list[InputSplit]]:
    """The splits that the job put out, by role; the UserError of a file that cannot be read."""
    errors = [line["message"] for _, line in pairs if line["kind"] == "error"]
    if errors:
        raise UserError(min(errors))
    pieces: dict[str, list[InputSplit]] = {}
    for role, line in pairs:
        if line["kind"] == "piece":
            pieces.setdefault(role, []).append(InputSplit(**line["split"]))
    return pieces


if __name__ == "__main__":
    CutFiles.run()
