"""Kinds of folders that commands make, for messages about one in place of another."""

import json
from pathlib import Path
from typing import Any

# Formats of manifest.json, without their versions.
_MANIFESTS = {"reviewmill-store": "a store", "reviewmill-bundle": "the bundle of a model"}
# Files that such a folder has, all of them; one of these names alone may be a user's.
_FILES = {"a comparison": ("compare.json", "plan.json"), "a search": ("tune.json", "tune.html"),
          "a run": ("metrics.jsonl", "config.yaml")}
_MOST = 64 << 20  # bytes of a manifest that are looked at


def folder_kind(path: str | Path) -> str | None:
    """Kind of a local folder, such as 'a store'; None for one that no command made."""
    folder = Path(path)
    for kind, names in _FILES.items():
        if all((folder / name).is_file() for name in names):
            return kind
    manifest = folder / "manifest.json"
    if not manifest.is_file() or manifest.stat().st_size > _MOST:
        return None
    try:
        found: Any = json.loads(manifest.read_bytes())
        return kind_of_format(found["format"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def kind_of_format(version: object) -> str | None:
    """Kind of a folder whose manifest has this format, of any version."""
    return _MANIFESTS.get(str(version).partition("/")[0])


def instead(path: str | Path) -> str:
    """End of a message about a path that is not what was wanted: '; it is a run'; empty where
    nothing can be said."""
    if "://" in str(path):
        return ""
    if not Path(path).exists():
        return "; there is no such file or folder"
    if Path(path).is_file():
        return "; it is a file"
    kind = folder_kind(path)
    return f"; it is {kind}" if kind else ""
