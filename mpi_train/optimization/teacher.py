"""Logits of a teacher for the training reviews, computed once and kept in the run folder."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from models.nets.load_model import load_model
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import SplitReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.gather_logits import check_fits, gather_logits
from reviews.bundle import Bundle, read_bundle
from reviews.errors import UserError
from reviews.run_folder import TEACHER, TEACHER_LOGITS
from reviews.storage.folders import write_atomically
from reviews.store import Store

Array = np.ndarray

MICRO_BATCH_TOKENS = 16_384


def teacher_logits(
    config: TrainingConfig, store: Store, communicator: Communicator
) -> Array | None:
    """Logits (n,) or for more than two classes (n, C) float32 of the training rows, in the store's
    order; None where the run has no teacher. All ranks call this.

    The ranks share the work; the numbers do not depend on how many there are. A resumed run takes
    those that it began with, and does not need the teacher any more.
    """
    if not config.loss.teacher:
        return None
    folder = config.files.folder
    kept: Array | None = communicator.from_root(
        lambda: _kept(folder, store) if config.run.resume else None)
    if kept is not None:
        return kept
    bundle = communicator.from_root(lambda: _fitting(config, store))
    model = load_model(bundle).to(communicator.device)
    reader = SplitReader(store, "train", bool(bundle.model.get("features")))
    scored = gather_logits(model, reader.blocks(communicator.rank, [1.0] * communicator.size),
                           communicator, MICRO_BATCH_TOKENS)
    return communicator.from_root(
        lambda: None if scored is None else scored.logits.astype(np.float32))


def keep_logits(folder: Path, logits: Array, store: Store) -> None:
    """Write the logits into a run folder, for a start that resumes the run."""
    data = io.BytesIO()
    np.save(data, logits)
    write_atomically(folder / TEACHER_LOGITS, data.getvalue())
    about = {"store": store.fingerprint, "sha256": hashlib.sha256(data.getvalue()).hexdigest()}
    write_atomically(folder / TEACHER, json.dumps(about, indent=1).encode() + b"\n")


def _fitting(config: TrainingConfig, store: Store) -> Bundle:
    """The teacher; UserError where it does not fit the store."""
    try:
        bundle = read_bundle(config.loss.teacher)
        check_fits(bundle, store, config.files.store)
    except UserError as error:
        raise UserError(f"--teacher {config.loss.teacher}: {error}") from None
    return bundle


def _kept(folder: Path, store: Store) -> Array | None:
    """The logits of an earlier start of the run; None where there are none for this store."""
    try:
        about = json.loads((folder / TEACHER).read_bytes())
        data = (folder / TEACHER_LOGITS).read_bytes()
        if about != {"store": store.fingerprint, "sha256": hashlib.sha256(data).hexdigest()}:
            return None
        logits: Array = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return logits
