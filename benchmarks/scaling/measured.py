"""Stages measured on the first cores of this machine, one worker or rank to a core."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.measure import Usage, measure
from benchmarks.prepare import LENGTH, ONE_THREAD, RECIPE
from benchmarks.scaling.points import STRONG, WEAK, Point
from benchmarks.train import at_once
from reviews.errors import UserError
from reviews.generate import generate
from reviews.run_folder import read_records

FILES = 8  # of `size` reviews, so that there is work for as many workers
FEW = 100  # reviews: what their run takes is its start
WARM_UP = 3  # updates that are not counted
PYTHON = [sys.executable, "-m"]


@dataclass(frozen=True)
class Study:
    """Choices that all measurements of a study share.

    Attributes:
        folder: of everything that is made.
        counts: of nodes that this machine has cores for.
        config: of the trainings, by its name.
        batch: reviews of an update; of each rank under weak scaling.
        updates: of a training that are counted.
    """

    folder: Path
    counts: Sequence[int]
    config: str
    batch: int
    updates: int

    @property
    def model(self) -> Path:
        """Run folder of the model that scores."""
        return self.folder / "model"

    @property
    def recipe(self) -> Path:
        """File of the recipe."""
        return self.folder / "recipe.yaml"


@dataclass(frozen=True)
class Corpus:
    """Generated reviews of one size: FILES files, and as many more for each further node."""

    size: int
    files: Sequence[Path]
    few: Path

    def of(self, law: str, nodes: int) -> tuple[list[Path], int]:
        """Files and number of the reviews that some nodes work on."""
        times = nodes if law == WEAK else 1
        return list(self.files[: FILES * times]), self.size * times


def make_corpus(study: Study, size: int) -> Corpus:
    """The reviews of a size, for all measured counts."""
    most = max(study.counts)
    (folder := study.folder / f"reviews-{size}").mkdir()
    files = generate(folder / "reviews.json.gz", size * most, files=FILES * most, length=LENGTH)
    [few] = generate(folder / "few.json.gz", FEW, length=LENGTH)
    return Corpus(size, files, few)


def cores_of(nodes: int) -> set[int]:
    """The last cores of this process; the first one has the interrupts of many a machine."""
    return set(sorted(os.sched_getaffinity(0), reverse=True)[:nodes])


def make_store(study: Study, corpus: Corpus) -> Path:
    """The reviews of a size as a store."""
    store = study.folder / f"store-{corpus.size}"
    study.recipe.write_text(RECIPE.to_yaml())
    measure([*PYTHON, "mapreduce.compile_kernels"])
    _prepare(study, corpus.files[:FILES], store, 1)
    return store


def _prepare(study: Study, files: Sequence[Path], store: Path, nodes: int) -> Usage:
    return measure([*PYTHON, "reviewmill", "prepare", *map(str, files), "--recipe",
                    str(study.recipe), "--overwrite", "--out", str(store), "--workers",
                    str(nodes)], cores_of(nodes), ONE_THREAD)


def prepare_points(study: Study, corpus: Corpus) -> tuple[list[Point], float]:
    """Raw files to a store on every measured count, and the seconds of a start."""
    target = study.folder / "prepared"
    found = []
    for law, nodes in runs_of(study):
        files, reviews = corpus.of(law, nodes)
        usage = _prepare(study, files, target, nodes)
        found.append(_command_point("prepare", law, corpus.size, nodes, reviews, usage,
                                    usage.seconds))
    start = _prepare(study, [corpus.few], target, max(study.counts))
    return found, start.seconds


def score_points(
    study: Study, corpus: Corpus, store: Path
) -> tuple[list[Point], float]:
    """Raw files to predictions on every measured count, and the seconds of a start; by a model
    that the store trained for some updates."""
    if not study.model.is_dir():
        _train(study, store, study.model, study.batch, 1, 1)

    def score(files: Sequence[Path], nodes: int) -> Usage:
        return measure([*PYTHON, "reviewmill", "score", str(study.model), *map(str, files),
                        "--out", str(study.folder / "predictions.parquet"), "--overwrite",
                        "--workers", str(nodes)], cores_of(nodes), ONE_THREAD)

    lone = [*PYTHON, "benchmarks.scaling.lone_texts", str(study.model), str(corpus.files[0])]
    latency = {nodes: median(one["latency_s"] for one in at_once(lone, nodes))
               for nodes in study.counts}
    found = []
    for law, nodes in runs_of(study):
        files, reviews = corpus.of(law, nodes)
        found.append(_command_point("score", law, corpus.size, nodes, reviews,
                                    score(files, nodes), latency[nodes]))
    return found, score([corpus.few], max(study.counts)).seconds


def runs_of(study: Study) -> list[tuple[str, int]]:
    """Law and count of every run. One node does the same work under both laws."""
    return [(STRONG, nodes) for nodes in study.counts] + [
        (WEAK, nodes) for nodes in study.counts if nodes > 1]


def with_weak_base(points: Sequence[Point]) -> list[Point]:
    """The points, with one node's of strong scaling under the name of weak scaling too."""
    return [*points, *(Point(**{**vars(point), "law": WEAK}) for point in points
                       if point.nodes == 1 and point.law == STRONG)]


