"""Figures of a model: scikit-learn's, the same on any ranks, from a store or from raw files."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as sklearn

from models.nets.load_model import load_model
from mpi_train.evaluate import main
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import records, train
from tests.stores import make_store

ROWS = {"train": 700, "validation": 90, "test": 2300}
PROGRAM = """
import json, sys
from mpi_train.evaluate import main
for arguments in json.loads(sys.argv[1]):
    assert main(arguments) == 0
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("evaluate") / "store", ROWS, length=16,
                      vocabulary=60)


@pytest.fixture(scope="module")
def trained(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("trained") / "run", epochs=4,
                 learning_rate=0.02, bidirectional=True)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def raw(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test split as somebody's JSON lines: the words spelled out, fields of their own."""
    words = ["", "", *store.vocabulary_file.read_text().split()]
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        group = file["test"]
        rows = list(zip(group["tokens"][:], group["length"][:], group["label"][:], strict=True))
    path = tmp_path_factory.mktemp("raw") / "reviews.jsonl"
    path.write_text("".join(
        json.dumps({"said": " ".join(words[i] for i in tokens[:n]), "mood": int(label)}) + "\n"
        for tokens, n, label in rows
    ))
    return path


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "--threads", "1"]) == 0
    return figures_in(capsys.readouterr().out.splitlines()[-1])


def figures_in(line: str) -> dict[str, Any]:
    """Figures that --json printed, without the seconds."""
    figures: dict[str, Any] = json.loads(line)
    assert figures.pop("seconds") > 0
    return figures


def fields(raw: Path) -> list[str]:
    return ["--input", str(raw), "--text-field", "said", "--label-field", "mood"]


