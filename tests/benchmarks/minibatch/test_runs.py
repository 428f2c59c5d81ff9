"""A run is kept in its folder with what it found; a divergence is a result, a failure is none."""

import json
from pathlib import Path

import pytest

from benchmarks.minibatch.rules import Base
from benchmarks.minibatch.runs import LOG, RESULT, ROWS, Study
from compare.rows import read_rows
from reviews.errors import UserError
from reviews.store import Store
from tests.stores import make_store

BASE = Base(batch_size=32, learning_rate=0.002, lamb_rate=0.01, warmup_epochs=0.1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("runs") / "store",
                      {"train": 300, "validation": 40}, length=8)


def test_all_runs_of_a_folder_train_on_the_same_drawn_reviews(
    store: Store, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        Study(store, tmp_path / name, 120, 1, BASE).open()
    one, other = (read_rows(tmp_path / name / ROWS) for name in ("one", "other"))
    assert len(set(one)) == 120 and one.max() < 300
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize(("rows", "epochs", "base", "name"), [
    (121, 1, BASE, "rows 120, not 121"),
    (120, 2, BASE, "epochs 1, not 2"),
    (120, 1, Base(32, 0.002, 0.01, 0.2), "warmup_epochs 0.1, not 0.2"),
    (120, 1, Base(32, 0.002, 0.02, 0.1), "lamb_rate 0.01, not 0.02"),
])
def test_runs_of_other_choices_are_not_mixed(
    rows: int, epochs: int, base: Base, name: str, store: Store, tmp_path: Path
) -> None:
    Study(store, tmp_path, 120, 1, BASE).open()
    Study(store, tmp_path, 120, 1, BASE).open()
    with pytest.raises(UserError, match=f"holds runs with {name}: give another --out"):
        Study(store, tmp_path, rows, epochs, base).open()


def test_a_run_that_fails_otherwise_than_by_diverging_is_no_result(
    store: Store, tmp_path: Path
) -> None:
    study = Study(store, tmp_path, 120, 1, BASE)
    study.open()
    (tmp_path / ROWS).write_bytes(b"no table")
    with pytest.raises(UserError, match=f"{LOG}: the training failed: .*{ROWS}"):
        study.run("none", 32, 0)
    assert not list(tmp_path.rglob(RESULT))


def test_a_result_that_is_kept_is_not_trained_again(store: Store, tmp_path: Path) -> None:
    study = Study(store, tmp_path, 120, 1, BASE)
    kept = tmp_path / "batch-64" / "sqrt" / "seed-3" / RESULT
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(
        {"accuracy": 0.75, "updates": 7, "noise_scale": {"scale": 90.0}}))
    result = study.run("sqrt", 64, 3)
    assert (result.accuracy, result.updates, result.scale) == (0.75, 7, 90)
