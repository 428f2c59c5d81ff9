"""Learning curves on the page about a comparison."""

from pathlib import Path

from reports.comparison import read_comparison, render_comparison
from tests.reports.comparisons import CURVE, make_comparison
from tests.reports.document import card, parse, rows


def test_points_and_forecast_are_a_drawing_and_a_table(tmp_path: Path) -> None:
    other = {"model": "tfidf-svm", "points": CURVE["points"][1:2], "forecast": None}
    folder = make_comparison(tmp_path / "out", learning_curve=[CURVE, other])
    page = parse(render_comparison(read_comparison(folder), "out"))
    table = rows(card(page, "Accuracy by number of training reviews"))
    assert table == [["bag", "85.00 %", "89.00 %", "91.50 %", "93.10 % (92.20 to 93.90)"],
                     ["tfidf-svm", "–", "89.00 %", "–", "–"]]
    drawing = card(page, "Learning curve").text
    assert all(tick in drawing for tick in ("1 k", "2 k", "4 k", "8 k"))


def test_a_comparison_without_one_has_no_such_section(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "out")
    assert "earning curve" not in render_comparison(read_comparison(folder), "out")
