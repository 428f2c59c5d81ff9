"""Fields beside the text become numbers as pandas and scikit-learn would make them."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.feature_selection import mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import reviewmill
from reviews.corpora import plan_splits, read_blocks
from reviews.encoding import encode_files
from reviews.errors import UserError
from reviews.features import Encoding
from reviews.recipe import SPLITS, Recipe
from reviews.storage.folders import sha256
from reviews.storage.verify import verify_store
from reviews.store import Store
from tests.mapreduce.corpus import run, stored_rows, write_reviews

FEATURES = ("likes", "app:category", "at:time")


def make_rows(n: int) -> list[dict[str, Any]]:
    """Reviews whose digits are their number; each field is missing in a fifth of them."""
    rng = random.Random(0)
    rows = []
    for i in range(n):
        row = {"text": " ".join(f"{i:04d}"), "rating": rng.choice([1, 5]), "likes": i % 7 - i / 3,
               "app": rng.choice("aabbccdefgh"), "at": f"2024-{i % 12 + 1:02d}-03T10:00:00Z"}
        for name in ("likes", "app", "at"):
            if i and rng.random() < 0.2:
                row[name] = None
        rows.append(row)
    return rows


def stored_features(store: Store, split: str) -> np.ndarray:
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        return file[f"{split}/features"][:]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Store, str]:
    """The rows in the order of the store, the store, and the file."""
    top = tmp_path_factory.mktemp("features")
    rows = make_rows(2000)
    path = write_reviews(top / "reviews.json", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 50_000)
        store = run([path], top / "store", Recipe.of(features=FEATURES, feature_values=3))
    assert len(store.manifest["files"]) > 4
    frame = pd.DataFrame(rows)
    stored = [(row["split"], int("".join(row["words"]))) for row in stored_rows(store)]
    frame = frame.loc[[number for _, number in stored]]
    frame["split"] = [split for split, _ in stored]
    return frame, store, path


def test_scikit_learn_makes_the_same_features(prepared) -> None:
    frame, store, _ = prepared
    frame = frame.assign(at=pd.to_datetime(frame["at"]).map(
        lambda at: at.timestamp() if pd.notna(at) else np.nan))
    train = frame[frame["split"] == "train"]
    counts = train["app"].value_counts()
    top = sorted(counts.index, key=lambda app: (-counts[app], app))[:3]
    expected = []
    for name in ("likes", "app", "at"):
        if name == "app":
            encoder = OneHotEncoder(categories=[top], handle_unknown="ignore", sparse_output=False)
            expected += list(encoder.fit(train[["app"]]).transform(frame[["app"]]).T)
        else:
            scaled = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant",
                                                                  fill_value=0))
            column = frame[[name]].astype(float)
            expected += list(scaled.fit(train[[name]].astype(float)).transform(column).T)
        expected.append(frame[name].isna().to_numpy(float))
    found = np.concatenate([stored_features(store, split) for split in SPLITS])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-5, atol=1e-6)
    assert store.feature_names == [
        "likes", "likes missing", *(f"app={value}" for value in top), "app missing", "at",
        "at missing"]


def test_the_manifest_says_how_and_other_files_are_encoded_alike(prepared) -> None:
    _, store, path = prepared
    encoding = Encoding(store.manifest["features"]["encoding"])
    assert encoding.names == store.feature_names
    blocks = encode_files([path], store.recipe, ["0"], encoding)
    here = np.concatenate([block.features for block in blocks if block.features is not None])
    there = np.concatenate([stored_features(store, split) for split in SPLITS])
    assert sorted(map(tuple, here.tolist())) == sorted(map(tuple, there.tolist()))
    assert not list(verify_store(store))


def test_equal_reviews_have_the_features_of_the_earliest(tmp_path: Path) -> None:
    rows = [{"text": "same", "rating": 5, "time": 9 - i, "likes": likes}
            for i, likes in enumerate([7, 1, 4])]
    rows += [{"text": f"other {n}", "rating": 5, "time": 1, "likes": 0} for n in range(7)]
    rows += [{"text": "tie", "rating": 5, "time": 1, "likes": likes} for likes in (12, 3)]
    recipe = Recipe.of(features=("likes",), split=(1.0, 0.0, 0.0))
    store = run([write_reviews(tmp_path / "a.json", rows)], tmp_path / "store", recipe)
    [entry] = store.manifest["features"]["encoding"]
    values = stored_features(store, "train")[:, 0] * entry["scale"] + entry["mean"]
    assert sorted(np.rint(values)) == [0] * 7 + [3, 4]


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store, Store]:
    """A file of which likes, some apps and the lack of a time say something of the label, the store
    with all columns, and that with the best 5 of 9."""
    top, rng = tmp_path_factory.mktemp("telling"), random.Random(1)
    rows = []
    for i, row in enumerate(make_rows(3000)):
        good = row["rating"] == 5
        row["likes"] = rng.gauss(2 if good else 0, 2)
        row["app"] = rng.choice("aaabbbccdd" if good else "aaabbccccd") if i else "a"
        row["at"] = row["at"] if rng.random() < (0.9 if good else 0.7) else None
        row["noise"] = rng.gauss(0, 1)
        rows.append(row)
    path = write_reviews(top / "reviews.json", rows)
    fields = ("likes", "app:category", "at:time", "noise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 100_000)
        every, best = (run([path], top / f"{n}", Recipe.of(
            features=fields, feature_values=4, best_features=n)) for n in (0, 5))
    return path, every, best


def test_the_best_features_are_those_of_scikit_learn(telling) -> None:
    _, every, best = telling
    with h5py.File(every.path / "reviews.h5", locking=False) as file:
        labels = file["train/label"][:]
    features = stored_features(every, "train")
    binary = [len(np.unique(column)) <= 2 for column in features.T]
    scores = mutual_info_classif(features, labels, discrete_features=binary, random_state=0)
    chosen = np.sort(np.argsort(-scores)[:5])
    assert best.feature_names == [every.feature_names[column] for column in chosen]
    assert {"likes", "app=c", "at missing"} < set(best.feature_names)
    for split in SPLITS:
        np.testing.assert_array_equal(stored_features(best, split),
                                      stored_features(every, split)[:, chosen])
    assert not list(verify_store(best))


def test_files_get_the_same_best_features(telling) -> None:
    path, _, best = telling
    blocks = encode_files([path], best.recipe, ["0"], Encoding(best.feature_encoding))
    here = np.concatenate([block.features for block in blocks if block.features is not None])
    there = np.concatenate([stored_features(best, split) for split in SPLITS])
    assert sorted(map(tuple, here.tolist())) == sorted(map(tuple, there.tolist()))


def test_test_rows_have_no_say_in_which_features_are_the_best(telling, tmp_path: Path) -> None:
    path, _, _ = telling
    chosen = []
    for turn in (1, -1):
        rows = [{"text": f"new {n}", "rating": 3 + 2 * turn * (-1) ** n, "likes": 0,
                 "noise": float(n % 2)} for n in range(2000)]
        test = write_reviews(tmp_path / f"test{turn}.json", rows)
        recipe = Recipe.of(features=("likes", "noise"), best_features=1, split=(0.9, 0.1, 0.0))
        store = run([path], tmp_path / f"store{turn}", recipe, test=[test])
        assert store.rows("test") == 2000
        chosen.append(store.manifest["features"])
    assert chosen[0]["names"] == ["likes"]
    assert chosen[0] == chosen[1]


def test_a_store_without_the_key_says_nothing_of_it(telling) -> None:
    _, every, _ = telling
    assert "best_features" not in every.manifest["recipe"]
    assert not any({"kept", "information"} & set(entry) for entry in every.feature_encoding)


VALUES: list[tuple[Any, float | None, str | None]] = [  # as number, as category
    (3, 3.0, "3"), (-2.5, -2.5, "-2.5"), (True, 1.0, "true"), (False, 0.0, "false"),
    (None, None, None), ("", None, None), ("  ", None, None), (" 8.1.2 ", None, "8.1.2"),
    ("1,234", 1234.0, "1,234"), ("12,34", None, "12,34"), ("True", 1.0, "True"),
    ("1e3", 1000.0, "1e3"), ("nan", None, "nan"), ("inf", None, "inf"), ("1e300", None, "1e300"),
    ([1, 2], None, None), ("a\u00e9", None, "a\u00e9"),
]  # fmt: skip


def read(path: Path) -> tuple[list[Any], list[Any]]:
    recipe = Recipe.of(features=("x", "x:category"))
    [block] = [b for split in plan_splits([str(path)], recipe) for b in read_blocks(split, recipe)]
    return block.reviews["feature_0"].to_pylist(), block.reviews["feature_1"].to_pylist()


def test_what_a_value_of_json_is_as_a_number_and_as_a_category(tmp_path: Path) -> None:
    rows = [{"text": "fine", "rating": 5, "x": value} for value, _, _ in VALUES]
    lines, objects = tmp_path / "lines.json", tmp_path / "objects.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    objects.write_text(json.dumps(rows, indent=1))
    expected = [number for _, number, _ in VALUES], [category for _, _, category in VALUES]
    assert read(lines) == expected
    assert read(objects) == expected


def test_csv_and_parquet_give_the_same_values(tmp_path: Path) -> None:
    texts = [value for value, *_ in VALUES if isinstance(value, str)]
    expected = ([n for v, n, _ in VALUES if isinstance(v, str)],
                [c for v, _, c in VALUES if isinstance(v, str)])
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "rating", "x"], *(["fine", 5, x] for x in texts)])
    assert read(tmp_path / "a.csv") == expected
    n = len(texts)
    table = {"text": ["fine"] * n, "rating": [5] * n}
    pq.write_table(pa.table({**table, "x": texts}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == expected
    numbers = [0.5, None, 2.0] + [1.0] * (n - 3)
    pq.write_table(pa.table({**table, "x": numbers}), tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet")[0] == numbers


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("nothing", "no field 'nothing' among text, rating, likes, app, at, for the features"),
        ("app", "no training row has a number in app; names take :category"),
        ("likes,likes", "name each field once"),
        ("at:date", "no field 'at:date' among"),
    ],
)
def test_a_feature_that_cannot_be_is_one_line(
    features: str, message: str, prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prepare", prepared[2], "--out", str(tmp_path / "store"), "--features", features]
    assert reviewmill.main(arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_the_best_of_no_features_are_refused_in_a_line(
    prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prepare", prepared[2], "--out", str(tmp_path / "store"), "--best-features", "30"]
    assert reviewmill.main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == [
        "reviewmill prepare: best_features is 30, and there are no features to choose from: name "
        "fields with --features"]
    assert not list(tmp_path.iterdir())


def test_fasttext_has_no_fields_to_make_features_of(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("__label__1 bad\n__label__2 good\n" * 9)
    with pytest.raises(UserError, match="no training row has a number in likes"):
        run([str(path)], tmp_path / "store", Recipe.of(features=("likes",)))


def test_verify_finds_features_that_are_no_numbers(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "a.json", make_rows(50))
    store = run([path], tmp_path / "store", Recipe.of(features=FEATURES))
    name = "shards/part-00000.h5"
    with h5py.File(store.path / name, "r+", locking=False) as file:
        file["train/features"][0, 0] = np.nan
    store.manifest["files"][name]["sha256"] = sha256(store.path / name)
    assert list(verify_store(store)) == [
        f"{name}: train/features has values that are not finite"]