def _command_point(
    stage: str, law: str, size: int, nodes: int, reviews: int, usage: Usage, latency_s: float
) -> Point:
    """Point of a command, whose processes share its CPU seconds."""
    cpu = 100 * usage.cpu_s / usage.seconds / nodes
    return Point(stage, law, size, nodes, reviews, usage.seconds, latency_s, True,
                 [cpu] * nodes, [usage.peak_mb * 1e6])


@dataclass(frozen=True)
class Updates:
    """Updates of a training that are counted, and its last epoch."""

    steps: Sequence[dict[str, Any]]
    epoch: dict[str, Any]

    def mean(self, name: str) -> float:
        """Mean of a list of the ranks over ranks and updates."""
        return mean(value for step in self.steps for value in step[name])

    @property
    def own_s(self) -> float:
        """Mean seconds of a rank's own work in an update, the exchange left out."""
        return self.mean("compute_s") - self.mean("reduction_s")


def _train(
    study: Study, store: Path, run: Path, batch: int, nodes: int, updates: int
) -> Updates:
    measure([*PYTHON, "reviewmill", "train", str(store), "--out", str(run), "--overwrite",
             "--config", study.config, "--ranks", str(nodes), "--threads", "1", "--batch-size",
             str(batch), "--max-steps", str(WARM_UP + updates), "--epochs",
             str(WARM_UP + updates), "--evaluate-every", str(WARM_UP + updates), "--keep", "last"],
            cores_of(nodes))
    records = [record for record in read_records(run) if record]
    steps = [record for record in records if record["kind"] == "step"]
    if len(steps) <= WARM_UP:
        raise UserError(f"the training of {run} has {len(steps)} updates")
    return Updates(steps[WARM_UP:],
                   [record for record in records if record["kind"] == "epoch"][-1])


def train_points(
    study: Study, store: Path, size: int
) -> tuple[list[Point], dict[str, Updates]]:
    """An epoch of a size at the pace of some updates on every measured count; and the updates of
    the largest count by law."""
    found, largest = [], {}
    for law, nodes in runs_of(study):
        times = nodes if law == WEAK else 1
        done = _train(study, store, study.folder / "run", study.batch * times, nodes,
                      study.updates)
        reviews = sum(step["reviews"] for step in done.steps)
        pace = reviews / sum(step["step_s"] for step in done.steps)
        used = done.epoch
        found.append(Point("train", law, size, nodes, size * times, size * times / pace,
                           median(step["step_s"] for step in done.steps), True,
                           used["cpu_percent"], used["memory_bytes"],
                           used["gpu_percent"], used["gpu_memory_bytes"]))
        if nodes == max(study.counts):
            largest[law] = done
    return found, largest
