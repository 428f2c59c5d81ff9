"""Reviews of a store, from its manifest."""

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
    ]


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
