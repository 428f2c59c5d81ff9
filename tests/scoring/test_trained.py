"""A run as training leaves it is scored as torch computes it, by every way of scoring."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reviewmill
from models.nets.load_model import load_model
from mpi_train.evaluate import main as evaluate
from reviews.bundle import ONNX, read_bundle
from reviews.store import Store
from reviews.vocabulary import FIRST_WORD
from scoring import load
from tests.mpi_train.runs import train
from tests.requirements import need
from tests.scoring.bundles import torch_logits
from tests.scoring.service.server import serving
from tests.stores import make_store

MODELS = {
    "lstm": {"bidirectional": True, "ngrams": 2, "buckets": 500, "ngram_dim": 4},
    "gru": {},
    "bag": {"buckets": 500},
}
REVIEWS = 1000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "store",
                      {"train": 300, "validation": 50, "test": REVIEWS})


@pytest.fixture(scope="module")
def run_of(
    store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The run of a model with a temperature, which is trained when it is first asked for."""

    @cache
    def run(model: str) -> Path:
        made = train(store, tmp_path_factory.mktemp(model) / "run", model=model, epochs=1,
                     **MODELS[model])
        assert reviewmill.main(["calibrate", str(made), "--store", str(store.path)]) == 0
        assert abs(read_bundle(made).temperature - 1) > 0.05
        return made

    return run


@pytest.fixture(scope="module")
def java() -> Iterator[None]:
    """Requirements of Spark; the Java that it starts in this process is ended."""
    need(shutil.which("java") is not None, "Spark needs java")
    need(importlib.util.find_spec("pyspark") is not None, "needs pyspark")
    yield
    from pyspark import SparkContext

    gateway = SparkContext._gateway  # type: ignore[attr-defined]
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()
        SparkContext._gateway = SparkContext._jvm = None  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_the_probabilities_of_torch(
    run_of: Callable[[str], Path], tmp_path: Path, model: str
) -> None:
    run = run_of(model)
    bundle = read_bundle(run)
    assert ONNX in bundle.files
    rng = np.random.default_rng(0)
    texts = ["", *(" ".join(f"w{k}" for k in rng.integers(0, 260, n))
                   for n in rng.integers(1, 60, 200))]
    predictor = load(str(run))
    rows = predictor.encoder.encode(pa.array(texts))
    logits = torch_logits(load_model(bundle).eval(), [
        row[:n].tolist() for row, n in zip(rows.tokens, rows.lengths, strict=True)])[:, 0]
    wanted = 1 / (1 + np.exp(-logits.astype(np.float64) / bundle.temperature))
    np.testing.assert_allclose(predictor(texts).probabilities[:, 1], wanted, rtol=0, atol=1e-5)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    line = ["score", str(run), str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.parquet")]
    assert reviewmill.main(line) == 0
    of_files = pq.read_table(tmp_path / "out.parquet")["probability_positive"].to_numpy()
    np.testing.assert_allclose(of_files, wanted, rtol=0, atol=1e-5)


def texts_of(store: Store) -> dict[str, str]:
    """Texts of the test split by review_id."""
    found = {}
    for shard in sorted((Path(store.path) / "shards").iterdir()):
        with h5py.File(shard, locking=False) as file:
            columns = (file["test"][name][:] for name in ("review_id", "tokens", "length"))
            for number, row, length in zip(*columns, strict=True):
                found[str(number)] = " ".join(f"w{k - FIRST_WORD}" for k in row[:length])
    return found


def test_spark_gives_the_numbers_of_python_in_8_bits(
    store: Store, run_of: Callable[[str], Path], tmp_path: Path, java: None
) -> None:
    assert reviewmill.main(["export", str(run_of("lstm")), "--int8", "--force"]) == 0
    model, texts = str(run_of("lstm") / "model-int8"), texts_of(store)
    wanted = dict(zip(texts, load(model)(list(texts.values())).probabilities[:, 1], strict=True))
    (tmp_path / "in.jsonl").write_text("".join(
        json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))
    line = ["score", model, str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out"),
            "--key-field", "id", "--engine", "spark", "--spark-master", "local[2]"]
    assert reviewmill.main(line) == 0
    scored = pq.read_table(tmp_path / "out")
    found = dict(zip(scored["key"].to_pylist(), scored["probability_positive"].to_pylist(),
                     strict=True))
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose([found[key] for key in wanted], [*wanted.values()],
                               rtol=0, atol=1e-6)


@pytest.mark.timeout(600)
def test_six_ways_give_a_thousand_reviews_the_same_numbers(
    store: Store, run_of: Callable[[str], Path], tmp_path: Path, java: None
) -> None:
    run, texts, out = str(run_of("lstm")), texts_of(store), tmp_path / "out"
    assert len(texts) == REVIEWS
    of_torch = tmp_path / "torch.parquet"
    assert evaluate([run, "--store", str(store.path), "--predictions", str(of_torch)]) == 0
    table = pq.read_table(of_torch)
    wanted = dict(zip(map(str, table["review_id"].to_pylist()),
                      [pair[1] for pair in table["probability"].to_pylist()], strict=True))
    found = {"Python": dict(zip(texts, load(run)(list(texts.values())).probabilities[:, 1],
                                strict=True))}
    with serving(Path(run)) as server:
        status, answer = server.post({"texts": list(texts.values())})
    assert status == 200
    found["HTTP"] = {key: result["probabilities"]["positive"]
                     for key, result in zip(texts, answer["results"], strict=True)}
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()]
    for number in range(4):
        (folder / f"{number}.jsonl").write_text("".join(lines[number::4]))
    spark = ["--engine", "spark", "--spark-master", "local[2]"]
    for way, more in {"local": [], "Spark": spark,
                      "stream": [*spark, "--stream", "available-now"]}.items():
        assert reviewmill.main(["score", run, str(folder), "--out", str(out / way),
                                "--key-field", "id", *more]) == 0
        scored = pq.read_table(out / way)
        assert len(scored) == REVIEWS
        found[way] = dict(zip(scored["key"].to_pylist(),
                              scored["probability_positive"].to_pylist(), strict=True))
    assert len(found) == 5
    for way, probabilities in found.items():
        assert probabilities.keys() == wanted.keys(), way
        np.testing.assert_allclose([probabilities[key] for key in wanted], [*wanted.values()],
                                   rtol=0, atol=1e-5, err_msg=way)
