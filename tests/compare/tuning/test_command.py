"""`reviewmill tune`: trials, the best options, going on, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import reviewmill
from compare.rows import column
from compare.tuning.command import best_trial, chosen_space, main, shown, trial_line
from compare.tuning.study import COMPLETE, FAILED, PRUNED, Trial
from mpi_train.__main__ import main as train
from reviews.errors import UserError
from reviews.store import Store
from tests.reports.document import parse
from tests.stores import make_store

ROWS = {"train": 900, "validation": 1}
SEARCH = "learning-rate,hidden_dim"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("tune") / "store", ROWS, length=12, vocabulary=60,
                      features=("hint", "noise"))


def arguments(store: Store, out: Path, *more: str, trials: int = 2) -> list[str]:
    return [str(store.path), "--model", "mlp", "--out", str(out), "--sample", "500",
            "--search", SEARCH, "--trials", str(trials), *more, "--", "--epochs", "2",
            "--batch-size", "64", "--threads", "1"]


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    assert main(arguments(store, out)) == 0
    return out


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "tune.json").read_bytes())
    return found


def test_trials_search_the_options_that_were_named(finished: Path) -> None:
    found = result(finished)
    assert [*found["space"]] == ["hidden_dim", "learning_rate"]
    assert found["trials"][0]["params"] == found["defaults"] == {
        "hidden_dim": 64, "learning_rate": 0.002}
    assert [trial["state"] for trial in found["trials"]] == [COMPLETE] * 2
    assert len({trial["params"]["learning_rate"] for trial in found["trials"]}) == 2


def test_a_fifth_of_the_sample_is_validated_on_and_never_trained_on(
    finished: Path, store: Store
) -> None:
    own, held_out = (set(pq.read_table(finished / f"{kind}-0.parquet")["review_id"].to_pylist())
                     for kind in ("train", "validation"))
    assert own & held_out == set()
    lowest = np.sort(column(store, "train", "review_id"))[:500]
    assert own | held_out == set(lowest.tolist())
    assert 60 < len(held_out) < 140
    assert result(finished)["validated"] == len(held_out)
    for epoch in epochs(finished / "trials" / "001" / "fold-0"):
        assert epoch["validation"]["n"] == len(held_out)


def epochs(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "epoch"]


def test_the_value_of_a_trial_is_that_of_its_best_epoch(finished: Path) -> None:
    for trial in result(finished)["trials"]:
        seen = [epoch["validation"]["accuracy"] for epoch in epochs(
            finished / "trials" / f"{trial['number']:03d}" / "fold-0")]
        assert trial["value"] == max(seen)
        assert [value for _, value in trial["steps"]] == seen
    best = result(finished)["best"]
    assert result(finished)["trials"][best]["value"] == max(
        trial["value"] for trial in result(finished)["trials"])


def test_train_takes_the_best_options_and_makes_the_same_of_them(
    finished: Path, store: Store, tmp_path: Path
) -> None:
    best = finished / "best.yaml"
    trial = finished / "trials" / f"{result(finished)['best']:03d}"
    assert yaml.safe_load(best.read_text()).keys() >= {"model", "epochs", "learning_rate"}
    assert train(["--store", str(store.path), "--out", str(tmp_path / "run"),
                  "--config", str(best), "--max-steps", "1", "--keep", "last"]) == 0
    once, again = (yaml.safe_load((run / "config.yaml").read_text())
                   for run in (trial / "fold-0", tmp_path / "run"))
    own = {"out", "config", "rows", "validation_rows", "max_steps", "keep"}
    assert ({name: value for name, value in once.items() if name not in own}
            == {name: value for name, value in again.items() if name not in own})


def test_finished_trials_are_kept(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for name in ("tune.json", "best.yaml", "tune.html"):
        (out / name).unlink()
    kept = [(out / "trials" / f"00{n}" / "result.json").stat().st_mtime_ns for n in (0, 1)]
    assert main(arguments(store, out)) == 0
    assert kept == [(out / "trials" / f"00{n}" / "result.json").stat().st_mtime_ns for n in (0, 1)]
    assert result(out) == result(finished)
    assert (out / "best.yaml").read_bytes() == (finished / "best.yaml").read_bytes()
    assert "of 2 complete trials" in parse((out / "tune.html").read_text()).text
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["trial 0", "trial 1", "best"]
    with pytest.raises(UserError, match="another seed"):
        main(arguments(store, out, "--seed", "1"))


@pytest.mark.soak
def test_every_fold_is_validated_on_and_a_loss_is_the_better_the_lower(
    store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert main([*arguments(store, out, "--folds", "2", trials=1), "--keep-by", "loss"]) == 0
    [trial] = result(out)["trials"]
    assert result(out)["direction"] == "minimize"
    values = [min(epoch["validation"]["loss"] for epoch in epochs(
        out / "trials" / "000" / f"fold-{fold}")) for fold in (0, 1)]
    assert trial["value"] == pytest.approx(sum(values) / 2)
    assert trial["steps"] == [[0, values[0]], [1, trial["value"]]]
    held_out = [set(pq.read_table(out / f"validation-{fold}.parquet")["row"].to_pylist())
                for fold in (0, 1)]
    assert held_out[0] & held_out[1] == set()
    assert sum(map(len, held_out)) == result(out)["validated"] == 500


@pytest.mark.parametrize(("more", "message"), [
    (["--folds", "1"], "--folds is 1: give 2 or more"),
    (["--trials", "0"], "--trials is 0: give 1 or more"),
    (["--sample", "0"], "--sample is 0: give 1 or more"),
    (["--seed", "-1"], "--seed is -1: give 0 or more"),
    (["--out", "s3://bucket/x"], "give a local folder"),
    (["--sample", "3"], "rows are .*: 2 of each class are needed"),
    (["--", "--epochs", "0"], "--epochs is 0: give 1 or more"),
])
def test_what_cannot_be_searched_is_one_line(
    more: list[str], message: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        main([str(store.path), "--model", "mlp", "--out", str(tmp_path / "out"), *more])
    assert not (tmp_path / "out").exists()


def test_what_is_searched_is_named_as_on_the_command_line() -> None:
    space = {"hidden_dim": 1, "dropout": 2}
    assert chosen_space(space, None) == space
    assert chosen_space(space, "--hidden-dim") == chosen_space(space, "hidden_dim") == {
        "hidden_dim": 1}
    with pytest.raises(UserError, match="--eps is not searched here; --hidden-dim, --dropout"):
        chosen_space(space, "dropout,eps")
    with pytest.raises(UserError, match="no option is left to search"):
        chosen_space({}, None)


def test_a_model_has_to_be_named_and_known(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = ["tune", str(store.path), "--out", str(tmp_path / "out")]
    assert reviewmill.main(line) == 2
    assert "name what to tune with --model or --config" in capfd.readouterr().err
    assert reviewmill.main([*line, "--model", "bga"]) == 2
    assert "bga" in capfd.readouterr().err


def test_the_best_is_a_complete_trial() -> None:
    def trial(number: int, state: str, value: float | None) -> Trial:
        return Trial(number=number, params={"dropout": 0.25, "bidirectional": True}, state=state,
                     value=value, steps=[], seconds=1.5, reason="no memory")

    found = [trial(0, COMPLETE, 0.8), trial(1, PRUNED, 0.95), trial(2, FAILED, None),
             trial(3, COMPLETE, 0.9), trial(4, COMPLETE, 0.9)]
    assert best_trial(found, "maximize") == found[3]
    assert best_trial(found, "minimize") == found[0]
    assert best_trial(found[1:3], "maximize") is None
    assert trial_line(found[1], "accuracy") == (
        "trial 1: accuracy 0.9500 (pruned), 1.5 s; --dropout 0.25 --bidirectional on")
    assert trial_line(found[2], "accuracy").startswith("trial 2: failed: no memory; ")
    assert shown(3) == "3"
