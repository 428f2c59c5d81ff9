"""The model folder: weights and all that is needed to use them (docs/bundle-format.md)."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reviews.errors import UserError
from reviews.options import from_mapping
from reviews.recipe import Recipe
from reviews.storage.files import reason
from reviews.storage.folders import check_plain, replace_folder, write_atomically
from reviews.vocabulary import read_vocabulary

FORMAT = "reviewmill-bundle/1"
FILES = ("weights.safetensors", "model.json", "recipe.yaml", "vocabulary.txt", "card.md")

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Bundle:
    """A verified model folder."""

    path: Path
    model: dict[str, Any]  # what model.json holds
    weights: dict[str, np.ndarray]
    recipe: Recipe
    vocabulary: list[str]

    @property
    def tokenizer_file(self) -> Path | None:
        """The tokenizer.json, where the tokens are not words."""
        file = self.path / TOKENIZER
        return file if file.is_file() else None


def write_bundle(
    folder: Path, weights: Mapping[str, np.ndarray], model: Mapping[str, Any],
    recipe_yaml: str, vocabulary_file: Path, card: str, tokenizer_file: Path | None = None,
) -> None:
    """Write a bundle whole or not at all; one that is there already is replaced."""
    from safetensors.numpy import save_file

    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        save_file(dict(weights), temporary / "weights.safetensors")
        (temporary / "model.json").write_text(json.dumps(model, indent=1) + "\n", "utf-8")
        (temporary / "recipe.yaml").write_text(recipe_yaml, "utf-8")
        shutil.copyfile(vocabulary_file, temporary / "vocabulary.txt")
        if tokenizer_file:
            shutil.copyfile(tokenizer_file, temporary / TOKENIZER)
        (temporary / "card.md").write_text(card, "utf-8")
        files = {path.name: _sha256(path.read_bytes()) for path in sorted(temporary.iterdir())}
        body = json.dumps({"format": FORMAT, "files": files}, indent=1)
        write_atomically(temporary / "manifest.json", body.encode() + b"\n")
        # safetensors and mkdtemp make what only the owner reads.
        (temporary / "weights.safetensors").chmod(0o644)
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_bundle(path: str | Path) -> Bundle:
    """The bundle in a folder, or in the `model` folder of a run; every sha256 is checked."""
    folder = Path(path)
    if (folder / "model" / "manifest.json").is_file():
        folder = folder / "model"
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        version, files = manifest["format"], dict(manifest["files"])
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is neither a run with a model nor a bundle") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not a bundle: its manifest.json cannot be read") from None
    if version != FORMAT:
        raise UserError(f"{path} has the format {version}; this program reads {FORMAT}")
    if absent := set(FILES) - set(files):
        raise UserError(f"{path} is not a bundle: its manifest has no {min(absent)}")
    contents = {}
    for name, digest in files.items():
        file = folder / check_plain(name, f"{folder}/manifest.json")
        if not file.is_file():
            raise UserError(f"{folder} is not whole: {name} is missing")
        contents[name] = file.read_bytes()
        if _sha256(contents[name]) != digest:
            raise UserError(f"{folder} is damaged: {name} is not what its manifest says")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        model = json.loads(contents["model.json"])
        recipe = yaml.safe_load(contents["recipe.yaml"])
        weights = load(contents["weights.safetensors"])
    except (ValueError, yaml.YAMLError, SafetensorError) as error:
        raise UserError(f"{folder} is not a bundle: {reason(error)}") from None
    if not isinstance(model, dict) or not isinstance(model.get("options"), dict):
        raise UserError(f"{folder} is not a bundle: its model.json has no options")
    return Bundle(
        folder,
        model,
        weights,
        from_mapping(Recipe, recipe, f"{folder}/recipe.yaml"),
        read_vocabulary(folder / "vocabulary.txt"),
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
