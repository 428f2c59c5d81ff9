"""The page about a comparison says what compare.json says, and nothing becomes markup."""

import re
from pathlib import Path

import pytest

import reports
from reports.comparison import read_comparison, render_comparison
from reviews.errors import UserError
from tests.reports.comparisons import make_comparison
from tests.reports.document import Element, card, parse, rows

HOSTILE = """<script>alert("1")</script>&amp;'"><img src=x onerror=alert(1)>$body"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = make_comparison(tmp_path_factory.mktemp("comparison") / "models")
    return render_comparison(read_comparison(folder), folder.name)


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return parse(text)


def table_of(page: Element, title: str) -> dict[str, list[str]]:
    """The body of a card's table: cells by the name of their row."""
    return {row[0]: row[1:] for row in rows(card(page, title))}


def test_the_headline_names_the_best_and_how_sure_that_is(page: Element) -> None:
    [headline] = page.all("h1")
    assert headline.text == ("bag has the highest accuracy: 92.40 %; its difference from tfidf-svm "
                             "is significant (p = 0.025 by Holm).")


def test_both_errors_stand_beside_every_accuracy(page: Element) -> None:
    table = table_of(page, "Scores and costs")
    assert table["tfidf-svm reference"][:4] == ["1", "91.50 %", "–", "0.18"]
    assert table["bag"] == ["3", "92.40 %", "0.26", "0.18", "0.9140 ± 0.0026", "–", "27.4 s",
                            "51,234", "130.0 MB", "908.0 MB"]


def test_differences_have_intervals_chances_and_power(page: Element) -> None:
    assert table_of(page, "Difference from tfidf-svm")["bag"] == [
        "+0.90", "+0.42 to +1.38", "+0.61 to +1.19", "99 %", "1 %", "0 %", "83 %"]


def test_a_test_that_could_not_be_done_is_a_dash(page: Element) -> None:
    table = table_of(page, "Tests")
    assert table["bag: t-test over seeds"] == ["–", "–", "–"]
    assert table["bag: McNemar, reviews"] == ["0.012", "0.025", "0.037"]


def test_the_drawing_names_the_models_and_ids_are_unique(text: str, page: Element) -> None:
    drawing = card(page, "Accuracy on the test reviews").text
    assert "bag" in drawing
    assert "tfidf-svm" in drawing
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_page_loads_nothing(text: str, page: Element) -> None:
    assert {e.tag for e in page} & {"script", "img", "link", "iframe"} == set()
    assert not re.search(r"https?://", text.replace("http://www.w3.org", ""))
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_texts_of_users_never_become_markup(tmp_path: Path) -> None:
    failure = {"model": "cnn", "seed": 1, "reason": HOSTILE}
    folder = make_comparison(tmp_path / "out", other=HOSTILE, store=HOSTILE, failures=[failure])
    page = parse(render_comparison(read_comparison(folder), HOSTILE))
    assert {e.tag for e in page} & {"script", "img"} == set()
    assert f"cnn, seed 1, failed: {HOSTILE}." in page.text


@pytest.mark.parametrize(("changes", "headline"), [
    ({"models": [], "runs": [], "differences": []},
     "No run finished; there is nothing to compare."),
    ({"differences": []}, "bag has the highest accuracy: 92.40 %; tfidf-svm, the reference, has no "
                          "finished run."),
    ({"differences": [], "reference": "bag"},
     "bag has the highest accuracy: 92.40 %; it is the reference."),
])
def test_a_page_of_less(tmp_path: Path, changes: dict[str, object], headline: str) -> None:
    folder = make_comparison(tmp_path / "out", **changes)
    [shown] = parse(render_comparison(read_comparison(folder), "out")).all("h1")
    assert shown.text == headline


def test_report_finds_out_that_a_folder_is_a_comparison(tmp_path: Path, text: str) -> None:
    folder = make_comparison(tmp_path / "models")
    assert reports.main([str(folder)]) == 0
    assert (folder / "report.html").read_text("utf-8") == text


@pytest.mark.parametrize("content", ["", "[]", '{"format": "reviewmill-comparison/9"}'])
def test_another_file_of_this_name_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "compare.json").write_text(content)
    with pytest.raises(UserError, match=r"compare\.json (cannot be read|has not the format)"):
        reports.main([str(tmp_path)])
