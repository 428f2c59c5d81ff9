"""Choices of a recipe about words, classes and splits, as the store shows them."""

import re
from collections import Counter
from pathlib import Path

import pytest

import reviewmill
from reviews.encoding import encode_files
from reviews.options import replace_flat
from reviews.recipe import SPLITS, Recipe
from reviews.storage.verify import verify_store
from reviews.text.word_rules import fold, pattern
from tests.mapreduce.corpus import make_reviews, run, stored_rows, write_reviews


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], str]:
    rows = make_reviews(3000)
    return rows, write_reviews(tmp_path_factory.mktemp("corpus") / "reviews.json", rows)


def test_where_there_are_fewer_rows_a_split_can_shrink(corpus, tmp_path: Path) -> None:
    _, path = corpus
    rows = Recipe.of(split=(500_000.0, 100_000.0, 400_000.0), shrink_split=True)
    store = run([path], tmp_path / "store", rows)
    fractions = run([path], tmp_path / "other", Recipe.of(split=(0.5, 0.1, 0.4)))
    assert [store.rows(s) for s in SPLITS] == [fractions.rows(s) for s in SPLITS]
    assert store.manifest["records"]["dropped"]["unused"] == 0


def test_words_that_are_too_rare_are_unknown(corpus, tmp_path: Path) -> None:
    _, path = corpus
    recipe = Recipe.of(length=16, split=(0.5, 0.2, 0.3))
    store = run([path], tmp_path / "all", recipe)
    counts = Counter(
        word for row in stored_rows(store) if row["split"] == "train" for word in row["words"])
    least = sorted(counts.values())[5]
    store = run([path], tmp_path / "some", replace_flat(recipe, min_count=least))
    words = store.vocabulary_file.read_text().split("\n")[:-1]
    assert set(words) == {word for word, n in counts.items() if n >= least} != set(counts)
    assert not list(verify_store(store))


def test_reviews_of_too_few_words_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"reviewText": text, "overall": 5} for text in
            ("", "!!! ...", "one", "one, two!!", "one two three", "It's a \u201cdog\u201d.")]
    path = write_reviews(tmp_path / "a.json", rows)
    recipe = Recipe.of(min_words=3, split=(1.0, 0.0, 0.0))
    store = run([path], tmp_path / "store", recipe)
    dropped = store.manifest["records"]["dropped"]
    assert (dropped["no_words"], dropped["too_few_words"], store.rows("train")) == (1, 3, 2)
    assert not list(verify_store(store))
    # Files that a model is measured on lose the same reviews.
    (block,) = encode_files([path], recipe, ["one"])
    assert (len(block.label), block.dropped) == (
        2, {"no_words": 1, "too_few_words": 3, "neutral": 0})


def test_marks_alone_are_no_words_where_the_recipe_says_so(tmp_path: Path) -> None:
    rows = [{"reviewText": text, "overall": 5} for text in
            ("", "...", "?!", "\U0001f600", "one.", "two")]
    path = write_reviews(tmp_path / "a.json", rows)
    recipe = Recipe.of(drop_marks_alone=True, split=(1.0, 0.0, 0.0))
    for some, stored in [(recipe, 2), (replace_flat(recipe, drop_marks_alone=False), 4)]:
        store = run([path], tmp_path / f"store{stored}", some)
        dropped = store.manifest["records"]["dropped"]
        assert (store.rows("train"), dropped["no_words"]) == (stored, 6 - stored)
        (block,) = encode_files([path], some, ["one"])
        assert (len(block.label), block.dropped["no_words"]) == (stored, 6 - stored)


@pytest.mark.parametrize(
    ("classes", "names"),
    [("three", ["negative", "neutral", "positive"]), ("ratings", ["1", "2", "3", "4", "5"])],
)
def test_neutral_reviews_or_every_rating_can_be_a_class(
    classes: str, names: list[str], corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, path = corpus
    recipe = Recipe.of(classes=classes, dedupe="none", split=(0.5, 0.2, 0.3))
    store = run([path], tmp_path / "store", recipe)
    assert store.classes == names
    word = pattern("words+marks")
    stars = Counter(row["overall"] for row in rows if re.search(word, fold(row["reviewText"])))
    expected = [stars[n] for n in (1, 2, 3, 4, 5)]
    if classes == "three":
        expected = [expected[0] + expected[1], expected[2], expected[3] + expected[4]]
    entries = store.manifest["splits"]
    assert [sum(entries[s]["labels"][name] for s in SPLITS) for name in names] == expected
    assert store.manifest["records"]["dropped"]["neutral"] == 0
    assert not list(verify_store(store))
    # They can be trained on as they are, but not as if there were two.
    arguments = ["train", str(store.path), "--out", str(tmp_path / "run"), "--max-steps", "1"]
    assert reviewmill.main([*arguments, "--loss", "bce"]) == 2
    assert f"has {len(names)} classes, and --loss bce is for two" in capsys.readouterr().err
    assert reviewmill.main(arguments) == 0
