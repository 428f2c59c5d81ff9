"""`reviewmill bench score`: a model's predictions beside torch, ONNX Runtime, and its own parts.

What one thread does is measured by its CPU time, which other programs of the machine disturb less.
"""

import http.client
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.measure import machine, measure, table
from benchmarks.scaling.score_rates import cores_line, spark_line
from benchmarks.service.load import Load, load_lines
from cluster.spark import LocalSpark
from models.bag import BagConfig
from models.nets.load_model import load_model as load_torch_model
from models.records import RECORDS, onnx_file, options_of
from reviews.bundle import WEIGHTS, Bundle, read_bundle
from reviews.corpora import Reading, plan_splits, read_blocks
from reviews.errors import UserError
from reviews.metrics import probabilities
from reviews.options import make_parser
from scoring.encode import EncodedTexts
from scoring.int8 import int8_folder
from scoring.model import Model, OnnxModel
from scoring.predictor import Predictor, load

PEER_BATCHES = (1, 64)
FEW = 300  # reviews that a peer gets one by one
CALL = 32  # texts of a call over HTTP


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print its tables."""
    parser = make_parser("reviewmill bench score", "Predictions beside torch and ONNX Runtime.")
    parser.add_argument("model", metavar="MODEL", help="run folder or bundle")
    parser.add_argument("input", nargs="+", metavar="INPUT", help="files of reviews")
    parser.add_argument("--reviews", type=int, default=4096, metavar="N",
                        help="number of reviews for the peers (4096)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs; medians count")
    parser.add_argument("--cores-seconds", type=float, default=20, metavar="S",
                        help="seconds that a run on two cores takes at least, about: the input is "
                        "read as often as that needs (20)")
    parser.add_argument("--load", action="store_true",
                        help="measure the service under load instead, at 70, 90 and 300 %% of its "
                        "capacity")
    parser.add_argument("--load-seconds", default="60,300,120", metavar="S,S,S",
                        help="load: seconds of these three parts (60,300,120)")
    parser.add_argument("--spark", action="store_true",
                        help="measure a Spark of two executors of one core instead, beside two "
                        "runs that share nothing")
    options = parser.parse_args(argv)
    if min(options.reviews, options.repeat) < 1:
        raise UserError("--reviews and --repeat are 1 or more")
    if not 0 < options.cores_seconds < 3600:
        raise UserError("--cores-seconds is above 0 and below 3600")
    seconds = seconds_of(options.load_seconds)
    cores = sorted(os.sched_getaffinity(0))
    if options.load and len(cores) < 2:
        raise UserError("--load needs two cores: one for the server, one for its calls")
    if options.spark:
        return _on_spark(options.model, options.input, cores)
    predictor = load(options.model)
    texts = first_texts(predictor, options.input, options.reviews)
    rows = predictor.encoder.encode(texts)
    print(f"{machine()}; {options.model}: {len(texts):,} reviews of "
          f"{rows.lengths.mean():.0f} words")
    if options.load:
        with _serving(options.model, cores[0]) as (pid, port):
            bodies = [orjson.dumps({"texts": some}).decode() for some in calls_of(texts)]
            for line in load_lines(Load(pid, port, cores[1], bodies), seconds):
                print(line, flush=True)
        return 0
    os.sched_setaffinity(0, cores[:1])
    try:
        print(ids_table(options.model, predictor, rows, options.repeat))
        print(int8_line(options.model, predictor, rows, options.repeat))
        reviews, rate, line = raw_line(options.model, predictor, options.input, options.repeat)
        print(line)
        if options_of(predictor.bundle).model == "bag":
            print(fasttext_line(predictor, options.input, options.repeat, rate))
        os.sched_setaffinity(0, cores)
        if len(cores) > 1:
            copies = math.ceil(2 * options.cores_seconds * rate / reviews)
            print(cores_line(options.model, options.input, cores[:2], copies))
            for line in http_lines(options.model, predictor, texts, cores[:2], options.repeat):
                print(line)
    finally:
        os.sched_setaffinity(0, cores)
    return 0


def _on_spark(path: str, inputs: Sequence[str], cores: Sequence[int]) -> int:
    if len(cores) < 2:
        raise UserError("--spark needs two cores: one for each executor")
    print(f"{machine()}; {path}")
    with tempfile.TemporaryDirectory() as folder, LocalSpark(Path(folder)) as master:
        print(spark_line(path, inputs, cores[:2], master))
    return 0


def seconds_of(text: str) -> list[float]:
    """The three numbers of --load-seconds."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 3 or not all(0 < value < float("inf") for value in found):
        raise UserError(f"--load-seconds {text}: give three numbers above 0, such as 60,300,120")
    return found


