"""Presets: each makes of its corpus what its page promises, splits and labels included."""

import gzip
from pathlib import Path

import pytest

from reviews.recipe import Recipe, load_recipe
from reviews.storage.verify import verify_store
from tests.mapreduce.corpus import run, stored_rows, write_reviews
from tests.requirements import need

DATA = Path(__file__).parents[3] / "shared" / "data"


def data(name: str) -> str:
    need((DATA / name).is_file(), f"needs the review data {name}")
    return str(DATA / name)


def test_polarity_takes_the_given_test_and_keeps_all_reviews(tmp_path: Path) -> None:
    lines = [f"__label__{n % 2 + 1} Title {n % 90}: text {n % 90}\n" for n in range(400)]
    (tmp_path / "train").write_text("".join(lines))
    rows = [f'"{n % 2 + 1}","Title {n}","text {n}"\n' for n in range(80, 100)]
    (tmp_path / "test").write_text("".join(rows))
    recipe = load_recipe("polarity")
    store = run([str(tmp_path / "train")], tmp_path / "store", recipe,
                test=[str(tmp_path / "test")])
    records = store.manifest["records"]
    # Equal titles and texts are equal reviews, in fastText lines as in CSV.
    overlap = sum(n % 90 >= 80 for n in range(400))
    assert records["dropped"] | {"overlap": 0} == dict.fromkeys(records["dropped"], 0)
    assert (records["dropped"]["overlap"], store.rows("test")) == (overlap, 20)
    assert store.rows("train") + store.rows("validation") == 400 - overlap
    assert 0 < store.rows("validation") < 0.15 * store.rows("train")


def test_polarity_of_real_lines(tmp_path: Path) -> None:
    with gzip.open(data("amazon/polarity.ft.txt.gz"), "rt", encoding="utf-8") as file:
        lines = file.readlines()
    (tmp_path / "train").write_text("".join(lines[:1500]), "utf-8")
    store = run([str(tmp_path / "train")], tmp_path / "store", load_recipe("polarity"))
    positive = sum(line.startswith("__label__2") for line in lines[:1500])
    labels = [row["label"] for row in stored_rows(store)]
    assert (len(labels), sum(labels)) == (1500, positive)


def test_netflix_calls_five_stars_positive_and_the_rest_negative(tmp_path: Path) -> None:
    store = run([data("netflix/netflix_reviews.csv.gz")], tmp_path / "store",
                load_recipe("netflix"))
    assert all((row["rating"] == 5) == row["label"] for row in stored_rows(store))
    records = store.manifest["records"]
    assert records["dropped"]["neutral"] == records["dropped"]["unused"] == 0
    assert abs(store.rows("train") / records["stored"] - 0.8) < 0.01
    # Reviews that are nothing but emoji are reviews.
    plain = run([data("netflix/netflix_reviews.csv.gz")], tmp_path / "plain",
                Recipe.of(tokens="words"))
    assert records["dropped"]["no_words"] < plain.manifest["records"]["dropped"]["no_words"]
    assert "emoji" in store.vocabulary_file.read_text()


def test_electronics_cleans_shrinks_its_split_and_drops_short_reviews(tmp_path: Path) -> None:
    long = "This is a long enough text, isn't it, with more than ten words :)"
    rows = [{"reviewText": f"{long} {n}", "overall": rating, "reviewerID": f"r{n}", "asin": "p",
             "unixReviewTime": n} for n, rating in enumerate([1, 2, 2.5, 3, 3.5, 4, 5] * 40)]
    rows += [{**row, "unixReviewTime": 10**9} for row in rows[:30]]
    rows += [{"reviewText": "too short", "overall": 5, "reviewerID": "x", "asin": "p"}]
    store = run([write_reviews(tmp_path / "a.json", rows)], tmp_path / "store",
                load_recipe("electronics"))
    dropped = store.manifest["records"]["dropped"]
    assert (dropped["too_few_words"], dropped["duplicate"], dropped["neutral"]) == (1, 30, 80)
    assert [store.rows(s) for s in ("train", "validation", "test")] == pytest.approx(
        [200 / 1.2, 20 / 1.2, 20 / 1.2], abs=1.5)
    words = set(store.vocabulary_file.read_text().split("\n"))
    assert {"not", "emoticonsmile"} <= words and "isn't" not in words
    assert sum(store.manifest["splits"]["train"]["labels"].values()) == store.rows("train")
    assert not list(verify_store(store))


def test_electronics_of_real_reviews(tmp_path: Path) -> None:
    store = run([data("amazon/mcauley/Electronics.json.gz")], tmp_path / "store",
                load_recipe("electronics"))
    assert store.rows("train") > 8 * store.rows("test") > 0
    assert not list(verify_store(store))
