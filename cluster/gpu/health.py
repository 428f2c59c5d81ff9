"""Health of a cluster: ssh, a matrix product on each GPU, and a hello of all ranks by MPI."""

import json
import shlex
import time
from collections.abc import Sequence
from typing import Any

from cluster.aws import say
from cluster.gpu.remote import Remote, on_all
from cluster.gpu.up import Node
from reviews.errors import EngineError

CHECK = "mpi_train.monitoring.node_check"
PRODUCTS_S, HELLO_S = 180.0, 180.0  # an instance's first look at its GPU is slow
POLL_S = 5.0
HOSTS = "hosts"


def wait_until_set_up(remote: Remote, nodes: Sequence[Node], limit_s: float,
                      poll_s: float = POLL_S) -> None:
    """Wait until the user data of all nodes has ended well, with heartbeats meanwhile.

    EngineError with the reason of the first node where it failed, or after the limit.
    """
    until, state = time.monotonic() + limit_s, shlex.quote(remote.layout.state)
    script = (f"if [ -e {state}/failed ]; then cat {state}/failed >&2; exit 3; fi; "
              f"{remote.layout.heartbeat} >/dev/null && [ -e {state}/ready ] && echo ready")

    def ready(node: Node) -> bool:
        done = remote.call(node, script, 60)
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == 3:
            raise EngineError(f"{node.instance.id} ({node.instance.type}) could not be set up: "
                              f"{said}")
        if "Host key verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
            raise EngineError(f"{node.instance.public} has another host key than the console of "
                              f"{node.instance.id} shows: something else answers there")
        return done.stdout.decode().endswith("ready\n")

    while not all(found := on_all(nodes, ready)):
        if time.monotonic() > until:
            late = nodes[found.index(False)].instance
            raise EngineError(f"{late.id} ({late.type}) is not set up after {limit_s / 60:.0f} "
                              "minutes")
        time.sleep(poll_s)
    say(f"{len(nodes)} nodes are set up")


def introduce(remote: Remote, nodes: Sequence[Node]) -> None:
    """Give all nodes the key and the host keys by which they reach each other, and a host file."""
    files = {"id_ed25519": (remote.folder / "key").read_bytes(),
             "known_hosts": (remote.folder / "known_hosts").read_bytes()}
    hosts = "".join(f"{node.name} slots={node.slots}\n" for node in nodes)

    def give(node: Node) -> None:
        remote.put_files(node, files, "~/.ssh")
        remote.put_files(node, {HOSTS: hosts.encode()}, shlex.quote(remote.layout.scratch))

    on_all(nodes, give)


def check_devices(remote: Remote, nodes: Sequence[Node]) -> None:
    """A matrix product on each GPU; EngineError with the node where one is missing or wrong."""
    python = shlex.quote(remote.layout.python)

    def products(node: Node) -> list[dict[str, Any]]:
        printed = remote.need(node, f"{python} -P -m {CHECK} devices", PRODUCTS_S)
        found: list[dict[str, Any]] = json.loads(printed.splitlines()[-1])
        gpus = [one for one in found if one["device"] != "cpu"]
        if len(gpus) != node.gpus:
            raise EngineError(f"{node.instance.id} ({node.instance.type}): torch finds "
                              f"{len(gpus)} GPUs of {node.gpus}")
        return found

    for node, found in zip(nodes, on_all(nodes, products), strict=True):
        fast = ", ".join(f"{one['name'] or one['device']} {one['teraflops']:.1f} Tflop/s"
                         for one in found)
        say(f"{node.instance.id} {node.instance.type}: {fast}")


def check_hello(remote: Remote, nodes: Sequence[Node]) -> None:
    """A hello of all ranks by MPI, started as a training is; EngineError where some are missing."""
    python, hosts = (shlex.quote(word) for word in (
        remote.layout.python, f"{remote.layout.scratch}/{HOSTS}"))
    program = ("import sys; from cluster.mpirun import launch; sys.exit(launch(None, "
               f"[sys.executable, '-P', '-m', '{CHECK}', 'hello'], sys.argv[1]))")
    printed = remote.need(nodes[0], f"cd {shlex.quote(remote.layout.scratch)} && {python} -P -c "
                          f"{shlex.quote(program)} {hosts}", HELLO_S)
    found = json.loads(printed.splitlines()[-1])
    wanted = sum(node.slots for node in nodes)
    if found["ranks"] != wanted or found["sum"] != wanted * (wanted - 1) // 2:
        raise EngineError(f"{found['ranks']} ranks of {wanted} found each other by MPI")
    say(f"{wanted} ranks on {len(set(found['hosts']))} nodes found each other by MPI")


def check_health(remote: Remote, nodes: Sequence[Node], limit_s: float, poll_s: float = POLL_S
                 ) -> None:
    """All of it, in order."""
    wait_until_set_up(remote, nodes, limit_s, poll_s)
    introduce(remote, nodes)
    check_devices(remote, nodes)
    check_hello(remote, nodes)
