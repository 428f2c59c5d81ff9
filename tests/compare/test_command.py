"""`reviewmill compare`: what it writes, goes on with, and refuses."""

import csv
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

import reviewmill
from compare.command import main
from compare.rows import column
from compare.systems import SYSTEMS
from models.records import RECORDS
from mpi_train.configuration.presets import CONFIGS
from reviews.errors import UserError
from reviews.store import Store
from tests.compare.test_baselines import raw_store
from tests.reports.document import card, parse, rows, section
from tests.stores import make_store

ROWS = {"train": 240, "validation": 20, "test": 120}
MODELS = "mlp,majority,tfidf-svm"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("compare") / "store", ROWS, length=12,
                      vocabulary=60, features=("hint", "noise"),
                      keys={"product": lambda rng, n: rng.integers(1, 4, n).astype(np.uint64)})


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of a model with seeds and two baselines without, on half the rows."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert main([str(store.path), "--models", MODELS, "--seeds", "2", "--sample", "0.5",
                 "--reference", "majority", "--out", str(out)]) == 0
    return out


def comparison(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "compare.json").read_text())
    return found


def test_models_run_once_for_each_seed_and_deterministic_ones_once(finished: Path) -> None:
    runs = [(run["model"], run["seed"]) for run in comparison(finished)["runs"]]
    assert runs == [("mlp", 0), ("mlp", 1), ("majority", 0), ("tfidf-svm", 0)]


def test_figures_are_scikit_learns_of_the_predictions(finished: Path) -> None:
    for run in comparison(finished)["runs"]:
        table = pq.read_table(finished / "runs" / f"{run['model']}-{run['seed']}"
                              / "predictions.parquet")
        assert table.column_names == ["review_id", "label", "logits", "probability"]
        truth = np.array(table["label"].to_pylist()) == "positive"
        logits = np.array(table["logits"].to_pylist())[:, 0]
        assert run["accuracy"] == pytest.approx(accuracy_score(truth, logits >= 0))
        assert run["f1_macro"] == pytest.approx(f1_score(truth, logits >= 0, average="macro"))
        assert run["roc_auc"] == pytest.approx(roc_auc_score(truth, logits))
        assert min(run["train_s"], run["reviews_per_s"], run["bytes"], run["peak_bytes"]) > 0


def test_rmse_of_the_rating_is_scikit_learns_and_stands_everywhere(finished: Path) -> None:
    found = pq.read_table(finished / "runs" / "majority-0" / "ratings.parquet")
    wanted = root_mean_squared_error(found["rating"].to_numpy(), found["predicted"].to_numpy())
    of_run = {run["model"]: run.get("rating_rmse") for run in comparison(finished)["runs"]}
    assert of_run == {"mlp": None, "majority": pytest.approx(wanted), "tfidf-svm": None}
    summaries = {one["model"]: one for one in comparison(finished)["models"]}
    error = summaries["majority"]["rating_rmse_test_error"]
    assert 0 < error < wanted == pytest.approx(summaries["majority"]["rating_rmse"])
    with open(finished / "compare.csv", newline="") as file:
        cells = [row["rating_rmse"] for row in csv.DictReader(file)]
    assert [cells[0], float(cells[1]), cells[2]] == ["", of_run["majority"], ""]
    head, _, mlp, majority, _ = (finished / "compare.md").read_text().splitlines()
    at = head.split(" | ").index("RMSE of the rating")
    assert mlp.split(" | ")[at] == "–"
    assert majority.split(" | ")[at] == f"{wanted:.3f} ± – ± {error:.3f}"
    page = section(parse((finished / "compare.html").read_text()), "results")
    [row] = [row for row in rows(card(page, "Scores and costs")) if row[0].startswith("majority")]
    assert f"{wanted:.3f} ± {error:.3f}" in row


def test_precision_and_recall_of_the_negative_class_are_those_of_each_first_run(
    finished: Path
) -> None:
    found = comparison(finished)["precision_recall"]
    assert [one["model"] for one in found] == MODELS.split(",")
    for one in found:
        assert one["class"] == "negative"
        table = pq.read_table(finished / "runs" / f"{one['model']}-0" / "predictions.parquet")
        negative = np.array(table["label"].to_pylist()) == "negative"
        logits = np.array(table["logits"].to_pylist())[:, 0]
        assert one["average_precision"] == pytest.approx(
            average_precision_score(negative, -logits), abs=1e-6)
        for reached in one["wanted"]:
            said = 1 / (1 + np.exp(-logits)) < reached["threshold"]
            assert reached["precision"] == pytest.approx(precision_score(negative, said))
            assert reached["recall"] == pytest.approx(recall_score(negative, said))


