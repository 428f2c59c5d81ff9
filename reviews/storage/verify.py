"""Verification of a store: every sha256 and every invariant of its manifest."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from reviews.errors import UserError
from reviews.recipe import SPLITS
from reviews.storage.folders import sha256
from reviews.store import CHUNK_ROWS, COLUMNS, FEATURES, KEY_TYPES, Store
from reviews.vocabulary import FIRST_WORD, id_type, read_vocabulary

_ROWS = 64 * CHUNK_ROWS  # looked at together


def verify_store(store: Store) -> Iterator[str]:
    """Check a store; yield one line for each fault."""
    manifest = store.manifest
    labels = {split: Counter[int]() for split in SPLITS}
    for name, entry in manifest["files"].items():
        path = store.path / name
        if not path.is_file():
            yield f"{name} is missing"
        elif sha256(path) != entry["sha256"]:
            yield f"{name} is damaged: its sha256 is not the manifest's"
        elif "rows" in entry:
            yield from _verify_shard(store, name, entry["rows"], labels)
    extra = {f"shards/{path.name}" for path in (store.path / "shards").glob("*")}
    for name in sorted(extra - set(manifest["files"])):
        yield f"{name} is not in the manifest"
    yield from _verify_vocabulary(store)
    yield from _verify_sums(store, labels)


def _verify_vocabulary(store: Store) -> Iterator[str]:
    try:
        words = read_vocabulary(store.vocabulary_file)
    except UserError:
        return  # Missing or damaged, which has been said.
    if len(words) != len(set(words)) and not store.manifest["special"]:
        yield "vocabulary.txt names a word twice"
    # The ids of another tokenizer are all in vocabulary.txt.
    apart = 0 if store.manifest["special"] else len({store.padding, store.unknown})
    if len(words) + apart != store.vocabulary_size:
        yield f"vocabulary.txt has {len(words)} words for {store.vocabulary_size} ids"


def _verify_sums(store: Store, labels: Mapping[str, Counter[int]]) -> Iterator[str]:
    manifest = store.manifest
    for split in SPLITS:
        entry = manifest["splits"][split]
        files = sum(shard.rows for shard in store.shards(split))
        if files != entry["rows"]:
            yield f"{split}: {entry['rows']} rows promised, the files hold {files}"
        found = {name: labels[split][number] for number, name in enumerate(store.classes)}
        if found != entry["labels"]:
            yield f"{split}: labels {entry['labels']} promised, the files hold {found}"
    records = manifest["records"]
    stored = sum(store.rows(split) for split in SPLITS)
    settled = stored + sum(records["dropped"].values()) + sum(records["bad"].values())
    if records["stored"] != stored or records["read"] != settled:
        yield f"{records['read']} records were read, but {settled} are accounted for"


def _verify_shard(
    store: Store, name: str, rows: Mapping[str, int], labels: Mapping[str, Counter[int]]
) -> Iterator[str]:
    columns: dict[str, Any] = {column: ((), dtype) for column, dtype in COLUMNS.items()}
    if store.feature_names:
        columns["features"] = ((len(store.feature_names),), FEATURES)
    columns |= {name: ((), KEY_TYPES.get(name)) for name in store.keys}
    columns["tokens"] = ((store.length,), id_type(store.vocabulary_size - FIRST_WORD))
    with h5py.File(store.path / name, "r", locking=False) as file:
        for split in SPLITS:
            group, wrong = file[split], False
            for column, (shape, dtype) in columns.items():
                wanted = ((rows[split], *shape), dtype)
                data = group.get(column)
                if data is None or (data.shape, data.dtype) != wanted:
                    yield f"{name}: {split}/{column} is not {wanted[0]} of {dtype}"
                    wrong = True
            if not wrong:
                for first in range(0, rows[split], _ROWS):
                    part = {column: group[column][first : first + _ROWS] for column in columns}
                    labels[split].update(part["label"].tolist())
                    yield from (f"{name}: {split}/{fault}" for fault in _faults(store, part))


def _faults(store: Store, part: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Faults of some rows."""
    tokens, length = part["tokens"], part["length"]
    inside = np.arange(store.length) < length[:, None]
    if length.min() < 1 or length.max() > store.length:
        yield f"length is not within 1 to {store.length}"
    if tokens.max() >= store.vocabulary_size:
        yield "tokens has ids that are not in the vocabulary"
    if (tokens[~inside] != store.padding).any():
        yield f"tokens is not padded with {store.padding}"
    if not store.manifest["special"] and (tokens[inside] == store.padding).any():
        yield "tokens has padding inside of a review"
    if not np.isfinite(part.get("features", 0)).all():
        yield "features has values that are not finite"
    if part["label"].max() >= len(store.classes):
        yield "label names a class that is not there"
