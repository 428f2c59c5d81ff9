"""The model folder: weights and all that is needed to use them (docs/bundle-format.md)."""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reviews.errors import UserError
from reviews.options import from_mapping
from reviews.recipe import Recipe
from reviews.storage.files import reason
from reviews.storage.folders import check_plain, replace_folder, write_atomically
from reviews.storage.kinds import instead, kind_of_format
from reviews.vocabulary import read_vocabulary

FORMAT = "reviewmill-bundle/1"
WEIGHTS = "weights.safetensors"
FILES = (WEIGHTS, "model.json", "recipe.yaml", "vocabulary.txt", "card.md")

_SMALL = ("model.json", "recipe.yaml", "card.md")
_SMALL_BYTES = 4 << 20  # of one of them, and of the manifest

TOKENIZER = "tokenizer.json"
ONNX = "model.onnx"


@dataclass(frozen=True)
class Bundle:
    """A verified model folder."""

    path: Path
    model: dict[str, Any]  # what model.json holds
    weights: dict[str, np.ndarray]
    recipe: Recipe
    vocabulary: list[str]
    files: dict[str, str] = field(default_factory=dict)  # sha256 by name

    @property
    def graph_alone(self) -> bool:
        """True for a model in 8 bits, whose graph stands in the place of weights."""
        return WEIGHTS not in self.files

    @property
    def digest(self) -> str:
        """The sha256 of what the model has learned."""
        return self.files[ONNX if self.graph_alone else WEIGHTS]

    def read(self, name: str) -> bytes:
        """A file of the bundle, its sha256 checked; UserError where it is missing or damaged."""
        file = self.path / name
        if not file.is_file():
            raise UserError(f"{self.path} is not whole: {name} is missing")
        data = _small(file) if name in _SMALL else file.read_bytes()
        if _sha256(data) != self.files.get(name):
            raise UserError(f"{self.path} is damaged: {name} is not what its manifest says")
        return data

    @property
    def temperature(self) -> float:
        """The number that logits are divided by before they become probabilities; UserError where
        it is none above 0."""
        found = self.model.get("temperature", 1.0)
        if isinstance(found, bool) or not isinstance(found, int | float) or not (
                math.isfinite(found) and found > 0):
            raise UserError(f"{self.path}/model.json: the temperature is no number above 0")
        return float(found)

    @property
    def tokenizer_file(self) -> Path | None:
        """The tokenizer.json, where the tokens are not words."""
        file = self.path / TOKENIZER
        return file if file.is_file() else None


def write_bundle(
    folder: Path, weights: Mapping[str, np.ndarray] | None, model: Mapping[str, Any],
    recipe_yaml: str, vocabulary_file: Path, card: str, tokenizer_file: Path | None = None,
    onnx: bytes | None = None,
) -> None:
    """Write a bundle whole or not at all; one that is there already is replaced.

    weights: None where `onnx` holds the model alone.
    """
    from safetensors.numpy import save_file

    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        if weights is not None:
            save_file(dict(weights), temporary / WEIGHTS)
            (temporary / WEIGHTS).chmod(0o644)  # safetensors makes what only the owner reads
        (temporary / "model.json").write_text(json.dumps(model, indent=1) + "\n", "utf-8")
        (temporary / "recipe.yaml").write_text(recipe_yaml, "utf-8")
        shutil.copyfile(vocabulary_file, temporary / "vocabulary.txt")
        if tokenizer_file:
            shutil.copyfile(tokenizer_file, temporary / TOKENIZER)
        if onnx is not None:
            (temporary / ONNX).write_bytes(onnx)
        (temporary / "card.md").write_text(card, "utf-8")
        files = {path.name: _sha256(path.read_bytes()) for path in sorted(temporary.iterdir())}
        _write_manifest(temporary, files)
        temporary.chmod(0o755)  # as mkdtemp does
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_file(bundle: Bundle, name: str, data: bytes) -> Bundle:
    """Put a file into a bundle, in place of one that is there; the bundle as it is then."""
    write_atomically(bundle.path / name, data)
    files = {**bundle.files, name: _sha256(data)}
    _write_manifest(bundle.path, files)
    return replace(bundle, files=files)