def test_the_reference_is_the_one_that_was_named(finished: Path) -> None:
    found = comparison(finished)
    accuracy = {summary["model"]: summary["accuracy"] for summary in found["models"]}
    assert found["reference"] == "majority"
    assert {row["model"]: row["difference"]["mean"] for row in found["differences"]} == {
        name: pytest.approx(accuracy[name] - accuracy["majority"])
        for name in ("mlp", "tfidf-svm")}


def test_a_deterministic_model_is_tested_by_reviews_alone(finished: Path) -> None:
    for row in comparison(finished)["differences"]:
        assert row["p"]["t"] is None
        assert all(0 < row["p"][test]["p"] <= row["p"][test]["holm"]
                   <= row["p"][test]["bonferroni"] <= 1
                   for test in ("mcnemar", "bootstrap", "seeds_and_reviews"))


def test_a_sample_is_what_is_trained_on(finished: Path, store: Store) -> None:
    found = comparison(finished)
    assert (found["sample"], found["training_rows"], found["test_rows"]) == (0.5, 120, 120)
    rows = pq.read_table(finished / "rows.parquet")
    assert rows.num_rows == 120
    config = (finished / "runs" / "mlp-0" / "run" / "config.yaml").read_text()
    assert f"rows: {finished / 'rows.parquet'}" in config


def test_tables_and_page_say_the_same(finished: Path) -> None:
    found = comparison(finished)
    with open(finished / "compare.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == MODELS.split(",")
    for row, summary in zip(rows, found["models"], strict=True):
        assert float(row["accuracy"]) == summary["accuracy"]
        assert row["seeds"] == str(len(summary["seeds"]))
    assert rows[1]["difference_mean"] == rows[1]["mcnemar_p"] == rows[0]["t_p"] == ""
    markdown = (finished / "compare.md").read_text().splitlines()
    page = parse((finished / "compare.html").read_text()).text
    for line, summary in zip(markdown[2:], found["models"], strict=True):
        assert f"| {summary['model']} | {100 * summary['accuracy']:.2f} ±" in line
        assert f"{100 * summary['accuracy']:.2f} %" in page


def test_finished_runs_are_kept_and_torn_ones_done_again(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    torn = out / "runs" / "majority-0"
    (torn / "result.json").unlink()
    (torn / "left-over").touch()
    trained = (out / "runs" / "mlp-1" / "result.json").stat().st_mtime_ns
    assert main([str(store.path), "--models", "majority,mlp", "--seeds", "2", "--sample", "0.5",
                 "--reference", "majority", "--out", str(out)]) == 0
    assert (out / "runs" / "mlp-1" / "result.json").stat().st_mtime_ns == trained
    assert not (torn / "left-over").exists()
    assert (torn / "result.json").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == [
        "majority, seed 0", "mlp, seed 0", "mlp, seed 1"]


def test_a_failure_leaves_the_rest_and_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No two reviews share a word, so that TF-IDF has none to count.
    store = make_store(tmp_path / "store", {"train": 10, "test": 10}, length=1,
                       vocabulary=50_000, shards=1)
    line = [str(store.path), "--models", "tfidf-logistic,majority", "--out", str(tmp_path / "out")]
    for _ in range(2):
        assert main(line) == 1
        assert "tfidf-logistic, seed 0: failed: ValueError: " in capsys.readouterr().out
    found = comparison(tmp_path / "out")
    assert [run["model"] for run in found["runs"]] == ["majority"]
    assert found["differences"] == []  # the reference failed
    [failure] = found["failures"]
    assert "no terms remain" in failure["reason"]
    assert failure["reason"] in parse((tmp_path / "out" / "compare.html").read_text()).text


@pytest.mark.parametrize(("arguments", "message"), [
    ("--models bga", "no model 'bga'; did you mean bag"),
    ("--models nothing-like-it", "no model 'nothing-like-it'; majority, tfidf-logistic"),
    ("--models bag,majority,bag", "--models has bag twice"),
    ("--models bag --reference majority", "--reference majority is not one of --models bag"),
    ("--models majority,mlp", "mlp reads features, and .* has none"),
    ("--models majority,features-svm", "features-svm reads features, and .* has none"),
    ("--models majority --seeds 0", "--seeds is 0: give 1 or more"),
    ("--models majority --folds 1", "--folds is 1: give 2 or more"),
    ("--models majority --folds 2 --seeds 2", "give either --folds or --seeds"),
    ("--models majority --folds 90", "fold . of 90 has 0 rows of .*: give fewer --folds"),
    ("--models majority,vader", "vader reads raw texts: give the files .* as --input"),
    ("--models fasttext-raw-3", "fasttext-raw-3 reads raw texts"),
    ("--models majority --sample 0", "--sample is 0: give more than 0, at most 1"),
    ("--models majority --sample 1.5", "--sample is 1.5: give more than 0, at most 1"),
    ("--models majority --folds 3 --learning-curve", "--learning-curve tests on the test split"),
    ("--models majority --sample 0.1 --learning-curve", "training rows are .*: 3 of each class"),
    ("--models majority --sample 0.01", "1 of the 2 training rows are .*: 3 of each class are"),
    ("--models majority --out s3://bucket/out", "--out s3://bucket/out is an address"),
])
def test_what_cannot_work_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: str, message: str
) -> None:
    store = make_store(tmp_path / "store", {"train": 200, "test": 9}, length=4)
    with pytest.raises(UserError, match=message):
        main([str(store.path), "--out", str(tmp_path / "out"), *arguments.split()])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rows", "message"), [
    ({"train": 50}, "no rows in its test split"), ({"test": 50}, "no rows in its train split")])
