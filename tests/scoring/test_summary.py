"""Counts of labels by day, product and file, and the page that is made of them."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import reviewmill
from scoring.summary import DAY_S, Summary
from tests.scoring.bundles import TEXTS, make_bundle


def reviews(products: list[str | None], days: list[float | None]) -> pa.RecordBatch:
    times = [None if day is None else int(day * DAY_S) for day in days]
    return pa.record_batch({"product": pa.array(products, pa.string()),
                            "time": pa.array(times, pa.int64())})


def labels(*names: str) -> np.ndarray:
    return np.array(names, object)


def test_labels_are_counted_by_day_product_and_file() -> None:
    summary = Summary(["negative", "positive"])
    summary.add(reviews(["a", "b", "a"], [0, 1.5, None]),
                labels("positive", "negative", "negative"), "one")
    summary.add(reviews(["a", None], [1, 1.9]), labels("positive", "positive"), "two")
    found = summary.to_json({"scored": 5})
    assert found["days"] == {"0": [0, 1], "1": [1, 2]}
    assert found["products"] == {"a": [1, 2], "b": [1, 0]}
    assert found["files"] == {"one": [2, 1], "two": [0, 2]}
    assert found["scored"] == 5


def test_rare_products_are_dropped_where_there_are_too_many() -> None:
    summary = Summary(["negative", "positive"], products=2)
    summary.add(reviews(["x", "y"] * 3, [None] * 6), labels(*["positive"] * 6), "one")
    for number in range(12):
        summary.add(reviews([f"p{number}"], [None]), labels("negative"), "one")
    found = summary.to_json({})
    assert found["products"]["x"] == [0, 3]
    assert len(found["products"]) + found["dropped_products"] == 14
    assert len(found["products"]) <= 8
    assert found["files"] == {"one": [12, 6]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "bag")[0]


def test_the_page_has_what_the_input_has(model: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "sku": f"kettle <{n % 2}>", "when": f"2024-0{1 + n % 5}-01"}
            for n, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "page.html"
    line = ["score", str(model), str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "o.csv"),
            "--summary", str(page)]
    assert reviewmill.main([*line, "--product-field", "sku", "--time-field", "when"]) == 0
    shown = page.read_text()
    assert "of 10 reviews are positive" in shown
    assert "2024-01-01" in shown and "kettle &lt;0&gt; (5)" in shown
    assert reviewmill.main([*line, "--overwrite"]) == 0
    plain = page.read_text()
    assert "of 10 reviews are positive" in plain and "kettle" not in plain


def test_a_page_that_cannot_be_written_is_refused_first(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "tea"}\n')
    line = ["score", str(model), str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "o.csv")]
    assert reviewmill.main([*line, "--summary", str(tmp_path / "no" / "page.html")]) == 2
    assert "give a file in a folder that is there" in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()
