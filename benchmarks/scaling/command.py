"""`reviewmill bench scaling`: preparation, training and scoring on 1, 2, 4, 8 nodes.

A node is a core with a worker or a rank of its own. As many as this machine has are measured; what
more of them would do is simulated from the rates measured here, and marked.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, table
from benchmarks.projection import PARTITION_BYTES, Rates, measure_rates, rounds
from benchmarks.scaling.measured import (
    Corpus,
    Study,
    make_corpus,
    make_store,
    prepare_points,
    score_points,
    train_points,
    with_weak_base,
)
from benchmarks.scaling.points import STRONG, WEAK, Point, amdahl, entries
from benchmarks.scaling.simulated import prepare_point, score_point, train_point, training_rates
from mpi_train.configuration.presets import CONFIGS
from reviews.errors import UserError
from reviews.options import make_parser
from reviews.storage.folders import write_atomically

FORMAT, FILE, PAGE = "reviewmill-scaling/1", "scaling.json", "scaling.html"
STAGES = ("prepare", "train", "score")
NODES, REVIEWS, LEAST = "1,2,4,8", "20000", 2000
MOST_MEASURED = 100_000  # reviews for the rates of preparation
LAWS = (STRONG, WEAK)
HEADER = ["stage", "scaling", "reviews", "nodes", "", "seconds", "reviews/s", "latency ms",
          "speed-up", "efficiency", "CPU %", "MB", "GPU %", "GPU MB"]


def main(argv: Sequence[str]) -> int:
    """Measure, simulate, print the table, write the page; return the exit status."""
    options = read_options(argv)
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        raise UserError("bench scaling needs two cores: what ranks exchange is measured between "
                        "two")
    points: list[Point] = []
    checked: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="reviewmill-bench-") as folder:
        counts = sorted({1, 2, *(nodes for nodes in options.nodes if nodes <= cores)})
        study = Study(Path(folder), counts, options.config, options.batch_size, options.updates)
        print(f"{machine()}; a node is one core; generated reviews; --config {options.config}, "
              f"batch {options.batch_size}", flush=True)
        for size in options.reviews:
            for own, simulated in study_size(study, size, options):
                shown = [point for point in own if point.nodes in options.nodes]
                beyond = [point for point in simulated
                          if point.nodes in options.nodes and point.nodes not in counts]
                points += shown + beyond
                checked += checks(own, simulated)
                print("\n" + lines_of(in_order(shown + beyond)), flush=True)
    found = {
        "format": FORMAT, "machine": machine(), "measured_nodes": counts,
        "config": options.config, "batch_size": options.batch_size, "points": in_order(points),
        "amdahl": amdahl(points), "checks": checked}
    for text in notes(found):
        print(text)
    if options.json:
        print(json.dumps(found))
    if options.out is None:
        return 0
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / FILE, json.dumps(found, indent=1).encode() + b"\n")
    return subprocess.run([sys.executable, "-P", "-m", "reports", str(out), "--out",
                           str(out / PAGE)]).returncode


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """The options, with lists of numbers as `nodes` and `reviews`."""
    parser = make_parser(
        "reviewmill bench scaling",
        "Strong and weak scaling of preparation, training and scoring: measured for as many nodes "
        "as there are cores, else simulated from measured rates.")
    parser.add_argument("--out", metavar="FOLDER", help="folder of scaling.json and scaling.html")
    parser.add_argument("--nodes", default=NODES, metavar="N,N,...",
                        help=f"numbers of nodes, each a core; the first is 1 ({NODES})")
    parser.add_argument("--reviews", default=REVIEWS, metavar="N,N,...",
                        help=f"numbers of reviews of one node ({REVIEWS})")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES, metavar="STAGE",
                        help=f"stages ({' '.join(STAGES)})")
    parser.add_argument("--config", default="plain-lstm", choices=CONFIGS, metavar="NAME",
                        help="training by its name (plain-lstm)")
    parser.add_argument("--batch-size", type=int, default=1024, metavar="N",
                        help="reviews of an update (1024); under weak scaling of each rank")
    parser.add_argument("--updates", type=int, default=12, metavar="N",
                        help="number of updates of a training that are counted (12)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args(argv)
    for name, least in (("nodes", 1), ("reviews", LEAST)):
        setattr(options, name, read_numbers(name, getattr(options, name), least))
    if options.nodes[0] != 1:
        raise UserError("--nodes begins with 1, which the others are compared with")
    if options.nodes[-1] > 256:
        raise UserError("--nodes has numbers up to 256")
    if min(options.batch_size, options.updates) < 1:
        raise UserError("give --batch-size and --updates 1 or more")
    return options


def read_numbers(name: str, text: str, least: int) -> list[int]:
    """Whole numbers of a list, ascending; UserError for one below the least, or none."""
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise UserError(f"--{name} {text}: give whole numbers such as 1,2,4")
    found = sorted(set(map(int, parts)))
    if found[0] < least:
        raise UserError(f"--{name} {text}: give numbers of {least} or more")
    return found


def study_size(
    study: Study, size: int, options: argparse.Namespace
) -> Iterator[tuple[list[Point], list[Point]]]:
    """Measured points of each stage, and simulated ones of all counts, for reviews of one size."""
    corpus = make_corpus(study, size)
    store = make_store(study, corpus)
    every = sorted({*options.nodes, *study.counts})
    wanted = [(law, nodes) for law in LAWS for nodes in every]
    if "prepare" in options.stages:
        own, start = prepare_points(study, corpus)
        rates = _rates(study, corpus, store)
        yield with_weak_base(own), [
            prepare_point(rates, start, law, size, nodes) for law, nodes in wanted]
    if "train" in options.stages:
        own, largest = train_points(study, store, size)
        fitted = training_rates(largest, max(study.counts))
        yield with_weak_base(own), [
            train_point(fitted, law, size, nodes, study.batch) for law, nodes in wanted]
    if "score" in options.stages:
        own, start = score_points(study, corpus, store)
        yield with_weak_base(own), [
            score_point(own, start, law, size, nodes) for law, nodes in wanted]


def _rates(study: Study, corpus: Corpus, store: Path) -> Rates:
    """Rates of preparation, by as many reviews; of very many, a part will do."""
    (folder := study.folder / f"rates-{corpus.size}").mkdir()
    inflated = json.loads((store / "prepare.json").read_bytes())["bytes"]
    return measure_rates(folder, min(corpus.size, MOST_MEASURED),
                         rounds(inflated, PARTITION_BYTES))


def in_order(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Entries of the points by stage, law, size and nodes."""
    return entries(sorted(points, key=lambda point: (
        STAGES.index(point.stage), point.law, point.size, point.nodes)))


