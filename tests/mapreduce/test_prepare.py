"""Raw reviews become exactly the store that the design describes."""

import gzip
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from reviews.errors import UserError
from reviews.recipe import KEYS, SPLITS, Recipe
from reviews.storage.verify import verify_store
from reviews.store import Store
from reviews.text.word_rules import fold, pattern
from tests.mapreduce.corpus import (
    bytes_of,
    label_fractions,
    make_reviews,
    mode,
    run,
    stored_rows,
    write_reviews,
)


def words_of(text: str) -> tuple[str, ...]:
    return tuple(re.findall(pattern("words+marks"), fold(text)))


@dataclass(frozen=True)
class SameStore:
    """Inputs, and the files of the store that they always become."""

    paths: list[str]
    recipe: Recipe
    expected: dict[str, bytes]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], str]:
    rows = make_reviews(20_000)
    return rows, write_reviews(tmp_path_factory.mktemp("corpus") / "reviews.json", rows)


def test_pandas_written_plainly_makes_the_same_rows(corpus, tmp_path: Path) -> None:
    rows, path = corpus
    recipe = Recipe.of(length=4, vocabulary_size=9)
    store = run([path], tmp_path / "store", recipe)

    frame = pd.DataFrame(rows)
    frame["words"] = frame["reviewText"].map(words_of)
    frame = frame[frame["words"].map(len) > 0]
    ratings = frame.groupby("words")["overall"].agg(lambda some: mode(list(some)))
    ratings = ratings[ratings != 3]
    assert store.manifest["records"]["stored"] == len(ratings)
    assert store.manifest["records"]["dropped"]["duplicate"] == len(frame) - frame[
        "words"].nunique()

    known = set(store.vocabulary_file.read_text().split("\n")[:-1])
    assert len(known) == 9

    def shown(words: tuple[str, ...]) -> tuple[str, ...]:
        cut = words if len(words) <= 4 else words[:2] + words[-2:]
        return tuple(word if word in known else "<unknown>" for word in cut)

    expected = Counter(
        (shown(words), int(rating >= 4), rating) for words, rating in ratings.items())
    assert Counter((r["words"], r["label"], r["rating"]) for r in stored_rows(store)) == expected


def test_the_vocabulary_counts_whole_texts_of_the_training_split(corpus, tmp_path: Path) -> None:
    _, path = corpus
    # Long rows and a large vocabulary: every word of every row is stored.
    store = run([path], tmp_path / "store", Recipe.of(length=16, split=(0.5, 0.2, 0.3)))
    counts = Counter(
        word for row in stored_rows(store) if row["split"] == "train" for word in row["words"])
    expected = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    assert store.vocabulary_file.read_text().split("\n")[:-1] == expected
    short = run([path], tmp_path / "short", Recipe.of(length=2, split=(0.5, 0.2, 0.3)))
    assert short.vocabulary_file.read_bytes() == store.vocabulary_file.read_bytes()


def test_splits_keep_every_labels_fraction(corpus, tmp_path: Path) -> None:
    _, path = corpus
    store = run([path], tmp_path / "store", Recipe.of(split=(0.7, 0.1, 0.2)))
    smallest = min(store.manifest["splits"]["train"]["labels"].values())
    for split, wanted in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert abs(label_fractions(store, split) - wanted).max() <= 2 / smallest + 0.001


def test_numbers_of_rows_leave_the_rest_unused(corpus, tmp_path: Path) -> None:
    _, path = corpus
    store = run([path], tmp_path / "store", Recipe.of(split=(500.0, 100.0, 200.0)))
    assert abs(store.rows("train") - 500) <= 3
    assert abs(store.rows("test") - 200) <= 3
    records = store.manifest["records"]
    assert records["dropped"]["unused"] > 0
    assert not list(verify_store(store))
    with pytest.raises(UserError, match=r"asks for 3000000 rows, .* --shrink-split takes the same"):
        run([path], tmp_path / "more", Recipe.of(split=(1e6, 1e6, 1e6)))


@pytest.fixture(scope="module", params=["none", "text", "reviewer-product"])
def same_store(request, tmp_path_factory: pytest.TempPathFactory) -> SameStore:
    """Three files full of duplicates, a recipe, and the store that one process makes of them."""
    top = tmp_path_factory.mktemp(request.param)
    rows = make_reviews(1800, seed=3)
    paths = [write_reviews(top / f"{n}.json", rows[600 * n : 600 * n + 600]) for n in range(3)]
    # The features and keys of equal reviews differ.
    recipe = Recipe.of(dedupe=request.param, length=4, features=("votes", "verified:category"),
                       best_features=4, source_field="verified", keep_keys=KEYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 60_000)
        expected = bytes_of(run(paths, top / "store", recipe))
    assert len([name for name in expected if name.startswith("shards/")]) > 3
    return SameStore(paths, recipe, expected)


