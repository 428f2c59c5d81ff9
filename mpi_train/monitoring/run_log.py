"""Log of a run, written into the run folder by rank 0; on other ranks every call does nothing."""

import json
import os
import platform
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mpi_train.configuration.config import TERMINAL, TrainingConfig
from reviews.run_folder import (
    CONFIG,
    LOG,
    METRICS,
    RUN_FILES,
    RUN_FOLDERS,
    RUN_FORMAT,
    SUMMARY,
    append_record,
)
from reviews.runtime.processor import processor_name
from reviews.storage.folders import write_atomically
from reviews.store import Store

LINE_SECONDS = 60  # between lines about an epoch, where there is no progress bar


class RunLog:
    """config.yaml, metrics.jsonl, log.txt and summary.json of one run."""

    def __init__(self, config: TrainingConfig, writes: bool) -> None:
        self.out, self.writes = config.files.folder, writes
        self._bar: tqdm | None = None
        if not writes:
            return
        if config.run.overwrite and not config.run.resume:
            for name in RUN_FILES:
                (self.out / name).unlink(missing_ok=True)
            for name in RUN_FOLDERS:
                shutil.rmtree(self.out / name, ignore_errors=True)
        self.out.mkdir(parents=True, exist_ok=True)
        # Until this start has ended, there is no saying how it ended.
        (self.out / SUMMARY).unlink(missing_ok=True)
        write_atomically(self.out / CONFIG, config.to_yaml().encode())

    def log(self, line: str) -> None:
        """One line for people: to log.txt, and to standard output."""
        if self.writes:
            with open(self.out / LOG, "a", encoding="utf-8") as file:
                file.write(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + line + "\n")
            tqdm.write(line)

    def record(self, kind: str, **values: Any) -> None:
        """One line of metrics.jsonl."""
        if self.writes:
            append_record(self.out, kind, values)

    def forget_after(self, step: int, epoch: int) -> None:
        """Drop the records of what a resumed run does again: later updates, and the epoch."""
        file = self.out / METRICS
        if not self.writes or not file.is_file():
            return
        kept = []
        for line in file.read_bytes().splitlines(keepends=True):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the torn last line of a run that was killed
            stays = record.get("step", step + 1) <= step
            if record["kind"] == "epoch":
                stays = stays and record["epoch"] < epoch
            if stays or record["kind"] == "evaluation":
                kept.append(line)
        write_atomically(file, b"".join(kept))

    def start_epoch(self, reviews: int, done: int, title: str) -> None:
        """Begin to show progress over so many reviews, from those done earlier on.

        That is a bar on a terminal, and elsewhere a line now and then.
        """
        if not self.writes:
            return
        self._title, self._reviews, self._done, self._before = title, reviews, done, done
        self._begun = self._said = time.perf_counter()
        if sys.stderr.isatty() or os.environ.get(TERMINAL) == "1":
            # Behind mpirun standard error is a pipe, whose width nobody knows.
            columns = None if sys.stderr.isatty() else 79
            self._bar = tqdm(total=reviews, initial=done, desc=title, unit=" reviews", leave=False,
                             ncols=columns)

    def advance(self, reviews: int, loss: float, efficiency: float) -> None:
        """So many more reviews of the epoch are done."""
        if not self.writes:
            return
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4f}", efficiency=f"{efficiency:.0%}",
                                  refresh=False)
            self._bar.update(reviews)
            return
        self._done += reviews
        now = time.perf_counter()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            self.log(f"{self._title}: {self._done / self._reviews:.0%}, loss {loss:.4f}, "
                     f"{(self._done - self._before) / (now - self._begun):,.0f} reviews/s, "
                     f"efficiency {efficiency:.0%}")

    def end_epoch(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def summarize(self, **values: Any) -> None:
        """Write summary.json."""
        if self.writes:
            body = {"format": RUN_FORMAT, **values}
            write_atomically(self.out / SUMMARY,
                             json.dumps(body, indent=1).encode() + b"\n")


def store_entry(store: Store) -> dict[str, Any]:
    """Entry of summary.json about the store: enough to draw it without having it."""
    manifest = {key: value for key, value in store.manifest.items() if key != "files"}
    path = store.address if store.is_remote else str(Path(store.address).resolve())
    return {"path": path, "fingerprint": store.fingerprint,
            "manifest": manifest}


def versions() -> dict[str, str]:
    """Versions of all that an update's numbers depend on."""
    try:
        own = version("reviewmill")
    except PackageNotFoundError:  # it runs in its source tree
        own = "not installed"
    return {"python": platform.python_version(), "torch": str(torch.__version__),
            "numpy": np.__version__, "reviewmill": own}


def environment() -> dict[str, Any]:
    """Versions and hardware that the run takes place on."""
    return {
        **versions(),
        "platform": platform.platform(),
        "cpu": processor_name(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }

