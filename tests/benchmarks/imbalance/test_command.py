"""`bench imbalance`: a row for each fraction and remedy."""

from typing import Any

import pytest

from benchmarks.imbalance.command import REMEDIES, entry, main, read_options, remedy_options
from mpi_train.configuration.config import make_training_parser
from mpi_train.configuration.resolve import layered
from reviews.errors import UserError
from tests.stores import make_store


def figures(score: float) -> dict[str, Any]:
    return {"f1_macro": score, "recall": {"bad": 0.25}, "precision": {"bad": 0.5},
            "accuracy": 0.9, "roc_auc": 0.8}


def test_a_row_has_means_and_the_deviation_of_macro_f1() -> None:
    assert entry(0.1, "focal", [figures(0.6), figures(0.7)], "bad") == [
        "10%", "focal", "65.00%", "7.07", "25.00%", "50.00%", "90.00%", "0.8000"]
    assert entry(0.23, "none", [figures(0.6)], "bad")[2:4] == ["60.00%", "-"]


def test_remedies_are_in_proportion_to_the_classes() -> None:
    found = {name: layered(vars(make_training_parser("train").parse_args(
        ["--model", "bag", *remedy_options(name, 0.1)]))) for name in REMEDIES}
    assert found["weights"].loss.weights == (9, 1)
    assert found["focal"].loss.loss == "focal"
    assert found["oversampling"].data.times == (9, 1)
    assert (found["none"].loss.weights, found["none"].data.times) == ((), ())


@pytest.mark.soak
def test_the_table_of_generated_reviews(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 600, "validation": 40, "test": 200})
    assert main([str(store.path), "--rows", "300", "--rare", "0.2", "--seeds", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()
            if line.startswith("20%")]
    assert [row[1] for row in rows] == list(REMEDIES)
    recall = {row[1]: float(row[4].rstrip("%")) for row in rows}
    assert recall["weights"] >= recall["none"] and recall["oversampling"] >= recall["none"]


@pytest.mark.parametrize(("words", "message"), [
    (["--rows", "0"], "--rows and --seeds 1 or more"),
    (["--rare", "0.1", "0.5"], "--rare has fractions of more than 0, below 0.5"),
    (["--rare", "0"], "--rare has fractions of more than 0, below 0.5"),
])
def test_wrong_options_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_options(["store", *words])


@pytest.mark.parametrize("lacking", [{"rows": {"train": 90}}, {
    "rows": {"train": 90, "test": 9}, "classes": ("a", "b", "c")}])
def test_a_store_of_another_kind_is_refused(lacking: dict[str, Any], tmp_path: Any) -> None:
    store = make_store(tmp_path / "store", **lacking)
    with pytest.raises(UserError, match="no store of two classes with a test split"):
        main([str(store.path)])
