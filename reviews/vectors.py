"""Word vectors in the text format of fastText and GloVe: a word and its numbers on each line."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.corpora.inputs import TruncatedInput, read_input
from reviews.errors import UserError
from reviews.vocabulary import FIRST_WORD

Array = np.ndarray


def read_vectors(path: str, vocabulary: Sequence[str]) -> Array:
    """The vectors (ids, d) float32 of a vocabulary.

    Rows of padding, of the unknown word and of words without a vector are zeros. fastText's
    first line (how many words and numbers) is left out; of equal words the first one counts.
    A UserError names the line that is no word with d numbers.
    """
    known = pa.array(vocabulary, pa.string())
    found = np.zeros(len(vocabulary), bool)
    vectors: Array | None = None
    line = 0
    for lines in _blocks_of_lines(path):
        if line == 0 and len(lines[0].split()) == 2:
            lines, line = lines[1:], 1
        words = pa.array([text.split(b" ", 1)[0] for text in lines], pa.binary())
        places = pc.index_in(words, value_set=known.cast(pa.binary())).fill_null(-1).to_numpy()
        if vectors is None and lines:
            vectors = np.zeros((len(vocabulary) + FIRST_WORD, len(lines[0].split()) - 1), "f4")
        for number in np.flatnonzero(places >= 0):
            assert vectors is not None
            numbers = lines[number].split()[1:]
            if len(numbers) > vectors.shape[1] or found[places[number]]:
                continue  # a word with spaces, or one that was there
            try:
                vector = np.array(numbers, np.float32)
            except ValueError:
                vector = np.zeros(0, np.float32)
            if len(vector) != vectors.shape[1]:
                where = f"{path}:{line + number + 1}"
                raise UserError(f"{where}: not a word and {vectors.shape[1]} numbers")
            vectors[FIRST_WORD + places[number]] = vector
            found[places[number]] = True
        line += len(lines)
    if vectors is None or not vectors.shape[1]:
        raise UserError(f"{path}: no word vectors; a line is a word and its numbers")
    return vectors


def _blocks_of_lines(path: str) -> Iterator[list[bytes]]:
    """The lines of a file, plain or compressed, many at a time; at least one in each."""
    rest = b""
    try:
        for piece in read_input(path):
            whole, newline, left = piece.rpartition(b"\n")
            if newline:
                yield (rest + whole).split(b"\n")
                rest = left
            else:
                rest += left
    except TruncatedInput:
        raise UserError(f"{path}: the compressed file ends early") from None
    if rest:
        yield [rest]
