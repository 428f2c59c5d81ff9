"""Lines for people about an input and its store, by `reviewmill prepare` and `clean`."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mapreduce.resume.finished_tasks import REUSED
from reviews.corpora import InputSplit, resolve_escapes
from reviews.recipe import Recipe
from reviews.vocabulary import store_warning

_NAMED = 5  # files in a list


def progress(text: str, command: str = "prepare") -> None:
    """One plain line about how far the work of a command is."""
    print(f"{command}: {text}", file=sys.stderr, flush=True)


def find_escapes(
    recipe: Recipe, splits: dict[str, list[InputSplit]], command: str = "prepare"
) -> Recipe:
    """The recipe, settled as to escaped newlines; it is said where they are found."""
    recipe, file = resolve_escapes(recipe, splits)
    if file:
        progress(f"{file}: newlines written as a backslash and an n are read as newlines "
                 "(--escaped-newlines always)", command)
    return recipe


def warn_of(manifest: Mapping[str, Any]) -> None:
    """Say what makes a store a bad one to train on."""
    if unknown := store_warning(manifest):
        progress(f"warning: {unknown}")
    labels = manifest["splits"]["train"]["labels"]
    if sum(map(bool, labels.values())) == 1:
        only = max(labels, key=lambda name: labels[name])
        progress(f"warning: all training reviews are {only}: train will refuse the store")
    for key, counts in manifest.get("keys", {}).items():
        if not counts["rows"]:
            progress(f"warning: no review has a {key}: name its field with --{key}-field")


def say_empty(files: Sequence[str], command: str = "prepare") -> None:
    """Name files that give no record; the first of them, where there are many."""
    for path in files[:_NAMED]:
        progress(f"{path}: no record in it", command)
    if len(files) > _NAMED:
        progress(f"no record in {len(files) - _NAMED} other files", command)


def reused_text(counters: Mapping[str, Mapping[str, int]]) -> str:
    """The end of a line about a job with these counters: tasks that it need not do again."""
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(counters.get(REUSED, {}).items()))
    return f" (of the earlier run: {kinds})" if kinds else ""


def retries_text(counts: Mapping[str, int]) -> str:
    """A line about requests to addresses that were made again, from their number by kind."""
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(counts.items()))
    return f"{sum(counts.values()):,} requests made again: {kinds}"
