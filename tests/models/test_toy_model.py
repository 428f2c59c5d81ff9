"""A model that is added in one file trains, evaluates, is saved, loaded and scored."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from reviews.bundle import ONNX, read_bundle
from tests.mpi_train.ranks import ROOT
from tests.stores import make_store


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The run folder of the program, and the lines that it printed."""
    folder = tmp_path_factory.mktemp("toy")
    store = make_store(folder / "store", {"train": 600, "validation": 50, "test": 200}, length=16)
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.toy_model", str(store.path), str(folder / "run")],
        cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout.splitlines()


@pytest.fixture(scope="module")
def used(printed: tuple[Path, list[str]]) -> tuple[Path, list[dict[str, Any]]]:
    """The run folder of the program, and what it printed as JSON."""
    return printed[0], [json.loads(line) for line in printed[1] if line.startswith("{")]


def test_its_own_defaults_are_those_of_the_run(
    used: tuple[Path, list[dict[str, Any]]]
) -> None:
    config = yaml.safe_load((used[0] / "config.yaml").read_text())
    assert {name: config[name] for name in (
        "model", "embedding_dim", "epochs", "learning_rate", "dropout", "ceiling")} == {
            "model": "toy", "embedding_dim": 8, "epochs": 2, "learning_rate": 0.05, "dropout": 0.1,
            "ceiling": 0.5}


def test_its_own_option_is_checked_and_is_no_other_models(printed: tuple[Path, list[str]]) -> None:
    assert [line for line in printed[1] if line.startswith("refused")] == [
        "refused: --ceiling is for toy: --model cnn has no such thing",
        "refused: --ceiling is 0.0: give more than 0"]


def test_it_learns(used: tuple[Path, list[dict[str, Any]]]) -> None:
    figures = used[1][0]
    assert figures["n"] == 200 and figures["roc_auc"] > 0.7


def test_its_bundle_names_its_options_and_holds_its_graph(
    used: tuple[Path, list[dict[str, Any]]]
) -> None:
    bundle = read_bundle(used[0])
    assert bundle.model["options"]["model"] == "toy"
    assert bundle.model["options"]["ceiling"] == 0.5
    assert "hidden_dim" not in bundle.model["options"]
    assert ONNX in bundle.files


def test_scoring_computes_what_its_weights_say(
    used: tuple[Path, list[dict[str, Any]]]
) -> None:
    bundle = read_bundle(used[0])
    words = (bundle.path / "vocabulary.txt").read_text().split("\n")
    logits = []
    for text in ("w3 w4 w5", "w150 w160"):
        rows = [words.index(word) + 2 for word in text.split()]
        highest = bundle.weights["embedding.weight"][rows].max(0).clip(0, 0.5)
        logits.append(highest @ bundle.weights["output.weight"][0]
                      + bundle.weights["output.bias"][0])
    wanted = 1 / (1 + np.exp(-np.array(logits)))
    assert np.array(used[1][1]["probabilities"])[:, 1] == pytest.approx(wanted, abs=1e-5)
