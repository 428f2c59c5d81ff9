"""The generated corpus: the same bytes for a seed, and the statistics that it promises."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from reviews.errors import UserError
from reviews.generate import generate
from tests.reviews.corpora.reading import read

Rows = list[dict[str, Any]]


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """30,000 reviews; more than one batch of the generator."""
    return rows_of(generate(tmp_path_factory.mktemp("corpus") / "corpus.json", 30_000, seed=5)[0])


def distinct(rows: Rows) -> Rows:
    """The first review of each text."""
    return list({row["reviewText"]: row for row in reversed(rows)}.values())


def test_the_same_seed_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    here = generate(tmp_path / "here.json", 3000, seed=7)[0].read_bytes()
    program = "import sys; from reviews.generate import generate; generate(sys.argv[1], 3000, 7)"
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "there.json")], check=True, timeout=120,
        env={**os.environ, "PYTHONHASHSEED": "123"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (tmp_path / "there.json").read_bytes() == here
    assert generate(tmp_path / "other.json", 3000, seed=8)[0].read_bytes() != here


@pytest.mark.parametrize("files", [1, 2, 7])
def test_any_number_of_files_holds_the_same_lines(tmp_path: Path, files: int) -> None:
    whole = generate(tmp_path / "whole.json", 1000)[0].read_bytes()
    paths = generate(tmp_path / "parts" / "part.json", 1000, files=files)
    assert paths == sorted((tmp_path / "parts").iterdir())
    parts = [path.read_bytes() for path in paths]
    assert b"".join(parts) == whole
    lines = [part.count(b"\n") for part in parts]
    assert max(lines) - min(lines) <= 1


def test_names_that_end_in_gz_are_compressed_and_as_reproducible(tmp_path: Path) -> None:
    plain = generate(tmp_path / "plain.json", 500)[0]
    packed = [generate(tmp_path / name, 500)[0].read_bytes() for name in ("a.json.gz", "b.json.gz")]
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == plain.read_bytes()


def test_every_line_is_one_of_mcauleys_records(rows: Rows) -> None:
    assert len(rows) == 30_000
    for row in rows:
        assert list(row) == [
            "reviewerID", "asin", "reviewText", "overall", "summary", "unixReviewTime",
        ]  # fmt: skip
        assert row["overall"] in (1.0, 2.0, 3.0, 4.0, 5.0)
        assert (len(row["reviewerID"]), len(row["asin"])) == (14, 10)
        assert row["unixReviewTime"] % 86_400 == 0


def test_our_own_reader_finds_no_fault_in_it(tmp_path: Path) -> None:
    path = generate(tmp_path / "corpus.json.gz", 2000)[0]
    found = read(path)
    assert (found.records, len(found.reviews), found.bad) == (2000, 2000, {})


def test_three_quarters_of_the_ratings_that_say_something_are_positive(rows: Rows) -> None:
    ratings = Counter(row["overall"] for row in rows)
    shares = {rating: count / len(rows) for rating, count in ratings.items()}
    expected = {1.0: 0.13, 2.0: 0.09, 3.0: 0.08, 4.0: 0.20, 5.0: 0.50}
    assert shares == pytest.approx(expected, abs=0.015)
    positive = (ratings[4.0] + ratings[5.0]) / (len(rows) - ratings[3.0])
    assert positive == pytest.approx(0.76, abs=0.01)


def test_lengths_are_log_normal_up_to_two_thousand_words(rows: Rows) -> None:
    length = np.array([len(row["reviewText"].replace("<br />", "<br/>").split()) for row in rows])
    assert length.min() >= 2
    assert length.max() <= 2000
    assert np.median(length) == pytest.approx(65, abs=3)
    assert np.log(length).std() == pytest.approx(0.94, abs=0.04)
    # As much above the median as below it, in logarithms.
    tenth, half, nine_tenths = np.log(np.percentile(length, [10, 50, 90]))
    assert (nine_tenths - half) / (half - tenth) == pytest.approx(1, abs=0.1)


def test_words_follow_zipfs_law(rows: Rows) -> None:
    counts = Counter(word for row in rows for word in row["reviewText"].lower().split())
    frequency = np.array(sorted(counts.values(), reverse=True))
    rank = np.arange(10, 5000)
    slope = np.polyfit(np.log(rank), np.log(frequency[rank]), 1)[0]
    assert slope == pytest.approx(-1.05, abs=0.1)
    assert len(counts) > 20_000


def test_one_review_in_eleven_is_a_copy_and_some_copies_have_another_rating(rows: Rows) -> None:
    ratings = defaultdict(set)
    for row in rows:
        ratings[row["reviewText"]].add(row["overall"])
    assert 1 - len(ratings) / len(rows) == pytest.approx(0.093, abs=0.01)
    disputed = sum(len(values) > 1 for values in ratings.values())
    assert 0.01 < disputed / len(ratings) < 0.03


def test_some_texts_hold_html_quotes_and_letters_beyond_ascii(rows: Rows) -> None:
    texts = [row["reviewText"] for row in rows]
    assert 0.05 < np.mean(["&" in text or "<br />" in text for text in texts]) < 0.15
    for part in ('"', "é", "…", "’"):
        assert any(part in text for text in texts)


def test_reviewers_and_products_come_back_and_the_later_years_have_more(rows: Rows) -> None:
    for name, most in (("reviewerID", 30_000 // 5), ("asin", 30_000 // 40)):
        counts = Counter(row[name] for row in rows)
        assert 0.9 * most < len(counts) <= most
        assert max(counts.values()) > 3 * len(rows) / most
    times = np.array([row["unixReviewTime"] for row in rows])
    middle = (times.min() + times.max()) / 2
    assert (times > middle).mean() == pytest.approx(0.75, abs=0.02)


def test_counting_words_learns_most_of_the_sentiment_and_not_all(rows: Rows) -> None:
    kept = [row for row in distinct(rows) if row["overall"] != 3][:12_000]
    texts = [row["reviewText"] for row in kept]
    label = np.array([row["overall"] > 3 for row in kept])
    train, test = slice(0, 10_000), slice(10_000, None)
    vectorizer = CountVectorizer(min_df=2, binary=True)
    model = LogisticRegression(C=0.05, solver="liblinear")
    model.fit(vectorizer.fit_transform(texts[train]), label[train])
    accuracy = model.score(vectorizer.transform(texts[test]), label[test])
    assert label[test].mean() + 0.05 < accuracy < 0.97


def test_no_reviews_are_an_empty_file_and_fewer_are_a_mistake(tmp_path: Path) -> None:
    assert generate(tmp_path / "none.json", 0)[0].read_bytes() == b""
    for reviews, files in ((-1, 1), (10, 0)):
        with pytest.raises(UserError, match="cannot be generated"):
            generate(tmp_path / "x.json", reviews, files=files)
    assert [path.name for path in tmp_path.iterdir()] == ["none.json"]


def test_a_file_that_cannot_get_its_name_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(IsADirectoryError):
        generate(tmp_path / "taken.json", 10)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.json"]


def test_reviews_are_as_long_as_wanted(tmp_path: Path) -> None:
    sizes = []
    for length in (1.0, 0.6):
        file = generate(tmp_path / f"{length}.json", 5000, length=length)[0]
        sizes.append(file.stat().st_size / 5000)
    assert sizes == pytest.approx([900, 600], rel=0.03)
