"""Files that a user gives about words: a vocabulary, and vectors of words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapreduce.findings import progress
from mapreduce.run_folders import plain_copy
from reviews.storage.input_file import open_input
from reviews.vectors import read_vectors
from reviews.vocabulary import given_vocabulary


@dataclass(frozen=True)
class Words:
    """The files, None where there is none."""

    vocabulary: str | None = None
    vectors: str | None = None

    def check(self) -> None:
        """Raise UserError for files that cannot be used, before anything is read."""
        if self.vocabulary:
            given_vocabulary(Path(self.vocabulary))
        if self.vectors:
            open_input(self.vectors).close()

    def options(self, most_frequent: list[str], work: Path) -> list[str]:
        """Arguments of job 3; the vectors of the vocabulary's words go into a file."""
        options = []
        if self.vocabulary:
            options += ["--vocabulary", str(plain_copy(Path(self.vocabulary), work))]
        if self.vectors:
            words = given_vocabulary(Path(self.vocabulary)) if self.vocabulary else most_frequent
            vectors = read_vectors(self.vectors, words)
            np.save(work / "vectors.npy", vectors)
            options += ["--vectors", str(work / "vectors.npy")]
            found = int(vectors.any(1).sum())
            progress(f"word vectors: {found:,} of {len(words):,} words "
                     f"({found / max(1, len(words)):.1%}), {vectors.shape[1]} numbers each")
        return options


NO_WORDS = Words()
