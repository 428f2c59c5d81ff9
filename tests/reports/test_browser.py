"""The page in a real browser."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from reports import main
from reviews.recipe import Recipe
from tests.mapreduce.corpus import make_reviews, run, write_reviews
from tests.reports.browser import Tab, browser_tab
from tests.reports.comparisons import CURVE, WRONG_LABELS, make_comparison
from tests.reports.runs import make_run
from tests.reports.studies.scalings import make_scaling
from tests.reports.studies.tunings import make_tuning

WIDTHS = (360, 768, 1200)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser_tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a whole run, one with texts as long as they get, a store and a comparison."""
    top = tmp_path_factory.mktemp("pages")
    long = "a-very-long-name-without-any-blank" * 6
    failure = json.dumps({"kind": "failure", "reason": long * 3, "step": 3}) + "\n"
    folders = {
        "whole": make_run(top / "whole"),
        "long": make_run(top / long[:200], classes=[long, "no"], ranks=16, extra=failure),
    }
    path = write_reviews(top / "reviews.json", [
        {**row, "reviewText": f"{row['reviewText']} {'looooong' * 20} <b>&amp;"}
        for row in make_reviews(300)])
    folders["store"] = run([path], top / "store", Recipe.of(
        features=("votes", "verified:category", "unixReviewTime:time"))).path
    folders["comparison"] = make_comparison(
        top / "comparison", long, wrong_labels={**WRONG_LABELS, "model": long},
        learning_curve=[CURVE, {**CURVE, "model": long, "forecast": None}])
    folders["scaling"] = make_scaling(top / "scaling", machine=long)
    folders["search"] = make_tuning(top / "search", store=long)
    for folder in folders.values():
        main([str(folder)])
    return {name: folder / "report.html" for name, folder in folders.items()}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["whole", "long", "store", "comparison", "search", "scaling"])
def test_nothing_is_wider_than_the_window(
    tab: Tab, pages: dict[str, Path], name: str, width: int
) -> None:
    tab.open(pages[name], width)
    assert tab.ask("document.documentElement.clientWidth") == width
    assert tab.ask("document.documentElement.scrollWidth") <= width
    outside = """[...document.querySelectorAll('body *')].filter(e =>
        !e.closest('.scroll') && !e.closest('svg') &&
        e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""
    assert tab.ask(outside) == []


SCROLLED = """[...document.querySelectorAll('.scroll')].filter(e =>
    e.scrollWidth > e.clientWidth).map(e => e.closest('figure').querySelector('h3').innerText)"""


@pytest.mark.parametrize("name", ["whole", "long", "store", "comparison", "search", "scaling"])
def test_no_table_is_cut_off_on_paper(tab: Tab, pages: dict[str, Path], name: str) -> None:
    tab.open(pages[name], 700)  # A4 between its margins
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.ask(SCROLLED) == []


def test_long_words_leave_the_other_columns_in_sight(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["store"], 1200)
    assert not [title for title in tab.ask(SCROLLED) if "words" in title]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_of_a_whole_run_has_to_be_scrolled_but_that_of_the_epochs(
    tab: Tab, pages: dict[str, Path], width: int
) -> None:
    tab.open(pages["whole"], width)
    assert set(tab.ask(SCROLLED)) <= ({"Epochs", "Ranks", "Splits"} if width < 720 else set())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_shows_something_in_both_colour_schemes(
    tab: Tab, pages: dict[str, Path], dark: bool
) -> None:
    tab.open(pages["whole"], 1200, dark)
    image = imread(io.BytesIO(tab.screenshot()), format="png")[..., :3]  # (height, width, 3)
    assert image.shape[1] == 1200
    assert image.shape[0] > 2500
    # Every screenful has ink in it: of no part is all the same colour.
    for top in range(0, image.shape[0] - 600, 600):
        part = image[top : top + 600].reshape(-1, 3)
        assert float(np.ptp(part, axis=0).max()) > 0.4, f"blank from {top}"
    assert (float(np.median(image)) < 0.3) == dark


def test_the_browser_has_nothing_to_complain_about_and_loads_only_the_page(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages["whole"], 1200)
    assert tab.complaints() == []
    assert tab.requests() == [pages["whole"].resolve().as_uri()]


def test_the_check_for_complaints_sees_them(tab: Tab, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
                   "<script>1</script><img src=missing.png>")
    tab.open(bad, 1200)
    assert len(tab.complaints()) >= 2


def test_words_in_drawings_are_in_the_page_s_font_and_inside_of_them(
    tab: Tab, pages: dict[str, Path]
) -> None:
    for width in WIDTHS:
        tab.open(pages["whole"], width)
        fonts = "[...new Set([...document.querySelectorAll('svg text')].map(e => " \
                "getComputedStyle(e).fontFamily))]"
        assert tab.ask(fonts) == [tab.ask("getComputedStyle(document.body).fontFamily")]
        outside = """[...document.querySelectorAll('svg text')].filter(e => {
            const t = e.getBoundingClientRect(), s = e.closest('svg').getBoundingClientRect();
            return s.width && (t.left < s.left - 1 || t.right > s.right + 1 ||
                               t.top < s.top - 1 || t.bottom > s.bottom + 1);
        }).map(e => e.textContent)"""
        assert tab.ask(outside) == [], width


def test_links_at_the_top_lead_to_the_parts(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["whole"], 1200)
    targets = "[...document.querySelectorAll('nav a')].map(a => " \
              "document.querySelector(a.hash).querySelector('h2').innerText)"
    names = "[...document.querySelectorAll('nav a')].map(a => a.innerText)"
    assert tab.ask(targets) == tab.ask(names)
    assert len(tab.ask(names)) == 5
