"""A model in 8 bits: a bundle beside the one it is made from, and what it gains and costs."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from models.options import ModelOptions
from models.records import RECORDS, check_shapes, onnx_file, options_of
from reviews.bundle import WEIGHTS, Bundle, read_bundle, with_card_line, write_bundle
from reviews.errors import UserError
from reviews.metrics import probabilities
from reviews.run_folder import CONFIG
from reviews.runtime.processor import has_vnni, processor_name
from reviews.runtime.progress import PROGRESS
from reviews.store import Store
from scoring.encode import EncodedTexts
from scoring.model import Model, OnnxModel, load_model

Array = np.ndarray
SUFFIX = "-int8"  # of the folder
MOST_LOST = 0.2  # points of accuracy
_BLOCK = 1024  # rows that both models score before the next


@dataclass(frozen=True)
class Comparison:
    """A model in 8 bits beside the same in float32, on this processor and one thread."""

    processor: str
    reviews: int  # of the validation split
    accuracy: float
    float32_accuracy: float
    reviews_per_s: float  # of CPU time, ids to predictions
    float32_reviews_per_s: float  # by the kernels where there are some, else by ONNX Runtime
    bytes: int  # of the graph
    float32_bytes: int

    @property
    def gained(self) -> float:
        """Points of accuracy that 8 bits bring; what they cost is below 0."""
        return 100 * (self.accuracy - self.float32_accuracy)

    def __str__(self) -> str:
        return (f"accuracy {self.accuracy:.2%} against {self.float32_accuracy:.2%} in float32 "
                f"({self.gained:+.2f} points, {self.reviews:,} validation reviews); "
                f"{self.reviews_per_s:,.0f} reviews/s against {self.float32_reviews_per_s:,.0f} "
                f"({self.reviews_per_s / self.float32_reviews_per_s:.2f} x, one thread of "
                f"{self.processor}); {self.bytes:,} bytes against {self.float32_bytes:,} "
                f"({self.float32_bytes / self.bytes:.1f} x)")


def export_int8(
    path: str, store: str | None, most: int, force: bool
) -> tuple[Path, Comparison]:
    """Write a model in 8 bits as a bundle beside its own, whose name ends in SUFFIX.

    store: None for the one that its run names. most: validation reviews that both are compared
    on. force: write it where it loses more than MOST_LOST points of accuracy, too. Raises
    UserError where it does, and for a model that is not written in 8 bits.
    """
    bundle = read_bundle(path)
    options = options_of(bundle)
    check_shapes(bundle, options)
    _check_kind(path, options)
    validation = _store(bundle, store)
    graph = onnx_file(options, bundle.weights, int8=True)
    found = compare(bundle, options, graph, validation, most)
    if -found.gained > MOST_LOST and not force:
        raise UserError(f"{path} in 8 bits is refused: {found}; more than {MOST_LOST} points are "
                        "lost, --force writes it all the same")
    folder = int8_folder(bundle)
    about = {**vars(found), "weights": bundle.files[WEIGHTS]}
    write_bundle(
        folder, None, {**bundle.model, "int8": about}, bundle.read("recipe.yaml").decode(),
        bundle.path / "vocabulary.txt",
        with_card_line(bundle.read("card.md").decode(), "In 8 bits", str(found)),
        bundle.tokenizer_file, graph)
    return folder, found


def int8_folder(bundle: Bundle) -> Path:
    """The folder of a bundle's model in 8 bits."""
    return bundle.path.with_name(bundle.path.name + SUFFIX)


def _check_kind(path: str, options: ModelOptions[Any]) -> None:
    if not RECORDS[options.model].int8:
        able = [name for name, record in RECORDS.items() if record.int8]
        raise UserError(f"--int8 is for {', '.join(able)}: {path} is a {options.model}")


def _store(bundle: Bundle, given: str | None) -> Store:
    """The store of the model; UserError where it is another, or unknown."""
    config = bundle.path.parent / CONFIG
    if given is None and config.is_file():
        given = (yaml.safe_load(config.read_bytes()) or {}).get("store")
    if given is None:
        raise UserError(f"{bundle.path}: --store has to name the store that it was trained on, "
                        "whose validation reviews say what 8 bits cost")
    store = Store(given)
    if bundle.model.get("store") != store.fingerprint:
        raise UserError(f"{bundle.path} was not trained on {given}")
    if not store.rows("validation"):
        raise UserError(f"{given} has no validation reviews, which say what 8 bits cost")
    return store


def compare(
    bundle: Bundle, options: ModelOptions[Any], graph: bytes, store: Store, most: int
) -> Comparison:
    """Compare a graph in 8 bits with the model as it is scored otherwise."""
    _, own = load_model(str(bundle.path))
    models: list[Model] = [OnnxModel(graph, str(bundle.path), options, threads=1), own]
    seconds, right, n = np.zeros(2), np.zeros(2, np.int64), 0
    PROGRESS.begin("validation reviews", min(most, store.rows("validation")), "export")
    for rows, labels in validation_rows(store, most):
        for number, model in enumerate(models):
            if n == 0:  # the first call takes longer
                model.logits(rows.take(slice(0, 1)))
            started = time.process_time()
            logits = model.logits(rows)
            seconds[number] += time.process_time() - started
            right[number] += np.count_nonzero(probabilities(logits).argmax(1) == labels)
        n += len(labels)
        PROGRESS.add(len(labels))
    PROGRESS.end()
    processor = processor_name() + (" with VNNI" if has_vnni() else " without VNNI")
    accuracy, speed = right / n, n / seconds
    return Comparison(
        processor, n, float(accuracy[0]), float(accuracy[1]), float(speed[0]), float(speed[1]),
        len(graph), len(onnx_file(options, bundle.weights)))


def validation_rows(store: Store, most: int) -> Iterator[tuple[EncodedTexts, Array]]:
    """The first validation reviews of a store, and their labels, _BLOCK of them at a time.

    Rows of a store stand in the order of a hash, so that the first ones are any.
    """
    for shard in store.shards("validation"):
        if most <= 0:
            return
        store.check_file(shard.path)
        with h5py.File(shard.path, locking=False) as file:
            columns: Any = file["validation"]
            for first in range(0, min(shard.rows, most), _BLOCK):
                part = slice(first, min(first + _BLOCK, most))
                lengths = columns["length"][part].astype(np.int32)
                yield (EncodedTexts(columns["tokens"][part], lengths, lengths,
                                    np.zeros_like(lengths)), columns["label"][part])
        most -= shard.rows
