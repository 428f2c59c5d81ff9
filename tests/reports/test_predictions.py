"""The page about predictions: shares, their intervals and periods of time."""

import json
from pathlib import Path

import pytest

from reports.predictions import (
    FORMAT,
    interval,
    periods,
    read_predictions_summary,
    render_predictions,
    watched_label,
)
from reviews.errors import UserError
from tests.reports.document import card, parse, rows


def test_an_interval_is_wilsons() -> None:
    assert interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    low, high = interval(0, 1)
    assert (low, round(high, 3)) == (0.0, 0.793)
    assert interval(10, 10)[1] == 1.0


def test_time_is_shown_by_the_finest_period_that_fits() -> None:
    assert periods({"0": [1, 2], "1": [3, 0]}) == (
        "day", {"1970-01-01": [1, 2], "1970-01-02": [3, 0]})
    name, found = periods({str(day): [1, 0] for day in range(100)})
    assert (name, found["1970-02"]) == ("month", [28, 0])
    name, found = periods({str(day): [1, 0] for day in range(0, 366 * 9, 7)})
    assert name == "year"
    assert sum(counts[0] for counts in found.values()) == len(range(0, 366 * 9, 7))


def test_the_watched_label_is_the_last_class() -> None:
    assert watched_label(["negative", "positive", "unsure"]) == "positive"
    assert watched_label(["1", "2", "3"]) == "3"


def summary(**others: object) -> dict[str, object]:
    return {"format": FORMAT, "labels": ["negative", "positive"], "dropped_products": 0,
            "days": {}, "products": {}, "files": {"in": [3, 7]}, "model": "run",
            "inputs": ["in"], "records": 11, "scored": 10, "bad": {"invalid_json": 1}, **others}


def test_parts_without_counts_are_left_out() -> None:
    page = render_predictions(summary())
    assert "70.0\N{NO-BREAK SPACE}% of 10 reviews are positive" in page
    assert "Share of positive" not in page and "Labels by" not in page


def test_every_chart_has_its_numbers() -> None:
    page = parse(render_predictions(summary(
        files={"a/x": [3, 2], "b/x": [0, 5]}, days={"0": [3, 2], "1": [0, 5]},
        products={"kettle": [3, 2], "tea": [0, 5]})))
    for unit, names in (("file", ["x", "x"]), ("day", ["1970-01-01", "1970-01-02"]),
                        ("product", ["kettle", "tea"])):
        found = {tuple(row) for row in rows(card(page, f"Labels by {unit}"))}
        low, high = (f"{100 * bound:.1f} %" for bound in interval(2, 5))
        assert found >= {(names[0], "5", "3", "2", "40.0 %", f"{low} to {high}")}
        assert {row[:5] for row in found} >= {(names[1], "5", "0", "5", "100.0 %")}


def test_the_lowest_products_are_those_that_surely_are() -> None:
    page = render_predictions(summary(products={"once": [1, 0], "often": [95, 5]}))
    lowest = page[page.index("Products with the lowest share") :]
    assert lowest.index("often") < lowest.index("once")


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"format": "other"}))
    with pytest.raises(UserError, match="has not the format"):
        read_predictions_summary(file)
    file.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_predictions_summary(file)
