"""`reviewmill track`: what the trackers' own readers find of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from reports.tracking.command import main
from reviews.errors import UserError
from tests.reports.runs import make_run
from tests.requirements import need

LOSS = "train/loss"


def steps_of(run: Path) -> dict[int, float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "step"}


def events_of(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return found


def test_tensorboard_reads_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "lstm-1")
    assert main([str(run), "--tensorboard", str(tmp_path / "board")]) == 0
    assert "lstm-1: " in capsys.readouterr().out
    found = events_of(tmp_path / "board" / "lstm-1")
    assert {event.step: event.value for event in found.Scalars(LOSS)} == pytest.approx(
        steps_of(run))
    assert {"validation/accuracy", "test/accuracy", "epoch/loss"} <= set(found.Tags()["scalars"])
    [text] = found.Tensors("options")
    assert b"| model | lstm |" in text.tensor_proto.string_val[0]
    times = [event.wall_time for event in found.Scalars(LOSS)]
    assert times == sorted(times)


def test_a_run_is_followed_until_its_end(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    metrics, summary = run / "metrics.jsonl", run / "summary.json"
    lines, end = metrics.read_text().splitlines(keepends=True), summary.read_text()
    summary.unlink()
    metrics.write_text("".join(lines[:10]))
    looks = []

    def go_on(seconds: float) -> None:
        looks.append(seconds)
        metrics.write_text("".join(lines[:20 * len(looks)]))
        if len(looks) == 3:
            metrics.write_text("".join(lines))
            summary.write_text(end)

    assert main([str(run), "--tensorboard", str(tmp_path / "board"), "--name", "mine", "--follow",
                 "--interval", "0.5"], go_on) == 0
    assert looks == [0.5] * 3
    found = events_of(tmp_path / "board" / "mine")
    assert len(found.Scalars(LOSS)) == len(steps_of(run))


@pytest.mark.soak  # its import and its tables take ten seconds
def test_mlflow_reads_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        need(False, "mlflow")
    run = make_run(tmp_path / "run")
    unfinished = make_run(tmp_path / "unfinished")
    (unfinished / "summary.json").unlink()
    monkeypatch.chdir(tmp_path)
    for one in (run, unfinished):
        assert main([str(one), "--mlflow", "--experiment", "reviews"]) == 0
    client = MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("reviews")
    kept = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert {name: one.info.status for name, one in kept.items()} == {
        "run": "FINISHED", "unfinished": "KILLED"}
    assert kept["run"].data.params["model"] == "lstm"
    history = client.get_metric_history(kept["run"].info.run_id, LOSS)
    assert {point.step: point.value for point in history} == pytest.approx(steps_of(run))


@pytest.mark.parametrize(("options", "message"), [
    ([], "give either --tensorboard DIR or --mlflow"),
    (["--mlflow", "--tensorboard", "x"], "give either --tensorboard DIR or --mlflow"),
    (["--tensorboard", "x", "--interval", "0"], "--interval is 0: give more than 0 seconds"),
])
def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, options: list[str], message: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("model: lstm\n")
    with pytest.raises(UserError, match=message):
        main([str(run), *options])


def test_a_folder_that_is_no_run_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["track", str(tmp_path), "--tensorboard", str(tmp_path / "b")]) == 2
    assert "is no run folder: it has no config.yaml" in capsys.readouterr().err


def test_a_tracker_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("model: lstm\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mlflow is not installed: .*reviewmill\[track\]"):
        main([str(tmp_path), "--mlflow"])
