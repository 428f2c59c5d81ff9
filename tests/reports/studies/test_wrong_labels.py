"""Likely wrong labels on the page about a comparison."""

from pathlib import Path

from reports.comparison import read_comparison, render_comparison
from tests.reports.comparisons import WRONG_LABELS, make_comparison
from tests.reports.document import card, parse, rows


def test_their_number_and_the_surest_of_them_are_shown(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "out", wrong_labels=WRONG_LABELS)
    page = parse(render_comparison(read_comparison(folder), "out"))
    assert "123 of 4,000 labels (3.1 %) are likely wrong" in card(page, "Likely wrong labels").text
    assert rows(card(page, "Likely wrong labels")) == [
        ["negative, likely positive", "100"], ["positive, likely negative", "23"]]
    assert rows(card(page, "The surest of them")) == [
        ["negative", "positive, 99.8 %", "<i>The best</i> tea"]]


def test_without_folds_the_page_says_how_they_are_found(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "out")
    assert "are found with --folds" in render_comparison(read_comparison(folder), "out")