def test_a_store_without_a_split_is_refused(
    tmp_path: Path, rows: dict[str, int], message: str
) -> None:
    store = make_store(tmp_path / "store", rows, length=4)
    with pytest.raises(UserError, match=message):
        main([str(store.path), "--models", "majority", "--out", str(tmp_path / "out")])


@pytest.mark.parametrize("damage", ["damaged", "missing"])
def test_a_damaged_shard_is_refused(tmp_path: Path, damage: str) -> None:
    store = make_store(tmp_path / "store", {"train": 50, "test": 9}, length=4)
    shard = store.shards("test")[-1].path
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes() + b" ")
    with pytest.raises(UserError, match=f"{shard.name} is {damage}"):
        main([str(store.path), "--models", "majority", "--out", str(tmp_path / "out")])


def test_a_missing_package_is_named_with_its_extra(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for model, extra in (("bag", "train"), ("tfidf-svm", "compare"), ("fasttext", "bench")):
        with pytest.raises(UserError, match=rf"{model} needs .*'reviewmill\[{extra}\]'"):
            main([str(store.path), "--models", model, "--out", str(tmp_path / "out")])
    assert reviewmill.main(["compare", str(store.path)]) == 2


@pytest.mark.parametrize(("change", "name"), [
    (["--sample", "0.4"], "sample"), (["--folds", "2"], "folds"),
    (["--reference", "mlp"], "reference"), (None, "fingerprint")])
def test_a_folder_keeps_to_its_plan(
    finished: Path, store: Store, tmp_path: Path, change: list[str] | None, name: str
) -> None:
    plan = (finished / "plan.json").read_bytes()
    line = ["--models", MODELS, "--reference", "majority", "--sample", "0.5",
            "--out", str(finished)]
    other = store if change else make_store(tmp_path / "store", ROWS, features=("hint",), seed=1)
    with pytest.raises(UserError, match=f"a comparison with another {name}"):
        main([str(other.path), *line, *(change or [])])
    assert (finished / "plan.json").read_bytes() == plan


def test_a_folder_of_something_else_is_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is not empty, and no comparison"):
        main([str(store.path), "--models", "majority", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_every_model_of_the_program_and_trainings_by_name_can_be_compared() -> None:
    assert set(RECORDS) - {"transformer"} < set(SYSTEMS)
    named = {system.options[1]: name for name, system in SYSTEMS.items()
             if system.options and system.options[0] == "--config"}
    assert set(named) == {"default", "views"} <= set(CONFIGS)


def test_folds_are_trained_without_what_they_are_tested_on(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(store.path), "--models", "mlp,majority", "--folds", "2", "--out",
                 str(out)]) == 0
    found = comparison(out)
    assert [(run["model"], run["seed"]) for run in found["runs"]] == [
        (model, fold) for model in ("mlp", "majority") for fold in range(2)]
    train = column(store, "train", "review_id")
    for model in ("mlp", "majority"):
        tested = [pq.read_table(out / "runs" / f"{model}-{fold}" / "predictions.parquet")
                  ["review_id"].to_pylist() for fold in range(2)]
        assert sorted(itertools.chain(*tested)) == sorted(train.tolist())
        for fold in range(2):
            trained = pq.read_table(out / f"rows-{fold}.parquet")["review_id"].to_pylist()
            assert not set(trained) & set(tested[fold])
            assert len(trained) + len(tested[fold]) == len(train)
            if model == "majority":
                held_out = pq.read_table(out / "runs" / f"majority-{fold}" / "ratings.parquet",
                                         filters=[("review_id", "in", tested[fold])])
                [run] = [run for run in found["runs"]
                         if (run["model"], run["seed"]) == ("majority", fold)]
                assert run["rating_rmse"] == pytest.approx(root_mean_squared_error(
                    held_out["rating"].to_numpy(), held_out["predicted"].to_numpy()))
    [difference] = found["differences"]
    assert difference["p"].keys() == {"folds", "mcnemar", "bootstrap"}
    assert f"p = {difference['p']['folds']['holm']:.2g} by Holm" in (
        text := parse((out / "compare.html").read_text()).text) or "it is the reference" in text
    assert "folds share it" in text
    wrong = found["wrong_labels"]
    assert (wrong["model"], wrong["n"]) == ("mlp", len(train))
    kept = pq.read_table(out / "wrong-labels.parquet")
    assert 0 < wrong["wrong"] == kept.num_rows
    assert set(kept["review_id"].to_pylist()) <= set(train.tolist())
    assert f"{wrong['wrong']} of {len(train)} labels" in text


def test_a_learning_curve_trains_on_nested_samples(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(store.path), "--models", "majority", "--out", str(tmp_path / "out"),
                 "--learning-curve"]) == 0
    [curve] = comparison(tmp_path / "out")["learning_curve"]
    assert [point["rows"] for point in curve["points"]] == [15, 30, 60, 120, 240]
    assert curve["points"][-1]["accuracy"] == comparison(tmp_path / "out")["runs"][0]["accuracy"]
    assert curve["forecast"]["rows"] == 480
    samples = [set(pq.read_table(tmp_path / "out" / "curve" / f"{rows}" / "rows.parquet")
                   ["review_id"].to_pylist()) for rows in (15, 30, 60, 120)]
    assert [len(sample) for sample in samples] == [15, 30, 60, 120]
    assert all(less < more for less, more in itertools.pairwise(samples))
    said = capsys.readouterr().out
    assert "15 rows, majority, seed 0: accuracy" in said
    assert "forecast for 480 rows" in said
    page = parse((tmp_path / "out" / "compare.html").read_text())
    assert "Learning curve" in [heading.text for heading in page.all("h2")]


def test_slices_hold_every_test_review_once(finished: Path, store: Store) -> None:
    found = comparison(finished)
    by_rating = [one for one in found["slices"] if one["by"] == "length"]
    assert sum(one["n"] for one in by_rating) == store.rows("test")
    for summary in found["models"]:
        mean = sum(one["n"] * one["accuracy"][summary["model"]] for one in by_rating)
        assert mean / store.rows("test") == pytest.approx(summary["accuracy"])
    assert found["mistakes"] is None


def test_with_the_files_mistakes_are_shown_as_text(tmp_path: Path) -> None:
    store, files = raw_store(tmp_path)
    line = [str(store.path), "--models", "majority", "--out", str(tmp_path / "out"), "--input",
            *map(str, files)]
    assert main(line) == 0
    found = comparison(tmp_path / "out")["mistakes"]
    assert found["model"] == "majority" and len(found["reviews"]) == 20
    [said] = {one["said"] for one in found["reviews"]}
    for one in found["reviews"]:
        assert one["label"] != said
        assert one["text"].startswith("I LOVE") == (one["label"] == "positive")
    assert found["reviews"][0]["text"] in parse(
        (tmp_path / "out" / "compare.html").read_text()).text
    files[0].unlink()  # the texts are in the folder
    assert main(line) == 0


def test_a_store_that_keeps_products_has_tests_and_slices_of_them(
    store: Store, finished: Path
) -> None:
    found = comparison(finished)
    for row in found["differences"]:
        assert 0 < row["p"]["product_bootstrap"]["p"] <= row["p"]["product_bootstrap"]["holm"] <= 1
        assert "reviewer_bootstrap" not in row["p"]
    slices = {one["slice"]: one["n"] for one in found["slices"] if one["by"] == "product"}
    counts = np.bincount(column(store, "test", "product").astype(np.int64))
    assert slices == {f"{number:016x}": n for number, n in enumerate(counts) if n >= 30}
    assert "bootstrap over products" in (finished / "compare.html").read_text()
