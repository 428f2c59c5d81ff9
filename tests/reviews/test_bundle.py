"""The model folder: read as written, whole or absent, and never trusted unseen."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reviews.bundle import Bundle, read_bundle, write_bundle
from reviews.errors import UserError
from reviews.recipe import Recipe

WEIGHTS = {
    "embedding.weight": np.arange(12, dtype=np.float32).reshape(4, 3),
    "output.bias": np.array([0.25], np.float64),
}
MODEL = {"classes": ["negative", "positive"], "options": {"model": "lstm"}, "length": 16}
WORDS = ["good", "café", "!"]
RECIPE = Recipe.of(length=16, seed=3, stop_words=("the",))


def write(folder: Path, weights: dict[str, np.ndarray] = WEIGHTS, **model: Any) -> None:
    vocabulary = folder.parent / "words.txt"
    vocabulary.write_text("".join(word + "\n" for word in WORDS), "utf-8")
    write_bundle(folder, weights, {**MODEL, **model}, RECIPE.to_yaml(), vocabulary, "# Card\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "model")
    return tmp_path / "model"


def assert_whole(bundle: Bundle) -> None:
    assert bundle.model == MODEL
    assert bundle.recipe == RECIPE
    assert bundle.vocabulary == WORDS
    assert bundle.weights.keys() == WEIGHTS.keys()
    for name, expected in WEIGHTS.items():
        assert bundle.weights[name].dtype == expected.dtype
        np.testing.assert_array_equal(bundle.weights[name], expected)


def test_a_bundle_is_read_as_it_was_written(folder: Path) -> None:
    assert_whole(read_bundle(folder))


def test_a_run_folder_stands_for_the_bundle_in_it(folder: Path) -> None:
    bundle = read_bundle(folder.parent)
    assert bundle.path == folder
    assert_whole(bundle)


def test_the_folder_holds_these_files_and_no_code(folder: Path) -> None:
    names = {"weights.safetensors", "model.json", "recipe.yaml", "vocabulary.txt", "card.md"}
    assert {path.name for path in folder.iterdir()} == {*names, "manifest.json"}
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == names


def test_a_new_bundle_takes_the_place_of_the_old_one(folder: Path) -> None:
    write(folder, length=99)
    assert read_bundle(folder).model["length"] == 99
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "words.txt"]


def test_what_cannot_be_written_leaves_the_old_bundle(folder: Path) -> None:
    with pytest.raises(TypeError):
        write(folder, length={1, 2})  # a set is no JSON
    assert_whole(read_bundle(folder))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "words.txt"]


def test_others_may_read_a_bundle(folder: Path) -> None:
    assert os.stat(folder).st_mode & 0o777 == 0o755
    assert {os.stat(file).st_mode & 0o777 for file in folder.iterdir()} == {0o644}


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "model.json", "recipe.yaml", "vocabulary.txt", "card.md"]
)
def test_a_changed_byte_anywhere_is_noticed(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=f"is damaged: {name}"):
        read_bundle(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"is not whole: recipe\.yaml is missing"):
        read_bundle(folder)


def test_another_format_is_refused_with_both_versions(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "reviewmill-bundle/9"}))
    with pytest.raises(UserError, match=r"reviewmill-bundle/9; this program reads .*bundle/1"):
        read_bundle(folder)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"format": 1', "\udcff"])
def test_a_manifest_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"not a bundle: its manifest\.json cannot be read"):
        read_bundle(folder)


@pytest.mark.parametrize("files", [[], {}, {"model.json": None}, None])
def test_a_manifest_that_does_not_list_the_files_is_refused(folder: Path, files: Any) -> None:
    body = {"format": "reviewmill-bundle/1", "files": files}
    (folder / "manifest.json").write_text(json.dumps(body))
    with pytest.raises(UserError, match=r"not a bundle|is damaged"):
        read_bundle(folder)


def test_a_manifest_cannot_name_files_outside_of_the_folder(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../words.txt"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"names the file '\.\./words\.txt', which is not below"):
        read_bundle(folder)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run with a model nor a bundle"):
        read_bundle(tmp_path)


def rewrite(folder: Path, name: str, data: bytes) -> None:
    """Another file, with the sha256 that a forger would give it."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(("name", "data", "message"), [
    ("model.json", b"[1, 2]", "its model.json has no options"),
    ("model.json", b'{"options": 3}', "its model.json has no options"),
    ("model.json", b"{", "is not a bundle"),
    ("recipe.yaml", b"- a\n- b\n", "is no mapping of options"),
    ("recipe.yaml", b"{", "is not a bundle"),
    ("weights.safetensors", b"\x80\x04N.", "is not a bundle"),
])  # fmt: skip
def test_a_file_that_is_none_of_its_kind_is_one_line(
    folder: Path, name: str, data: bytes, message: str
) -> None:
    rewrite(folder, name, data)
    with pytest.raises(UserError, match=message) as error:
        read_bundle(folder)
    assert "\n" not in str(error.value)
