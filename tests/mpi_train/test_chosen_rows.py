"""train --rows: an epoch has each review as often as the file says, and no other."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_train.__main__ import main
from mpi_train.chosen_rows import ChosenRows
from mpi_train.data import Batch, BatchReader, SplitReader
from mpi_train.evaluate import main as evaluate
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.metrics import evaluate_scores
from reviews.options import replace_flat
from reviews.predictions import read_predictions
from reviews.store import Store
from tests.mpi_train.runs import arguments, difference, losses, records, train
from tests.stores import make_store

ROWS = 2500


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("rows") / "store",
                      {"train": ROWS, "validation": 60}, length=16)


@pytest.fixture(scope="module")
def ids(store: Store) -> np.ndarray:
    """review_ids of the training split, in the store's order."""
    return np.concatenate([*SplitReader(store, "train", ids=True).column("review_id")])


def write(file: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


def ids_of(batch: Batch) -> np.ndarray:
    found = np.zeros(len(batch.labels), np.uint64)
    for number, rows in enumerate(batch._windows):
        inside = batch._window == number
        assert rows.ids is not None
        found[inside] = rows.ids[batch._row[inside]]
    return found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), times=st.sampled_from([(), (2, 3)]), window=st.integers(1, 3))
def test_an_epoch_has_each_review_as_often_as_it_says(
    seed: int, times: tuple[int, ...], window: int, store: Store, ids: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    draws = np.random.default_rng(seed)
    some = draws.permutation(ids)[: draws.integers(1, len(ids))]
    counts = draws.integers(0, 4, len(some))
    file = write(tmp_path_factory.mktemp("f") / "rows.parquet", review_id=some, count=counts)
    reader = BatchReader(store, "train", 300, seed, window, times,
                         chosen=ChosenRows(file, store))
    found: Counter[int] = Counter()
    labels = {}
    for update in range(reader.plan.updates):
        batch = reader.batch(0, update)
        own = ids_of(batch).tolist()
        found.update(own)
        labels |= dict(zip(own, batch.labels.tolist(), strict=True))
    wanted = {number: count * (times[labels[number]] if times else 1)
              for number, count in zip(some.tolist(), counts.tolist(), strict=True) if count}
    assert found == wanted
    assert reader.plan.rows == found.total()


def test_all_rows_once_is_the_plan_without_a_file(
    store: Store, ids: np.ndarray, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.parquet", review_id=ids, count=np.ones(len(ids), np.int32))
    plain = train(store, tmp_path / "plain", epochs=1)
    chosen = train(store, tmp_path / "chosen", epochs=1, rows=file)
    assert losses(chosen) == losses(plain)
    assert difference(read_bundle(chosen).weights, read_bundle(plain).weights) == 0


def test_a_run_trains_on_the_rows_alone_and_is_resumed_with_the_same_ones(
    store: Store, ids: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "rows.parquet", review_id=ids[:200], count=np.full(200, 2))
    monkeypatch.chdir(tmp_path)  # the file is found again from elsewhere
    run = train(store, tmp_path / "run", epochs=1, rows=file.name)
    monkeypatch.chdir("/")
    assert sum(step["reviews"] for step in records(run, "step")) == 400
    write(file, review_id=ids[:100], count=np.full(100, 2))
    with pytest.raises(UserError, match=r"is not what .* was trained on"):
        main(["--out", str(run), "--resume", "--epochs", "2"])
    write(file, review_id=ids[:200], count=np.full(200, 2))
    assert main(["--out", str(run), "--resume", "--epochs", "2", "--rows", str(file)]) == 0


def test_where_an_id_may_stand_for_several_reviews_the_row_says_which(
    store: Store, ids: np.ndarray, tmp_path: Path
) -> None:
    several = Store(store.path)
    vars(several)["recipe"] = replace_flat(store.recipe, dedupe="none")
    with pytest.raises(UserError, match="has no column row"):
        ChosenRows(write(tmp_path / "a", review_id=ids[:3], count=[1, 1, 1]), several)
    chosen = ChosenRows(
        write(tmp_path / "b", review_id=ids[[7, 2]], count=[3, 1], row=[7, 2]), several)
    assert chosen.counts(ids[:10], 0).tolist() == [0, 0, 1, 0, 0, 0, 0, 3, 0, 0]
    assert chosen.counts(ids[5:10], 5).tolist() == [0, 0, 3, 0, 0]
    with pytest.raises(UserError, match="has other review_ids than the store at its rows"):
        chosen.counts(ids[1:11], 0)


@pytest.mark.parametrize(("columns", "message"), [
    ({"review_id": [1, 2]}, "has no column count"),
    ({"review_id": ["a"], "count": [1]}, "review_id is not a column of whole numbers"),
    ({"review_id": [1], "count": [1.5]}, "count is not a column of whole numbers"),
    ({"review_id": [1], "count": [-1]}, "count has negative numbers"),
    ({"review_id": [1], "count": [1001]}, "a count is a whole number from 0 to 1000"),
    ({"review_id": [1, 1], "count": [1, 1]}, "the review_id 1 is there twice"),
    ({"review_id": [1], "count": [1]}, "names 1 reviews that are not in the store's training"),
])
def test_a_file_that_is_no_choice_is_one_line(
    columns: dict[str, Any], message: str, store: Store, tmp_path: Path
) -> None:
    file = write(tmp_path / "rows.parquet", **columns)
    with pytest.raises(UserError, match=message):
        main(arguments(store, tmp_path / "run", rows=file))


def test_so_is_one_that_is_no_parquet_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("1,2\n")
    for name, why in (("rows", "Parquet"), ("missing", "there is no such file")):
        file = tmp_path / name
        with pytest.raises(UserError, match=f"--rows {file}: .*{why}"):
            main(arguments(store, tmp_path / "run", rows=file))


def test_a_run_is_validated_on_the_rows_that_are_held_out(
    store: Store, ids: np.ndarray, tmp_path: Path
) -> None:
    held_out = np.concatenate([ids[5:20], ids[-30:]])  # of the first and the last shard
    rows = write(tmp_path / "rows.parquet", review_id=ids[100:300], count=np.full(200, 1))
    own = write(tmp_path / "own.parquet", review_id=held_out, count=np.full(45, 1))
    run = train(store, tmp_path / "run", epochs=1, rows=rows, validation_rows=own)
    assert evaluate([str(run), "--store", str(store.path), "--split", "train",
                     "--predictions", str(tmp_path / "predictions.parquet")]) == 0
    named, labels, logits = read_predictions(tmp_path / "predictions.parquet", store.classes)
    inside = np.isin(named, held_out)
    [epoch] = records(run, "epoch")
    assert epoch["validation"]["n"] == 45
    assert epoch["validation"]["loss"] == pytest.approx(
        evaluate_scores(labels[inside], logits[inside], store.classes)["loss"], rel=1e-4)


def test_no_row_is_both_trained_on_and_held_out(
    store: Store, ids: np.ndarray, tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.parquet", review_id=ids[:9], count=[0, *[1] * 8])
    own = write(tmp_path / "own.parquet", review_id=ids[[0, 3, 4]], count=[1, 1, 0])
    with pytest.raises(UserError, match=rf"has 1 reviews that are trained on .*{ids[3]}"):
        main(arguments(store, tmp_path / "run", rows=rows, validation_rows=own))
    with pytest.raises(UserError, match="--validation-rows goes with --rows"):
        main(arguments(store, tmp_path / "run", validation_rows=own))


def test_chunks_without_a_chosen_row_are_not_read(
    store: Store, ids: np.ndarray, tmp_path: Path
) -> None:
    chosen = ChosenRows(
        write(tmp_path / "rows.parquet", review_id=ids[:9], count=np.full(9, 1)), store)
    reader = BatchReader(store, "train", 300, 0, 64, chosen=chosen)
    batch = reader.batch(0, 0)
    assert sorted(ids_of(batch)) == sorted(ids[:9])
    assert [len(rows.labels) for rows in batch._windows] == [9]
    held_out = SplitReader(store, "train", chosen=chosen)
    assert [(number, len(rows.labels)) for number, rows in held_out.blocks(0, [1])] == [(0, 9)]
    assert [*held_out.blocks(1, [1, 0])] == []
