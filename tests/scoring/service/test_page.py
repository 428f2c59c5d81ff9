"""The page of the server in a real browser: typed, clicked, read, offline, narrow and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring import load
from tests.reports.browser import Tab, browser_tab
from tests.scoring.bundles import make_bundle
from tests.scoring.service.browsing import (
    PHONE,
    WIDE,
    names_by_role,
    press,
    type_text,
    visit,
    wait_for,
)
from tests.scoring.service.server import Server, serving

RESULTS = "document.querySelectorAll('#results li').length"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "lstm")[0]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser_tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with serving(model) as started:
        yield started


def test_typed_reviews_are_scored_at_once_and_as_the_model_says(
    tab: Tab, server: Server, model: Path
) -> None:
    visit(tab, server)
    type_text(tab, "Good tea, good cup!\n\nIt broke \N{PERSEVERING FACE} again")
    wait_for(tab, f"{RESULTS} === 2")
    wanted = load(str(model))(["Good tea, good cup!", "It broke \N{PERSEVERING FACE} again"])
    shown = tab.ask("[...document.querySelectorAll('.verdict .label')].map(e => e.textContent)")
    assert shown == wanted.labels
    meters = tab.ask("[...document.querySelectorAll('meter')].map(e => e.value)")
    assert meters == pytest.approx(wanted.probabilities[:, 1].tolist(), abs=1e-5)
    texts = tab.ask("[...document.querySelectorAll('.text')].map(e => e.textContent)")
    assert texts == ["Good tea, good cup!", "It broke \N{PERSEVERING FACE} again"]
    words = tab.ask("[...document.querySelectorAll('#results mark')].map(e => e.textContent)")
    assert words
    assert set(words) <= set(["Good", "tea,", "good", "cup!", "It", "broke", "😣", "again"])


def test_it_works_by_keyboard_alone(tab: Tab, server: Server) -> None:
    visit(tab, server)
    type_text(tab, "good tea")
    press(tab, "Enter", 13, modifiers=2)  # with the control key
    wait_for(tab, f"{RESULTS} === 1")
    press(tab, "Tab", 9)
    assert tab.ask("document.activeElement.textContent") == "Score"


def test_what_it_shows_has_names_for_screen_readers(tab: Tab, server: Server) -> None:
    visit(tab, server)
    type_text(tab, "good tea")
    wait_for(tab, f"{RESULTS} === 1")
    names = names_by_role(tab)
    assert names["textbox"] == {"Reviews"}
    assert names["button"] >= {"Score"}
    assert names["meter"] == {"probability of positive"}
    assert names["list"] == {"Results"}
    assert tab.ask("document.getElementById('state').getAttribute('role')") == "status"
    assert tab.ask("document.documentElement.lang") == "en"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_nothing_sticks_out_or_is_fetched_from_elsewhere(
    tab: Tab, server: Server, width: int, dark: bool
) -> None:
    visit(tab, server, width, dark)
    type_text(tab, "a-very-long-word-without-any-blank" * 20)
    wait_for(tab, f"{RESULTS} === 1")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.complaints() == []
    assert all(url.startswith((server.address, "data:")) for url in tab.requests())
    background = tab.ask("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(13, 17, 23)") is dark


def test_markup_in_a_review_is_text(tab: Tab, server: Server) -> None:
    visit(tab, server)
    type_text(tab, "<img src=x onerror=\"document.title='gone'\"> good tea")
    wait_for(tab, f"{RESULTS} === 1")
    assert tab.ask("document.querySelectorAll('#results img').length") == 0
    assert tab.ask("document.title") == "reviewmill: try the model"


def test_a_token_is_asked_for_once_and_kept_in_the_tab(tab: Tab, model: Path) -> None:
    with serving(model, REVIEWMILL_TOKEN="open sesame") as server:
        visit(tab, server)
        type_text(tab, "good tea")
        wait_for(tab, "document.activeElement.id === 'token'")
        type_text(tab, "open sesame")
        press(tab, "Enter", 13)
        wait_for(tab, f"{RESULTS} === 1")
        visit(tab, server)
        type_text(tab, "bad cup")
        wait_for(tab, f"{RESULTS} === 1")
        assert tab.ask("document.getElementById('secret').hidden") is True
        tab.ask("sessionStorage.removeItem('token'), 0")


def test_a_server_that_has_ended_is_said(tab: Tab, model: Path) -> None:
    with serving(model) as server:
        visit(tab, server)
        server.stop()
        type_text(tab, "good tea")
        said = wait_for(tab, "document.getElementById('error').textContent")
    assert said == "The server does not answer."


def test_two_models_stand_beside_each_other(tab: Tab, model: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", "bag")[0]
    text = "Good tea, but it broke"
    wanted = [load(str(path))([text]).probabilities[0, 1] for path in (model, other)]
    with serving(model, str(other)) as server:
        for width, columns in ((WIDE, 2), (PHONE, 1)):
            visit(tab, server, width)
            type_text(tab, text)
            wait_for(tab, f"{RESULTS} === 1")
            meters = tab.ask("[...document.querySelectorAll('#results meter')].map(e => e.value)")
            assert meters == pytest.approx(wanted, abs=1e-5)
            tops = tab.ask("[...document.querySelectorAll('#results meter')]"
                           ".map(e => e.getBoundingClientRect().top)")
            assert len({*tops}) == 3 - columns
            assert tab.ask("document.documentElement.scrollWidth") <= width
        names = tab.ask("[...document.querySelectorAll('#results h3')].map(e => e.textContent)")
        assert names == [model.parent.name, "other"]
        assert names_by_role(tab)["meter"] == {
            f"probability of positive by {name}" for name in names}
