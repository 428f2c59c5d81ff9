"""Counts of predicted labels by day, product and file, which `reports` makes a page of."""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.errors import UserError

Array = np.ndarray
FORMAT = "reviewmill-summary/1"
DAY_S = 86_400
PRODUCTS = 1 << 16  # products that are counted; beyond four times as many, the rarest are dropped


class Summary:
    """Numbers of labels; memory does not grow with the reviews."""

    def __init__(self, labels: list[str], products: int = PRODUCTS) -> None:
        """labels: all that there are, in their order."""
        self._labels, self._most = labels, products
        self._counts = {name: _table(kind) for name, kind in (
            ("day", pa.int64()), ("product", pa.string()), ("file", pa.string()))}
        self._dropped = 0

    def add(self, reviews: pa.RecordBatch, labels: Array, path: str) -> None:
        """Count reviews (n) of a file, and their labels (n)."""
        days = pa.array(np.floor_divide(reviews["time"].fill_null(0).to_numpy(), DAY_S),
                        mask=reviews["time"].is_null().to_numpy(zero_copy_only=False))
        columns = {"day": days, "product": reviews["product"],
                   "file": pa.array([path] * len(labels), pa.string())}
        found = pa.array(labels, pa.string())
        for name, values in columns.items():
            new = pa.table({"value": values, "label": found}).filter(pc.field("value").is_valid())
            self._counts[name] = _merge(
                self._counts[name], new.append_column("n", pa.array(np.ones(len(new), np.int64))))
        if len(self._counts["product"]) > 4 * self._most:
            self._drop_rare()

    def _drop_rare(self) -> None:
        """Keep the products with the most reviews."""
        counts = self._counts["product"]
        totals = counts.group_by("value").aggregate([("n", "sum")]).sort_by(
            [("n_sum", "descending"), ("value", "ascending")])
        kept = totals["value"][: self._most].combine_chunks()
        self._dropped += max(0, len(totals) - self._most)
        self._counts["product"] = counts.filter(pc.is_in(counts["value"], kept))

    def to_json(self, about: dict[str, Any]) -> dict[str, Any]:
        """All counts as plain values: of each day, product and file one list, in the order of
        the labels."""
        lists: dict[str, dict[str, list[int]]] = {}
        for name, counts in self._counts.items():
            found: dict[Any, list[int]] = {}
            for row in counts.sort_by("value").to_pylist():
                numbers = found.setdefault(row["value"], [0] * len(self._labels))
                numbers[self._labels.index(row["label"])] += row["n"]
            lists[f"{name}s"] = {str(value): numbers for value, numbers in found.items()}
        return {"format": FORMAT, "labels": self._labels, "dropped_products": self._dropped,
                **lists, **about}

    def write_page(self, page: str, about: dict[str, Any]) -> None:
        """Write the page about the counts. Pages are another stage's, which reads files."""
        with tempfile.TemporaryDirectory(prefix="reviewmill-") as folder:
            file = Path(folder, "summary.json")
            file.write_text(json.dumps(self.to_json(about)), "utf-8")
            done = subprocess.run([sys.executable, "-P", "-m", "reports", str(file), "--out", page],
                                  capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"--summary {page}: {done.stderr.strip().splitlines()[-1]}")


def check_page(page: str) -> None:
    """Raise UserError for a page that could not be written when all is scored."""
    if find_spec("matplotlib") is None:
        raise UserError("--summary needs matplotlib: pip install 'reviewmill[report]'")
    if not Path(page).parent.is_dir() or Path(page).is_dir():
        raise UserError(f"--summary {page}: give a file in a folder that is there")


def _table(kind: pa.DataType) -> pa.Table:
    return pa.schema([("value", kind), ("label", pa.string()), ("n", pa.int64())]).empty_table()


def _merge(counts: pa.Table, new: pa.Table) -> pa.Table:
    joined = pa.concat_tables([counts, new])
    found = joined.group_by(["value", "label"]).aggregate([("n", "sum")])
    return found.select(["value", "label", "n_sum"]).rename_columns(["value", "label", "n"])
