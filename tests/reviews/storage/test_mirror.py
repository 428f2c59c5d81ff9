"""A run folder at an address: whatever is interrupted, what is there is a run that goes on."""

import itertools
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest

from reviews.errors import UserError
from reviews.storage import mirror as module
from reviews.storage.folders import names_below, read_whole
from reviews.storage.mirror import RunMirror, local_folder

ADDRESS = "memory://runs/one"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local folder of the run at ADDRESS."""
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path))
    fsspec.filesystem("memory").store.clear()
    made = local_folder(ADDRESS)
    made.mkdir(parents=True)
    return made


def write(folder: Path, step: int, kept: int = 1) -> None:
    """Files of a run after so many updates, which all say that number."""
    for old in sorted((folder / "checkpoints").glob("step-*"))[: -kept or None]:
        shutil.rmtree(old)
    for name in ("config.yaml", "metrics.jsonl", "model/weights.safetensors", "model/manifest.json",
                 f"checkpoints/step-{step:08d}/weights.safetensors",
                 f"checkpoints/step-{step:08d}/state.json", ".lock", "checkpoints/.step-9.partial"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{step} {'x' * step}")


def contents(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text().split()[0] for name in names_below(str(folder))
            if not name.startswith(".lock")}


def test_a_local_run_is_its_own_folder() -> None:
    assert local_folder("runs/one") == Path("runs/one")
    assert local_folder("s3://bucket/one") != local_folder("s3://bucket/two")


def test_what_is_put_comes_back_elsewhere_without_what_is_hidden(folder: Path) -> None:
    write(folder, 4)
    RunMirror(ADDRESS).put()
    shutil.rmtree(folder)
    folder.mkdir()
    RunMirror(ADDRESS).fetch(resume=True)
    assert contents(folder) == {name: "4" for name in (
        "config.yaml", "metrics.jsonl", "model/weights.safetensors", "model/manifest.json",
        "checkpoints/step-00000004/weights.safetensors", "checkpoints/step-00000004/state.json")}


def test_a_start_that_is_no_resume_empties_the_folder_and_then_the_address(folder: Path) -> None:
    write(folder, 4)
    RunMirror(ADDRESS).put()
    started = RunMirror(ADDRESS)
    started.fetch(resume=False)
    assert contents(folder) == {}
    (folder / "config.yaml").write_text("new")
    started.put()
    assert set(names_below(ADDRESS)) == {"config.yaml"}
    assert read_whole(f"{ADDRESS}/config.yaml") == b"new"


def test_only_what_changed_is_put_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 4)
    run = RunMirror(ADDRESS)
    run.put()
    (folder / "metrics.jsonl").write_text("more")
    put: list[str] = []
    monkeypatch.setattr(module, "put", lambda local, path: put.append(path))
    run.put()
    assert put == [f"{ADDRESS}/metrics.jsonl"]


class Lost(Exception):
    """The host is gone."""


def test_lost_at_any_request_a_run_goes_back_to_a_whole_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = {name: getattr(module, name) for name in ("put", "delete")}
    for last in itertools.count():
        fsspec.filesystem("memory").store.clear()
        shutil.rmtree(folder)
        folder.mkdir()
        write(folder, 4)
        run = RunMirror(ADDRESS)
        run.put()
        write(folder, 6, kept=0)
        left = iter(range(last))

        def limited(name: str, left: Iterator[int], *arguments: object) -> None:
            if next(left, None) is None:
                raise Lost
            real[name](*arguments)

        for name in real:
            monkeypatch.setattr(module, name, partial(limited, name, left))
        try:
            run.put()
            ended = True
        except Lost:
            ended = False
        for name, function in real.items():
            monkeypatch.setattr(module, name, function)
        RunMirror(ADDRESS).fetch(resume=True)
        found = contents(folder)
        (step,) = {int(name.split("/")[1].removeprefix("step-")) for name in found
                   if name.startswith("checkpoints/")}
        parts = {text for name, text in found.items() if name.startswith("checkpoints/")}
        assert parts == {str(step)}, found
        if "model/manifest.json" in found:
            assert found["model/weights.safetensors"] == found["model/manifest.json"], found
        if ended:
            assert step == 6 and last > 5
            break


def test_an_address_that_cannot_be_written_is_named(folder: Path) -> None:
    write(folder, 4)
    broken = RunMirror("unheard-of://runs/one")
    broken._folder = folder
    with pytest.raises(UserError, match="nothing is known that reads unheard-of://"):
        broken.put()
