"""Bundles that are made to do harm are refused in one line, or score; nothing in them is run."""

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import scoring
from models.records import onnx_file, options_of
from reviews.bundle import ONNX, WEIGHTS, put_file, read_bundle
from reviews.errors import UserError
from tests.attacks.mutants import change_bytes, change_file, forget, seal
from tests.scoring.bundles import TEXTS, WORDS, make_bundle

FILES = ("model.json", "recipe.yaml", "vocabulary.txt", "weights.safetensors", "manifest.json",
         "card.md")
MODELS = ("views", "bag", "cnn", "gru")
Models = dict[str, Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return {model: make_bundle(folder / model, model)[0] for model in MODELS}


@pytest.fixture(scope="module")
def graphs(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Bundles that are scored by their graphs, those in 8 bits too, which have no weights."""
    found = {model: models[model] for model in ("cnn", "gru")}
    for model in ("views", "gru"):
        folder = tmp_path_factory.mktemp("int8") / model
        shutil.copytree(models[model], folder)
        bundle = read_bundle(folder)
        put_file(bundle, ONNX, onnx_file(options_of(bundle), bundle.weights, int8=True))
        (folder / WEIGHTS).unlink()
        forget(folder, WEIGHTS)
        found[f"{model} in 8 bits"] = folder
    return found


def score_mutants(models: Models, count: int, seed: int) -> int:
    """Score with mutants of a file each; return how many are refused."""
    dice, refused = random.Random(seed), 0
    for number in range(count):
        folder, name = models[dice.choice(MODELS)], FILES[number % len(FILES)]
        whole = {file.name: file.read_bytes() for file in folder.iterdir()}
        (folder / name).write_bytes(change_file(name, whole[name], dice))
        if name != "manifest.json":
            seal(folder)
        try:
            found = scoring.load(str(folder))(TEXTS)
            assert found.probabilities.shape == (len(TEXTS), 2)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 10_000
        for other, data in whole.items():
            (folder / other).write_bytes(data)
    return refused


def score_onnx_mutants(graphs: Models, count: int, seed: int) -> int:
    """The same with mutants of the ONNX file."""
    dice, refused = random.Random(seed), 0
    for _ in range(count):
        folder = graphs[dice.choice([*graphs])]
        whole = (folder / "model.onnx").read_bytes()
        bundle = read_bundle(folder, weights=False)
        put_file(bundle, ONNX, change_bytes(whole, dice))
        try:
            scoring.load(str(folder))(TEXTS)
        except UserError:
            refused += 1
        put_file(bundle, ONNX, whole)
    return refused


def test_mutants_of_a_bundle_are_refused_or_score(models: Models) -> None:
    assert 20 < score_mutants(models, 60, seed=0) < 60


def test_mutants_of_an_onnx_file_are_refused_or_score(graphs: Models) -> None:
    assert 20 < score_onnx_mutants(graphs, 80, seed=0) < 80


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_3000_mutants_of_both_are_refused_or_score(models: Models, graphs: Models) -> None:
    assert 1000 < score_mutants(models, 3000, seed=1) < 3000
    assert 1000 < score_onnx_mutants(graphs, 3000, seed=1) < 3000


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as refused:
        scoring.load(str(folder))(TEXTS)
    return str(refused.value)


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "recipe.yaml"])
def test_pickled_objects_are_refused_and_not_loaded(name: str, tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (folder / name).write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    seal(folder)
    assert "is not a bundle" in refusal(folder)
    assert not (tmp_path / "harm").exists()


def test_objects_of_python_in_yaml_are_refused_and_not_made(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (folder / "recipe.yaml").write_text(
        f"length: !!python/object/apply:builtins.open ['{tmp_path}/harm', 'w']\n")
    seal(folder)
    assert "is not a bundle" in refusal(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "a\\..\\b",
                                  "./card.md", "a//b", "a\x00b"])
def test_names_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (tmp_path / "outside").write_text("secret")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "not below its folder" in refusal(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.json", "weights.safetensors"])
@pytest.mark.parametrize("target", ["/dev/zero", "/nothing", "pipe", "loop"])
def test_links_that_lead_to_no_file_are_refused(name: str, target: str, tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (folder / name).unlink()
    if target == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(folder / name if target == "loop" else target)
    refusal(folder)


def test_links_to_other_files_are_refused_and_their_text_is_not_shown(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (tmp_path / "secret").write_text("password: 12345")
    (folder / "recipe.yaml").unlink()
    (folder / "recipe.yaml").symlink_to(tmp_path / "secret")
    assert "12345" not in refusal(folder)


DEEP = "[" * 100_000 + "]" * 100_000
# Each list holds the one before it nine times.
_LISTS = "abcdefghij"
BOMB = "stop_words: [&a [x], " + ", ".join(
    f"&{new} [{', '.join(['*' + old] * 9)}]"
    for old, new in pairwise(_LISTS)) + "]\n"


@pytest.mark.parametrize(("name", "text"), [
    ("manifest.json", DEEP), ("model.json", DEEP), ("recipe.yaml", "[" * 2000),
    ("manifest.json", '{"format": ' + "9" * 100_000 + "}"), ("model.json", "9" * 100_000),
    ("recipe.yaml", "length: " + "9" * 100_000), ("recipe.yaml", "length: 0x" + "9" * 100_000),
    ("recipe.yaml", BOMB), ("recipe.yaml", BOMB.replace("stop_words", "length")),
    ("recipe.yaml", "&a [*a]"), ("model.json", "NaN"),
    ("model.json", " " * (5 << 20)), ("manifest.json", " " * (5 << 20)),
    ("recipe.yaml", "#" * (5 << 20)),
])
def test_deep_huge_and_endless_values_are_refused(name: str, text: str, tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (folder / name).write_text(text)
    if name != "manifest.json":
        seal(folder)
    assert len(refusal(folder)) < 5000


def of_model(**changes: Any) -> Callable[[Path], None]:
    """Change options of a model."""
    def change(folder: Path) -> None:
        model = json.loads((folder / "model.json").read_bytes())
        model["options"] |= changes
        (folder / "model.json").write_text(json.dumps(model))
    return change


def more_words(folder: Path) -> None:
    (folder / "vocabulary.txt").write_text(
        "".join(f"{word}\n" for word in [*(f"w{n}" for n in range(5000)), *WORDS]))


def other_shapes(folder: Path) -> None:
    tensors = load((folder / "weights.safetensors").read_bytes())
    (folder / "weights.safetensors").write_bytes(
        save({name: np.ascontiguousarray(value[:1]) for name, value in tensors.items()}))


@pytest.mark.parametrize("model", ["bag", "views"])
@pytest.mark.parametrize("change", [
    more_words, other_shapes, of_model(ngrams=-1), of_model(vocabulary_size=1 << 40),
    of_model(buckets=-5), of_model(buckets=1 << 40), of_model(outputs=-1),
    of_model(outputs=1 << 40),
])
def test_sizes_that_a_kernel_would_read_past_are_refused(
    model: str, change: Callable[[Path], None], tmp_path: Path
) -> None:
    folder, _ = make_bundle(tmp_path, model, layers=1) if model == "views" else make_bundle(
        tmp_path, model)
    change(folder)
    seal(folder)
    refusal(folder)


def test_n_grams_longer_than_any_text_cost_nothing(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    of_model(ngrams=1 << 62)(folder)
    seal(folder)
    assert len(scoring.load(str(folder))(TEXTS).labels) == len(TEXTS)
