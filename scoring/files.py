"""Files of reviews -> blocks of predictions, in the order of the records, on several threads."""

import dataclasses
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from reviews.bundle import Bundle
from reviews.corpora import InputSplit, Part, Reading, read_parts
from reviews.errors import UserError
from reviews.features import Encoding, feature_columns
from reviews.metrics import probabilities
from reviews.options import replace_flat
from reviews.recipe import Recipe
from reviews.record import BadRecord, Block
from reviews.runtime.progress import PROGRESS
from scoring.decision import Decision
from scoring.encode import TextEncoder
from scoring.model import Model
from scoring.summary import Summary

Array = np.ndarray
AHEAD = 2  # parts of the input for each worker that are read before they are needed
# Reviews that a thread scores at a time: few, so that all end at about the same time.
SLICE = 2048
PLACES = 3  # bad records that are named


@dataclasses.dataclass
class Tally:
    """Counts of records by what became of them."""

    records: int = 0
    scored: int = 0
    cut: int = 0
    bad: Counter[str] = dataclasses.field(default_factory=Counter)
    places: list[BadRecord] = dataclasses.field(default_factory=list)

    def add(self, block: Block, n_cut: Array) -> None:
        """Count a block."""
        self.records += block.records
        self.scored += len(block.reviews)
        self.cut += int((n_cut > 0).sum())
        self.bad.update(block.bad)
        self.places += block.places[: PLACES - len(self.places)]

    def merge(self, other: "Tally") -> None:
        """Count the records of another, too."""
        self.records += other.records
        self.scored += other.scored
        self.cut += other.cut
        self.bad.update(other.bad)
        self.places += other.places[: PLACES - len(self.places)]

    def to_json(self) -> dict[str, Any]:
        """Plain values, of which `of` makes the same tally."""
        return {**vars(self), "bad": dict(self.bad),
                "places": [dataclasses.asdict(place) for place in self.places]}

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> "Tally":
        """The tally of `to_json`."""
        return cls(**{**saved, "bad": Counter(saved["bad"]),
                      "places": [BadRecord(**place) for place in saved["places"]]})


@dataclasses.dataclass(frozen=True)
class Position:
    """The stretch of the input that is scored next."""

    split: int = 0  # number of its split
    stretch: int = 0  # its number in the split
    records: int = 0  # records of its file that stand before it


START = Position()
NO_NAMES: Mapping[str, str] = {}
_Begun = tuple[Block, list[Future[list[Array]]]]


@dataclasses.dataclass(frozen=True)
class Scored:
    """The predictions of one stretch of the input."""

    batches: list[pa.RecordBatch]
    size: int  # bytes of the stretch, inflated
    after: Position  # the stretch behind it


