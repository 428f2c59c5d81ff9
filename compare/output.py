"""Files of a comparison: compare.json with all of it, compare.csv and compare.md with the table."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reviews.storage.folders import write_atomically

Comparison = Mapping[str, Any]


def write_files(out: Path, comparison: Comparison) -> None:
    """Write the three files, each whole."""
    write_atomically(out / "compare.json", json.dumps(comparison, indent=1).encode() + b"\n")
    write_atomically(out / "compare.csv", csv_table(comparison).encode())
    write_atomically(out / "compare.md", markdown_table(comparison).encode())


def csv_table(comparison: Comparison) -> str:
    """A line for each system: its figures, then its difference from the reference."""
    rows = [flat_row(summary, _difference(comparison, summary["model"]))
            for summary in comparison["models"]]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    table = csv.DictWriter(written, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def flat_row(summary: Mapping[str, Any], difference: Mapping[str, Any] | None) -> dict[str, Any]:
    """Figures of a system and of its difference under plain names; None becomes an empty cell."""
    row = {**summary, "seeds": len(summary["seeds"])}
    if difference is None:
        return row
    for name, value in difference["difference"].items():
        row[f"difference_{name}"] = value
    row["bootstrap_low"] = difference["bootstrap_low"]
    row["bootstrap_high"] = difference["bootstrap_high"]
    for test, values in difference["p"].items():
        for kind in ("p", "holm", "bonferroni"):
            row[f"{test}_{kind}"] = values and values[kind]
    return row


def markdown_table(comparison: Comparison) -> str:
    """The table for a README: scores with seeds' deviation and test error, costs, difference."""
    unit = "folds" if comparison["folds"] else "seeds"
    rated = any("rating_rmse" in summary for summary in comparison["models"])
    head = ["", f"accuracy ± {unit} ± test reviews", "macro F1",
            *(["RMSE of the rating"] if rated else []), "training", "scoring", "size", "memory",
            "difference (95 %)", "p, Holm", "equal within 0.2"]
    lines = ["|" + "|".join(f" {name} ".replace("  ", " ") for name in head) + "|",
             "|" + "---|" * len(head)]
    for summary in comparison["models"]:
        row = _difference(comparison, summary["model"])
        cells = [
            summary["model"], accuracy_text(summary), f"{summary['f1_macro']:.4f}",
            *([rating_text(summary)] if rated else []),
            f"{summary['train_s']:,.1f} s", f"{summary['reviews_per_s']:,.0f} reviews/s",
            f"{summary['bytes'] / 1e6:,.1f} MB", f"{summary['peak_bytes'] / 1e6:,.0f} MB",
            *(("reference", "", "") if summary["model"] == comparison["reference"]
              else _difference_cells(row, comparison["quoted"]))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def accuracy_text(summary: Mapping[str, Any]) -> str:
    """91.49 ± 0.10 ± 0.19 %; a dash where one run has no deviation."""
    deviation = summary["accuracy_seed_deviation"]
    seeds = "–" if deviation is None else f"{100 * deviation:.2f}"
    return (f"{100 * summary['accuracy']:.2f} ± {seeds} ± "
            f"{100 * summary['accuracy_test_error']:.2f} %")


def rating_text(summary: Mapping[str, Any]) -> str:
    """1.215 ± 0.004 ± 0.021, as of the accuracy; a dash for a system that predicts no rating."""
    if "rating_rmse" not in summary:
        return "–"
    deviation = summary["rating_rmse_seed_deviation"]
    seeds = "–" if deviation is None else f"{deviation:.3f}"
    return f"{summary['rating_rmse']:.3f} ± {seeds} ± {summary['rating_rmse_test_error']:.3f}"


def _difference_cells(row: Mapping[str, Any] | None, quoted: str) -> tuple[str, str, str]:
    if row is None:
        return "–", "–", "–"
    found = row["difference"]
    return (f"{100 * found['mean']:+.2f} ({100 * found['low']:+.2f} to {100 * found['high']:+.2f})",
            f"{row['p'][quoted]['holm']:.2g}", f"{found['equal']:.0%}")


def _difference(comparison: Comparison, model: str) -> Mapping[str, Any] | None:
    for row in comparison["differences"]:
        if row["model"] == model:
            found: Mapping[str, Any] = row
            return found
    return None
