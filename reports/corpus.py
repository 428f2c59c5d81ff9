"""Reviews of a store, from its manifest."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from reports import charts
from reports.html import Html, count, el, percent, table
from reports.parts import grid, notice
from reviews.vocabulary import store_warning

# What the rules of the manifest mean; a rule without words here is shown by its name.
DROPPED = {
    "duplicate": "duplicates of a stored review",
    "missing": "without a text, a rating or a label",
    "neutral": "neutral: neither positive nor negative",
    "no_words": "no word left after cleaning",
    "not_sampled": "not in the sample",
    "overlap": "also in a given test or validation set",
    "unused": "more than the wanted rows",
}


def corpus(manifest: dict[str, Any]) -> list[Html | None]:
    """Sources and properties of the reviews of a store."""
    splits = manifest["splits"]
    classes = [str(name) for name in manifest["classes"]]
    rows = []
    for name in charts.SPLITS:
        entry = splits.get(name)
        if entry:
            words = max(1, entry.get("words", 0))
            rows.append([
                name, count(entry["rows"]),
                *(count(entry["labels"].get(label, 0)) for label in classes),
                count(entry.get("words", 0) / max(1, entry["rows"])),
                percent(entry.get("unknown_words", 0) / words),
                percent(entry.get("truncated", 0) / max(1, entry["rows"])),
            ])
    head = ["split", "reviews", *classes, "words each", "unknown words", "cut"]
    kept = f"{count(manifest['vocabulary_size'])} ids"
    if manifest.get("distinct_words"):
        kept += f" for {count(manifest['distinct_words'])} distinct words"
    warning = store_warning(manifest, charts.SPLITS)
    return [
        notice("warn", "Many unknown words:", f" {warning}.") if warning else None,
        grid(records(manifest), charts.ratings(manifest), charts.lengths(manifest),
             charts.labels(manifest)),
        el("figure", el("figcaption", el("h3", "Splits"),
                        el("p", f"Vocabulary: {kept}, counted in the training split.")),
           table(head, rows), cls="card wide"),
        grid(*numbers(manifest)),
    ]


def numbers(manifest: dict[str, Any]) -> list[Html]:
    """Tables of the reviews by rating and by length: numbers of the charts."""
    shown = [name for name in charts.SPLITS if manifest["splits"].get(name)]
    by_rating = {name: manifest["splits"][name].get("ratings", {}) for name in shown}
    ratings = sorted({*itertools.chain(*by_rating.values())},
                     key=lambda rating: math.inf if rating == "none" else float(rating))
    every = max(1, sum(sum(found.values()) for found in by_rating.values()))
    by_star = [[rating, *(count(by_rating[name].get(rating, 0)) for name in shown),
                percent(sum(found.get(rating, 0) for found in by_rating.values()) / every)]
               for rating in ratings]
    edges, counts = charts.length_bins(manifest)
    firsts = [1, *(math.floor(edge) + 1 for edge in edges[1:-1])]
    lengths = []
    for first, last, n in zip(firsts, edges[1:], counts, strict=False):
        if n:
            end = f"to {last:,.0f}" if last in charts.LENGTH_EDGES else "or more"
            lengths.append([f"{first:,} {end}", count(n), percent(n / sum(counts))])
    cards = [("Ratings, as numbers", ["rating", *shown, "of all"], by_star),
             ("Review lengths, as numbers", ["words", "reviews", "of all"], lengths)]
    return [el("figure", el("figcaption", el("h3", title)), table(head, found), cls="card")
            for title, head, found in cards if found]


def records(manifest: Mapping[str, Any]) -> Html:
    """Accounting of the records: read = stored + dropped + bad."""
    entry = manifest["records"]
    read = entry["read"]
    rows: list[list[Any]] = []

    def line(name: Any, n: int, sign: str = "") -> None:
        rows.append([name, f"{sign if n else ''}{count(n)}", percent(n / read if read else None)])

    line("records read", read)
    for rule, n in entry["dropped"].items():
        if n or rule == "duplicate":
            line(DROPPED.get(rule, rule.replace("_", " ")), n, "− ")
    for reason, n in entry["bad"].items():
        if n:
            line(f"bad: {reason.replace('_', ' ')}", n, "− ")
    if not sum(entry["bad"].values()):
        line("bad", 0, "− ")
    line("stored", entry["stored"])
    settled = entry["stored"] + sum(entry["dropped"].values()) + sum(entry["bad"].values())
    wrong = None
    if settled != read:
        wrong = notice("bad", "These do not add up:",
                       f" {count(read)} records were read, {count(settled)} are accounted for.")
    return el("figure", el("figcaption", el("h3", "Records"),
                           el("p", "Every record read is stored, dropped by a rule, or bad.")),
              table(["", "records", "of all"], rows, cls="sum"), wrong, cls="card")
