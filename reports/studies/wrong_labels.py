"""Labels that are likely wrong, on the page about a comparison."""

from collections.abc import Mapping
from typing import Any

from reports.html import Html, count, el, join, percent, table


def wrong_labels(comparison: Mapping[str, Any]) -> Html:
    """A card of their number, and one of the surest; a sentence where there were no folds."""
    found = comparison.get("wrong_labels")
    if not found:
        return el("p", "Likely wrong labels are found with --folds, by models that did not train "
                  "on the review.", cls="empty")
    says = (f"{count(found['wrong'])} of {count(found['n'])} labels "
            f"({percent(found['wrong'] / found['n'])}) are likely wrong by the folds of "
            f"{found['model']} (confident learning): the probability of another class is at least "
            "what reviews of that class have on average. All are in wrong-labels.parquet.")
    pairs = [[f"{pair['label']}, likely {pair['said']}", count(pair["n"])]
             for pair in found["pairs"]]
    rows = [[one["label"], f"{one['said']}, {percent(one['probability'], 1)}", one["text"]]
            for one in found["reviews"]]
    return join(
        el("figure", el("figcaption", el("h3", "Likely wrong labels"), el("p", says)),
           table(["label", "reviews"], pairs), cls="card wide"),
        el("figure", el("figcaption", el("h3", "The surest of them")),
           table(["label", "likely", "review"], rows, cls="prose texts"), cls="card wide"))