def put_card_line(bundle: Bundle, name: str, text: str) -> Bundle:
    """Put the line `- NAME: TEXT.` behind the last one of the card's list, in place of one of that
    name."""
    card = with_card_line(bundle.read("card.md").decode(), name, text)
    return put_file(bundle, "card.md", card.encode())


def with_card_line(card: str, name: str, text: str) -> str:
    """A card with the line of put_card_line."""
    start = f"- {name}: "
    lines = [line for line in card.splitlines() if not line.startswith(start)]
    last = max((n for n, line in enumerate(lines) if line.startswith("- ")), default=len(lines) - 1)
    lines.insert(last + 1, f"{start}{text}.")
    return "\n".join(lines) + "\n"


def replace_files(bundle: Bundle, files: Mapping[str, bytes]) -> None:
    """Replace files of a bundle, all of them or none, by a copy of the whole."""
    folder = bundle.path
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name in bundle.files:
            if name not in files:
                shutil.copy2(folder / name, temporary / name)
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        digests = {name: _sha256(data) for name, data in files.items()}
        _write_manifest(temporary, {**bundle.files, **digests})
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_manifest(folder: Path, files: Mapping[str, str]) -> None:
    body = json.dumps({"format": FORMAT, "files": dict(sorted(files.items()))}, indent=1)
    write_atomically(folder / "manifest.json", body.encode() + b"\n")


def read_bundle(path: str | Path, weights: bool = True) -> Bundle:
    """The bundle in a folder, or in the `model` folder of a run; the sha256 of all that is read
    is checked. Without `weights` these are not read, and a model in 8 bits is no error."""
    folder = Path(path)
    if (folder / "model" / "manifest.json").is_file():
        folder = folder / "model"
    try:
        if not (folder / "manifest.json").is_file():  # a pipe would be waited for
            raise FileNotFoundError
        manifest = json.loads(_small(folder / "manifest.json"))
        version, files = manifest["format"], dict(manifest["files"])
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path} is neither a run with a model nor a bundle{instead(path)}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path} is not a bundle: its manifest.json cannot be read") from None
    if version != FORMAT:
        if kind_of_format(version) == "a store":
            raise UserError(f"{path} is neither a run with a model nor a bundle; it is a store")
        raise UserError(f"{path} has the format {version}; this program reads {FORMAT}")
    if absent := set(FILES) - set(files) - ({WEIGHTS} if ONNX in files else set()):
        raise UserError(f"{path} is not a bundle: its manifest has no {min(absent)}")
    if not all(isinstance(digest, str) for digest in files.values()):
        raise UserError(f"{path} is not a bundle: its manifest.json cannot be read")
    for name in files:
        if not (folder / check_plain(name, f"{folder}/manifest.json")).is_file():
            raise UserError(f"{folder} is not whole: {name} is missing")
    bundle = Bundle(folder, {}, {}, Recipe(), [], files)
    if weights and bundle.graph_alone:
        raise UserError(f"{folder} is a model in 8 bits, which can only be scored: give the bundle "
                        "that it was made from")
    for name in files:
        if name not in (ONNX, WEIGHTS):
            bundle.read(name)
    try:
        model = json.loads(bundle.read("model.json"))
        recipe = yaml.safe_load(bundle.read("recipe.yaml"))
        tensors = _tensors(bundle.read(WEIGHTS)) if weights else {}
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{folder} is not a bundle: {reason(error)}") from None
    if not isinstance(model, dict) or not isinstance(model.get("options"), dict):
        raise UserError(f"{folder} is not a bundle: its model.json has no options")
    return replace(bundle, model=model, weights=tensors,
                   recipe=from_mapping(Recipe, recipe, f"{folder}/recipe.yaml"),
                   vocabulary=read_vocabulary(folder / "vocabulary.txt"))


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name; ValueError where it is none."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError:
        raise UserError("weights need safetensors: pip install 'reviewmill[score]'") from None
    try:
        return dict(load(data))
    except SafetensorError as error:
        raise ValueError(reason(error)) from None


def _small(file: Path) -> bytes:
    """A file that no writer makes large; UserError for one that is."""
    with file.open("rb") as opened:
        data = opened.read(_SMALL_BYTES + 1)
    if len(data) > _SMALL_BYTES:
        raise UserError(f"{file} has more than {_SMALL_BYTES:,} bytes")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
