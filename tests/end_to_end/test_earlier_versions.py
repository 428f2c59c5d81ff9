"""Stores, runs and bundles that the first version wrote are read, resumed and scored as it did."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

import reviewmill
from models.nets.load_model import load_model
from mpi_train.__main__ import main as train
from reviews.bundle import ONNX, read_bundle
from reviews.recipe import load_recipe
from reviews.storage.verify import verify_store
from reviews.store import Store
from scoring import load
from tests.mpi_train.runs import losses
from tests.scoring.bundles import torch_logits

FIRST = Path(__file__).parents[1] / "fixtures" / "first"
# As the first version's `evaluate` printed them for the test split.
FIGURES = {"lstm": {"n": 33, "loss": 0.5529, "roc_auc": 0.7550},
           "bag": {"n": 33, "loss": 0.5522, "roc_auc": 0.5650}}
MODELS = pytest.mark.parametrize("model", sorted(FIGURES))


def copy_of_run(model: str, folder: Path) -> Path:
    """A run folder of the first version, beside its store."""
    store, run = folder / "store", folder / "run"
    shutil.copytree(FIRST / "store", store)
    shutil.copytree(FIRST / model, run)
    for name in ("config.yaml", "summary.json"):
        file = run / name
        file.write_text(file.read_text().replace("STORE", str(store)))
    return run


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert reviewmill.main(["evaluate", *words, "--json"]) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return figures


def test_a_store_is_verified_and_read() -> None:
    store = Store(FIRST / "store")
    assert list(verify_store(store)) == []
    assert store.rows("train") + store.rows("validation") + store.rows("test") == 168


def test_its_recipe_makes_the_same_rows_of_the_same_reviews(tmp_path: Path) -> None:
    assert reviewmill.main(
        ["prepare", str(FIRST / "reviews.json.gz"), "--out", str(tmp_path / "store"), "--recipe",
         str(FIRST / "lstm" / "model" / "recipe.yaml")]) == 0
    one, other = (json.loads((path / "manifest.json").read_text())["files"]
                  for path in (FIRST / "store", tmp_path / "store"))
    assert one.keys() == other.keys()
    for name in ("shards/part-00000.h5", "vocabulary.txt"):
        assert one[name] == other[name]
    with h5py.File(FIRST / "store" / "reviews.h5", locking=False) as before, \
            h5py.File(tmp_path / "store" / "reviews.h5", locking=False) as after:
        assert before.keys() == after.keys()
        for split in before:
            for name in before[split]:
                assert np.array_equal(before[split][name], after[split][name])


@MODELS
def test_a_model_has_the_figures_that_it_had(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of_run(model, tmp_path)
    figures = evaluated(capsys, str(run), "--store", str(tmp_path / "store"), "--split", "test")
    assert {name: figures[name] for name in FIGURES[model]} == pytest.approx(
        FIGURES[model], abs=6e-5)


@MODELS
def test_a_run_is_resumed_and_ends_as_it_did(model: str, tmp_path: Path) -> None:
    run = copy_of_run(model, tmp_path)
    wanted = losses(run)
    assert len(wanted) == 32
    assert train(["--out", str(run), "--resume"]) == 0
    assert losses(run) == pytest.approx(wanted, abs=1e-5)


@MODELS
def test_a_bundle_is_exported_and_scored_as_torch_computes_it(model: str, tmp_path: Path) -> None:
    run = copy_of_run(model, tmp_path)
    assert reviewmill.main(["export", str(run)]) == 0
    assert (run / "model" / ONNX).is_file()
    with gzip.open(FIRST / "reviews.json.gz") as lines:
        texts = [json.loads(line)["reviewText"] for line in lines]
    predictor = load(str(run))
    rows = predictor.encoder.encode(pa.array(texts))
    logits = torch_logits(load_model(read_bundle(run)).eval(), [
        row[:n].tolist() for row, n in zip(rows.tokens, rows.lengths, strict=True)])[:, 0]
    np.testing.assert_allclose(predictor(texts).probabilities[:, 1],
                               1 / (1 + np.exp(-logits.astype(np.float64))), rtol=0, atol=1e-5)


def test_a_recipe_is_written_as_it_was_read() -> None:
    file = FIRST / "bag" / "model" / "recipe.yaml"
    assert load_recipe(str(file)).to_yaml() == file.read_text()


@pytest.mark.parametrize(("file", "value"), [
    ("store/manifest.json", "reviewmill-store/"), ("run/model/manifest.json", "reviewmill-"),
    ("run/checkpoints/step-00000024/state.json", "reviewmill-checkpoint/"),
])
def test_files_of_a_later_format_are_refused_with_both_versions(
    file: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of_run("lstm", tmp_path)
    manifest = tmp_path / file
    body = json.loads(manifest.read_text())
    ours = body["format"]
    assert ours.startswith(value)
    body["format"] = f"{ours.rsplit('/', 1)[0]}/99"
    manifest.write_text(json.dumps(body))
    command = ["train", "--out", str(run), "--resume"]
    if "model" in file:
        command = ["evaluate", str(run), "--store", str(tmp_path / "store")]
    capsys.readouterr()
    assert reviewmill.main(command) == 2
    said = capsys.readouterr().err
    assert body["format"] in said and ours in said
