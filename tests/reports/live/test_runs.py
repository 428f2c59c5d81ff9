"""`reviewmill runs`: what stands in the table, its order, and what is refused."""

import json
from pathlib import Path

import pytest

import reviewmill
from reports.live.runs import COLUMNS, main
from reviews.errors import UserError
from tests.reports.runs import make_run


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in their number of updates, one below another folder, one that failed,
    and what is no run."""
    top = tmp_path_factory.mktemp("runs")
    make_run(top / "b")
    make_run(top / "deeper" / "a")
    failure = json.dumps({"kind": "failure", "reason": "no memory", "step": 3}) + "\n"
    make_run(top / "c", extra=failure)
    (top / "notes").mkdir()
    (top / "notes" / "config.yaml").write_text("model: lstm\n")
    config = top / "deeper" / "a" / "config.yaml"
    config.write_text(config.read_text().replace("model: lstm", "model: cnn"))
    (top / "deeper" / "a" / "summary.json").unlink()
    return top


def rows(top: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[dict]:
    assert main([str(top), "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_run_has_its_row_whatever_state_it_is_in(
    top: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(top, capsys)
    assert [(row["run"], row["state"]) for row in found] == [
        ("b", "finished"), ("c", "failed"), ("deeper/a", "unfinished")]
    assert all(row.keys() == COLUMNS.keys() for row in found)


def test_figures_are_those_of_the_files(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = rows(top, capsys)[0]
    lines = [json.loads(line) for line in (top / "b" / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((top / "b" / "summary.json").read_text())
    [test] = [line for line in lines if line["kind"] == "evaluation"][-1:]
    assert (row["test"], row["f1"]) == (test["accuracy"], test["f1_macro"])
    assert row["updates"] == max(line["step"] for line in lines if line["kind"] == "step")
    assert row["validation"] == max(
        line["validation"]["accuracy"] for line in lines
        if line["kind"] == "epoch" and line["validation"])
    assert (row["parameters"], row["seconds"]) == (summary["parameters"], summary["seconds"])


def test_numbers_are_sorted_from_the_highest_words_from_a_and_gaps_come_last(
    top: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    up, down = (rows(top, capsys, "--sort", "model", *reverse) for reverse in ([], ["--reverse"]))
    assert up[0]["model"] == down[-1]["model"] == "cnn"
    for reverse in ([], ["--reverse"]):
        seconds = [row["seconds"] for row in rows(top, capsys, "--sort", "seconds", *reverse)]
        assert seconds == sorted(seconds, reverse=not reverse)
        assert rows(top, capsys, "--sort", "parameters", *reverse)[-1]["run"] == "deeper/a"


def test_the_table_has_a_line_for_each_run(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(top)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == [*COLUMNS]
    assert [line.split()[0] for line in lines] == ["b", "c", "deeper/a"]
    assert len({line.index("%") for line in lines}) == 1


def test_a_run_itself_is_a_row(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [row] = rows(top / "b", capsys)
    assert row["run"] == "b"


@pytest.mark.parametrize(("arguments", "message"), [
    (["--sort", "modle"], "--sort modle; did you mean model"),
    (["--sort", "zzz"], "--sort zzz: no column; run, model"),
])
def test_a_column_that_is_none_is_refused(
    top: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        main([str(top), *arguments])


def test_a_folder_without_runs_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["runs", str(tmp_path)]) == 2
    assert f"{tmp_path} has no run folders" in capsys.readouterr().err
    assert reviewmill.main(["runs", str(tmp_path / "missing")]) == 2
    assert "is not a folder" in capsys.readouterr().err
