"""`reviewmill evaluate`: how good a model is, on a store's split or on labelled files."""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.nets.load_model import load_model
from models.rows import Rows
from mpi_train.data import SplitReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.devices import check_device
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.gather_logits import check_fits, gather_logits
from reviews.bundle import Bundle, read_bundle
from reviews.encoding import encode_files
from reviews.errors import UserError
from reviews.features import Encoding
from reviews.metrics import evaluate_scores, precision_recall_table
from reviews.options import add_options, flag, given, make_parser, replace_flat, to_mapping
from reviews.predictions import write_predictions
from reviews.recipe import SPLITS, Recipe, limits_on
from reviews.run_folder import METRICS, append_record
from reviews.store import Store
from reviews.vocabulary import store_warning, unknown_warning

MICRO_BATCH_TOKENS = 16_384


@dataclasses.dataclass(frozen=True)
class Request:
    """Request to evaluate a model on either a store's split or files."""

    model: str
    store: str | None
    split: str
    inputs: list[str]
    file_options: dict[str, Any]
    predictions: str | None
    as_json: bool
    threads: int
    device: str


def read_request(argv: Sequence[str] | None) -> Request:
    """Parse the command line; UserError when it cannot work."""
    parser = make_parser("reviewmill evaluate", "Measure a model on labelled reviews.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    parser.add_argument("--store", help="store to evaluate on")
    parser.add_argument("--split", choices=SPLITS, help="split of the store (test)")
    parser.add_argument("--input", nargs="+", default=[], metavar="FILE", help="labelled files")
    parser.add_argument("--predictions", metavar="FILE",
                        help="Parquet file to write: label, logits and probabilities of each "
                        "review of the split")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads per rank")
    parser.add_argument("--device", default="auto", metavar="DEVICE",
                        help="cpu; cuda, the GPU of the rank's number; cuda:N; auto: GPUs where "
                        "every rank has one of its own")
    add_options(parser, Recipe, command="evaluate")
    options = parser.parse_args(argv)
    named = given(options, Recipe, "evaluate")
    if bool(options.store) == bool(options.input):
        raise UserError("give either --store or --input")
    if named and options.store:
        raise UserError(f"{flag(next(iter(named)))} is about files: it goes with --input, not with "
                        "--store")
    if options.split and options.input:
        raise UserError("--split is about a store: it goes with --store, not with --input")
    if options.predictions and options.input:
        raise UserError("--predictions is about a store; for files there is `reviewmill score`")
    check_device(options.device)
    split = options.split or "test"
    if options.store and Store(options.store).rows(split) == 0:
        raise UserError(f"{options.store} has no rows in its {split} split")
    return Request(options.model, options.store, split, options.input, named,
                   options.predictions, options.json, options.threads, options.device)


def store_blocks(
    request: Request, bundle: Bundle, communicator: Communicator
) -> Iterator[tuple[int, Rows]]:
    """This rank's blocks of a store's split."""
    assert request.store is not None
    store = Store(request.store)
    check_fits(bundle, store, request.store)
    reader = SplitReader(store, request.split, bool(bundle.model.get("features")),
                         ids=request.predictions is not None)
    yield from reader.blocks(communicator.rank, [1] * communicator.size)


def file_blocks(
    request: Request, bundle: Bundle, communicator: Communicator, left_out: Counter[str],
    words: Counter[bool],
) -> Iterator[tuple[int, Rows]]:
    """This rank's blocks of the files; what is no labelled review is counted in left_out, and
    known (True) and unknown words of all blocks in words."""
    named, features = dict(request.file_options), None
    if "rating_field" in named:  # else the field of labels that the model was trained by decides
        named.setdefault("label_field", None)
    limits = limits_on(named, to_mapping(bundle.recipe))
    # Keys are for stores: files need not have them.
    recipe = replace_flat(bundle.recipe, keep_keys=(), source_field=None, **named, **limits)
    if bundle.model.get("features"):
        if "feature_encoding" not in bundle.model:
            raise UserError(f"{request.model} does not say how the features it reads are made from "
                            "fields: give --store, or train it again")
        features = Encoding(bundle.model["feature_encoding"])
    else:
        # What no model reads, files need not have.
        recipe = replace_flat(recipe, features=())
    encoded = encode_files(
        request.inputs, recipe, bundle.vocabulary, features, bundle.tokenizer_file)
    for number, block in enumerate(encoded):
        left_out.update(block.dropped)
        left_out.update(block.bad)
        words.update({True: block.words - block.unknown, False: block.unknown})
        if number % communicator.size == communicator.rank and len(block.label):
            yield number, Rows(block.tokens, block.length.astype("int64"), block.label,
                               block.features)


def evaluate(
    request: Request, communicator: Communicator
) -> tuple[dict[str, Any], Counter[str], str | None] | None:
    """Figures, reviews left out by reason, and a warning of unknown words, on rank 0; None on the
    others."""
    bundle = communicator.from_root(lambda: read_bundle(request.model))
    model = load_model(bundle).to(communicator.device)
    left_out: Counter[str] = Counter()
    words: Counter[bool] = Counter()
    if request.store:
        blocks = store_blocks(request, bundle, communicator)
    else:
        blocks = file_blocks(request, bundle, communicator, left_out, words)
    scored = gather_logits(model, blocks, communicator, MICRO_BATCH_TOKENS)
    if scored is not None:
        scored = scored._replace(logits=scored.logits / bundle.temperature)

    def measure() -> dict[str, Any] | None:
        assert scored is not None
        if len(scored.labels) == 0:
            raise UserError(f"{', '.join(request.inputs)}: no labelled review to evaluate on: "
                            + (_reasons(left_out) or "there are no records"))
        classes = bundle.model["classes"]
        curves = precision_recall_table(scored.labels, scored.logits, classes)
        return {**evaluate_scores(scored.labels, scored.logits, classes),
                **({"precision_recall": curves} if curves else {})}

    figures = communicator.from_root(measure)
    if request.predictions is not None and scored is not None:
        assert scored.ids is not None
        write_predictions(request.predictions, scored.ids, scored.labels, scored.logits,
                          bundle.model["classes"])
    if not figures or communicator.rank > 0:
        return None
    if request.store:
        warning = store_warning(Store(request.store).manifest, [request.split])
    else:
        warning = unknown_warning(words[False], words.total(), ", ".join(request.inputs))
    return figures, left_out, warning


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on this rank; return its exit status.

    The JSON has the figures and `seconds`: from the opening of the model to the last figure.
    """
    communicator = Communicator()
    request = communicator.from_root(lambda: read_request(argv))
    prepare_process(request.threads, communicator.core_sharers)
    started = time.perf_counter()
    with communicator.together():
        communicator.choose_device(request.device)
        result = evaluate(request, communicator)
    seconds = time.perf_counter() - started
    if result is None:
        return 0
    figures, left_out, warning = result
    if (Path(request.model) / METRICS).is_file():
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        split = request.split if request.store else "input"
        append_record(Path(request.model), "evaluation", {"split": split, "time": now, **figures})
    for line in describe(figures, left_out, warning):
        print(line)
    if request.as_json:
        print(json.dumps({**figures, "seconds": seconds}))
    return 0


def describe(
    figures: dict[str, Any], left_out: Counter[str], warning: str | None = None
) -> Iterator[str]:
    """The figures as lines for people."""
    auc = figures["roc_auc"]
    yield (f"{figures['n']:,} reviews: accuracy {figures['accuracy']:.2%}, "
           f"macro F1 {figures['f1_macro']:.4f}, "
           f"ROC AUC {'undefined' if auc is None else f'{auc:.4f}'}, loss {figures['loss']:.4f}")
    names = list(figures["f1"])
    yield f"{'':>12} {'precision':>9} {'recall':>9} {'F1':>9}   predicted {', '.join(names)}"
    for name, row in zip(names, figures["confusion_matrix"], strict=True):
        cells = " ".join(f"{cell:>10,}" for cell in row)
        yield (f"{name:>12} {figures['precision'][name]:>9.4f} {figures['recall'][name]:>9.4f} "
               f"{figures['f1'][name]:>9.4f}   {cells}")
    for name in names[:1] if "precision_recall" in figures else []:
        reached = ", ".join(f"{one['wanted']:g} at {one['threshold']:.4f} (recall "
                            f"{one['recall']:.4f})"
                            for one in figures["precision_recall"][name]["wanted"])
        yield f"precision of {name} by score --threshold: {reached or 'none of 0.8 and more'}"
    if left_out.total():
        yield "left out: " + _reasons(left_out)
    if warning:
        yield f"warning: {warning}"


def _reasons(left_out: Counter[str]) -> str:
    return ", ".join(f"{n:,} {why}" for why, n in sorted(left_out.items()) if n)
