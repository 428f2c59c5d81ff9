"""Checkpoints are written beside the training, and are there whole or not at all."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mpi_train import checkpoint
from mpi_train.__main__ import main
from mpi_train.checkpoint import CheckpointWriter, last_checkpoint
from mpi_train.train_state import EpochTotals, TrainState
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.mpi_train.runs import arguments, records, train
from tests.requirements import need
from tests.stores import make_store

# A disk of its own, in a name space of its own; what it holds at the end is copied.
SMALL_DISK = """
mount -t tmpfs -o size=$1 none "$2" || exit 99
disk=$2; copy=$3; shift 3
"$@"; status=$?
cp -a "$disk" "$copy"; exit $status
"""
LARGE = {"model": "bag", "buckets": 100_000, "ngrams": 2, "checkpoint_every": 1,
         "checkpoints_kept": 99}  # checkpoints of 3.6 MB
TENSORS = {"weights": {"weight": torch.arange(6.0).view(2, 3)}, "optimizer": {}, "average": {}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("checkpoint") / "store",
                      {"train": 600, "validation": 20}, length=16)


def whole(folder: Path) -> bool:
    files = json.loads((folder / "state.json").read_text())["files"]
    return len(files) == 3 and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in files.items())


def test_training_goes_on_while_a_checkpoint_of_its_earlier_state_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on = threading.Event()

    def later(tensors: dict[str, torch.Tensor], file: Path) -> None:
        assert gone_on.wait(60)
        save_file(tensors, file)

    monkeypatch.setattr(checkpoint, "save_file", later)
    state = TrainState("store", step=7, epoch=EpochTotals(loss=1.0))
    writer = CheckpointWriter(tmp_path, kept=1)
    writer.write(state, lambda: TENSORS)
    state.epoch.loss = 2.0
    writer.check()  # does not wait
    assert last_checkpoint(tmp_path) is None
    gone_on.set()
    writer.wait()
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.tensors["weights"].keys() == {"weight"}
    assert torch.equal(found.tensors["weights"]["weight"], TENSORS["weights"]["weight"])
    assert found.state == TrainState("store", step=7, epoch=EpochTotals(loss=1.0))


def test_who_may_read_a_part_of_a_checkpoint_may_read_all_of_it(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, kept=1)
    writer.write(TrainState("store", step=1), lambda: TENSORS)
    writer.wait()
    files = list((tmp_path / "checkpoints" / "step-00000001").iterdir())
    assert len(files) == 4
    assert len({file.stat().st_mode for file in files}) == 1


def test_what_cannot_be_written_is_told_at_the_next_look_and_leaves_nothing(
    tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").write_text("a file where a folder has to be")
    writer = CheckpointWriter(tmp_path, kept=1)
    writer.write(TrainState("store", step=7), lambda: TENSORS)
    with pytest.raises(UserError, match=r"step-00000007 could not be written: .*checkpoints"):
        writer.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_checkpoints_come_after_so_many_minutes_too(store: Store, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", epochs=1, checkpoint_minutes=1e-9, checkpoints_kept=99)
    assert len(list((run / "checkpoints").iterdir())) == len(records(run, "step")) == 10
    seldom = train(store, tmp_path / "seldom", epochs=1, checkpoint_minutes=1e9)
    assert [path.name for path in (seldom / "checkpoints").iterdir()] == ["step-00000010"]


def test_killed_while_one_is_written_a_run_has_only_whole_ones_and_goes_on(
    store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "mpi_train", *arguments(store, out, epochs=40, **LARGE)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        # Two checkpoints are there, and the next one has begun.
        while not (len(list(out.glob("checkpoints/step-*"))) >= 2
                   and list(out.glob("checkpoints/.step-*.partial"))):
            assert process.poll() is None, "it must not have come to its end"
        process.kill()
    found = sorted(out.glob("checkpoints/step-*"))
    assert len(found) >= 2 and all(map(whole, found))
    done = int(found[-1].name.removeprefix("step-"))
    assert main(["--out", str(out), "--resume", f"--max-steps={done + 1}"]) == 0
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        *(path.name for path in found), f"step-{done + 1:08d}"]


def test_a_disk_that_fills_up_ends_all_ranks_with_one_error_and_keeps_what_was_whole(
    store: Store, tmp_path: Path
) -> None:
    need(shutil.which("unshare") is not None, "needs unshare")
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    command = [sys.executable, "-m", "reviewmill", "train", "--ranks", "2",
               *arguments(store, disk / "run", epochs=40, **LARGE)]
    command.remove(f"--store={store.path}")
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", SMALL_DISK, "bash", "10M",
         str(disk), str(copy), *command, str(store.path)],
        capture_output=True, text=True, timeout=120, cwd=ROOT)
    need(done.returncode not in (1, 99), f"needs to mount a tmpfs: {done.stderr}")
    told = [line for line in done.stderr.splitlines() if line.startswith("rank ")]
    assert len(told) == 1 and "no space left on" in told[0].lower(), done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    found = sorted(copy.glob("run/checkpoints/*"))
    assert [path.name for path in found] == ["step-00000001", "step-00000002"]
    assert all(map(whole, found))


def test_a_checkpoint_whose_state_lacks_a_field_is_damaged(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, kept=1)
    writer.write(TrainState("store", step=1), lambda: TENSORS)
    writer.wait()
    file = tmp_path / "checkpoints" / "step-00000001" / "state.json"
    body = json.loads(file.read_text())
    del body["step"]
    file.write_text(json.dumps(body))
    with pytest.raises(UserError, match="step-00000001 is damaged"):
        last_checkpoint(tmp_path)
