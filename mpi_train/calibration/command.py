"""`reviewmill calibrate`: a temperature for a model's probabilities, and thresholds."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.nets.load_model import load_model
from mpi_train.calibration.fit import (
    at_threshold,
    find_threshold,
    fit_temperature,
    reliability,
)
from mpi_train.evaluate import MICRO_BATCH_TOKENS, Request, store_blocks
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.devices import check_device
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.gather_logits import Scored, gather_logits
from reviews.bundle import Bundle, read_bundle, replace_files
from reviews.errors import UserError
from reviews.metrics import evaluate_scores
from reviews.options import make_parser
from reviews.run_folder import METRICS, append_record
from reviews.store import Store

Array = np.ndarray
FITTED, MEASURED = "validation", "test"
_CARD = "- Probabilities: "  # the line of the card about the temperature


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = make_parser(
        "reviewmill calibrate", "Fit the temperature of a model's probabilities on the validation "
        "split, and write it into the model; labels stay as they are.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    parser.add_argument("--store", required=True, help="store that it was trained on")
    parser.add_argument("--precision-of", metavar="CLASS=P", help="also find the --threshold of "
                        "`score` at which a class has this precision, such as negative=0.9")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="number of threads")
    parser.add_argument("--device", default="auto", metavar="DEVICE",
                        help="cpu, cuda, cuda:N; auto: a GPU where there is one")
    options = parser.parse_args(argv)
    check_device(options.device)
    wanted = read_wanted(options.precision_of) if options.precision_of else None
    communicator = Communicator()
    prepare_process(options.threads, communicator.core_sharers)
    communicator.choose_device(options.device)
    found = calibrate(options.model, options.store, wanted, communicator)
    for line in describe(found):
        print(line)
    if options.json:
        print(json.dumps(found))
    return 0


def read_wanted(text: str) -> tuple[str, float]:
    """Class and precision of CLASS=P; UserError for anything else."""
    name, _, value = text.rpartition("=")
    try:
        precision = float(value)
    except ValueError:
        precision = 0.0
    if not name or not 0 < precision <= 1:
        raise UserError(f"--precision-of is {text}: give a class and a precision, "
                        "such as negative=0.9")
    return name, precision


def calibrate(
    path: str, store: str, wanted: tuple[str, float] | None, communicator: Communicator
) -> dict[str, Any]:
    """Fit the temperature, write it into the bundle and the run, and return the figures.

    wanted: a class, and the precision to find a threshold for.
    """
    bundle, classes = read_bundle(path), Store(store).classes
    scored = {split: part for split in (FITTED, MEASURED)
              if (part := _scored(path, bundle, store, split, communicator))}
    if FITTED not in scored:
        raise UserError(f"{store} has no validation rows to fit a temperature on")
    fitted = scored[FITTED]
    temperature = fit_temperature(fitted.logits, fitted.labels)
    found: dict[str, Any] = {"temperature": temperature, "splits": {
        split: {"n": len(part.labels), "before": _figures(part, 1.0, classes),
                "after": _figures(part, temperature, classes)}
        for split, part in scored.items()}}
    if wanted:
        found["threshold"] = _threshold(scored, temperature, classes, *wanted)
    _write(bundle, temperature, found["splits"][FITTED])
    if (Path(path) / METRICS).is_file():
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        append_record(Path(path), "calibration", {"time": now, **found})
    return found


def _scored(
    path: str, bundle: Bundle, store: str, split: str, communicator: Communicator
) -> Scored | None:
    """Labels and logits of a split, without any temperature; None where it has no rows."""
    if Store(store).rows(split) == 0:
        return None
    request = Request(path, store, split, [], {}, None, False, 0, "auto")
    model = load_model(bundle).to(communicator.device)
    return gather_logits(model, store_blocks(request, bundle, communicator), communicator,
                         MICRO_BATCH_TOKENS)


def _figures(scored: Scored, temperature: float, classes: Sequence[str]) -> dict[str, Any]:
    logits = scored.logits / temperature
    figures = evaluate_scores(scored.labels, logits, classes)
    return {"accuracy": figures["accuracy"], "loss": figures["loss"],
            **reliability(logits, scored.labels)}


def _threshold(
    scored: dict[str, Scored], temperature: float, classes: Sequence[str], name: str,
    precision: float,
) -> dict[str, Any]:
    """The threshold by the validation split, with precision and recall of both splits."""
    logits = {split: part.logits / temperature for split, part in scored.items()}
    threshold = find_threshold(
        logits[FITTED], scored[FITTED].labels, classes, name, precision).threshold
    number = list(classes).index(name)
    reached = {split: at_threshold(logits[split], part.labels, threshold, number)
               for split, part in scored.items()}
    return {"class": name, "wanted": precision, "threshold": threshold,
            **{split: {"precision": one.precision, "recall": one.recall}
               for split, one in reached.items()}}


def _write(bundle: Bundle, temperature: float, figures: dict[str, Any]) -> None:
    """Put the temperature into the model.json and the card of a bundle."""
    model = {**bundle.model, "temperature": temperature}
    lines = [line for line in bundle.read("card.md").decode().split("\n")
             if not line.startswith(_CARD)]
    last = max((number for number, line in enumerate(lines) if line.startswith("- ")), default=-1)
    lines.insert(last + 1, f"{_CARD}logits are divided by {temperature:.3f}, found on "
                 f"{figures['n']:,} validation reviews; expected calibration error there "
                 f"{figures['after']['ece']:.2%}, {figures['before']['ece']:.2%} without.")
    replace_files(bundle, {"model.json": json.dumps(model, indent=1).encode() + b"\n",
                           "card.md": "\n".join(lines).encode()})


def describe(found: dict[str, Any]) -> Iterator[str]:
    """The figures as lines for people."""
    yield f"temperature {found['temperature']:.4f}, in the model from now on"
    for split, figures in found["splits"].items():
        before, after = figures["before"], figures["after"]
        yield (f"{split}: {figures['n']:,} reviews, expected calibration error "
               f"{before['ece']:.2%} before, {after['ece']:.2%} after; loss {before['loss']:.4f}, "
               f"{after['loss']:.4f}; accuracy {after['accuracy']:.2%}")
    if one := found.get("threshold"):
        reached = "; ".join(
            f"{split}: precision {one[split]['precision']:.4f}, recall {one[split]['recall']:.4f}"
            for split in (FITTED, MEASURED) if split in one)
        yield (f"precision {one['wanted']:g} of {one['class']}: "
               f"reviewmill score --threshold {one['threshold']!r} ({reached})")
