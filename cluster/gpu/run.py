"""A training on the nodes of a cluster: started there, followed from here, its folder fetched.

It runs on the first node by itself: a launcher that ends, or loses its connection, ends nothing.
Heartbeats keep the nodes; without them the nodes end themselves.
"""

import contextlib
import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.aws import say
from cluster.gpu.health import HOSTS
from cluster.gpu.remote import Remote, on_all
from cluster.gpu.state import Record
from cluster.gpu.up import Node
from cluster.interrupts import Interrupts
from reviews.errors import EngineError
from reviews.storage.files import is_remote
from reviews.storage.repeated import repeated

COPY_S = 3600.0  # limit for a store or a run folder
SCRIPT = """echo $$ >train.shell
{command} &
echo $! >train.pid
wait $!
echo $? >train.status.new
mv train.status.new train.status
"""
# Prints `runs` where the training of a launcher that is gone still does.
START = """cd {scratch}
if [ -e train.pid ] && [ ! -e train.status ] && kill -0 "$(cat train.pid)" 2>/dev/null; then
    echo runs
else
    rm -f train.status train.pid{fresh}
    setsid sh train.sh >train.log 2>&1 </dev/null &
    echo started
fi
"""


@dataclass(frozen=True)
class Times:
    """Seconds between two looks, until a silent first node is doubted and until it is lost, for a
    last checkpoint, and before the deadline at which a training is asked to end (in its last 5
    minutes a node lets nobody in).

    Silence may be that of this machine's own connection: a node is given as long as a lease.
    """

    look_s: float = 20.0
    doubt_s: float = 60.0
    lost_s: float = 1200.0
    stop_s: float = 300.0
    before_deadline_s: float = 600.0


@dataclass(frozen=True)
class Outcome:
    """End of a training: its status, and why it was asked to end, if it was.

    noticed: nodes that AWS is taking away.
    """

    status: int
    reason: str = ""
    noticed: tuple[str, ...] = ()


class NotFetched(EngineError):
    """A run folder that is still on the first node alone."""


@dataclass(frozen=True)
class Training:
    """A training on a store, into a run folder, either of them here or at an address."""

    store: str
    out: str
    options: tuple[str, ...]
    resume: bool

    def command(self, remote: Remote) -> str:
        """The command line on the first node."""
        scratch = remote.layout.scratch
        store = self.store if is_remote(self.store) else f"{scratch}/store"
        out = self.out if is_remote(self.out) else f"{scratch}/run"
        stage = ["--stage", f"{scratch}/stage"] if is_remote(self.store) else []
        return shlex.join([
            remote.layout.python, "-P", "-m", "reviewmill", "train", store, "--out", out,
            "--hostfile", f"{scratch}/{HOSTS}", *stage, *["--resume"] * self.resume,
            *self.options])


def train(
    remote: Remote, nodes: Sequence[Node], record: Record, training: Training,
    interrupts: Interrupts, times: Times | None = None,
    is_gone: Callable[[Node], bool] = lambda node: False,
) -> Outcome:
    """Train, and fetch the run folder where it is to be here; the outcome.

    is_gone: True where AWS says that a node has ended.

    EngineError where the first node is lost; NotFetched where the folder does not come.
    """
    times = times or Times()
    with kept_alive(remote, nodes, times.look_s):
        _bring(remote, nodes, training)
    scratch = shlex.quote(remote.layout.scratch)
    remote.put_files(nodes[0], {"train.sh": SCRIPT.format(
        command=training.command(remote)).encode()}, scratch)
    fresh = "" if training.resume else "; rm -rf run"
    said = remote.need(nodes[0], START.format(scratch=scratch, fresh=fresh), 60)
    say("the training still runs: following it" if said.endswith("runs\n") else
        f"training on {len(nodes)} nodes")
    interrupts.polite = True
    try:
        outcome = _Follower(remote, nodes, record, interrupts, times, is_gone).follow()
    finally:
        interrupts.polite = False
    if not is_remote(training.out):
        try:
            with kept_alive(remote, nodes, times.look_s):
                remote.fetch(nodes[0], f"{remote.layout.scratch}/run", Path(training.out), COPY_S)
        except (EngineError, OSError) as error:
            raise NotFetched(str(error)) from None
        say(f"{training.out} is here")
    return outcome


@contextlib.contextmanager
def kept_alive(remote: Remote, nodes: Sequence[Node], every_s: float) -> Iterator[None]:
    """Heartbeats to all nodes while the block runs, for what takes longer than a lease."""
    with repeated(
        lambda: on_all(nodes, lambda node: remote.call(node, remote.layout.heartbeat, 30)), every_s
    ):
        yield