class FileScorer:
    """Scores the reviews of files with one model; its threads share the model."""

    def __init__(
        self, bundle: Bundle, model: Model, recipe: Recipe, decision: Decision,
        key_field: str | None, workers: int, summary: Summary | None = None,
        called: Mapping[str, str] = NO_NAMES,
    ) -> None:
        """recipe: that of the bundle, with what the user says of the files. summary: is given
        the labels, with product and time. called: names of files that have others than their
        paths."""
        self._model, self._decision = model, decision
        self._workers, self._key = workers, key_field
        self._reading = Reading(labels=False, key_field=key_field)
        self._features: Encoding | None = None
        if bundle.model.get("features"):
            if not bundle.model.get("feature_encoding"):
                raise UserError(f"{bundle.path} does not say how the features it reads are made "
                                "from fields; train it again")
            self._features = Encoding(bundle.model["feature_encoding"])
        else:  # what no model reads, files need not have
            recipe = replace_flat(recipe, features=())
        # Nothing is de-duplicated or split, so that reviewer, product and time are read for a
        # summary alone.
        self._summary, self._called = summary, called
        self._recipe = replace_flat(
            recipe, dedupe="text" if summary is None else "reviewer-product",
            split_by="review", missing="bad")
        self._encoder = TextEncoder(bundle)
        self.tally = Tally()

    @property
    def schema(self) -> pa.Schema:
        """Columns of the predictions."""
        key = ([("key", pa.string())] if self._key is not None
               else [("file", pa.string()), ("record", pa.int64())])
        classes = [(f"probability_{name}", pa.float32()) for name in self._decision.classes]
        return pa.schema([*key, ("label", pa.string()), *classes, ("n_words", pa.int32()),
                          ("n_cut", pa.int32())])

    def score(
        self, splits: Sequence[InputSplit], start: Position = START
    ) -> Iterator[Scored]:
        """Predictions for the good records of the splits from a position on, in their order."""
        path, before = splits[start.split].path, start.records
        for number, stretch, blocks in self._scored(splits, start):
            if splits[number].path != path:
                path, before = splits[number].path, 0
            batches, name = [], self._called.get(path, path)
            for block, columns in blocks:
                block.places = [dataclasses.replace(bad, path=name) for bad in block.places]
                self.tally.add(block, columns[-1])
                if len(block.reviews):
                    batches.append(self._rows(block, columns, name, before))
                if self._summary is not None:
                    self._summary.add(block.reviews, columns[0], name)
                before += block.records
                PROGRESS.add(block.size)
            size = sum(block.size for block, _ in blocks)
            yield Scored(batches, size, Position(number, stretch + 1, before))

    def _rows(
        self, block: Block, columns: list[Array], file: str, before: int
    ) -> pa.RecordBatch:
        if self._key is not None:
            keys = [block.reviews["key"]]
        else:
            keys = [pa.repeat(file, len(block.numbers)),
                    pa.array(block.numbers + before + 1)]
        kinds = self.schema.types[len(keys) :]
        values = [pa.array(one, kind) for one, kind in zip(columns, kinds, strict=True)]
        return pa.record_batch([*keys, *values], schema=self.schema)

    def _stretches(
        self, splits: Sequence[InputSplit], start: Position
    ) -> Iterator[tuple[int, int, Part]]:
        for number in range(start.split, len(splits)):
            parts = read_parts(splits[number], self._recipe, reading=self._reading)
            for stretch, part in enumerate(parts):
                if (number, stretch) >= (start.split, start.stretch):
                    yield number, stretch, part

    def _scored(
        self, splits: Sequence[InputSplit], start: Position
    ) -> Iterator[tuple[int, int, list[tuple[Block, list[Array]]]]]:
        """Stretches as (split, number, blocks and their columns behind the key), which are scored
        beside one another."""
        if self._workers == 1:
            for number, stretch, part in self._stretches(splits, start):
                yield number, stretch, [
                    (block, _joined(map(self._columns, _slices(block)))) for block in part()]
            return
        waiting: deque[tuple[int, int, Future[list[_Begun]]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for number, stretch, part in self._stretches(splits, start):
                    waiting.append((number, stretch, pool.submit(self._begin_part, part, pool)))
                    if len(waiting) > AHEAD * self._workers:
                        yield _ended(*waiting.popleft())
                while waiting:
                    yield _ended(*waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _begin_part(self, part: Part, pool: ThreadPoolExecutor) -> list[_Begun]:
        """The blocks of a part, and what the pool makes of the slices of each."""
        return [(block, [pool.submit(self._columns, some) for some in _slices(block)])
                for block in part()]

    def _columns(self, reviews: pa.RecordBatch) -> list[Array]:
        """Labels, probabilities of each class, n_words, n_cut: (n,) each."""
        rows = self._encoder.encode(reviews["text"])
        features = None
        if self._features is not None:
            features = self._features.encode(
                [reviews[name] for name in feature_columns(self._recipe.input)])
        found = probabilities(self._model.logits(rows, features))
        return [self._decision.labels(found), *found.T, rows.n_words, rows.n_cut]


def _slices(block: Block) -> Iterator[pa.RecordBatch]:
    """The reviews of a block, at least one slice, so that there are columns of none, too."""
    for first in range(0, max(1, len(block.reviews)), SLICE):
        yield block.reviews.slice(first, SLICE)


def _joined(slices: Iterable[list[Array]]) -> list[Array]:
    return [np.concatenate(column) for column in zip(*slices, strict=True)]


def _ended(
    number: int, stretch: int, begun: Future[list[_Begun]]
) -> tuple[int, int, list[tuple[Block, list[Array]]]]:
    """A stretch as `_scored` gives it, when all of its slices are scored."""
    return number, stretch, [
        (block, _joined(some.result() for some in slices)) for block, slices in begun.result()]
