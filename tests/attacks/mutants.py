"""Bundles that somebody means harm with: changed files below a manifest that agrees with them."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# Values that no writer of ours puts into a file of a bundle.
STRANGE: list[Any] = [
    None, True, -1, 0, 1 << 31, 1 << 62, 10**400, 1e308, float("nan"), float("-inf"), "", "../x",
    "a" * 1000, "\x00", "\ud800", [], {}, [[]], [None], {"": None}, ["a", "a", "a"],
]
_START = 200  # bytes at the start of a file, where sizes and kinds stand


def seal(folder: Path) -> None:
    """Write the manifest of the files of a bundle anew, as a forger would."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
                         for name in manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forget(folder: Path, name: str) -> None:
    """Take a file out of the manifest of a bundle."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["files"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_file(name: str, data: bytes, dice: random.Random) -> bytes:
    """The data of a file with a value replaced, where it has values, or with changed bytes."""
    if not name.endswith((".json", ".yaml")) or dice.random() < 0.2:
        return change_bytes(data, dice)
    if name.endswith(".json"):
        return json.dumps(change_value(json.loads(data), dice)).encode()
    # JSON is YAML as well, but for what is no number in it.
    return json.dumps(change_value(yaml.safe_load(data), dice)).encode()


def change_bytes(data: bytes, dice: random.Random) -> bytes:
    """The data with some bytes changed, cut out or repeated, often near the start."""
    mutant = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        position = dice.randrange(len(mutant) if dice.random() < 0.5 else _START) % len(mutant)
        kind = dice.randrange(4)
        if kind == 0 and len(mutant) > _START:
            del mutant[position : position + dice.randint(1, 40)]
        elif kind == 1:
            mutant[position:position] = mutant[position : position + dice.randint(1, 40)]
        else:
            mutant[position] = dice.randrange(256)
    return bytes(mutant)


def change_value(value: Any, dice: random.Random) -> Any:
    """A JSON value with one value in it replaced by a strange one, or left out."""
    made = json.loads(json.dumps(value))
    path = dice.choice([*_paths(value, ())])
    if not path:
        return dice.choice(STRANGE)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    if dice.random() < 0.2:
        del inner[path[-1]]
    else:
        inner[path[-1]] = dice.choice(STRANGE)
    return made


def _paths(value: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Keys that lead to each value in a JSON value, and to the whole."""
    yield above
    inner = (value.items() if isinstance(value, dict)
             else enumerate(value) if isinstance(value, list) else ())
    for step, one in inner:
        yield from _paths(one, (*above, step))