@pytest.mark.parametrize(("runner", "workers"), [("inline", 1), ("local", 2), ("local", 3)])
@pytest.mark.parametrize(
    ("order", "split_bytes", "segment_ids"),
    [((0, 1, 2), 1 << 26, 700), ((2, 1, 0), 1 << 26, 1 << 24), ((1, 2, 0), 10_000, 1 << 24),
     ((2, 0, 1), 33_333, 150)],
)
def test_the_same_store_for_any_runner_workers_splits_and_order(
    runner: str, workers: int, order: tuple[int, ...], split_bytes: int, segment_ids: int,
    same_store: SameStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 60_000)
    monkeypatch.setattr("mapreduce.prepare.SPLIT_BYTES", split_bytes)
    monkeypatch.setattr("mapreduce.gather_reviews.SEGMENT_IDS", segment_ids)
    paths = [same_store.paths[n] for n in order]
    store = run(paths, tmp_path / "store", same_store.recipe, runner=runner, workers=workers)
    assert bytes_of(store) == same_store.expected


def test_reviewer_product_keeps_the_earliest_review(tmp_path: Path) -> None:
    def review(text: str, rating: int, time: int | None, reviewer: str | None = "r") -> dict:
        row = {"reviewText": text, "overall": rating, "asin": "p"}
        if time is not None:
            row["unixReviewTime"] = time
        if reviewer is not None:
            row["reviewerID"] = reviewer
        return row

    rows = [
        review("later", 5, 200),
        review("first", 5, 100),
        review("no time", 5, None),
        review("b tie", 4, 100, "s"),
        review("a tie", 4, 100, "s"),
        review("nobody", 5, 100, None),
        review("nobody", 5, 100, None),
    ]
    path = write_reviews(tmp_path / "a.json", rows)
    recipe = Recipe.of(dedupe="reviewer-product", split=(1.0, 0.0, 0.0))
    store = run([path], tmp_path / "store", recipe)
    stored = Counter(" ".join(row["words"]) for row in stored_rows(store))
    assert stored == {"first": 1, "a tie": 1, "nobody": 2}
    assert store.manifest["records"]["without_reviewer_or_product"] == 2


def test_text_takes_the_mode_and_the_lower_rating_of_a_tie(tmp_path: Path) -> None:
    rows = [{"reviewText": text, "overall": rating} for text, rating in [
        ("one", 5), ("One!", 5), ("ONE", 1), ("one", 1), ("one", 2),
        ("two", 4), ("two", 4), ("two", 1), ("three", 3), ("three", 3), ("three", 5)]]
    path = write_reviews(tmp_path / "a.json", rows)
    recipe = Recipe.of(tokens="words", split=(1.0, 0.0, 0.0))
    store = run([path], tmp_path / "store", recipe)
    assert {r["words"]: (r["rating"], r["label"]) for r in stored_rows(store)} == {
        ("one",): (1, 0), ("two",): (4, 1)}
    assert store.manifest["records"]["dropped"]["neutral"] == 1
    assert store.manifest["records"]["dropped"]["duplicate"] == 8


def test_with_a_label_field_the_label_is_the_mode_of_the_labels(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": 1, "stars": 1}, {"text": "x", "label": 1, "stars": None},
            {"text": "x", "label": 0, "stars": 2}, {"text": "y", "label": 0, "stars": None},
            {"text": "y", "label": 1, "stars": None}]
    path = write_reviews(tmp_path / "a.jsonl", rows)
    recipe = Recipe.of(label_field="label", split=(1.0, 0.0, 0.0))
    store = run([path], tmp_path / "store", recipe)
    found = {r["words"]: (r["label"], r["rating"]) for r in stored_rows(store)}
    assert found[("x",)] == (1, 1.0)
    assert found[("y",)][0] == 0 and np.isnan(found[("y",)][1])


def test_none_keeps_all_rows_and_equal_reviews_share_a_split(corpus, tmp_path: Path) -> None:
    rows, path = corpus
    store = run([path], tmp_path / "store", Recipe.of(dedupe="none", split=(0.5, 0.2, 0.3)))
    stored = list(stored_rows(store))
    kept = [r for r in rows if words_of(r["reviewText"]) and r["overall"] != 3]
    assert len(stored) == len(kept)
    splits: dict[tuple, set] = {}
    for row in stored:
        splits.setdefault((row["id"], row["words"]), set()).add(row["split"])
    assert all(len(some) == 1 for some in splits.values())


