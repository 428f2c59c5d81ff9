"""Parquet: what pyarrow and pandas write, in row groups that are read apart."""

import datetime
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reviews.corpora import detect_format, plan_splits, raw_bytes
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import WHOLE, json_lines, mcauley, read, read_splits, review


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_the_reviews_are_those_of_the_same_rows_as_json_lines(tmp_path: Path) -> None:
    rows = [mcauley(number) for number in range(500)]
    for number in range(0, 500, 7):
        del rows[number]["reviewerID"]
    (tmp_path / "lines").write_bytes(json_lines(rows))
    pq.write_table(pa.Table.from_pylist(rows, pa.Table.from_pylist(rows[1:]).schema),
                   tmp_path / "input", row_group_size=64)
    assert detect_format(str(tmp_path / "input")) == "parquet"
    assert read(tmp_path / "input").reviews == read(tmp_path / "lines").reviews
    assert read(tmp_path / "input", rows=10).reviews == read(tmp_path / "lines").reviews


def test_row_groups_are_splits_and_every_review_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "input"
    texts = [f"text {n} " + "x" * (n % 50) for n in range(3000)]
    write(path, {"text": texts, "stars": [n % 5 + 1 for n in range(3000)]}, row_group_size=100)
    whole = raw_bytes(plan_splits([str(path)], Recipe()))
    for most in (1, 5000, 20_000, 1 << 30):
        splits = plan_splits([str(path)], Recipe(), most)
        assert len(splits) == {1: 30, 1 << 30: 1}.get(most, len(splits))
        assert read_splits(splits).texts == texts
        assert raw_bytes(splits) == whole


@pytest.mark.parametrize(
    "text",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(),
     pa.dictionary(pa.int32(), pa.string())],
)  # fmt: skip
@pytest.mark.parametrize("rating", [pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(3, 1)])
def test_texts_and_ratings_may_be_of_many_types(
    tmp_path: Path, text: pa.DataType, rating: pa.DataType
) -> None:
    texts = pa.array(["good", None, "bad", "good"], pa.string()).cast(text)
    stars = pa.array([5, 4, None, 1]).cast(pa.float64()).cast(rating)
    found = read(write(tmp_path / "input", {"text": texts, "stars": stars}), Recipe())
    assert list(zip(found.texts, found.column("rating"), strict=True)) == [("good", 5), ("good", 1)]
    assert found.bad == {"missing_text": 1, "missing_rating": 1}
    assert [(place.line, place.reason) for place in found.places] == [
        (2, "missing_text"), (3, "missing_rating")]  # fmt: skip


def test_what_pandas_writes_as_missing_is_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b", "c"], "rating": [5.0, float("nan"), 9.0]})
    frame.to_parquet(tmp_path / "input")
    found = read(tmp_path / "input", Recipe())
    assert found.bad == {"missing_rating": 1, "rating_out_of_range": 1}


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns"), pa.timestamp("ms", "UTC"), pa.date32(), pa.int64(), pa.string()]
)
def test_times_may_be_moments_days_seconds_or_words(tmp_path: Path, kind: pa.DataType) -> None:
    moment = datetime.datetime(2013, 9, 3)
    values = {pa.int64(): [1_378_166_400, None], pa.string(): ["2013-09-03", None]}
    times = pa.array(values.get(kind) or [moment, None], kind)
    path = write(tmp_path / "input", {"text": ["a", "b"], "rating": [1, 2], "timestamp": times})
    assert read(path, Recipe.of(split_by="time")).column("time") == [1_378_166_400, None]


@pytest.mark.parametrize("values", [[True, False], ["pos", "neg"], [1, 0], [1.0, 0.0]])
def test_labels_may_be_truths_words_or_numbers(tmp_path: Path, values: list[Any]) -> None:
    path = write(tmp_path / "input", {"text": ["a", "b"], "label": values})
    assert read(path, Recipe.of(label_field="label")).column("label") == [1, 0]


def test_bytes_that_are_not_utf8_cost_their_row(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"b\xe4d", b"fine", b"\xff"], pa.binary())
    found = read(write(tmp_path / "input", {"text": texts, "stars": [5, 5, 5, 5]}), Recipe())
    assert found.texts == ["good", "fine"]
    assert found.bad == {"invalid_utf8": 2}


def test_lists_and_records_are_no_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "input", {"text": [["a"]], "review": ["b"], "rating": [5]})
    assert read(path, Recipe()).texts == ["b"]
    found = read(path, Recipe.of(text_field="text"))
    assert found.bad == {"missing_text": 1}


def test_a_file_without_rows_holds_no_records(tmp_path: Path) -> None:
    path = write(tmp_path / "input", {"text": pa.array([], pa.string()), "stars": pa.array([])})
    assert read(path, WHOLE).records == 0


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "input", {"words": ["a"], "stars": [5]})
    with pytest.raises(UserError, match="no text field among words, stars; name it with --text-f"):
        read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_or_changed_is_refused_by_its_name(tmp_path: Path, share: float) -> None:
    path = tmp_path / "input"
    write(path, {"text": [f"{n * n}" for n in range(9999)], "stars": [5] * 9999},
          compression="zstd", write_page_checksum=True)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="input: damaged Parquet file: "):
        read(path)
    place = len(data) // 3
    path.write_bytes(data[:place] + b"?" * 40 + data[place + 40 :])
    with pytest.raises(UserError, match="input: damaged Parquet file: "):
        read(path)


def test_a_json_file_is_not_taken_for_parquet(tmp_path: Path) -> None:
    path = tmp_path / "input.parquet"
    path.write_text(json.dumps(review()))
    assert read(path).texts == ["fine"]
    with pytest.raises(UserError, match=r"input\.parquet: damaged Parquet file"):
        read(path, Recipe.of(format="parquet"))
