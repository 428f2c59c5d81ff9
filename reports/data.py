"""The page about a store: what became of the records, what the reviews are like, their words."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from reports.corpus import corpus
from reports.html import Html, count, duration, el, join, moment, percent, short, table
from reports.parts import header, page, section, settings
from reports.studies.exploration import exploration
from reports.words import Words, count_words, telling
from reviews.features import Encoding
from reviews.recipe import SPLITS
from reviews.storage.folders import join as join_path
from reviews.storage.folders import read_whole
from reviews.store import Store

SHOWN = 20  # words of a list


def render_store(store: Store) -> str:
    """The whole page. The same store gives the same bytes."""
    words = count_words(store)
    told = _told(store)
    name = Path(store.address.rstrip("/")).name
    return page(
        f"{name} · reviewmill", "the store",
        _header(store, told),
        section("corpus", "Corpus", *corpus(store.manifest)),
        section("words", "Words", _note(words, store), _words(words, store)),
        (section("features", "Features", exploration(store), _features(store))
         if store.feature_names else Html("")),
        section("configuration", "Configuration",
                settings("Preparation", "the recipe in the manifest", store.manifest["recipe"])),
        section("environment", "Environment",
                settings("How it was made", "prepare.json", _environment(store, told))),
    )


def _told(store: Store) -> dict[str, Any]:
    """Content of prepare.json; empty where it is not there."""
    try:
        told = json.loads(read_whole(join_path(store.address, "prepare.json")))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _header(store: Store, told: dict[str, Any]) -> Html:
    splits, records = store.manifest["splits"], store.manifest["records"]
    rows = sum(store.rows(split) for split in SPLITS)
    labels = {name: sum(splits[split]["labels"][name] for split in SPLITS)
              for name in store.classes}
    common = max(labels, key=lambda name: labels[name])
    words = sum(splits[split]["words"] for split in SPLITS)
    unknown = sum(splits[split]["unknown_words"] for split in SPLITS)
    cut = sum(splits[split]["truncated"] for split in SPLITS)
    bad = sum(records["bad"].values())
    copies = records["dropped"]["duplicate"]
    distinct = "distinct " if store.manifest["recipe"]["dedupe"] == "text" else ""
    facts = [
        f"{count(store.vocabulary_size)} ids", f"length {count(store.length)}",
        f"{len(store.feature_names)} features" if store.feature_names else None,
        f"{short(told['bytes'])}B read in {duration(told['seconds'])}"
        if {"bytes", "seconds"} <= set(told) else None,
    ]
    tiles = [
        ("stored", percent(rows / max(1, records["read"])), f"of {count(records['read'])} records"),
        ("duplicates", percent(copies / max(1, records["read"])), f"{count(copies)} removed"),
        ("cannot be read", percent(bad / max(1, records["read"])), f"{count(bad)} records"),
        ("words each", count(words / max(1, rows)), "on average"),
        ("unknown words", percent(unknown / max(1, words)), "not in the vocabulary"),
        ("cut", percent(cut / max(1, rows)), f"longer than {count(store.length)}"),
    ]
    sentence = (f"{count(rows)} {distinct}reviews",
                f"{percent(labels[common] / max(1, rows))} of them are {common}")
    sections = ["Corpus", "Words", *(["Features"] if store.feature_names else []),
                "Configuration", "Environment"]
    return header(("store", store.address, None), sentence, facts, tiles, sections)


def _note(words: Words, store: Store) -> Html:
    return el("p", f"Counted in {count(words.reviews)} training reviews, in the "
                   f"{count(store.length)} words that are kept of each.", cls="facts")


def _words(words: Words, store: Store) -> Html:
    every = words.counts.sum(0)
    most = every.argsort(kind="stable")[::-1][:SHOWN]
    cards = [_list(
        "Most frequent words", "How often they are used, and their part of all words.", "of all",
        [(words.words[i], count(every[i]), percent(every[i] / max(1, words.total)),
          every[i] / max(1, every[most[0]])) for i in most if every[i]],
    )]
    for number, name in enumerate(store.classes):
        if not words.counts[number].any() or words.counts[number].sum() == every.sum():
            continue
        z, times = telling(words, number)
        some = [i for i in (-z).argsort(kind="stable")[:SHOWN] if z[i] > 0]
        cards.append(_list(
            f"Most telling words: {name}",
            "How many times as often as others this class uses them; the surest first.", "as often",
            [(words.words[i], count(words.counts[number][i]), _times(times[i]),
              z[i] / z[some[0]]) for i in some],
        ))
    # Three in a row leave no hole for two classes (and none for five).
    return el("div", *cards, cls="grid three" if len(cards) % 3 == 0 else "grid")


def _times(ratio: float) -> str:
    return f"{ratio:.3g} ×" if np.isfinite(ratio) else "only here"


def _list(
    title: str, says: str, figure: str, rows: list[tuple[str, str, str, float]]
) -> Html:
    """A card of words: how often, a figure, and a bar of a part of the longest one."""
    body = [
        [word, times, join(shown, el("i", cls="bar", style=f"--part: {100 * part:.1f}%"))]
        for word, times, shown, part in rows
    ]
    return el("figure", el("figcaption", el("h3", title), el("p", says)),
              table(["", "uses", figure], body, cls="words"), cls="card")


def _features(store: Store) -> Html:
    """Encoding of the columns beside the text."""
    rows = []
    train = max(1, store.rows("train"))
    for entry in store.manifest["features"]["encoding"]:
        if "values" in entry:
            says = ", ".join(entry["values"][:6]) + (", …" if len(entry["values"]) > 6 else "")
        elif entry["kind"] == "time":
            mean = datetime.fromtimestamp(entry["mean"], UTC)
            says = f"mean {mean:%Y-%m-%d}, deviation {entry['scale'] / 86_400:,.0f} days"
        else:
            says = f"mean {entry['mean']:.4g}, deviation {entry['scale']:.4g}"
        rows.append([entry["field"], entry["kind"], percent(entry["present"] / train), says])
    head = ["", "kind", "present", "in the training split"]
    every = Encoding(store.feature_encoding).width
    chosen = f", the best of {count(every)} by mutual information with the label"
    says = (f"{count(len(store.feature_names))} columns beside the tokens"
            f"{chosen if store.manifest['recipe'].get('best_features') else ''}.")
    return el("figure", el("figcaption", el("h3", "Encoding"), el("p", says)),
              table(head, rows, cls="prose"),
              cls="card wide")


def _environment(store: Store, told: dict[str, Any]) -> dict[str, Any]:
    names = ("runner", "workers", "host", "python")
    shown: dict[str, Any] = {name: told[name] for name in names if name in told}
    times = {f"{name} seconds": round(seconds, 1)
             for name, seconds in told.get("phases", {}).items()}
    began = {"began": moment(told["started"])} if "started" in told else {}
    where = {"store": store.address, "store sha256": store.fingerprint}
    return shown | began | times | where
