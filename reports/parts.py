"""Parts of the pages: sections, boxes, grids of cards, cards of settings."""

from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from reports.drawing import Chart
from reports.html import Html, count, el, join


def page(title: str, source: str, *body: Html) -> str:
    """The whole page; source says what kind of files it was made from."""
    template = resources.files("reports").joinpath("report.html").read_text("utf-8")
    return Template(template).substitute(title=join(title), source=source, body=join(*body))


def header(
    about: tuple[str, str, Html | None], sentence: tuple[str, str], facts: Sequence[str | None],
    tiles: Sequence[tuple[str, str, str]], sections: Sequence[str],
) -> Html:
    """The top of a page: what it is about (kind, path, state), one sentence in two parts, facts,
    figures (name, figure, remark) and links to the sections."""
    kind, path, state = about
    first, second = sentence
    figures = [
        el("div", el("dt", name), el("dd", figure), el("dd", remark, cls="remark"))
        for name, figure, remark in tiles
    ]
    links = [el("a", name, href=f"#{name.lower().split()[0]}") for name in sections]
    return el(
        "header",
        el("p", el("b", "reviewmill"), f" · {kind} ", el("code", path), " ", state, cls="run"),
        el("h1", first, el("span", f"; {second}." if second else ".")),
        el("p", " · ".join(fact for fact in facts if fact), cls="facts"),
        el("dl", *figures, cls="tiles") if figures else None,
        el("nav", *links),
    )


def section(name: str, title: str, *parts: Html | None) -> Html:
    """A part of the page with its heading and a link target."""
    return el("section", el("h2", title), *parts, id=name)


def notice(kind: str, first: str, *rest: Any) -> Html:
    """A box that stands out: kind is bad, warn or note."""
    return el("p", el("b", first), *rest, cls=f"notice {kind}")


def grid(*cards: Html | Chart | None) -> Html:
    """Cards side by side; the last chart of an odd number takes both columns."""
    shown = [card for card in cards if card is not None]
    odd = len(shown) % 2
    return el("div", *(
        card if isinstance(card, Html) else card.html(wide=bool(odd and card is shown[-1]))
        for card in shown
    ), cls="grid")


def settings(title: str, source: str, values: Mapping[str, Any]) -> Html:
    """A card of names and values."""
    pairs = [
        el("div", el("dt", name), el("dd", plain(value))) for name, value in flat(values)
    ]
    body = el("dl", *pairs, cls="settings") if pairs else el("p", "Nothing recorded.", cls="empty")
    return el("figure", el("figcaption", el("h3", title), el("p", source)), body, cls="card wide")


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted names."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def plain(value: Any) -> str:
    """A value as a person writes it."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        some = ", ".join(plain(part) for part in value[:24])
        return some if len(value) <= 24 else f"{some}, … ({count(len(value))} in all)"
    return f"{value:g}" if isinstance(value, float) else str(value)
