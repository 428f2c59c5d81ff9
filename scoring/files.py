"""Files of reviews -> blocks of predictions, in the order of the records, on several threads."""

import dataclasses
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from reviews.bundle import Bundle
from reviews.corpora import InputSplit, Part, Reading, read_parts
from reviews.errors import UserError
from reviews.features import Encoding, feature_columns
from reviews.metrics import probabilities
from reviews.recipe import Recipe
from reviews.record import BadRecord, Block
from reviews.runtime.progress import PROGRESS
from scoring.decision import Decision
from scoring.encode import TextEncoder
from scoring.model import Model

Array = np.ndarray
AHEAD = 2  # parts of the input for each worker that are read before they are needed
PLACES = 3  # bad records that are named


@dataclasses.dataclass
class Tally:
    """What became of the records."""

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


class FileScorer:
    """Scores the reviews of files with one model; its threads share the model."""

    def __init__(
        self, bundle: Bundle, model: Model, recipe: Recipe, decision: Decision,
        key_field: str | None, workers: int,
    ) -> None:
        """recipe: that of the bundle, with what the user says of the files."""
        self._bundle, self._model, self._decision = bundle, model, decision
        self._workers, self._key = workers, key_field
        self._reading = Reading(labels=False, key_field=key_field)
        self._features: Encoding | None = None
        if bundle.model.get("features"):
            if not bundle.model.get("feature_encoding"):
                raise UserError(f"{bundle.path} does not say how the features it reads are made "
                                "from fields; train it again")
            self._features = Encoding(bundle.model["feature_encoding"])
        else:  # what no model reads, files need not have
            recipe = dataclasses.replace(recipe, features=())
        # Nothing is de-duplicated or split, so that reviewer, product and time are not read.
        self._recipe = dataclasses.replace(
            recipe, dedupe="text", split_by="review", missing="bad")
        self._own = threading.local()
        self.tally = Tally()

    @property
    def schema(self) -> pa.Schema:
        """Columns of the predictions."""
        key = ([("key", pa.string())] if self._key is not None
               else [("file", pa.string()), ("record", pa.int64())])
        classes = [(f"probability_{name}", pa.float32()) for name in self._decision.classes]
        return pa.schema([*key, ("label", pa.string()), *classes, ("n_words", pa.int32()),
                          ("n_cut", pa.int32())])

    def score(self, splits: Sequence[InputSplit]) -> Iterator[pa.RecordBatch]:
        """Predictions for the good records of the splits, in their order."""
        path, before = "", 0
        for split, block, columns in self._scored(splits):
            if split.path != path:
                path, before = split.path, 0
            self.tally.add(block, columns[-1])
            if self._key is not None:
                keys = [block.reviews["key"]]
            else:
                keys = [pa.array([path] * len(block.numbers), pa.string()),
                        pa.array(block.numbers + before + 1)]
            before += block.records
            PROGRESS.add(block.size)
            if len(block.reviews):
                kinds = self.schema.types[len(keys) :]
                values = [pa.array(one, kind) for one, kind in zip(columns, kinds, strict=True)]
                yield pa.record_batch([*keys, *values], schema=self.schema)

    def _scored(
        self, splits: Sequence[InputSplit]
    ) -> Iterator[tuple[InputSplit, Block, list[Array]]]:
        """Blocks and their columns behind the key; parts are scored beside one another."""
        parts = ((split, part) for split in splits
                 for part in read_parts(split, self._recipe, reading=self._reading))
        if self._workers == 1:
            for split, part in parts:
                for block, columns in self._score_part(part):
                    yield split, block, columns
            return
        waiting: deque[tuple[InputSplit, Future[list[tuple[Block, list[Array]]]]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for split, part in parts:
                    waiting.append((split, pool.submit(self._score_part, part)))
                    if len(waiting) > AHEAD * self._workers:
                        first, done = waiting.popleft()
                        for block, columns in done.result():
                            yield first, block, columns
                while waiting:
                    first, done = waiting.popleft()
                    for block, columns in done.result():
                        yield first, block, columns
            finally:
                pool.shutdown(cancel_futures=True)

    def _score_part(self, part: Part) -> list[tuple[Block, list[Array]]]:
        return [(block, self._columns(block.reviews)) for block in part()]

    def _columns(self, reviews: pa.RecordBatch) -> list[Array]:
        """Labels, probabilities of each class, n_words, n_cut: (n,) each."""
        encoder = getattr(self._own, "encoder", None)
        if encoder is None:
            encoder = self._own.encoder = TextEncoder(self._bundle)
        rows = encoder.encode(reviews["text"])
        features = None
        if self._features is not None:
            features = self._features.encode(
                [reviews[name] for name in feature_columns(self._recipe)])
        found = probabilities(self._model.logits(rows, features))
        return [self._decision.labels(found), *found.T, rows.n_words, rows.n_cut]
