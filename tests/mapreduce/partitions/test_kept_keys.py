"""Keys that a recipe keeps: hashes of reviewer, product and source, and the time, of each row."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

import reviewmill
from mapreduce.partitions.kept_keys import NAMED_SOURCES, merge_counts
from reviews.errors import UserError
from reviews.recipe import KEYS, SPLITS, Recipe, load_recipe
from reviews.storage.verify import verify_store
from reviews.store import NO_KEY, NO_TIME, Store
from reviews.text.strings import key_hashes
from tests.mapreduce.corpus import make_reviews, run, stored_rows, write_reviews

KEPT = {"keep_keys": KEYS, "source_field": "verified"}


def written_out(name: str) -> int:
    """The hash of a name as docs/store-format.md defines it."""
    data, wrap = name.encode(), 2**64 - 1
    h = 0xCBF29CE484222325 ^ len(data)
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & wrap
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        h = (h ^ h >> shift) * factor & wrap
    return h ^ h >> 31


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return make_reviews(3000, seed=5)


@pytest.fixture(scope="module")
def path(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_reviews(tmp_path_factory.mktemp("keys") / "reviews.json", rows)


@pytest.fixture(scope="module")
def store(path: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return run([path], tmp_path_factory.mktemp("kept") / "store", Recipe.of(**KEPT))


def columns_of(store: Store, names: set[str] | None = None) -> dict[str, np.ndarray]:
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        return {f"{split}/{name}": file[split][name][:] for split in SPLITS
                for name in names or file[split]}


def test_names_are_hashed_as_the_page_says_and_none_is_0() -> None:
    names = ["", "a", "B00813GRG4", "café", "x" * 300]
    assert key_hashes(pa.array(names)).tolist() == [written_out(name) for name in names]
    assert key_hashes(pa.array([None, "a"]))[0] == NO_KEY


def test_a_row_has_the_keys_of_the_earliest_then_smallest_of_its_reviews(
    rows: list[dict[str, Any]], store: Store
) -> None:
    fields = {"reviewer": "reviewerID", "product": "asin", "source": "verified"}
    equal = defaultdict(list)
    for row in rows:
        time = row.get("unixReviewTime")
        keys = {key: written_out(row[field]) if row.get(field) else NO_KEY
                for key, field in fields.items()}
        equal[tuple(row["reviewText"].split())].append(
            (2**62 if time is None else time, keys | {"time": NO_TIME if time is None else time}))
    found = list(stored_rows(store))
    for row in found:
        here = equal[row["words"]]
        first = min(time for time, _ in here)
        assert {key: row[key] for key in KEYS} in [keys for time, keys in here if time == first]
    assert any(row["reviewer"] == NO_KEY for row in found)
    assert any(row["time"] == NO_TIME for row in found)
    assert len({row["product"] for row in found}) == 17


def test_the_manifest_counts_them_and_names_the_sources(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not list(verify_store(store))
    columns = columns_of(store, set(KEYS))
    for key, none in (*((key, NO_KEY) for key in KEYS if key != "time"), ("time", NO_TIME)):
        there = sum(int((columns[f"{split}/{key}"] != none).sum()) for split in SPLITS)
        assert store.manifest["keys"][key]["rows"] == there > 0
    assert store.manifest["keys"]["source"]["names"] == ["no", "yes"]
    capsys.readouterr()
    assert reviewmill.main(["inspect", str(store.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"] == store.manifest["keys"]
    assert reviewmill.main(["inspect", str(store.path)]) == 0
    assert f"{there:,} reviews have a time\n" in (said := capsys.readouterr().out)
    assert "reviews have a source: no, yes\n" in said


@pytest.mark.parametrize("rules", [
    {}, {"split_by": "product"}, {"features": ("votes",)}, {"dedupe": "reviewer-product"},
], ids=str)
def test_all_else_is_as_without_them(
    rules: dict[str, Any], path: str, tmp_path: Path
) -> None:
    plain = run([path], tmp_path / "plain", Recipe.of(**rules))
    kept = run([path], tmp_path / "kept", Recipe.of(**rules, **KEPT))
    assert not plain.keys and "keys" not in plain.manifest
    assert "keep_keys" not in plain.manifest["recipe"] and set(kept.keys) == set(KEYS)
    before, after = columns_of(plain), columns_of(kept)
    assert before.keys() == {name for name in after if name.split("/")[1] not in KEYS}
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_one_key_is_kept_without_the_others(path: str, tmp_path: Path) -> None:
    store = run([path], tmp_path / "store", Recipe.of(keep_keys=("time",)))
    assert store.keys == ["time"]
    assert "train/time" in (names := columns_of(store)) and "train/product" not in names


def test_more_sources_than_are_named_have_no_names() -> None:
    rules = Recipe.of(keep_keys=("source",), source_field="shop").input
    names = [f"{number:04d}" for number in range(NAMED_SOURCES + 1)]
    one, other = ({"source": {"rows": 2, "names": some}} for some in (names[:-1], names[1:]))
    assert merge_counts(rules, [one, one])["source"] == {"rows": 4, "names": names[:-1]}
    assert merge_counts(rules, [one, other])["source"] == {"rows": 4}


def test_a_key_that_no_review_has_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reviews.jsonl"
    file.write_text("".join(json.dumps({"text": f"good {n}", "rating": 1 + 4 * (n % 2)}) + "\n"
                            for n in range(20)))
    assert reviewmill.main(["prepare", str(file), "--out", str(tmp_path / "store"),
                            "--keep-keys", "reviewer"]) == 0
    assert "no review has a reviewer: name its field with --reviewer-field" in (
        capsys.readouterr().err)
    assert Store(tmp_path / "store").manifest["keys"] == {"reviewer": {"rows": 0}}


@pytest.mark.parametrize(("changes", "message"), [
    ({"keep_keys": ["who"]}, "keep_keys who: name some of reviewer, product, time, source"),
    ({"keep_keys": ["time", "time"]}, "each once"),
    ({"keep_keys": ["source"]}, "keep_keys source: name its field with --source-field"),
])
def test_other_keys_and_sources_without_a_field_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe("default", changes)
