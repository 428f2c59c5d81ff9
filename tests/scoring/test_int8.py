"""`reviewmill export --int8` makes a bundle that everything scores, and says what it costs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

import reviewmill
from mpi_train.evaluate import main as evaluate
from reviews.bundle import ONNX, WEIGHTS, put_file, read_bundle
from reviews.errors import UserError
from reviews.store import Store
from scoring import load
from scoring.int8 import validation_rows
from tests.mpi_train.runs import train
from tests.scoring.bundles import make_bundle
from tests.scoring.service.server import serving
from tests.stores import make_store

TEXTS = [" ".join(f"w{k}" for k in np.random.default_rng(n).integers(0, 200, 1 + n % 40))
         for n in range(120)]
VALIDATION = 200


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "store",
                      {"train": 600, "validation": VALIDATION, "test": 50})


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("run") / "run", bidirectional=True, ngrams=2,
                 buckets=500, ngram_dim=4, epochs=3, learning_rate=0.02)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


def test_the_bundle_is_scored_by_python_files_and_http(copy: Path, tmp_path: Path) -> None:
    assert reviewmill.main(["export", str(copy), "--int8"]) == 0
    folder = copy / "model-int8"
    found = load(str(folder))(TEXTS).probabilities
    in_float32 = load(str(copy))(TEXTS).probabilities
    assert 1e-5 < np.abs(found - in_float32).max() < 0.02
    alone = np.concatenate([load(str(folder))([text]).probabilities for text in TEXTS[:9]])
    np.testing.assert_allclose(alone, found[:9], rtol=0, atol=1e-6)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    out = tmp_path / "out.parquet"
    line = ["score", folder, tmp_path / "in.jsonl", "--out", out]
    assert reviewmill.main([*map(str, line)]) == 0
    of_files = pq.read_table(out)["probability_positive"].to_numpy()
    np.testing.assert_allclose(of_files, found[:, 1], rtol=0, atol=1e-6)
    with serving(folder) as server:
        _, answer = server.post({"texts": TEXTS})
        _, models = server.get("/v1/models")
    of_http = [result["probabilities"]["positive"] for result in answer["results"]]
    np.testing.assert_allclose(of_http, found[:, 1], rtol=0, atol=1e-6)
    assert models["models"][0]["sha256"] == read_bundle(folder, weights=False).files[ONNX]


def test_card_and_inspect_say_what_was_measured(
    copy: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["export", str(copy), "--int8"]) == 0
    folder = copy / "model-int8"
    bundle, own = read_bundle(folder, weights=False), read_bundle(copy)
    found = bundle.model["int8"]
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{folder}: accuracy ")
    assert found["reviews"] == VALIDATION
    assert found["bytes"] == (folder / ONNX).stat().st_size
    assert found["float32_bytes"] == (own.path / ONNX).stat().st_size
    assert found["weights"] == own.files[WEIGHTS]
    assert found["float32_accuracy"] == pytest.approx(own.model["validation"]["accuracy"])
    right = n = 0
    for rows, labels in validation_rows(store, VALIDATION):
        scored = load(str(folder)).predict(rows)
        right += np.count_nonzero(scored.probabilities.argmax(1) == labels)
        n += len(labels)
    assert (n, found["accuracy"]) == (VALIDATION, right / n)
    assert min(found["reviews_per_s"], found["float32_reviews_per_s"]) > 0
    assert found["processor"].endswith(("with VNNI", "without VNNI"))
    assert reviewmill.main(["inspect", str(folder), "--verify"]) == 0
    shown = capsys.readouterr().out
    assert f"- In 8 bits: accuracy {found['accuracy']:.2%} against " in shown
    assert "verified: " in shown
    assert reviewmill.main(["inspect", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["int8"] == found


def test_the_float32_bundle_stays_as_it_is(copy: Path) -> None:
    before = {file.name: file.read_bytes() for file in (copy / "model").iterdir()}
    assert reviewmill.main(["export", str(copy), "--int8"]) == 0
    assert {file.name: file.read_bytes() for file in (copy / "model").iterdir()} == before
    assert WEIGHTS not in {file.name for file in (copy / "model-int8").iterdir()}


def test_some_validation_reviews_are_enough(copy: Path, store: Store) -> None:
    shutil.copytree(copy / "model", copy.parent / "elsewhere")
    line = ["export", str(copy.parent / "elsewhere"), "--int8", "--store", str(store.path),
            "--reviews", "130"]
    assert reviewmill.main(line) == 0
    bundle = read_bundle(copy.parent / "elsewhere-int8", weights=False)
    assert bundle.model["int8"]["reviews"] == 130


def test_shards_behind_the_last_review_are_not_read(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 9, "validation": 40}, shards=2)
    first, second = store.shards("validation")
    second.path.write_bytes(b"damaged")
    assert sum(len(labels) for _, labels in validation_rows(store, first.rows)) == first.rows
    with pytest.raises(UserError, match="is damaged"):
        list(validation_rows(store, first.rows + 1))


def spoil(run: Path) -> None:
    """Give padding, which no review has, huge vectors, beside which all others become 0 in 8
    bits."""
    bundle = read_bundle(run)
    weights = load_file(bundle.path / WEIGHTS)
    weights["embedding.weight"][0] = weights["ngrams.table.weight"][0] = 1e6
    save_file(weights, run / "spoiled")
    put_file(bundle, WEIGHTS, (run / "spoiled").read_bytes())


def test_a_model_that_loses_too_much_is_refused_unless_it_is_forced(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(copy)
    assert reviewmill.main(["export", str(copy), "--int8"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "in 8 bits is refused: accuracy " in line and "more than 0.2 points are lost" in line
    assert not (copy / "model-int8").exists()
    assert reviewmill.main(["export", str(copy), "--int8", "--force"]) == 0
    found = read_bundle(copy / "model-int8", weights=False).model["int8"]
    assert found["float32_accuracy"] - found["accuracy"] > 0.002


def refusal(capsys: pytest.CaptureFixture[str], *line: object) -> str:
    assert reviewmill.main([*map(str, line)]) == 2
    [said] = capsys.readouterr().err.splitlines()
    return said


def test_what_has_no_8_bits_is_refused_in_one_line(
    copy: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, _ = make_bundle(tmp_path / "bag", "bag")
    assert "--int8 is for lstm, gru, bilstm-attention, transformer: " in refusal(
        capsys, "export", bag, "--int8", "--store", store.path)
    for option in ("--store=x", "--reviews=5", "--force"):
        said = refusal(capsys, "export", copy, option)
        assert f"{option.split('=')[0]} is for --int8: an export without it has no use" in said
    alone, _ = make_bundle(tmp_path / "alone", "lstm")
    assert "--store has to name the store" in refusal(capsys, "export", alone, "--int8")
    assert "was not trained on" in refusal(
        capsys, "export", alone, "--int8", "--store", store.path)
    assert "is not a store" in refusal(capsys, "export", copy, "--int8", "--store", tmp_path)
    empty = make_store(tmp_path / "empty", {"train": 50})
    made, _ = make_bundle(tmp_path / "made", "lstm", description={"store": empty.fingerprint})
    assert "has no validation reviews" in refusal(
        capsys, "export", made, "--int8", "--store", empty.path)


def test_what_needs_weights_names_the_bundle_that_has_them(
    copy: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["export", str(copy), "--int8"]) == 0
    folder = copy / "model-int8"
    capsys.readouterr()
    assert "is a model in 8 bits, which can only be scored" in refusal(capsys, "export", folder)
    named = "which can only be scored: give the bundle that it was made from"
    assert named in refusal(capsys, "calibrate", folder, "--store", store.path)
    for command in (
        lambda: evaluate([str(folder), "--store", str(store.path)]),
        lambda: train(store, copy.parent / "student", teacher=folder),
    ):
        with pytest.raises(UserError, match=named):
            command()
    assert not (copy.parent / "student" / "config.yaml").exists()
