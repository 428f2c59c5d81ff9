"""matplotlib figures as inline SVG that follows the colours and the font of the page."""

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.html import Html, el, join

# Stand-ins that become custom properties of the page, which differ in the dark.
INK, MUTED, GRID, SURFACE, ACCENT, BAD = (f"#0a0b0{i}" for i in range(6))
SERIES = [f"#0a0c0{i}" for i in range(8)]
_NAMES = dict(
    zip(
        [INK, MUTED, GRID, SURFACE, ACCENT, BAD, *SERIES],
        ["ink", "muted", "grid", "surface", "accent", "bad", *(f"s{i}" for i in range(8))],
        strict=True,
    )
)

STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "reviewmill",
    "font.size": 12,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "lines.linewidth": 2,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
    "axes.unicode_minus": False,
}


@dataclass(frozen=True)
class Chart:
    """A drawing with its heading, what its colours mean, and one sentence to read it by."""

    name: str  # unique on the page
    title: str
    draw: Callable[[Axes], None]
    says: str = ""
    keys: list[tuple[str, str]] = field(default_factory=list)  # (meaning, stand-in colour)
    height: int = 230

    def html(self, wide: bool = False) -> Html:
        """A card. A wide one is drawn twice: for the width of a desk and of a phone."""
        keys = [
            el("li", el("i", style=f"background: {css_colour(colour)}"), meaning)
            for meaning, colour in self.keys
        ]
        small = self._svg(380, round(0.88 * self.height), self.name)
        drawings = [el("div", small, cls="drawing small" if wide else "drawing")]
        if wide:
            drawings.append(el("div", self._svg(920, self.height, self.name + "-w"), cls="large"))
        return el(
            "figure",
            el("figcaption", el("h3", self.title), el("p", self.says) if self.says else None),
            el("ul", *keys, cls="keys") if keys else None,
            *drawings,
            cls="card wide" if wide else "card",
        )

    def _svg(self, width: int, height: int, prefix: str) -> Html:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            figure = Figure(figsize=(width / 72, height / 72))
            self.draw(figure.add_subplot())
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        return inline(buffer.getvalue(), prefix, join(f"{self.title}. {self.says}"))


def css_colour(stand_in: str) -> str:
    """The page's property for a stand-in colour: var(--s0)."""
    return f"var(--{_NAMES[stand_in]})"


def inline(svg: str, prefix: str, label: str) -> Html:
    """matplotlib's SVG file made fit to stand inside of a page, beside others like it.

    No metadata, no address of anything, ids unique by the prefix, coordinates to a hundredth
    of a pixel, and colours and font taken from the page.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.S)
    svg = svg.replace("xlink:href", "href")
    view = re.search(r'viewBox="([^"]+)"', svg)
    assert view, "matplotlib writes a viewBox"
    head = f'<svg viewBox="{view[1]}" role="img" aria-label="{html.escape(label)}">'
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{3,}", _rounded, tag[0]), svg)
    # Some versions of matplotlib write font: 11px 'A', 'B', others font-size and font-family.
    svg = re.sub(r'font: ([^;"]*?)([\d.]+px)[^;"]*', _font, svg)
    svg = re.sub(r'font-family: [^;"]*(; )?', "", svg)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg
    )
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", svg)
    svg = re.sub(r"#0a0[bc]0\d", lambda m: css_colour(m[0]), svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    return Html(re.sub(r"^<svg[^>]*>", lambda _: head, svg))


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _font(font: re.Match[str]) -> str:
    weight = font[1].strip()
    return f"font-size: {font[2]}" + (f"; font-weight: {weight}" if weight else "")
