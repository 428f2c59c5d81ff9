"""Trainings by the command, each kept in a folder of its own and not run again."""

import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.minibatch.rules import Base, train_options
from compare.measure import CommandFailed, run_measured
from compare.rows import column, draw_sample, write_rows
from reviews.errors import UserError
from reviews.storage.folders import write_atomically
from reviews.store import Store

SETTINGS, RESULT, LOG, ROWS = "settings.json", "result.json", "output.txt", "rows.parquet"
CONFIG = "plain-lstm"
DIVERGED = "is not finite"  # train's words for a loss or a gradient that is no number


@dataclass(frozen=True)
class Result:
    """Figures of a run.

    Attributes:
        accuracy: of the validation split after the last epoch; None where the run diverged.
        updates: number of updates; 0 where it diverged.
        noise_scale: gradient noise scale of the last epoch as in summary.json.
    """

    accuracy: float | None
    updates: int
    noise_scale: dict[str, Any]

    @property
    def scale(self) -> float | None:
        """Gradient noise scale in reviews, where it is known."""
        return self.noise_scale.get("scale")


@dataclass(frozen=True)
class Study:
    """Choices that all runs of a folder share.

    Attributes:
        rows: number of training reviews, the same for all runs.
        epochs: number of epochs, the same at every batch size.
    """

    store: Store
    folder: Path
    rows: int
    epochs: int
    base: Base

    def open(self) -> None:
        """Make the folder, or raise UserError where it holds runs of other choices."""
        settings = {"store": self.store.fingerprint, "rows": self.rows, "epochs": self.epochs,
                    **dataclasses.asdict(self.base)}
        kept = self.folder / SETTINGS
        if kept.is_file():
            found = json.loads(kept.read_bytes())
            for name, value in settings.items():
                if found.get(name) != value:
                    raise UserError(f"{self.folder} holds runs with {name} {found.get(name)}, not "
                                    f"{value}: give another --out")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        ids = column(self.store, "train", "review_id")
        write_rows(self.folder / ROWS, ids, draw_sample(ids, self.rows / len(ids)))
        write_atomically(kept, json.dumps(settings, indent=1).encode() + b"\n")

    def run(self, rule: str, batch_size: int, seed: int) -> Result:
        """The result of a training, kept from an earlier call or made now.

        Raises UserError where it fails for another reason than that it diverged.
        """
        folder = self.folder / f"batch-{batch_size}" / rule / f"seed-{seed}"
        kept = folder / RESULT
        if kept.is_file():
            return Result(**json.loads(kept.read_bytes()))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        result = self._train(folder, train_options(rule, batch_size, self.base), seed)
        write_atomically(kept, json.dumps(dataclasses.asdict(result)).encode() + b"\n")
        return result

    def _train(self, folder: Path, options: list[str], seed: int) -> Result:
        out = folder / "run"
        command = [
            sys.executable, "-P", "-m", "reviewmill", "train", str(self.store.address),
            "--out", str(out), "--config", CONFIG, "--ranks", "1", "--seed", str(seed),
            "--rows", str(self.folder / ROWS), "--epochs", str(self.epochs),
            "--evaluate-every", str(self.epochs), "--keep", "last", "--noise-scale", *options]
        name = ", ".join(folder.parts[-3:])  # batch size, rule and seed
        try:
            run_measured(command, folder / LOG, name)
        except CommandFailed as error:
            if DIVERGED in (folder / LOG).read_text(errors="replace"):
                shutil.rmtree(out)
                return Result(None, 0, {})
            raise UserError(f"{folder / LOG}: the training failed: {error}") from None
        summary = json.loads((out / "summary.json").read_bytes())
        shutil.rmtree(out)  # of tens of models, only the figures count
        return Result(summary["best"]["accuracy"], summary["steps"], summary["noise_scale"])