@pytest.mark.parametrize("key", ["reviewer", "product"])
def test_a_split_by_reviewer_or_product_tears_none_apart(
    key: str, corpus, tmp_path: Path
) -> None:
    rows, path = corpus
    recipe = Recipe.of(dedupe="none", split_by=key, split=(0.5, 0.2, 0.3), length=16)
    store = run([path], tmp_path / "store", recipe)
    field = {"reviewer": "reviewerID", "product": "asin"}[key]
    # Rows are found again by their words where these are of one owner only.
    owners: dict[tuple, set] = {}
    for row in rows:
        owners.setdefault(words_of(row["reviewText"]), set()).add(row.get(field))
    splits: dict[str, set] = {}
    for row in stored_rows(store):
        owner = owners[row["words"]]
        if len(owner) == 1 and None not in owner:
            splits.setdefault(next(iter(owner)), set()).add(row["split"])
    assert len(splits) > 10
    assert all(len(some) == 1 for some in splits.values())
    assert {s for some in splits.values() for s in some} == set(SPLITS)


def test_a_split_by_time_puts_the_last_part_into_the_test(tmp_path: Path) -> None:
    rng = random.Random(0)
    # Each number is spelled by its digits, words that the training split knows.
    spelled = [" ".join(f"{i:03d}") for i in range(1000)]
    rows = [{"reviewText": spelled[i], "overall": rng.choice([1, 5]),
             "unixReviewTime": 1000 + i // 3} for i in range(900)]
    rows += [{"reviewText": spelled[i], "overall": 5} for i in range(900, 1000)]
    rng.shuffle(rows)
    rows.sort(key=lambda row: "unixReviewTime" not in row)
    path = write_reviews(tmp_path / "a.json", rows)
    store = run([path], tmp_path / "store", Recipe.of(split_by="time"))
    number = {s: [spelled.index(" ".join(r["words"])) for r in stored_rows(store)
                  if r["split"] == s] for s in SPLITS}
    timed = {s: [i // 3 for i in some if i < 900] for s, some in number.items()}
    assert max(timed["train"]) < min(timed["validation"]) <= max(timed["validation"])
    assert max(timed["validation"]) < min(timed["test"])
    assert all(i < 900 for s in ("validation", "test") for i in number[s])
    assert abs(store.rows("test") - 100) <= 3


def test_given_splits_keep_their_rows_and_push_out_equal_ones(tmp_path: Path) -> None:
    def rows(*texts: str) -> list[dict]:
        return [{"reviewText": text, "overall": 5} for text in texts]

    corpus = write_reviews(tmp_path / "c.json", rows("a", "b", "c", *(f"w{i}" for i in range(80))))
    test = write_reviews(tmp_path / "t.json", rows("a", "a", "t"))
    validation = write_reviews(tmp_path / "v.json", rows("a", "b", "v"))
    store = run([corpus], tmp_path / "store", validation=[validation], test=[test])
    found = {s: sorted(" ".join(r["words"]) for r in stored_rows(store) if r["split"] == s)
             for s in SPLITS}
    # Two equal test rows stay; "a" leaves validation and corpus, "b" the corpus.
    assert store.rows("test") == 3 and store.rows("validation") == 2
    assert store.rows("train") == 81
    assert store.manifest["records"]["dropped"]["overlap"] == 3
    assert found["train"] and not list(verify_store(store))
    only_test = run([corpus], tmp_path / "only", test=[test])
    assert only_test.rows("test") == 3
    assert abs(only_test.rows("validation") - 82 / 9) <= 1


def test_a_sample_is_nested_in_every_larger_one(corpus, tmp_path: Path) -> None:
    _, path = corpus
    ids = {}
    for fraction in (0.1, 0.4, 1.0):
        store = run([path], tmp_path / str(fraction), Recipe.of(sample=fraction))
        ids[fraction] = {row["id"] for row in stored_rows(store)}
        assert not list(verify_store(store))
    assert ids[0.1] < ids[0.4] < ids[1.0]
    assert abs(len(ids[0.4]) / len(ids[1.0]) - 0.4) < 0.05


def test_the_seed_changes_the_split_and_nothing_else(corpus, tmp_path: Path) -> None:
    _, path = corpus
    one = run([path], tmp_path / "one", Recipe.of(length=16))
    two = run([path], tmp_path / "two", Recipe.of(length=16, seed=7))
    rows = [Counter((r["id"], r["words"], r["label"]) for r in stored_rows(s)) for s in (one, two)]
    assert rows[0] == rows[1]
    ids = [{r["id"] for r in stored_rows(s) if r["split"] == "test"} for s in (one, two)]
    assert len(ids[0] & ids[1]) < 0.3 * len(ids[0])


def test_rnn2019_drops_stop_words_and_calls_three_stars_negative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.of(
        tokens="letters", stop_words=("the", "product"), negative_to=3.0,
        html=False, keep="head", length=3, split=(1.0, 0.0, 0.0))
    rows = [{"reviewText": "The product don't last 3 long weeks", "overall": 3}]
    store = run([write_reviews(tmp_path / "a.json", rows)], tmp_path / "store", recipe)
    (row,) = stored_rows(store)
    assert row["words"] == ("don", "t", "last") and row["label"] == 0


def test_reviews_h5_shows_all_shards_as_one(corpus, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 500_000)
    store = run([corpus[1]], tmp_path / "store")
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        parts = []
        for shard in store.shards("train"):
            with h5py.File(shard.path, locking=False) as one:
                parts.append(one["train/tokens"][:])
        assert len(parts) > 2
        assert (file["train/tokens"][:] == np.concatenate(parts)).all()
        assert file["test/label"].shape == (store.rows("test"),)


def test_too_many_bad_records_stop_with_reasons_and_places(tmp_path: Path) -> None:
    good = json.dumps({"reviewText": "fine", "overall": 5}) + "\n"
    bad = ["{broken\n", json.dumps({"overall": 5}) + "\n",
           json.dumps({"reviewText": "x", "overall": 9}) + "\n"]
    path = tmp_path / "a.json"
    path.write_text(good * 50 + bad[0] + good * 10 + bad[1] + bad[2] + good * 30)
    with pytest.raises(UserError) as error:
        run([str(path)], tmp_path / "store")
    message = str(error.value)
    assert f"{path}:51" in message and f"{path}:62" in message and f"{path}:63" in message
    assert "3 of 93 records cannot be read" in message
    assert "invalid_json" in message and "rating_out_of_range" in message
    assert list(tmp_path.iterdir()) == [path]
    store = run([str(path)], tmp_path / "store", Recipe.of(max_bad_fraction=0.05))
    assert sum(store.manifest["records"]["bad"].values()) == 3
    assert not list(verify_store(store))


def test_a_cut_gz_keeps_what_came_before_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    lines = [json.dumps({"reviewText": f"n{i} {rng.random()}", "overall": 5}) for i in range(2000)]
    whole = gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)
    path = tmp_path / "a.json.gz"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    store = run([str(path)], tmp_path / "store")
    assert store.manifest["records"]["bad"] == {"truncated_file": 1}
    stored = store.manifest["records"]["stored"]
    assert 1000 < stored < 2000
    place = f"{path}:{stored + 1} truncated_file"
    assert f"prepare: cannot be read: {place}\n" in capsys.readouterr().err
    with pytest.raises(UserError, match=re.escape(place)):
        run([str(path)], tmp_path / "other", Recipe.of(max_bad_fraction=0.0))


def test_bad_fraction_under_local_reaches_the_user_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"reviewText": "fine", "overall": 5}) + "\n{\n")
    with pytest.raises(UserError, match="1 of 2 records cannot be read"):
        run([str(path)], tmp_path / "store", runner="local", workers=2)


