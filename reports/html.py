"""HTML in which text cannot become markup, and how numbers are written on a page."""

import html
import math
import re
from typing import Any


class Html(str):
    """Markup made by this package; every other string is escaped where it is put in."""


def el(name: str, *children: Any, **attributes: Any) -> Html:
    """An element. None children and attributes are left out; cls stands for class.

    A child that is not Html is text: <, > and & in it are escaped. An attribute with
    underscores gets hyphens.
    """
    listed = "".join(
        f' {key.replace("_", "-") if key != "cls" else "class"}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{listed}>{join(*children)}</{name}>")


def join(*children: Any) -> Html:
    """Children one after the other."""
    return Html(
        "".join(
            child if isinstance(child, Html) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )


def count(number: float | None) -> str:
    """A whole number with separators: 12,345."""
    return "–" if number is None else f"{number:,.0f}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as per cent; a number that is not 0 or 100 % is not rounded to it."""
    if fraction is None or not math.isfinite(fraction):
        return "–"
    shown = f"{100 * fraction:.{digits}f}"
    least = 10.0**-digits
    if fraction > 0 and float(shown) == 0:
        shown = f"< {least:.{digits}f}"
    elif fraction < 1 and float(shown) == 100:
        shown = f"> {100 - least:.{digits}f}"
    return f"{shown}\u00a0%"


def score(number: float | None, digits: int = 3) -> str:
    """A score between 0 and 1, or a loss."""
    return "–" if number is None or not math.isfinite(number) else f"{number:.{digits}f}"


def short(number: float) -> str:
    """A number for a label or an axis: 950, 12.5 k, 3 M."""
    number = float(f"{number:.3g}")
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def moment(time: str | None) -> str:
    """2026-11-21T09:52:22Z as 2026-11-21 09:52 UTC; any other text as it is."""
    if time is None:
        return "–"
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:[\d.]+)?Z$", r"\1 \2 UTC", str(time))


def duration(seconds: float | None) -> str:
    """Seconds as 4.2 s, 3 min 20 s or 2 h 05 min."""
    if seconds is None:
        return "–"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s" if minutes < 60 else "1 h 00 min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def table(head: list[Any], rows: list[list[Any]], cls: str | None = None) -> Html:
    """A table; the first column names the row, the others are numbers."""
    header = el("tr", *(el("th", cell, scope="col") for cell in head))
    body = [
        el("tr", el("th", row[0], scope="row"), *(el("td", cell) for cell in row[1:]))
        for row in rows
    ]
    inner = el("table", el("thead", header), el("tbody", *body), cls=cls)
    return el("div", inner, cls="scroll")
