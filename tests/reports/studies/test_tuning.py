"""The page about a search says what tune.json says, and nothing becomes markup."""

import re
from pathlib import Path

import pytest

import reports
from reports.studies.tuning import read_tuning, render_tuning
from reviews.errors import UserError
from tests.reports.document import Element, card, parse, rows
from tests.reports.studies.tunings import make_tuning

HOSTILE = """<script>alert("1")</script>&amp;'"><img src=x onerror=alert(1)>$body"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = make_tuning(tmp_path_factory.mktemp("tuning") / "search")
    return render_tuning(read_tuning(folder), folder.name)


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return parse(text)


def test_the_headline_has_the_best_beside_the_defaults(page: Element) -> None:
    [headline] = page.all("h1")
    assert headline.text == ("Accuracy 88.00 % is the best of 10 complete trials; the defaults "
                             "have 87.01 %.")


def test_the_best_options_stand_beside_their_defaults(page: Element) -> None:
    best = {row[0]: row[1:] for row in rows(card(page, "Trial 9"))}
    assert best["hidden_dim"] == ["95", "64"]
    assert best["pooling"] == ["last", "mean+max"]
    assert "standard error of 0.46 points" in card(page, "Trial 9").text
    assert "epochs: 2" in card(page, "best.yaml").text
    assert "hidden_dim: 95" in card(page, "best.yaml").text


def test_complete_trials_come_first_the_best_at_the_top(page: Element) -> None:
    table = rows(card(page, "All trials"))
    assert [row[0] for row in table] == [
        "9", "8", "10", "11", "6", "4", "3", "2", "1", "0", "5"]
    assert table[-1][1:3] == ["71.00 %", "pruned"]


def test_options_are_drawn_the_most_important_first(page: Element) -> None:
    drawn = [figure.all("h3")[0].text for figure in page.all("figure")]
    assert drawn[-5:-1] == ["learning_rate", "pooling", "hidden_dim", "dropout"]
    assert "70 % of the importance" in card(page, "learning_rate").text
    assert "importance" not in card(page, "dropout").text


def test_a_failure_is_named(page: Element) -> None:
    assert "Trial 7 failed: no memory." in page.text


@pytest.mark.parametrize(("changes", "headline"), [
    ({"best": None, "trials": []}, "No trial is complete; there are no best options."),
    ({"best": 0}, "Accuracy 87.01 % is the best of 10 complete trials; it has the defaults."),
    ({"metric": "loss", "direction": "minimize"},
     "Loss 0.8800 is the best of 10 complete trials; the defaults have 0.8701."),
])
def test_pages_of_other_searches(
    tmp_path: Path, changes: dict[str, object], headline: str
) -> None:
    folder = make_tuning(tmp_path / "search", **changes)
    [shown] = parse(render_tuning(read_tuning(folder), "search")).all("h1")
    assert shown.text == headline


def test_the_page_loads_nothing_and_texts_never_become_markup(tmp_path: Path) -> None:
    folder = make_tuning(tmp_path / "search", store=HOSTILE, model=HOSTILE, base={"m": HOSTILE})
    text = render_tuning(read_tuning(folder), HOSTILE)
    assert {e.tag for e in parse(text)} & {"script", "img", "link", "iframe"} == set()
    assert not re.search(r"https?://", text.replace("http://www.w3.org", ""))
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_report_finds_out_that_a_folder_is_a_search(tmp_path: Path, text: str) -> None:
    folder = make_tuning(tmp_path / "search")
    assert reports.main([str(folder)]) == 0
    assert (folder / "report.html").read_text("utf-8") == text
    (folder / "tune.json").write_text('{"format": "reviewmill-tuning/9"}')
    with pytest.raises(UserError, match=r"tune\.json has not the format"):
        reports.main([str(folder)])
    (folder / "tune.json").write_text("[")
    with pytest.raises(UserError, match=r"tune\.json cannot be read"):
        reports.main([str(folder)])
