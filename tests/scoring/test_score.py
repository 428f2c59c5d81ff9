"""`reviewmill score`: every readable review gets its prediction, in the order of the input."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

import reviewmill
from reviews.generate import generate
from reviews.recipe import Recipe
from scoring import load
from tests.scoring.bundles import LENGTH, TEXTS, make_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "lstm")[0]


def json_lines(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"id": f"r{n}", "text": text}) + "\n"
                            for n, text in enumerate(texts)))


def score(*arguments: Any) -> None:
    assert reviewmill.main(["score", *map(str, arguments)]) == 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert reviewmill.main(["score", *map(str, arguments)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_rows_are_those_of_the_python_call(model: Path, tmp_path: Path) -> None:
    json_lines(tmp_path / "in.jsonl", TEXTS)
    score(model, tmp_path / "in.jsonl", "--out", tmp_path / "out.parquet")
    table, wanted = pq.read_table(tmp_path / "out.parquet"), load(str(model))(TEXTS)
    assert table.column_names == ["file", "record", "label", "probability_negative",
                                  "probability_positive", "n_words", "n_cut"]
    assert table["label"].to_pylist() == wanted.labels
    for column, name in enumerate(("negative", "positive")):
        np.testing.assert_allclose(table[f"probability_{name}"].to_numpy(),
                                   wanted.probabilities[:, column], rtol=0, atol=1e-5)
    assert table["n_words"].to_pylist() == wanted.n_words.tolist()
    assert table["n_cut"].to_pylist() == wanted.n_cut.tolist()
    assert table["record"].to_pylist() == list(range(1, len(TEXTS) + 1))
    assert set(table["file"].to_pylist()) == {str(tmp_path / "in.jsonl")}


@pytest.mark.parametrize("workers", [1, 3])
def test_the_order_is_that_of_the_input_whatever_the_threads(
    model: Path, tmp_path: Path, workers: int
) -> None:
    texts = [f"{'good ' * (n % 30)}tea {n}" for n in range(40_000)]
    json_lines(tmp_path / "in.jsonl", texts)
    score(model, tmp_path / "in.jsonl", "--out", tmp_path / "out.parquet", "--workers", workers,
          "--key-field", "id")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["key"].to_pylist() == [f"r{n}" for n in range(len(texts))]
    assert table["n_words"].to_pylist() == [n % 30 + 2 for n in range(len(texts))]


def written(path: Path, kind: str) -> Path:
    """TEXTS in a format, without labels or ratings."""
    file = path / f"in.{kind}"
    if kind == "jsonl":
        json_lines(file, TEXTS)
    elif kind == "csv":
        pa.csv.write_csv(pa.table({"n": range(len(TEXTS)), "text": TEXTS}), file)
    elif kind == "parquet":
        pq.write_table(pa.table({"text": TEXTS}), file)
    elif kind == "json":
        file.write_text(json.dumps([{"text": text} for text in TEXTS], indent=1))
    else:  # a line is a review; some have a label
        file.write_text("".join(("__label__1 " if n % 3 == 0 else "") + text + "\n"
                                for n, text in enumerate(one_line(TEXTS))))
    return file


def one_line(texts: list[str]) -> list[str]:
    """Texts that lines can hold."""
    return [text.replace("\n", " ") for text in texts if text]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "json", "txt"])
def test_every_format_is_read_without_labels(model: Path, tmp_path: Path, kind: str) -> None:
    texts = one_line(TEXTS) if kind == "txt" else TEXTS
    given = ["--format", "fasttext"] if kind == "txt" else []
    written(tmp_path, kind)
    score(model, tmp_path / f"in.{kind}", "--out", tmp_path / "out.jsonl", *given)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    wanted = load(str(model))(texts)
    assert [row["label"] for row in rows] == wanted.labels
    assert [row["n_words"] for row in rows] == wanted.n_words.tolist()


def test_files_with_labels_are_read_as_well(model: Path, tmp_path: Path) -> None:
    generate(tmp_path / "in.json.gz", 300)
    score(model, tmp_path / "in.json.gz", "--out", tmp_path / "out.csv")
    rows = pa.csv.read_csv(tmp_path / "out.csv")
    assert rows["record"].to_pylist() == list(range(1, 301))


def test_files_need_not_have_the_keys_of_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe.of(length=LENGTH, keep_keys=("source", "time"), source_field="shop")
    model, _ = make_bundle(tmp_path, recipe=recipe)
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps({"text": text, "rating": 5}) + "\n" for text in TEXTS))
    score(model, file, "--out", tmp_path / "out.parquet")
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == len(TEXTS)
    assert reviewmill.main(["evaluate", str(model), "--input", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] > 0


def test_a_rating_that_is_missing_or_impossible_does_not_matter(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"text": "tea", "rating": 99}\n{"text": "tea"}\n{"text": "tea", "rating": 3}\n')
    score(model, tmp_path / "in.jsonl", "--out", tmp_path / "out.parquet")
    assert len(pq.read_table(tmp_path / "out.parquet")) == 3


def test_bad_records_are_counted_and_the_others_keep_their_numbers(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "tea"}\n{"text": null}\n{broken\n{"text": ""}\n{"rating": 5}\n{"text": "cup"}\n')
    json_lines(tmp_path / "b.jsonl", ["tea"])
    score(model, tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--out", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["record"].to_pylist() == [1, 4, 6, 1]
    assert table["n_words"].to_pylist() == [1, 0, 1, 1]
    shown = capsys.readouterr().out
    assert "1 invalid_json, 2 missing_text" in shown
    assert "4 predictions for 7 records" in shown


def test_standard_input_becomes_json_lines_on_standard_output(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    given = io.TextIOWrapper(io.BytesIO(b'{"text": "tea", "id": 7}\n'))
    monkeypatch.setattr(sys, "stdin", given)
    score(model, "-", "--out", "-", "--key-field", "id")
    captured = capfdbinary.readouterr()
    [row] = map(json.loads, captured.out.splitlines())
    assert row["key"] == "7"
    assert row["label"] in ("negative", "positive")
    assert b"1 predictions for 1 records" in captured.err


def test_standard_input_is_called_by_its_name(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    give(b'{"text": "tea"}\n{"text": 7}\n')
    score(model, "-", "--out", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["file"].to_pylist() == ["-"]
    assert "(-:2: missing_text)" in capsys.readouterr().out
    for data, message in ((b"", "-: nothing but empty files"), (b"%PDF-1", "-: a PDF; export")):
        give(data)
        line = ["score", str(model), "-", "--out", str(tmp_path / "other.parquet")]
        assert reviewmill.main(line) == 2
        assert capsys.readouterr().err.startswith(f"reviewmill score: {message}")


@pytest.mark.parametrize(("named", "label"), [
    (("--threshold", "0"), "positive"), (("--unsure", "0,1"), "unsure")])
def test_thresholds_decide_labels(
    model: Path, tmp_path: Path, named: tuple[str, str], label: str
) -> None:
    json_lines(tmp_path / "in.jsonl", TEXTS)
    score(model, tmp_path / "in.jsonl", "--out", tmp_path / "out.parquet", *named)
    assert set(pq.read_table(tmp_path / "out.parquet")["label"].to_pylist()) == {label}


def test_a_model_of_fields_reads_them(tmp_path: Path) -> None:
    encoding = [{"field": "likes", "kind": "number", "mean": 2.0, "scale": 3.0}]
    folder, net = make_bundle(
        tmp_path, "mlp", features=2, recipe=Recipe.of(length=LENGTH, features=("likes",)),
        description={"features": ["likes", "likes missing"], "feature_encoding": encoding})
    (tmp_path / "in.jsonl").write_text(
        '{"text": "good tea", "likes": 5}\n{"text": "good tea"}\n')
    score(folder, tmp_path / "in.jsonl", "--out", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")["probability_positive"].to_numpy()
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with torch.inference_mode():
        wanted = net(torch.tensor([[2, 4]] * 2), torch.tensor([2, 2]), features).sigmoid()
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-5)


def test_mistakes_are_one_line_and_leave_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_lines(tmp_path / "in.jsonl", TEXTS)
    (tmp_path / "bad.jsonl").write_text('{"text": 1}\n' * 3)
    out = tmp_path / "out.parquet"
    line = [model, tmp_path / "in.jsonl", "--out", out]
    assert "in none of .parquet, .jsonl, .csv" in refused(capsys, *line[:-1], tmp_path / "out.txt")
    assert "no field 'k' among id, text; see --key-field" in refused(
        capsys, *line, "--key-field", "k")
    assert "either --threshold or --unsure" in refused(
        capsys, *line, "--threshold", "0.1", "--unsure", "0.1,0.2")
    assert "no review; 3 missing_text" in refused(
        capsys, model, tmp_path / "bad.jsonl", "--out", out)
    (tmp_path / "empty.jsonl").touch()
    assert "empty.jsonl: nothing but empty files" in refused(
        capsys, model, tmp_path / "empty.jsonl", "--out", out)
    (tmp_path / "empty.jsonl").unlink()
    assert "no such file" in refused(capsys, model, tmp_path / "nothing", "--out", out)
    assert "neither a run" in refused(capsys, tmp_path, tmp_path / "in.jsonl", "--out", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "in.jsonl"]


def test_predictions_are_replaced_only_on_request(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_lines(tmp_path / "in.jsonl", TEXTS)
    line = [model, tmp_path / "in.jsonl", "--out", tmp_path / "out.parquet"]
    score(*line)
    assert "exists already; --overwrite replaces it" in refused(capsys, *line)
    json_lines(tmp_path / "in.jsonl", TEXTS[:2])
    score(*line, "--overwrite")
    assert len(pq.read_table(tmp_path / "out.parquet")) == 2
