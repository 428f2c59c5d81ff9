"""Stores and trainings of two versions, compared bit by bit through the command line alone.

    python -m benchmarks.same_results --command PATH_TO_reviewmill --out before.json
    python -m benchmarks.same_results --compare before.json after.json

The first form runs every case with one installed version and writes a hash for each; the second
prints the cases whose hashes differ. Both versions have to run on the same machine. Nothing of
reviewmill is imported, so that any version, older than this file or newer, can be measured.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Results = dict[str, Any]  # name of a case: its hash, or a mapping of keys to values

ENGINES = ("inline", "local", "dask")
REVIEWS = 1500
# Limits the vocabulary, so that some words are unknown, and cuts longer reviews.
SMALL = ("--vocabulary-size", "400", "--length", "24")


@dataclass(frozen=True)
class Preparation:
    """A recipe to try: the input file and the options of `prepare`."""

    input: str
    options: tuple[str, ...] = ()


PREPARATIONS = {
    "default": Preparation("reviews.jsonl", SMALL),
    "electronics": Preparation("reviews.jsonl", ("--recipe", "electronics", *SMALL)),
    "netflix": Preparation("app.csv", ("--recipe", "netflix", *SMALL)),
    "polarity": Preparation(
        "train.ft.txt", ("--recipe", "polarity", "--test-input", "test.ft.txt", *SMALL)),
    "rnn2019": Preparation("reviews.jsonl", ("--recipe", "rnn2019")),
    "features": Preparation("reviews.jsonl", (
        "--features", "votes,verified", "--classes", "three", "--split-by", "reviewer",
        "--sample", "0.8", "--min-words", "4", *SMALL)),
}

# One thread a rank, so that the order of every sum is fixed.
TRAINING = ("--threads", "1", "--batch-size", "128", "--epochs", "2",
            "--micro-batch-tokens", "512", "--seed", "3", "--keep", "last")
HIDDEN, EMBEDDING = ("--hidden-dim", "6"), ("--embedding-dim", "8")


@dataclass(frozen=True)
class Training:
    """A short run: the recipe of its store, its options, and those of a resume after it."""

    options: tuple[str, ...]
    ranks: int = 1
    store: str = "default"
    resumed: tuple[str, ...] = field(default=())


def _model(name: str, *more: str) -> tuple[str, ...]:
    embedding = () if name == "mlp" else EMBEDDING
    hidden = () if name in ("cnn", "bag") else HIDDEN
    return ("--model", name, *embedding, *hidden, *more)


TRAININGS = {
    "lstm": Training(_model("lstm", "--word-dropout", "0.1")),
    "gru": Training(_model("gru", "--layers", "2", "--bidirectional", "--pooling", "last")),
    "bilstm-attention": Training(_model("bilstm-attention", "--clip-norm", "1")),
    "cnn": Training(_model("cnn", "--filters", "8", "--loss", "focal", "--optimizer", "adamw",
                           "--weight-decay", "0.01")),
    "bag": Training(_model("bag", "--ngrams", "2", "--buckets", "500")),
    "mlp, features, three classes": Training(
        _model("mlp", "--oversample", "balanced"), store="features"),
    "lstm, 2 ranks, gloo, equal": Training(
        _model("lstm", "--balance", "equal", "--backend", "gloo"), ranks=2),
    "lstm with n-grams, 2 ranks, shm, shares 2,1": Training(
        _model("lstm", "--ngrams", "2", "--buckets", "500", "--shares", "2,1",
               "--backend", "shm"), ranks=2),
    "bag, 2 ranks, mpi, shares 1,3": Training(
        _model("bag", "--shares", "1,3", "--backend", "mpi"), ranks=2),
    "gru, 3 ranks, shm, shares 3,2,1": Training(
        _model("gru", "--shares", "3,2,1", "--backend", "shm"), ranks=3),
    "cnn, 2 ranks, gloo in bf16, average": Training(
        _model("cnn", "--filters", "8", "--balance", "equal", "--backend", "gloo",
               "--exchange", "bf16", "--keep", "average", "--average-decay", "0.9"), ranks=2),
    "lstm, resumed inside of an epoch": Training(
        _model("lstm", "--max-steps", "5"), resumed=("--max-steps", "0")),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run or compare; the exit status is 1 where results differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.same_results",
        description="Hash the stores and trainings of one version, or compare two such lists.")
    parser.add_argument("--command", help="the installed reviewmill that is run")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--only", default="", help="cases whose names contain this text")
    parser.add_argument("--spark", action="store_true", help="run the runner spark, too")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="FILE", help="results to compare")
    options = parser.parse_args(argv)
    if options.compare:
        before, after = (json.loads(path.read_text("utf-8")) for path in options.compare)
        lines = differences(before, after)
        print("\n".join(lines) or f"{len(before)} results, all the same")
        return 1 if lines else 0
    if not options.command or not options.out:
        parser.error("give --command and --out, or --compare")
    command = os.path.abspath(options.command)
    runners = ENGINES + ("spark",) * options.spark
    with tempfile.TemporaryDirectory(prefix="reviewmill-same-") as folder:
        results = run_all(command, Path(folder), runners, options.only)
    options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(f"{len(results)} results in {options.out}")
    return 0


def differences(before: Results, after: Results) -> list[str]:
    """A line for every case that differs, or that only one of the results has."""
    lines = []
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            lines.append(f"{name}: only before")
        elif name not in before:
            lines.append(f"{name}: only after")
        elif isinstance(before[name], dict) and isinstance(after[name], dict):
            lines += [f"{name}: {line}" for line in differences(before[name], after[name])]
        elif before[name] != after[name]:
            lines.append(f"{name}: {_short(before[name])} before, {_short(after[name])} after")
    return lines


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def run_all(command: str, top: Path, runners: Sequence[str], only: str = "") -> Results:
    """Results of the cases whose names contain a text, run in a folder by an installed command."""
    write_inputs(top)
    # NLTK's list is not part of an installation.
    words = top / "nltk_data" / "corpora" / "stopwords"
    words.mkdir(parents=True)
    (words / "english").write_text("the\nand\nis\nwas\nit\n")
    environment = {**os.environ, "NLTK_DATA": str(top / "nltk_data")}

    results: Results = {}
    for name, preparation in PREPARATIONS.items():
        for runner in runners:
            case = f"store {name}, {runner}"
            needed = runner == "inline" and any(
                training.store == name and only in f"training {case}"
                for case, training in TRAININGS.items())
            if only in case or needed:
                store = f"{name}-{runner}"
                _run([command, "prepare", preparation.input, "--out", store, "--runner", runner,
                      *(() if runner == "inline" else ("--workers", "2")), *preparation.options],
                     top, environment)
                results[case] = store_hashes(top / store)
    for name, training in TRAININGS.items():
        case = f"training {name}"
        if only not in case:
            continue
        out = name.replace(" ", "-").replace(",", "")
        ranks = () if training.ranks == 1 else ("--ranks", str(training.ranks))
        _run([command, "train", f"{training.store}-inline", "--out", out, *ranks, *TRAINING,
              *training.options], top, environment)
        if training.resumed:
            _run([command, "train", "--out", out, "--resume", *training.resumed], top, environment)
        results[case] = run_hashes(top / out)
    return results


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    print(" ".join(command[1:]), flush=True)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")


# Files of a store that say how a run went, and the manifest, which is compared key by key.
NO_CONTENT = ("manifest.json", "prepare.json", "dask-report.html")


def store_hashes(store: Path) -> Results:
    """Hashes of a store's files, of its manifest without the recipe, and the recipe itself.

    Later versions add keys to recipes, which is shown as such, not as another store.
    """
    manifest = json.loads((store / "manifest.json").read_text("utf-8"))
    recipe = manifest.pop("recipe")
    files = {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in sorted(store.rglob("*"))
             if path.is_file() and path.name not in NO_CONTENT}
    return {**files, "manifest": _hash(manifest), "recipe": recipe}


def run_hashes(run: Path) -> Results:
    """Hashes of a run's losses, its validations, and every tensor of its model."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [[line["step"], line["loss"], line["learning_rate"]]
             for line in lines if line["kind"] == "step"]
    validations = [[line["step"], line["loss"], line["accuracy"]]
                   for line in lines if line["kind"] == "evaluation"]
    tensors = tensor_hashes(run / "model" / "weights.safetensors")
    return {"losses": _hash(steps), "last loss": steps[-1][1], "validations": _hash(validations),
            **tensors}


