"""A page of HTML as a tree, for tests to read numbers out of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

# Elements without an end tag.
VOID = {"meta", "link", "br", "img", "input", "hr"}
# Elements that do not part the words around them.
INLINE = {"a", "b", "code", "i", "small", "span"}


@dataclass
class Element:
    """A tag with its attributes and what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    def __iter__(self) -> Iterator["Element"]:
        """This element and all below it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    def all(self, tag: str, cls: str | None = None) -> list["Element"]:
        """All elements of a kind at or below this one."""
        return [e for e in self if e.tag == tag
                and (cls is None or cls in e.attributes.get("class", "").split())]

    @property
    def text(self) -> str:
        """The text in it as it is read, with all white space as single blanks."""
        return " ".join(self._raw().split())

    def _raw(self) -> str:
        parts = [c if isinstance(c, str) else c._raw() for c in self.children]
        return "".join(parts) if self.tag in INLINE else " " + "".join(parts) + " "


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#page")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(page: str) -> Element:
    """The tree of a page; AssertionError where tags are not properly nested and closed."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open == [builder.root], f"never closed: {builder.open[-1].tag}"
    return builder.root


def section(page: Element, name: str) -> Element:
    """The part of the page with that link target."""
    [found] = [e for e in page.all("section") if e.attributes["id"] == name]
    return found


def card(page: Element, title: str) -> Element:
    """The card of that title."""
    [found] = [e for e in page.all("figure") if e.all("h3")[0].text == title]
    return found


def rows(table: Element) -> list[list[str]]:
    """The cells' texts of a table's body."""
    [body] = table.all("tbody")
    return [[cell.text for cell in row if cell.tag in ("th", "td")] for row in body.all("tr")]


def settings(card: Element) -> dict[str, str]:
    """Names and values of a card of settings."""
    return {pair.all("dt")[0].text: pair.all("dd")[0].text
            for pair in card.all("dl")[0].children if isinstance(pair, Element)}
