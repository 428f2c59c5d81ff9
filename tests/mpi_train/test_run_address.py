"""`train --out s3://...`: a run folder at an address, from which another host goes on."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reviewmill import main
from reviews.bundle import read_bundle
from reviews.storage.folders import fetch_folder, names_below
from reviews.store import Store
from tests.cluster.aws import BUCKET, pretended_aws
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, difference, losses, train
from tests.stores import make_store

LIMIT_S = 120
OPTIONS = {"epochs": 12, "keep": "last", "checkpoint_every": 3}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    yield from pretended_aws()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("address") / "store",
                      {"train": 300, "validation": 20}, length=16)


def command(store: Store, address: str, *more: str) -> list[str]:
    line = arguments(store, Path("x"), **OPTIONS)
    return ["train", str(store.path), *(word for word in line[1:] if not word.startswith("--out")),
            f"--out={address}", *more]


def test_a_run_is_at_its_address_alone_and_goes_on_from_there_on_another_host(
    aws: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://{BUCKET}/runs/killed"
    killed = subprocess.Popen(
        [sys.executable, "-m", "reviewmill", *command(store, address)], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "REVIEWMILL_CACHE": str(tmp_path / "one")})
    limit = time.monotonic() + LIMIT_S
    while not any(name.endswith("/state.json") for name in names_below(address)):
        assert time.monotonic() < limit and killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert "summary.json" not in names_below(address)

    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", address, "--resume"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"one", "other"}, "no folder named s3:"

    fetch_folder(address, tmp_path / "fetched")
    whole = train(store, tmp_path / "whole", **OPTIONS)
    assert difference(read_bundle(tmp_path / "fetched").weights, read_bundle(whole).weights) == 0
    assert losses(tmp_path / "fetched") == losses(whole)
    assert (tmp_path / "fetched" / "log.txt").is_file()
    assert (tmp_path / "fetched" / "summary.json").is_file()


def test_a_run_that_is_there_is_not_replaced_unasked(
    aws: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path))
    address = f"s3://{BUCKET}/runs/short"
    assert main(command(store, address, "--max-steps=2")) == 0
    assert main(command(store, address, "--max-steps=2")) == 2
    assert f"{address} is not empty: give --resume, --overwrite, or another --out" in (
        capsys.readouterr().err)
    before = names_below(address)
    assert main(command(store, address, "--max-steps=4", "--overwrite")) == 0
    assert {name for name in names_below(address) if "state" in name} == {
        "checkpoints/step-00000003/state.json", "checkpoints/step-00000004/state.json"}
    assert {name for name in before if "state" in name} == {"checkpoints/step-00000002/state.json"}


@pytest.mark.parametrize("address", ["s3://no-such-bucket/run", "s3://user:word@reviews/run"])
def test_an_address_that_cannot_be_written_is_refused_before_the_first_update(
    address: str, aws: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path))
    assert main(command(store, address)) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1 and "word@" not in said.err
    assert "epoch 1" not in said.out