def tensor_hashes(path: Path) -> dict[str, str]:
    """The hash of each tensor in a safetensors file, with its type and shape."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    hashes = {}
    for name, tensor in sorted(header.items()):
        begin, end = (8 + size + offset for offset in tensor["data_offsets"])
        content = hashlib.sha256(data[begin:end]).hexdigest()
        hashes[f"tensor {name}"] = f"{tensor['dtype']} {tensor['shape']} {content}"
    return hashes


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_inputs(folder: Path) -> None:
    """The same reviews of an invented language in four forms, whatever the version."""
    rng = random.Random(0)
    reviews = [_review(rng) for _ in range(REVIEWS)]
    reviews += [dict(review, overall=5.0) for review in reviews[::23]]  # duplicates
    with (folder / "reviews.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(review) + "\n" for review in reviews)
    with (folder / "app.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["reviewId", "content", "score", "at"])
        for number, review in enumerate(reviews):
            writer.writerow([number, review["reviewText"], int(review["overall"]),
                             f"2020-01-{1 + number % 28:02d} 10:00:00"])
    for name, part in (("train.ft.txt", reviews[: REVIEWS * 4 // 5]),
                       ("test.ft.txt", reviews[REVIEWS * 4 // 5 :])):
        with (folder / name).open("w", encoding="utf-8") as file:
            file.writelines(f"__label__{1 + (review['overall'] > 3)} {review['summary']}: "
                            f"{review['reviewText']}\n" for review in part)


def _review(rng: random.Random) -> dict[str, Any]:
    rating = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0, 5.0])
    opinions = ("great", "lovely", "SOLID", "perfect :)", "sooo good", "\U0001f600")
    complaints = ("awful", "broken", "NOT good", "useless :(", "isn't nice", "d\u00e9j\u00e0 vu")
    words = []
    for _ in range(max(2, int(rng.lognormvariate(2.6, 0.6)))):
        if rng.random() < 0.25:
            liked = rng.random() < rating / 6
            words.append(rng.choice(opinions if liked else complaints))
        else:
            words.append(f"w{int(900 * rng.random() ** 3)}")
    marks = rng.choice([".", "!", " &amp; more<br />", "... https://example.org/a?b=1", ""])
    return {
        "reviewerID": f"R{rng.randrange(300)}", "asin": f"B{rng.randrange(120)}",
        "overall": rating, "summary": " ".join(words[:3]), "reviewText": " ".join(words) + marks,
        "unixReviewTime": 1_300_000_000 + rng.randrange(10**8), "votes": rng.randrange(9),
        "verified": rng.random() < 0.5,
    }


if __name__ == "__main__":
    sys.exit(main())