def _bring(remote: Remote, nodes: Sequence[Node], training: Training) -> None:
    """Copy store and run folder to the nodes where they are here and not yet there."""
    scratch = remote.layout.scratch
    if not is_remote(training.store):
        digest = hashlib.sha256(Path(training.store, "manifest.json").read_bytes()).hexdigest()

        def bring(node: Node) -> None:
            there = shlex.quote(f"{scratch}/store")
            found = remote.need(node, f"sha256sum {there}/manifest.json 2>/dev/null || true", 60)
            if not found.startswith(digest):
                remote.put(node, Path(training.store), f"{scratch}/store", COPY_S)

        on_all(nodes, bring)
        say(f"{training.store} is on {len(nodes)} nodes")
    if training.resume and not is_remote(training.out) and Path(training.out).exists():
        run = shlex.quote(f"{scratch}/run")
        if "there" not in remote.need(nodes[0], f"[ ! -e {run} ] || echo there", 60):
            remote.put(nodes[0], Path(training.out), f"{scratch}/run", COPY_S)


class _Follower:
    """The log of a training as it grows, and the heartbeats of its nodes."""

    def __init__(
        self, remote: Remote, nodes: Sequence[Node], record: Record, interrupts: Interrupts,
        times: Times, is_gone: Callable[[Node], bool],
    ) -> None:
        self._remote, self._nodes, self._record = remote, nodes, record
        self._interrupts, self._times, self._is_gone = interrupts, times, is_gone
        self._offset = 0
        self._heard = time.time()  # of the first node
        self._noticed: set[str] = set()
        self._reason, self._asked_at = "", float("inf")

    def follow(self) -> Outcome:
        """Print the log until the training ends; ask it to end where it has to."""
        while True:
            self._beat()
            status = self._read()
            if status is not None:
                return Outcome(status, self._reason, tuple(sorted(self._noticed)))
            now = time.time()
            silent_s = now - self._heard
            if silent_s > self._times.lost_s or (
                    silent_s > self._times.doubt_s and self._is_gone(self._nodes[0])):
                raise EngineError(f"{self._nodes[0].instance.id}, which leads, has not answered "
                                  f"for {silent_s:.0f} s: it is lost")
            if not self._reason and (reason := self._why_end(now)):
                self._ask(reason)
            if now - self._asked_at > self._times.stop_s:
                raise EngineError(f"the training has not ended {self._times.stop_s:.0f} s after "
                                  f"it was asked to ({self._reason})")
            time.sleep(self._times.look_s)

    def _beat(self) -> None:
        """Renew all nodes' leases; note which ones are being taken away."""
        answers = on_all(self._nodes, lambda node: self._remote.call(
            node, self._remote.layout.heartbeat, 30))
        for node, answer in zip(self._nodes, answers, strict=True):
            if answer.returncode == 0 and b"notice" in answer.stdout:
                self._noticed.add(node.instance.id)
        if self._noticed - set(self._record.noticed):
            self._record.noticed = sorted(self._noticed | set(self._record.noticed))
            self._record.save()

    def _read(self) -> int | None:
        """Print what the log has more; the status once the training has ended."""
        scratch = shlex.quote(self._remote.layout.scratch)
        # The status first: what comes between is in the log.
        done = self._remote.call(
            self._nodes[0], f"cd {scratch} && cat train.status 2>/dev/null; printf '\\0'; "
            f"tail -c +{self._offset + 1} train.log", 60)
        if done.returncode:
            return None
        self._heard = time.time()
        status, _, text = done.stdout.partition(b"\0")
        self._offset += len(text)
        sys.stdout.write(text.decode(errors="replace"))
        sys.stdout.flush()
        return int(status) if status.strip() else None

    def _why_end(self, now: float) -> str:
        if self._interrupts.asked:
            return self._interrupts.asked
        if self._noticed:
            return f"AWS takes back {', '.join(sorted(self._noticed))}"
        if now > self._record.deadline - self._times.before_deadline_s:
            return "the budget is used up"
        return ""

    def _ask(self, reason: str) -> None:
        """Ask the training for a last checkpoint and its end."""
        say(f"{reason}: the training is asked for a checkpoint and its end")
        scratch = shlex.quote(self._remote.layout.scratch)
        sent = self._remote.call(
            self._nodes[0], f'cd {scratch} && kill -TERM "$(cat train.pid)"', 30)
        if sent.returncode == 0:
            self._reason, self._asked_at = reason, time.time()