def calls_of(texts: pa.Array) -> list[list[str]]:
    """Texts of calls, CALL of them each."""
    values: list[str] = texts.to_pylist()
    return [values[first : first + CALL] for first in range(0, len(values), CALL)]


def first_texts(predictor: Predictor, inputs: Sequence[str], most: int) -> pa.Array:
    """The first texts of the files."""
    recipe = predictor.bundle.recipe
    blocks = (block.reviews["text"] for split in plan_splits(inputs, recipe)
              for block in read_blocks(split, recipe, reading=Reading(labels=False)))
    found: list[pa.Array] = []
    for block in blocks:
        found.append(block)
        if sum(map(len, found)) >= most:
            break
    return pa.concat_arrays(found)[:most]


def ids_table(path: str, predictor: Predictor, rows: EncodedTexts, repeat: int) -> str:
    """Ids to logits on one thread; peers get batches in the order of arrival, padded to their
    longest."""
    bundle = read_bundle(path)
    options = options_of(bundle)
    session = OnnxModel(onnx_file(options, bundle.weights), path, options, threads=1)
    net = load_torch_model(bundle).eval()
    import torch

    torch.set_num_threads(1)

    def by_torch(some: EncodedTexts) -> None:
        width = int(some.lengths.max())
        tokens = torch.from_numpy(some.tokens[:, :width].astype(np.int32))
        with torch.inference_mode():
            net(tokens, torch.from_numpy(some.lengths.astype(np.int64)))

    def by_onnx(some: EncodedTexts) -> None:
        session.run_batch(some.tokens, some.lengths)

    runs: dict[str, tuple[int, Callable[[], Any]]] = {
        "reviewmill": (len(rows.lengths), lambda: predictor.model.logits(rows))}
    for (name, run), size in itertools.product(
            (("torch eager", by_torch), ("ONNX Runtime", by_onnx)), PEER_BATCHES):
        used = rows.take(slice(0, FEW if size == 1 else None))
        runs[f"{name}, batch {size}"] = len(used.lengths), _in_batches(run, used, size)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, (n, run) in runs.items():
            started = time.process_time()
            run()
            seconds[name].append((time.process_time() - started) / n)
    ours = median(seconds["reviewmill"])
    lines = [[name, f"{1 / median(some):,.0f}", f"{median(some) / ours:.2f} x"]
             for name, some in seconds.items()]
    size = PEER_BATCHES[-1]
    padded = sum(int(part.max()) * len(part) for part in np.array_split(
        rows.lengths, range(size, len(rows.lengths), size)))
    return (f"ids to predictions, one thread, by CPU time; padding of batches of {size}: "
            f"{padded / rows.lengths.sum():.2f} x\n"
            + table(["", "reviews/s", "reviewmill is"], lines))


def int8_line(path: str, predictor: Predictor, rows: EncodedTexts, repeat: int) -> str:
    """The model in 8 bits beside the same in float32, on one thread; its accuracy where `export
    --int8` has measured it."""
    bundle = read_bundle(path)
    options = options_of(bundle)
    if not RECORDS[options.model].int8:
        return f"in 8 bits: a {options.model} is not written in them"
    graph = onnx_file(options, bundle.weights, int8=True)
    models: list[Model] = [predictor.model, OnnxModel(graph, path, options, threads=1)]
    seconds: list[list[float]] = [[], []]
    for _ in range(repeat):
        for model, some in zip(models, seconds, strict=True):
            started = time.process_time()
            model.logits(rows)
            some.append(time.process_time() - started)
    own, found = (probabilities(model.logits(rows)).argmax(1) for model in models)
    n, size = len(rows.lengths), len(onnx_file(options, bundle.weights))
    return (f"in 8 bits: {n / median(seconds[1]):,.0f} reviews/s, "
            f"{median(seconds[0]) / median(seconds[1]):.2f} x float32; {len(graph):,} bytes of "
            f"{size:,}; {np.mean(own != found):.2%} of the labels are others; "
            + _accuracy_in_8_bits(bundle))


def _accuracy_in_8_bits(bundle: Bundle) -> str:
    folder = int8_folder(bundle)
    if not (folder / "manifest.json").is_file():
        return "`reviewmill export RUN --int8` measures its accuracy"
    found = read_bundle(folder, weights=False).model["int8"]
    if found["weights"] != bundle.files[WEIGHTS]:
        return f"{folder} is of other weights"
    return (f"accuracy {found['accuracy']:.2%} against {found['float32_accuracy']:.2%} on "
            f"{found['reviews']:,} validation reviews")


def _in_batches(
    run: Callable[[EncodedTexts], Any], rows: EncodedTexts, size: int
) -> Callable[[], None]:
    def all_of_them() -> None:
        for first in range(0, len(rows.lengths), size):
            run(rows.take(slice(first, first + size)))

    return all_of_them


