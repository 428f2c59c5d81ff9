"""Real corpora, read by Python's json and csv modules too: the same reviews, fully."""

import csv
import datetime
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reviews.recipe import Recipe
from tests.requirements import need
from tests.reviews.corpora.reading import read

DATA = Path(__file__).parents[4] / "shared" / "data"
MCAULEY = {
    "text": "reviewText", "rating": "overall", "reviewer": "reviewerID", "product": "asin",
    "time": "unixReviewTime",
}  # fmt: skip


def text_of(name: str) -> str:
    need((DATA / name).is_file(), f"needs the review data {name}")
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return file.read()


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(name), newline="")))


def json_lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(name).removesuffix("\n").split("\n")]


def json_stream(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a text, one after the other, whatever lies between them."""
    decoder, place = json.JSONDecoder(), 0
    while (place := text.find("{", place)) >= 0:
        value, place = decoder.raw_decode(text, place)
        yield value


def plain(record: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A review read without any of the project's code."""
    review = {part: record.get(names.get(part, "")) or None for part in WHOLE_PARTS}
    review["text"] = record.get(names["text"])
    for part, kind in (("rating", float), ("time", int)):
        if review[part] is not None:
            review[part] = kind(review[part])
    return review


WHOLE_PARTS = ("text", "rating", "label", "reviewer", "product", "time", "source")


@pytest.mark.parametrize("name", ["Books", "Clothing", "Electronics", "Grocery", "Patio"])
def test_mcauleys_files_as_they_are(name: str) -> None:
    file = f"amazon/mcauley/{name}.json.gz"
    expected = [plain(record, MCAULEY) for record in json_lines(file)]
    found = read(DATA / file)
    assert found.reviews == expected
    assert found.records == len(expected) == 1000


def test_the_pretty_printed_file_lacks_some_texts_and_nothing_else() -> None:
    file = "amazon/fashion_pretty_printed.json.gz"
    records = list(json_stream(text_of(file)))
    found = read(DATA / file)
    assert found.reviews == [plain(r, MCAULEY) for r in records if "reviewText" in r]
    assert found.bad == {"missing_text": sum("reviewText" not in record for record in records)}
    assert found.records == len(records) == 3176


def test_the_file_of_fasttext() -> None:
    file = "amazon/polarity.ft.txt.gz"
    lines = [line.split(" ", 1) for line in text_of(file).removesuffix("\n").split("\n")]
    found = read(DATA / file)
    assert found.column("label") == [["__label__1", "__label__2"].index(mark) for mark, _ in lines]
    assert found.texts == [text.strip(" \t\r") for _, text in lines]
    assert not found.bad


def test_the_csv_layout_of_the_fasttext_file_gives_the_same_reviews(tmp_path: Path) -> None:
    file = "amazon/polarity.ft.txt.gz"
    lines = [line.split(" ", 1) for line in text_of(file).removesuffix("\n").split("\n")]
    with (tmp_path / "train.csv").open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        # The first colon may stand in a title; joined again the text is the same.
        rows.writerows((mark[-1], *text.split(": ", 1)) for mark, text in lines if ": " in text)
    table = read(tmp_path / "train.csv", Recipe.of(title_field="title"))
    fast = [r for r in read(DATA / file).reviews if ": " in r["text"]]
    assert len(table.reviews) == len(fast) > 6000
    same = [a["text"] == b["text"].replace("\\n", "\n") and a["label"] == b["label"]
            for a, b in zip(table.reviews, fast, strict=True)]
    assert all(same)


def test_the_csv_file_of_fine_food_has_two_reviews_without_a_score() -> None:
    file = "amazon/fine_food.csv.gz"
    names = {"text": "Text", "rating": "Score", "reviewer": "UserId", "product": "ProductId",
             "time": "Time"}  # fmt: skip
    records = table(file)
    found = read(DATA / file)
    assert found.reviews == [plain(record, names) for record in records if record["Score"]]
    assert found.bad == {"missing_rating": 2}
    assert found.records == len(records) == 5003


def test_the_csv_file_of_baby_products_has_empty_texts() -> None:
    file = "amazon/baby.csv.gz"
    expected = [plain(record, {"text": "review", "rating": "rating"}) for record in table(file)]
    found = read(DATA / file)
    assert found.reviews == expected
    assert found.texts.count("") == 13
    assert not found.bad


def test_the_csv_file_of_an_app_store_has_iso_times() -> None:
    file = "netflix/netflix_reviews.csv.gz"
    records = table(file)
    found = read(DATA / file, Recipe.of(split_by="time"))
    assert found.texts == [record["content"] for record in records]
    assert found.column("rating") == [float(record["score"]) for record in records]
    moments = [datetime.datetime.fromisoformat(f"{record['at']}+00:00") for record in records]
    assert found.column("time") == [int(moment.timestamp()) for moment in moments]


def test_labels_by_their_field_in_json_lines() -> None:
    file = "imdb/train.jsonl.gz"
    records = json_lines(file)
    found = read(DATA / file, Recipe.of(label_field="label", rating_field="stars"))
    assert found.texts == [record["text"] for record in records]
    assert found.column("label") == [record["label"] for record in records]
    # These are ten stars; what is no rating of ours is left out.
    stars = [record["stars"] for record in records]
    assert found.column("rating") == [star if star <= 5 else None for star in stars]
    assert found.records == 25_000


def test_records_of_several_sources_with_and_without_stars() -> None:
    file = "amazon/labelled.jsonl.gz"
    recipe = Recipe.of(text_field="text", label_field="label")
    found = read(DATA / file, recipe)
    for review, record in zip(found.reviews, json_lines(file), strict=True):
        assert review["text"] == record["text"]
        assert (review["label"], review["rating"]) == (record["label"], record["stars"])
    assert not found.bad


@pytest.mark.parametrize("file", ["amazon/fine_food.csv.gz", "amazon/mcauley/Patio.json.gz"])
def test_a_plain_copy_is_read_as_the_compressed_file(tmp_path: Path, file: str) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(text_of(file).encode())
    assert read(copy).reviews == read(DATA / file).reviews
