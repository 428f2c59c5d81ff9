"""`reviewmill clean`: cleaned text in Parquet, by the rules of a recipe."""

import gzip
import io
import re
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import reviewmill
from mapreduce.clean_reviews import clean_block
from reviews.options import flag
from reviews.recipe import Recipe
from reviews.text.tokenizer import Tokenizer
from reviews.text.word_rules import fold, pattern
from tests.mapreduce.corpus import make_reviews, write_reviews


def call(*arguments: str | Path) -> int:
    return reviewmill.main(["clean", *map(str, arguments)])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    top = tmp_path_factory.mktemp("corpus")
    rows = make_reviews(600)
    return [write_reviews(top / f"{i}.json", rows[i::2]) for i in range(2)]


def read(folder: Path) -> list[tuple[str, str | None]]:
    frame = pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    labels = frame["label"].astype(object).where(frame["label"].notna(), None)
    return list(zip(frame["text"], labels, strict=True))


@pytest.mark.parametrize("tokens", ["letters", "words+marks"])
def test_texts_are_the_words_that_the_recipe_keeps(
    tokens: str, inputs: list[str], tmp_path: Path
) -> None:
    assert call(*inputs, "--out", tmp_path / "clean", "--tokens", tokens) == 0
    expected = []
    for path in inputs:
        for _, row in pd.read_json(path, lines=True).iterrows():
            text = " ".join(re.findall(pattern(tokens), fold(row["reviewText"])))
            label = {1: "negative", 2: "negative", 4: "positive", 5: "positive"}.get(row["overall"])
            if re.search(r"\w", text):  # marks alone are no review
                expected.append((text, label))
    assert read(tmp_path / "clean") == expected


def test_every_runner_writes_the_same_rows(inputs: list[str], tmp_path: Path) -> None:
    for runner in ("inline", "local"):
        assert call(*inputs, "--out", tmp_path / runner, "--runner", runner) == 0
    assert read(tmp_path / "local") == read(tmp_path / "inline")


def test_the_command_says_how_many_texts_are_left(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(inputs[0], "--out", tmp_path / "clean") == 0
    texts = len(read(tmp_path / "clean"))
    told = capsys.readouterr().out
    assert f"300 records read; dropped: {300 - texts} no_words; bad: none\n" in told
    assert f"clean: {texts} texts of 300 records, " in told


def test_reviews_of_too_few_words_are_left_out_and_counted(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(inputs[0], "--out", tmp_path / "all") == 0
    assert call(inputs[0], "--out", tmp_path / "long", "--min-words", "6") == 0
    kept, long = read(tmp_path / "all"), read(tmp_path / "long")
    words = [len(re.findall(pattern("words"), text)) for text, _ in kept]
    assert long == [row for row, count in zip(kept, words, strict=True) if count >= 6]
    assert f"{len(kept) - len(long)} too_few_words" in capsys.readouterr().out


def test_what_is_about_stores_alone_is_no_option(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dedupe", "seed", "time_field", "tokenizer", "length", "cut_above"):
        with pytest.raises(SystemExit):
            call(inputs[0], "--out", tmp_path / "clean", flag(name), "1")
        assert f"unknown argument {flag(name)}" in capsys.readouterr().err


def test_what_cannot_be_read_stops_it_and_leaves_nothing(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad := tmp_path / "bad.json").write_text(Path(inputs[0]).read_text() + '{"a": 1}\n' * 99)
    assert call(bad, "--out", tmp_path / "clean") == 2
    assert "99 of 399 records cannot be read (99 missing_text), more" in capsys.readouterr().err
    bad.write_text("")
    assert call(bad, "--out", tmp_path / "clean") == 2
    assert "bad.json: nothing but empty files" in capsys.readouterr().err
    bad.write_bytes(gzip.compress(b""))
    assert call(bad, "--out", tmp_path / "clean") == 2
    assert "no review is left of 0 records: the input is empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [bad]
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "mine").write_text("mine")
    assert call(*inputs, "--out", tmp_path / "clean") == 2
    assert "is not empty" in capsys.readouterr().err


def test_standard_input_is_read_and_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    good = b'{"text": "fine tea", "stars": 5}\n'
    give(good)
    assert call("-", "--out", tmp_path / "clean") == 0
    assert "1 texts of 1 records" in capsys.readouterr().out
    for command, data, message in (("clean", b"%PDF-1", "clean: -: a PDF; export"),
                                   ("prepare", b"%PDF-1", "prepare: -: a PDF; export"),
                                   ("prepare", good + b"{", "first: -:2 invalid_json")):
        give(data)
        assert reviewmill.main([command, "-", "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    give(good)
    assert call("-", "-", "--out", tmp_path / "twice") == 2
    assert "-: given twice" in capsys.readouterr().err


def test_words_are_counted_before_a_full_table_is_forgotten(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapreduce.clean_reviews.RESTART_WORDS", 1)
    recipe = Recipe.of(min_words=3)
    tokenizer = Tokenizer(recipe.tokens)
    rows = pa.record_batch({
        "text": ["one two", "one two three", "four ! ! five"],
        "label": pa.array([1, 1, 0], pa.uint8()),
        "rating": pa.array([None, None, None], pa.float32()),
    })
    kept, dropped = clean_block(rows, tokenizer, recipe)
    assert kept["text"].to_pylist() == ["one two three"]
    assert dropped == {"no_words": 0, "too_few_words": 2}
    assert len(tokenizer.table) == 0
