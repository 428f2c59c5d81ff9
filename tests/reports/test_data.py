"""The page about a store says what the store holds."""

import math
from collections import Counter
from pathlib import Path

import h5py
import pytest

import reports
import reviewmill
from reports.html import count, percent
from reports.words import PRIOR_WORDS, count_words, telling
from reviews.recipe import Recipe
from reviews.store import Store
from tests.mapreduce.corpus import make_reviews, run, stored_rows, write_reviews
from tests.reports.document import Element, card, parse, rows, section, settings


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    top = tmp_path_factory.mktemp("data")
    made = make_reviews(3000)
    for row in made:
        # A word of one class alone, and markup that must stay text.
        row["reviewText"] += " dreadful" if row["overall"] < 2 else " <i>"
    made += [{"reviewText": "no rating"}] * 20
    path = write_reviews(top / "reviews.json", made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 100_000)
        recipe = Recipe.of(length=6, vocabulary_size=14, html=False,
                           features=("votes", "verified:category"))
        return run([path], top / "store", recipe)


@pytest.fixture(scope="module")
def page(store: Store) -> Element:
    assert reports.main([str(store.path)]) == 0
    return parse((store.path / "report.html").read_text("utf-8"))


def used(store: Store) -> list[Counter[str]]:
    """Number of uses of each word by class, in the stored training rows."""
    counts: list[Counter[str]] = [Counter() for _ in store.classes]
    for row in stored_rows(store):
        if row["split"] == "train":
            counts[row["label"]].update(row["words"])
    return counts


def test_words_are_counted_as_they_are_stored(store: Store) -> None:
    found = count_words(store)
    expected = used(store)
    assert found.reviews == store.rows("train")
    assert found.total == sum(map(Counter.total, expected))
    for number, counts in enumerate(expected):
        named = dict(zip(found.words, found.counts[number].tolist(), strict=True))
        assert named == {word: counts[word] for word in found.words}
    assert count_words(store, rows=1).reviews == min(1024, store.shards("train")[0].rows)


def test_the_most_telling_words_are_those_of_the_paper(store: Store) -> None:
    found = count_words(store)
    known = set(found.words)
    own, rest = ({word: n for word, n in counts.items() if word in known}
                 for counts in used(store))
    z, times = telling(found, 0)
    totals = sum(own.values()), sum(rest.values())
    for place, word in enumerate(found.words):
        pair = own.get(word, 0), rest.get(word, 0)
        prior = PRIOR_WORDS * sum(pair) / sum(totals)
        odds = [(n + prior) / (total + PRIOR_WORDS - n - prior)
                for n, total in zip(pair, totals, strict=True)]
        spread = math.sqrt(sum(1 / (n + prior) for n in pair))
        assert z[place] == pytest.approx(math.log(odds[0] / odds[1]) / spread)
        expected = pair[0] / totals[0] / (pair[1] / totals[1]) if pair[1] else math.inf
        assert times[place] == pytest.approx(expected)


def test_the_page_lists_them(store: Store, page: Element) -> None:
    expected = used(store)
    most = rows(card(page, "Most frequent words").all("table")[0])
    both = sum(expected, Counter[str]())
    total = both.total()
    del both["<unknown>"]
    assert {(word, n, part) for word, n, part in most} == {
        (word, count(n), percent(n / total).replace("\u00a0", " ")) for word, n in both.items()}
    [first, *_] = rows(card(page, "Most telling words: negative").all("table")[0])
    assert first == ["dreadful", count(expected[0]["dreadful"]), "only here"]
    assert "dreadful" not in card(page, "Most telling words: positive").text


def test_the_page_accounts_for_every_record_and_feature(store: Store, page: Element) -> None:
    records = store.manifest["records"]
    shown = {name: number for name, number, _ in rows(card(page, "Records").all("table")[0])}
    assert shown["records read"] == "3,020" and shown["stored"] == count(records["stored"])
    assert shown["duplicates of a stored review"] == f"− {count(records['dropped']['duplicate'])}"
    assert shown["bad: missing rating"] == "− 20"
    votes, verified = rows(card(section(page, "features"), "Encoding"))
    assert votes[:3] == ["votes", "number", "100.0 %"]
    assert verified[0] == "verified" and verified[3] in ("yes, no", "no, yes")
    assert settings(card(page, "How it was made"))["store sha256"] == store.fingerprint


def test_a_page_may_go_elsewhere_and_is_the_same_bytes(store: Store, tmp_path: Path) -> None:
    paths = [tmp_path / "a.html", tmp_path / "b.html"]
    for path in paths:
        assert reviewmill.main(["report", str(store.path), "--out", str(path)]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_damaged_store_and_an_address_are_one_line(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["report", "s3://bucket/store"]) == 2
    assert "say with --out where the page goes" in capsys.readouterr().err
    copy = tmp_path / "store"
    copy.mkdir()
    for file in ("manifest.json", "vocabulary.txt"):
        (copy / file).write_bytes((store.path / file).read_bytes())
    (copy / "shards").mkdir()
    for shard in store.shards("train"):
        with h5py.File(copy / "shards" / shard.path.name, "w"):
            pass
    assert reviewmill.main(["report", str(copy)]) == 2
    assert "inspect --verify says more" in capsys.readouterr().err
