"""A training on nodes: followed, asked to end where it has to, its folder fetched."""

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cluster.gpu.remote import LOST_SSH
from cluster.gpu.run import NotFetched, Outcome, Times, Training, train
from cluster.gpu.state import load_record
from cluster.gpu.up import Node
from cluster.interrupts import Interrupts
from reviews.errors import EngineError
from tests.cluster.gpu.nodes import Shell, node, record, shell

# In place of `python -P -m reviewmill train STORE --out RUN ...`: $4 is `train`, $7 RUN.
TRAINS = """echo "$@" >>../asked; mkdir -p "$7"; echo config >"$7/config.yaml"; echo epoch 1
{then}"""
UNTIL_ASKED = TRAINS.format(then="""trap 'echo checkpoint; touch "$7/checkpoint"; exit 143' TERM
echo ready
while :; do sleep 0.02; done""")
TIMES = Times(look_s=0.02, lost_s=60, stop_s=20, before_deadline_s=600)
FAR = 1e12


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWMILL_STATE", str(tmp_path / "records"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text("{}")
    return tmp_path / "store"


def training(store: Path | str, out: Path | str, resume: bool = False) -> Training:
    return Training(str(store), str(out), ("--epochs", "3"), resume)


def run(remote: Shell, wanted: Training, deadline: float = FAR,
        interrupts: Interrupts | None = None, times: Times = TIMES) -> Outcome:
    return train(remote, [node()], record(deadline), wanted, interrupts or Interrupts(), times)


