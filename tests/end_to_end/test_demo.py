"""The demo with few reviews: every stage, two ranks, a page at the end."""

import json
import subprocess
from pathlib import Path

import pytest

from reviews.store import Store
from tests.end_to_end.checkout import run


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["reviewmill", "demo", *arguments], folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> subprocess.CompletedProcess[str]:
    """Output of the demo."""
    done = demo(folder, "--reviews", "1000", "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_it_ends_with_the_path_of_the_report(
    folder: Path, shown: subprocess.CompletedProcess[str]
) -> None:
    last = shown.stdout.splitlines()[-1]
    assert Path(last) == folder.resolve() / "out" / "run" / "report.html"
    assert "test reviews" in Path(last).read_text("utf-8")


def test_it_shows_the_commands_that_it_stands_for(
    shown: subprocess.CompletedProcess[str],
) -> None:
    lines = [line for line in shown.stdout.splitlines() if line.startswith("== reviewmill ")]
    assert [line.split()[2] for line in lines] == ["prepare", "train", "evaluate", "report"]


def test_two_ranks_trained_on_all_reviews_that_were_read(
    folder: Path, shown: subprocess.CompletedProcess[str]
) -> None:
    store = Store(folder / "out" / "store")
    summary = json.loads((folder / "out" / "run" / "summary.json").read_bytes())
    assert store.manifest["records"]["read"] == 1000
    assert (summary["ranks"], summary["finished"]) == (2, True)
    lines = (folder / "out" / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    trained = [record["reviews"] for record in map(json.loads, lines) if record["kind"] == "epoch"]
    assert trained == [store.rows("train")] * 2


def test_its_log_is_plain_and_speaks_only_of_the_stages(
    shown: subprocess.CompletedProcess[str],
) -> None:
    printed = shown.stdout + shown.stderr
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert "No configs" not in printed
    assert "Traceback" not in printed


def test_it_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = demo(tmp_path, "--out", "mine")
    assert refused.returncode == 2
    assert "mine is not empty" in refused.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_it_refuses_a_file_in_place_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("years of work")
    refused = demo(tmp_path, "--out", "mine")
    assert (refused.returncode, refused.stderr) == (2, "reviewmill demo: mine is not a folder\n")


@pytest.mark.parametrize("option", ["--reviews", "--ranks"])
def test_it_refuses_numbers_that_cannot_work(tmp_path: Path, option: str) -> None:
    refused = demo(tmp_path, option, "0", "--out", "out")
    assert refused.returncode == 2
    assert f"{option} is 0" in refused.stderr
    assert not (tmp_path / "out").exists()