def test_figures_are_scikit_learns_of_the_models_own_logits(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = evaluate(capsys, run, "--store", store.path)
    model = load_model(read_bundle(run))
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        tokens = torch.from_numpy(file["test/tokens"][:].astype(np.int32))
        lengths = torch.from_numpy(file["test/length"][:].astype(np.int64))
        truth = file["test/label"][:]
    with torch.inference_mode():
        logits = model(tokens, lengths).double().numpy()
    predicted = logits >= 0
    assert figures["n"] == ROWS["test"]
    assert figures["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, predicted))
    assert figures["f1_macro"] == pytest.approx(
        sklearn.f1_score(truth, predicted, average="macro"))
    assert figures["roc_auc"] == pytest.approx(sklearn.roc_auc_score(truth, logits), abs=1e-6)
    assert figures["loss"] == pytest.approx(
        sklearn.log_loss(truth, 1 / (1 + np.exp(-logits))), rel=1e-6)
    assert figures["confusion_matrix"] == sklearn.confusion_matrix(truth, predicted).tolist()
    assert figures["accuracy"] > 0.7, "a model that learned nothing would prove little"
    for number, curve in enumerate(figures["precision_recall"].values()):
        assert curve["average_precision"] == pytest.approx(
            sklearn.average_precision_score(truth == number, logits if number else -logits),
            abs=1e-6)


def test_the_bundle_has_the_weights_that_were_validated(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = evaluate(capsys, run, "--store", store.path, "--split", "validation")
    told = read_bundle(run).model["validation"]
    assert told == pytest.approx({name: figures[name] for name in told})


def test_raw_files_give_the_figures_of_the_store_that_was_made_of_them(
    run: Path, store: Store, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = evaluate(capsys, run, "--store", store.path)
    files = evaluate(capsys, run, *fields(raw))
    assert files["confusion_matrix"] == stored["confusion_matrix"]
    assert files["loss"] == pytest.approx(stored["loss"], rel=1e-6)
    assert files["roc_auc"] == pytest.approx(stored["roc_auc"], abs=1e-6)


def test_a_table_without_a_header_is_the_same_reviews(
    run: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in raw.read_text().splitlines()]
    words = ["bad", "good"]
    table = tmp_path / "table"
    table.write_text("".join(f"{words[row['mood']]}^{row['said']}\n" for row in rows))
    options = ["--columns", "mood,said", "--delimiter", "^", "--label-values", "bad,good"]
    of_table = evaluate(capsys, run, *fields(table), *options, "--no-quoted-newlines")
    assert of_table == evaluate(capsys, run, *fields(raw))


def test_a_model_of_labels_is_measured_on_ratings_where_their_field_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, manifest = run / "model" / "recipe.yaml", run / "model" / "manifest.json"
    before = hashlib.sha256(recipe.read_bytes()).hexdigest()
    recipe.write_text(recipe.read_text().replace("label_field: null", "label_field: mood"))
    after = hashlib.sha256(recipe.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(before, after))
    file = tmp_path / "rated.jsonl"
    file.write_text('{"text": "w1 w2", "stars": 5}\n{"text": "w3", "stars": 1}\n')
    assert evaluate(capsys, run, "--input", file, "--rating-field", "stars")["n"] == 2
    with pytest.raises(UserError, match="no field 'mood'"):
        main([str(run), "--input", str(file)])


def test_two_ranks_find_the_very_numbers_of_one_and_say_them_once(
    run: Path, store: Store, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [[str(run), "--store", str(store.path)], [str(run), *fields(raw)]]
    alone = [evaluate(capsys, *arguments) for arguments in asked]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    both = run_ranks(2, program, json.dumps([[*a, "--json", "--threads", "1"] for a in asked]))
    assert both.returncode == 0, both.stderr
    printed = [figures_in(line) for line in both.stdout.splitlines() if line.startswith("{")]
    assert printed == alone
    assert len(records(run, "evaluation")) == 4


def test_the_journal_of_the_run_remembers_an_evaluation(
    run: Path, store: Store, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = evaluate(capsys, run, "--store", store.path)
    evaluate(capsys, run, *fields(raw))
    on_store, on_files = records(run, "evaluation")
    assert on_store.pop("time").endswith("Z")
    assert on_store == {"kind": "evaluation", "split": "test", **figures}
    assert on_files["split"] == "input"


def test_a_bundle_by_itself_is_only_read(
    run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = shutil.copytree(run / "model", tmp_path / "elsewhere")
    before = sorted(path.name for path in alone.iterdir())
    assert evaluate(capsys, alone, "--store", store.path) == evaluate(
        capsys, run, "--store", store.path)
    assert sorted(path.name for path in alone.iterdir()) == before


def test_what_is_left_out_of_files_is_counted_by_reason(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rated.jsonl"
    rows = [("w1 w2", 5), ("w3", 1), ("w4 w5", 3), ("   ", 4), ("w6", 9)]
    file.write_text("".join(
        json.dumps({"text": text, "rating": rating}) + "\n" for text, rating in rows))
    assert main([str(run), "--input", str(file), "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("2 reviews: accuracy ")
    [line] = [line for line in shown.splitlines() if line.startswith("left out: ")]
    assert "1 neutral" in line
    assert "1 no_words" in line
    assert line.count(",") == 2, "the rating outside of 1 to 5 is the third reason"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{run}", "give either --store or --input"),
        ("{run} --store {store} --input {raw}", "give either --store or --input"),
        ("{run} --store {store} --text-field said", "--text-field is about files"),
        ("{run} --input {raw} --split test", "--split is about a store"),
        ("{run} --store {bare} --split test", "has no rows in its test split"),
        ("{run} --store {other}", "was encoded with another vocabulary"),
        ("{run} --store {moods}", "has the classes negative, neutral, positive, but the model "
         "negative, positive"),
        ("{run} --store {raw}", "is not a store"),
        ("{raw} --store {store}", "neither a run with a model nor a bundle"),
        ("{run} --input {empty} --format jsonl", "no labelled review to evaluate on: 1 no_words"),
        ("{run} --input {none}", "no labelled review to evaluate on: there are no records"),
        ("{run} --input {raw}.nothing", "nothing"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_the_run_alone(
    arguments: str, message: str, run: Path, store: Store, raw: Path, tmp_path: Path
) -> None:
    rows = {"train": 20, "validation": 20}
    places = {
        "run": run, "store": store.path, "raw": raw,
        "bare": make_store(tmp_path / "bare", rows, length=16, vocabulary=60).path,
        "other": make_store(tmp_path / "other", ROWS, length=16, vocabulary=61).path,
        "moods": make_store(tmp_path / "moods", ROWS, length=16, vocabulary=60,
                            classes=("negative", "neutral", "positive")).path,
        "empty": tmp_path / "empty.jsonl", "none": tmp_path / "none.jsonl",
    }
    places["none"].touch()
    places["empty"].write_text('{"text": "", "rating": 5}\n')
    journal = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match=message) as error:
        main(arguments.format(**places).split())
    assert "\n" not in str(error.value)
    assert (run / "metrics.jsonl").read_bytes() == journal


def test_weights_that_do_not_fit_the_models_description_are_refused(trained: Path) -> None:
    bundle = read_bundle(trained)
    bundle.model["options"]["hidden_dim"] += 1
    with pytest.raises(UserError, match=r"the weights do not fit model\.json"):
        load_model(bundle)


@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_are_a_row_for_each_review_of_the_split(
    classes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["negative", "positive"] if classes == 2 else ["low", "mid", "high"]
    store = make_store(tmp_path / "store", ROWS, length=16, vocabulary=60, classes=names)
    run = train(store, tmp_path / "run", epochs=1)
    file = tmp_path / "predictions.parquet"
    assert main([str(run), "--store", str(store.path), "--predictions", str(file), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = pq.read_table(file)
    with h5py.File(store.path / "reviews.h5", locking=False) as stored:
        assert table["review_id"].to_pylist() == stored["test/review_id"][:].tolist()
        assert table["label"].to_pylist() == [names[n] for n in stored["test/label"][:]]
    probabilities = np.array(table["probability"].to_pylist())
    logits = np.array(table["logits"].to_pylist())
    assert probabilities.shape == (ROWS["test"], classes)
    assert logits.shape == (ROWS["test"], 1 if classes == 2 else classes)
    assert probabilities.sum(1) == pytest.approx(1)
    if classes == 2:
        assert probabilities[:, 1] == pytest.approx(1 / (1 + np.exp(-logits[:, 0])), rel=1e-5)
    right = [names[n] == label for n, label in
             zip(probabilities.argmax(1), table["label"].to_pylist(), strict=True)]
    assert np.mean(right) == pytest.approx(figures["accuracy"])


def test_predictions_are_about_a_store(run: Path, raw: Path) -> None:
    with pytest.raises(UserError, match="--predictions is about a store"):
        main([str(run), "--input", str(raw), "--predictions", "x.parquet"])