def test_an_existing_folder_is_refused_and_an_old_store_survives_a_failure(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "a.json", make_reviews(200))
    store = run([path], tmp_path / "store")
    before = bytes_of(store)
    with pytest.raises(UserError, match="not empty"):
        run([path], tmp_path / "store")
    broken = tmp_path / "b.json"
    broken.write_text("{\n" * 5 + json.dumps({"reviewText": "fine", "overall": 5}) + "\n")
    with pytest.raises(UserError):
        run([str(broken)], tmp_path / "store", overwrite=True)
    assert bytes_of(Store(tmp_path / "store")) == before
    run([path], tmp_path / "store", Recipe.of(length=3), overwrite=True)
    assert Store(tmp_path / "store").length == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is not a store"):
        run([path], tmp_path / "mine", overwrite=True)


def test_texts_without_a_word_are_dropped_not_bad(tmp_path: Path) -> None:
    rows = [{"reviewText": text, "overall": 5} for text in ("", "***", "fine")]
    recipe = Recipe.of(split=(1.0, 0.0, 0.0))
    store = run([write_reviews(tmp_path / "a.json", rows)], tmp_path / "store", recipe)
    assert store.manifest["records"]["dropped"]["no_words"] == 2
    assert store.manifest["records"]["bad"] == {}
    with pytest.raises(UserError, match=r"no review is left of 2 records: 2 no_words"):
        run([write_reviews(tmp_path / "b.json", rows[:2])], tmp_path / "other")
