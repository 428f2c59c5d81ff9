"""Findings of the commands in their input, and their messages."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reviewmill
from reviews.store import Store

Rows = list[tuple[int, str]]  # class from 1, text


def call(*arguments: str | Path) -> int:
    return reviewmill.main([str(argument) for argument in arguments])


def write_csv(path: Path, rows: Rows) -> list[str]:
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    return ["--columns", "label,text", "--label-values", "1,2"]


def write_fasttext(path: Path, rows: Rows) -> list[str]:
    path.write_text("".join(f"__label__{label} {text}\n" for label, text in rows))
    return []


def write_json(path: Path, rows: Rows) -> list[str]:
    path.write_text("".join(json.dumps({"stars": 1 + 4 * (label - 1), "text": text}) + "\n"
                            for label, text in rows))
    return []


def write_parquet(path: Path, rows: Rows) -> list[str]:
    pq.write_table(pa.table({"stars": [1 + 4 * (label - 1) for label, _ in rows],
                             "text": [text for _, text in rows]}), path)
    return []


FORMATS = [write_csv, write_fasttext, write_json, write_parquet]
ESCAPED = [(n % 2 + 1, f"good item{n} here" + r"\n\nBought it" * (n % 10 == 3))
           for n in range(100)]


def words_of(store: Path) -> set[str]:
    return set(Store(store).vocabulary_file.read_text().split())


@pytest.mark.parametrize("write", FORMATS)
def test_newlines_written_as_two_characters_are_found_in_every_format(
    tmp_path: Path, write: Callable[[Path, Rows], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = write(tmp_path / "reviews", ESCAPED)
    assert call("prepare", tmp_path / "reviews", *options, "--out", tmp_path / "store") == 0
    assert {"bought", "here"} <= words_of(tmp_path / "store")
    assert not {"nbought", "n"} & words_of(tmp_path / "store")
    assert Store(tmp_path / "store").recipe.cleaning.escaped_newlines == "always"
    said = capsys.readouterr().err
    assert f"{tmp_path / 'reviews'}: newlines written as a backslash and an n are read" in said
    # A recipe that was made before there was the key does not undo them.
    (tmp_path / "old.yaml").write_text("length: 256\n")
    options += ["--recipe", str(tmp_path / "old.yaml"), "--out", str(tmp_path / "old")]
    assert call("prepare", tmp_path / "reviews", *options) == 0
    assert "nbought" in words_of(tmp_path / "old")


@pytest.mark.parametrize("rows", [
    [(n % 2 + 1, f"item{n} at C:\\new folder" if n == 70 else f"fine item{n}") for n in range(200)],
    [(n % 2 + 1, f"item{n}\nC:\\new\n" if n < 9 else f"item{n}\nfine") for n in range(100)],
])  # fmt: skip
def test_a_backslash_before_an_n_now_and_then_is_no_newline(tmp_path: Path, rows: Rows) -> None:
    write_json(tmp_path / "reviews", rows)
    assert call("prepare", tmp_path / "reviews", "--split", "1,0,0",
                "--out", tmp_path / "store") == 0
    assert "new" in words_of(tmp_path / "store")
    assert "escaped_newlines" not in Store(tmp_path / "store").manifest["recipe"]


def test_one_file_of_several_that_has_them_is_enough(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(20):
        write_json(tmp_path / "in" / f"{n:02}.json", ESCAPED if n == 2 else [(1, f"plain {n}")])
    assert call("prepare", tmp_path / "in", "--out", tmp_path / "store") == 0
    assert "nbought" not in words_of(tmp_path / "store")


def test_escaped_newlines_can_be_kept_and_clean_finds_them_too(tmp_path: Path) -> None:
    rows = [(n % 2 + 1, "Title", text) for n, (_, text) in enumerate(ESCAPED)]
    with (tmp_path / "polarity").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    assert call("prepare", tmp_path / "polarity", "--out", tmp_path / "store",
                "--escaped-newlines", "never") == 0
    assert "nbought" in words_of(tmp_path / "store")
    write_fasttext(tmp_path / "lines", ESCAPED)
    assert call("clean", tmp_path / "lines", "--out", tmp_path / "clean") == 0
    texts = pa.concat_tables(map(pq.read_table, (tmp_path / "clean").glob("*.parquet")))["text"]
    assert sum("bought it" in text for text in texts.to_pylist()) == 10
    assert not any("nbought" in text for text in texts.to_pylist())


CLAUSES = [(n % 2 + 1, f"{'太差吵闹' if n % 2 == 0 else '干净方便'}，房间{chr(0x4E00 + n)}服务")
           for n in range(300)]


def test_chinese_is_read_by_its_characters_and_so_is_a_model_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "reviews", CLAUSES)
    store, run = tmp_path / "store", tmp_path / "run"
    assert call("prepare", tmp_path / "reviews", "--out", store) == 0
    assert {"太", "差", "房"} <= words_of(store)
    assert "warning" not in capsys.readouterr().err
    assert call("train", store, "--out", run, "--model", "bag", "--batch-size", "32") == 0
    capsys.readouterr()
    assert call("evaluate", run, "--input", tmp_path / "reviews") == 0
    assert "300 reviews: accuracy 100.00%" in capsys.readouterr().out


def test_many_unknown_words_are_warned_of_by_prepare_evaluate_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "reviews", CLAUSES)
    store, run = tmp_path / "store", tmp_path / "run"
    options = ["--no-unspaced-characters", "--out", str(store)]
    assert call("prepare", tmp_path / "reviews", *options) == 0
    said = "of the words of the validation split are not in the vocabulary: a script without spaces"
    assert said in capsys.readouterr().err
    assert call("train", store, "--out", run, "--model", "bag", "--batch-size", "32") == 0
    capsys.readouterr()
    assert call("evaluate", run, "--store", store, "--split", "validation") == 0
    assert said in capsys.readouterr().out
    write_json(tmp_path / "others", [(label, text[::-1]) for label, text in CLAUSES])
    assert call("evaluate", run, "--input", tmp_path / "others") == 0
    assert (f"warning: 100.0% of the words of {tmp_path / 'others'} are not in the vocabulary"
            in capsys.readouterr().out)
    assert call("report", store) == 0
    assert said in (store / "report.html").read_text("utf-8")


def write_rated(path: Path, ratings: list[str]) -> str:
    rows = [f"{rating}\ttext {n} of it" for n, rating in enumerate(ratings)]
    path.write_text("\n".join(["rating\ttext", *rows]) + "\n")
    return str(path)


@pytest.mark.parametrize(("ratings", "shown"), [
    (["8", "4", "10", "2"], "ratings from 2 to 10 are in the input, and the scale is 1 to 5"),
    (["7.7", "3.7", "9", "0"], "ratings from 0 to 9 are"), (["100", "20"], "from 20 to 100 are"),
    (["0.5", "4.5", "5"], "ratings from 0.5 to 5 are"), (["-1", "1"], "ratings from -1 to 1 are"),
    (["0,5", "4,5", "5"], "ratings from 0.5 to 5 are"),
    (["good", "bad"], "a rating such as 'bad' is no number"),
])  # fmt: skip
def test_plain_numbers_of_another_scale_are_never_guessed(
    tmp_path: Path, ratings: list[str], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rated(tmp_path / "in.csv", ratings * 30)
    assert call("prepare", path, "--out", tmp_path / "store") == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if "cannot be read" in line
              and line.startswith("reviewmill")]
    assert shown in line
    assert "--rating-scale LOW,HIGH" in line
    assert not (tmp_path / "store").exists()
    assert call("clean", path, "--out", tmp_path / "clean") == 2
    assert "--rating-scale" in capsys.readouterr().err


def test_a_named_scale_and_its_forms_are_read(tmp_path: Path) -> None:
    path = write_rated(tmp_path / "in.csv", ["8", "4", "2", "10/10", "Rated 3", "★★★★☆"] * 20)
    assert call("prepare", path, "--rating-scale", "1,10", "--out", tmp_path / "store") == 0
    manifest = Store(tmp_path / "store").manifest
    assert manifest["records"]["dropped"]["neutral"] == 20
    ratings = [set(split["ratings"]) for split in manifest["splits"].values()]
    assert set.union(*ratings) == {"2", "3", "8", "10"}
    assert reports_chart(tmp_path / "store")


def reports_chart(store: Path) -> bool:
    """True where the page shows ratings, without stars that the scale does not have."""
    assert call("report", store) == 0
    return "10 ★" in (store / "report.html").read_text("utf-8")


def test_what_lacks_a_part_is_dropped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rated(tmp_path / "in.csv", ["5", "", "1", "4"] * 20)
    assert call("prepare", path, "--out", tmp_path / "bad") == 2
    assert "20 missing_rating" in capsys.readouterr().err
    assert call("prepare", path, "--missing", "drop", "--out", tmp_path / "store") == 0
    assert "80 records read; dropped: 20 missing; bad: none" in capsys.readouterr().out
    assert call("inspect", tmp_path / "store", "--verify") == 0
    assert call("clean", path, "--missing", "drop", "--out", tmp_path / "clean") == 0
    assert "20 missing" in capsys.readouterr().out


def test_training_reviews_of_one_class_are_warned_of_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rated(tmp_path / "in.csv", ["5", "4"] * 40)
    store, run = tmp_path / "store", tmp_path / "run"
    assert call("prepare", path, "--out", store) == 0
    assert "warning: all training reviews are positive" in capsys.readouterr().err
    train = ["train", store, "--out", run, "--model", "bag", "--epochs", "1"]
    assert call(*train) == 2
    assert "are positive: there is nothing to learn; --allow-one-class" in capsys.readouterr().err
    assert not run.exists()
    assert call(*train, "--allow-one-class") == 0


def test_neutral_values_of_labels_are_dropped(tmp_path: Path) -> None:
    lines = [json.dumps({"target": 2 * (n % 3), "text": f"text {n}"}) for n in range(90)]
    (tmp_path / "in").write_text("\n".join(lines))
    assert call("prepare", tmp_path / "in", "--label-field", "target", "--label-values", "0,4",
                "--neutral-values", "2", "--out", tmp_path / "store") == 0
    records = Store(tmp_path / "store").manifest["records"]
    assert (records["stored"], records["dropped"]["neutral"], records["bad"]) == (60, 30, {})


def test_files_without_a_record_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_rated(folder / "full.csv", ["5", "1"] * 20)
    (folder / "head.csv").write_text("rating\ttext\n")
    (folder / "empty.json").touch()
    (folder / "blank.json").write_text("\n\n")
    (folder / "packed.json.gz").write_bytes(gzip.compress(b""))
    for command in ("prepare", "clean"):
        assert call(command, folder, "--out", tmp_path / command) == 0
        said = capsys.readouterr().err
        for name in ("head.csv", "blank.json", "packed.json.gz"):
            assert f"{command}: {folder / name}: no record in it" in said
        assert "full.csv: no" not in said
    assert call("prepare", folder, "--out", tmp_path / "again") == 0
    assert f"{folder / 'empty.json'}: no record in it" in capsys.readouterr().err
    for number in range(9):
        (folder / f"more{number}.json").write_text("\n")
    assert call("prepare", folder, "--out", tmp_path / "many") == 0
    assert "no record in 7 other files" in capsys.readouterr().err