def checks(own: Sequence[Point], simulated: Sequence[Point]) -> list[dict[str, Any]]:
    """Seconds as simulated beside those measured, where they are measured and the rate of the
    simulation is not this very measurement's."""
    seconds = {(point.law, point.nodes): point.seconds for point in simulated}
    most = max(point.nodes for point in own)
    return [{"stage": point.stage, "law": point.law, "size": point.size, "nodes": point.nodes,
             "measured_s": point.seconds, "simulated_s": seconds[point.law, point.nodes]}
            for point in own if (point.stage, point.nodes) != ("score", most)]


def lines_of(found: Sequence[dict[str, Any]]) -> str:
    """The table of some points; a column without a figure is left out."""
    rows = [line(entry) for entry in found]
    shown = [place for place in range(len(HEADER)) if any(row[place] != "–" for row in rows)]
    return table([HEADER[place] for place in shown],
                 [[row[place] for place in shown] for row in rows])


def line(entry: dict[str, Any]) -> list[str]:
    """A point as a line of the table."""
    def mean(name: str, scale: float = 1.0) -> str:
        values = [value for value in entry[name] if value is not None]
        return f"{sum(values) / len(values) / scale:,.0f}" if values else "–"

    return [entry["stage"], entry["law"], f"{entry['reviews']:,}", str(entry["nodes"]),
            "measured" if entry["measured"] else "simulated", f"{entry['seconds']:,.1f}",
            f"{entry['reviews_per_s']:,.0f}", f"{1000 * entry['latency_s']:,.1f}",
            f"{entry['speed_up']:.2f}", f"{entry['efficiency']:.0%}", mean("cpu_percent"),
            mean("memory_bytes", 1e6), mean("gpu_percent"), mean("gpu_memory_bytes", 1e6)]


def notes(found: dict[str, Any]) -> Iterator[str]:
    """Lines below the table."""
    yield """
seconds: prepare and score with their start, train an epoch at the pace of its updates
latency: prepare the store, train an update, score the answer for one text while all nodes are busy
speed-up: throughput over that of one node; efficiency: the speed-up by the nodes"""
    for stage in dict.fromkeys(check["stage"] for check in found["checks"]):
        off = [check["simulated_s"] / check["measured_s"] - 1
               for check in found["checks"] if check["stage"] == stage]
        yield (f"simulated seconds of {stage} where they are measured too: "
               + ", ".join(f"{error:+.0%}" for error in off))
    for fit in found["amdahl"]:
        limit = f", speed-up up to {fit['limit']:.1f}" if fit["limit"] else ""
        yield (f"Amdahl, {fit['stage']}, {fit['size']:,} reviews: {fit['serial']:.1%} serial"
               f"{limit}")
