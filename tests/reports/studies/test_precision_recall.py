"""Precision and recall on the pages of a run and of a comparison."""

import json
from pathlib import Path

import numpy as np

from reports.comparison import read_comparison, render_comparison
from reports.page import render
from reports.run import read_run
from reviews.metrics import precision_recall_table
from tests.reports.comparisons import make_comparison
from tests.reports.document import card, parse, rows, section
from tests.reports.runs import CLASSES, make_evaluation, make_run

DRAW = np.random.default_rng(0)
TRUTH = (DRAW.random(2000) < 0.7).astype(np.uint8)
FIGURES = precision_recall_table(TRUTH, DRAW.normal(3.0 * TRUTH - 1.5, 1.5), CLASSES)


def test_the_page_of_a_run_has_thresholds_and_the_curve_as_numbers(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", evaluated=False)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({**make_evaluation(), "precision_recall": FIGURES}) + "\n")
    page = section(parse(render(read_run(folder))), "test")
    listed = rows(card(page, "Thresholds for a wanted precision"))
    wanted = [(name, one) for name in CLASSES for one in FIGURES[name]["wanted"]]
    assert len(listed) == len(wanted) > 4
    for row, (name, one) in zip(listed, wanted, strict=True):
        assert row[0] == f"{name}, {100 * one['wanted']:.0f} %"
        assert row[1:] == [f"{one['threshold']:.4f}", f"{100 * one['precision']:.2f} %",
                           f"{100 * one['recall']:.2f} %"]
    points = rows(card(page, "Precision and recall, as numbers"))
    assert {row[0] for row in points} == set(CLASSES)
    assert 20 <= len(points) <= 40
    assert points[-1][1] == "100.0 %"
    assert "Average precision: negative 0." in page.text


def test_a_run_evaluated_by_an_earlier_version_has_no_such_part(tmp_path: Path) -> None:
    page = parse(render(read_run(make_run(tmp_path / "run"))))
    assert "Thresholds" not in page.text


def test_the_page_of_a_comparison_has_the_recall_of_each_model(tmp_path: Path) -> None:
    of_class = {"class": "negative", **FIGURES["negative"]}
    folder = make_comparison(tmp_path / "comparison", precision_recall=[
        {"model": "tfidf-svm", **of_class}, {"model": "bag", **of_class, "wanted": []}])
    page = parse(render_comparison(read_comparison(folder), "comparison"))
    first, second = rows(card(page, "Recall of negative by wanted precision"))
    assert first == ["tfidf-svm", f"{of_class['average_precision']:.4f}", *(
        f"{100 * one['recall']:.1f} % ({one['threshold']:.3f})" for one in of_class["wanted"])]
    assert second == ["bag", first[1], *["–"] * len(of_class["wanted"])]
    assert "#precision" in [link.attributes["href"] for link in page.all("a")]
    assert {row[0] for row in rows(card(page, "Precision and recall, as numbers"))} == {
        "tfidf-svm", "bag"}


def test_a_comparison_of_an_earlier_version_has_no_such_part(tmp_path: Path) -> None:
    page = render_comparison(read_comparison(make_comparison(tmp_path / "out")), "out")
    assert "Precision and recall" not in page and "#precision" not in page