def raw_line(
    path: str, predictor: Predictor, inputs: Sequence[str], repeat: int
) -> tuple[int, float, str]:
    """Raw files to predictions, beside ids to predictions of the same reviews, on one core: their
    number, reviews/s, and the line."""
    from scoring.score import ScoreOptions, score_files

    rows = predictor.encoder.encode(first_texts(predictor, inputs, 1 << 40))
    raw, ids, loading = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeat):
            started = time.process_time()
            load(path)
            loaded = time.process_time()
            score_files(path, inputs, f"{folder}/{number}.parquet", ScoreOptions(workers=1), {})
            scored = time.process_time()
            predictor.predict(rows)
            loading.append(loaded - started)
            raw.append(scored - loaded - (loaded - started))
            ids.append(time.process_time() - scored)
    n = len(rows.lengths)
    rate = n / median(raw)
    return n, rate, (
        f"raw files to predictions, one core, by CPU time: {rate:,.0f} reviews/s, "
        f"{median(ids) / median(raw):.1%} of ids to predictions ({n:,} reviews; loading "
        f"{median(loading):.2f} s apart)")


def fasttext_line(
    predictor: Predictor, inputs: Sequence[str], repeat: int, rate: float
) -> str:
    """Predictions of fastText for the texts as lines, on one thread, beside our rate of raw
    files."""
    bag = options_of(predictor.bundle).network
    assert isinstance(bag, BagConfig)
    texts = first_texts(predictor, inputs, 1 << 40).to_pylist()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as lines:
        lines.writelines(" ".join(text.split()) + "\n" for text in texts)
        lines.flush()
        found = measure([
            sys.executable, "-m", "benchmarks.peers.fasttext_predict", lines.name,
            "--ngrams", str(bag.ngrams), "--dimensions", str(bag.embedding_dim),
            "--buckets", str(bag.buckets), "--repeat", str(repeat)])
    theirs = len(texts) / median(json.loads(found.output.splitlines()[-1]))
    return (f"fastText's predict in Python of the same texts, cut into lines before, one thread, "
            f"{bag.ngrams}-grams, {bag.embedding_dim} dimensions, {bag.buckets:,} "
            f"buckets, by CPU time: {theirs:,.0f} reviews/s; reviewmill from raw files is "
            f"{rate / theirs:.2f} x")


@contextmanager
def _serving(path: str, core: int) -> Iterator[tuple[int, int]]:
    """A server on one core: the number of its process, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reviewmill", "serve", path, "--port", "0"], text=True,
        stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, [core]),
        cwd=Path(__file__).parents[1])
    assert process.stdout
    with process.stdout:
        try:
            port = int(process.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
            yield process.pid, port
        finally:
            process.terminate()
            process.wait()


def http_lines(
    path: str, predictor: Predictor, texts: pa.Array, cores: Sequence[int], repeat: int
) -> Iterator[str]:
    """The service on one core, called from the other, beside direct calls on that one core."""
    values = texts.to_pylist()
    calls = calls_of(texts)
    with _serving(path, cores[0]) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def post(some: list[str]) -> float:
            """Seconds of one call."""
            started = time.perf_counter()
            _post(connection, some)
            return time.perf_counter() - started

        def two_at_once(some: list[list[str]]) -> None:
            """The same from two connections, so that the server always has a next call."""
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda part: _post_all(port, part), (some[::2], some[1::2])))

        os.sched_setaffinity(0, cores[1:])
        shared, alone = [], []
        post(values[:1])
        for _ in range(repeat):
            started = time.perf_counter()
            two_at_once(calls)
            shared.append(time.perf_counter() - started)
            alone += [post([text]) for text in values[:FEW]]
        os.sched_setaffinity(0, cores[:1])
    direct, single = [], []
    for _ in range(repeat):
        started = time.perf_counter()
        predictor(values)
        direct.append(time.perf_counter() - started)
        for text in values[:FEW]:
            started = time.perf_counter()
            predictor([text])
            single.append(time.perf_counter() - started)
    yield (f"HTTP, {CALL} texts a call: {len(values) / median(shared):,.0f} reviews/s, "
           f"{median(direct) / median(shared):.1%} of direct calls on one core")
    yield (f"a lone text over HTTP: {1000 * median(alone):.2f} ms (p50), direct "
           f"{1000 * median(single):.2f} ms")


def _post_all(port: int, calls: list[list[str]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for texts in calls:
        _post(connection, texts)
    connection.close()


def _post(connection: http.client.HTTPConnection, texts: list[str]) -> None:
    connection.request("POST", "/v1/score", orjson.dumps({"texts": texts}),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise UserError(f"the server answers with status {answer.status}")