def test_the_log_is_printed_and_the_run_folder_is_fetched(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = shell(tmp_path / "node", TRAINS.format(then="sleep 0.1; echo epoch 2; exit 0"))
    assert run(remote, training(store, tmp_path / "run")) == Outcome(0)
    assert capsys.readouterr().out == "epoch 1\nepoch 2\n"
    assert (tmp_path / "run" / "config.yaml").read_text() == "config\n"
    asked = (tmp_path / "node" / "asked").read_text()
    scratch = remote.layout.scratch
    assert asked == (f"-P -m reviewmill train {scratch}/store --out {scratch}/run "
                     f"--hostfile {scratch}/hosts --epochs 3\n")
    assert (tmp_path / "node" / "scratch" / "store" / "manifest.json").read_text() == "{}"


def test_a_store_and_a_run_at_addresses_stay_there_and_the_store_is_staged(tmp_path: Path) -> None:
    python = 'echo "$@" >../asked; exit 3'
    remote = shell(tmp_path / "node", python)
    assert run(remote, training("s3://b/store", "s3://b/run", resume=True)) == Outcome(3)
    scratch = remote.layout.scratch
    assert (tmp_path / "node" / "asked").read_text() == (
        f"-P -m reviewmill train s3://b/store --out s3://b/run --hostfile {scratch}/hosts "
        f"--stage {scratch}/stage --resume --epochs 3\n")


def test_before_the_deadline_the_training_ends_with_a_checkpoint(
    store: Path, tmp_path: Path
) -> None:
    remote = shell(tmp_path / "node", UNTIL_ASKED)
    ended = run(remote, training(store, tmp_path / "run"), deadline=time.time() + 599)
    assert ended == Outcome(143, "the budget is used up")
    assert (tmp_path / "run" / "checkpoint").exists()


def test_a_spot_notice_ends_it_with_a_checkpoint_and_is_remembered(
    store: Path, tmp_path: Path
) -> None:
    remote = shell(tmp_path / "node", UNTIL_ASKED,
                   f"grep -qs ready {tmp_path}/node/scratch/train.log && echo notice || echo alive")
    ended = run(remote, training(store, tmp_path / "run"))
    assert ended == Outcome(143, "AWS takes back i-1", ("i-1",))
    found = load_record("gpu-x")
    assert found is not None and found.noticed == ["i-1"]
    assert (tmp_path / "run" / "checkpoint").exists()


def test_ctrl_c_ends_it_with_a_checkpoint_and_a_second_one_at_once(
    store: Path, tmp_path: Path
) -> None:
    remote = shell(tmp_path / "node", UNTIL_ASKED, "kill -INT $PPID; echo alive")
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        interrupts.asked = ""
        interrupts.polite = True
        signal.raise_signal(signal.SIGTERM)
        ended = run(remote, training(store, tmp_path / "run"), interrupts=interrupts)
        assert ended == Outcome(143, "SIGTERM")
        interrupts.ending = True
        signal.raise_signal(signal.SIGINT)


def test_a_training_that_still_runs_is_followed_and_not_started_again(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    then = 'while [ ! -e ../go ]; do sleep 0.02; done; echo end; exit 0'
    remote = shell(tmp_path / "node", TRAINS.format(then=then))

    class Again(Shell):
        def need(self, node: Node, script: str, limit_s: float, given: bytes = b"") -> str:
            said = super().need(node, script, limit_s, given)
            if said == "runs\n":
                (tmp_path / "node" / "go").touch()
            return said

    with pytest.raises(EngineError, match="i-1, which leads, has not answered for 0 s"):
        run(Lost(remote.folder, "nobody", remote.layout), training(store, tmp_path / "run"),
            times=Times(0.02, 0.1, 0.1, 5, 0))
    again = Again(remote.folder, "nobody", remote.layout)
    assert run(again, training(store, tmp_path / "run", resume=True)) == Outcome(0)
    assert "still runs: following it" in capsys.readouterr().err
    assert len((tmp_path / "node" / "asked").read_text().splitlines()) == 1
    assert (tmp_path / "run" / "config.yaml").exists()


def test_a_first_node_that_aws_has_ended_is_lost_without_a_long_wait(
    store: Path, tmp_path: Path
) -> None:
    remote = shell(tmp_path / "node", TRAINS.format(then="exit 0"))
    asked = []

    def is_gone(first: Node) -> bool:
        asked.append(first.instance.id)
        return len(asked) == 2

    with pytest.raises(EngineError, match="i-1, which leads"):
        train(Lost(remote.folder, "nobody", remote.layout), [node()], record(FAR),
              training(store, tmp_path / "run"), Interrupts(),
              Times(look_s=0.02, doubt_s=0.05, lost_s=600), is_gone)
    assert asked == ["i-1", "i-1"]


@dataclass(frozen=True)
class Lost(Shell):
    """A node that no longer answers once the training has started."""

    calls: Counter[str] = field(default_factory=Counter)

    def call(self, node: Node, script: str, limit_s: float, given: bytes = b""
             ) -> CompletedProcess[bytes]:
        if self.calls["started"]:
            return CompletedProcess([], LOST_SSH, b"", b"Connection timed out")
        self.calls["started"] += "setsid" in script
        return super().call(node, script, limit_s, given)


def test_a_resume_elsewhere_brings_the_run_folder_along(store: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "before").write_text("checkpoint of another cluster")
    remote = shell(tmp_path / "node", TRAINS.format(then="exit 0"))
    assert run(remote, training(store, tmp_path / "run", resume=True)) == Outcome(0)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["before", "config.yaml"]


def test_nodes_are_kept_alive_while_a_store_or_a_run_is_copied(
    store: Path, tmp_path: Path
) -> None:
    beats = tmp_path / "beats"
    remote = shell(tmp_path / "node", TRAINS.format(then="exit 0"), f"echo >>{beats}; echo alive")

    def wait_for_beats() -> None:
        before = beats.stat().st_size if beats.exists() else 0
        until = time.monotonic() + 30
        while not beats.exists() or beats.stat().st_size < before + 3:
            assert time.monotonic() < until

    class Slow(Shell):
        def put(self, node: Node, folder: Path, target: str, limit_s: float) -> None:
            wait_for_beats()
            super().put(node, folder, target, limit_s)

        def fetch(self, node: Node, source: str, folder: Path, limit_s: float) -> None:
            wait_for_beats()
            super().fetch(node, source, folder, limit_s)

    slow = Slow(remote.folder, "nobody", remote.layout)
    assert run(slow, training(store, tmp_path / "run")) == Outcome(0)


def test_a_run_that_does_not_come_is_still_on_its_node(store: Path, tmp_path: Path) -> None:
    remote = shell(tmp_path / "node", TRAINS.format(then="exit 0"))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotFetched):
        run(remote, training(store, tmp_path / "file" / "run"))
    assert (tmp_path / "node" / "scratch" / "run" / "config.yaml").exists()
    assert run(remote, training(store, tmp_path / "run", resume=True)) == Outcome(0)


def test_a_training_that_does_not_end_is_given_up(store: Path, tmp_path: Path) -> None:
    stubborn = "trap '' TERM; echo ready; while [ ! -e ../go ]; do sleep 0.02; done"
    remote = shell(tmp_path / "node", TRAINS.format(then=stubborn))
    with pytest.raises(EngineError, match="has not ended 0 s after it was asked"):
        run(remote, training(store, tmp_path / "run"), deadline=0.0,
            times=Times(0.02, 60, 60, 0.1, 600))
    (tmp_path / "node" / "go").touch()
