"""Nodes whose shell is this machine's: everything but ssh is real."""

from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from cluster.gpu.cloud import Instance
from cluster.gpu.remote import Layout, Remote
from cluster.gpu.state import Record
from cluster.gpu.up import Node


def node(number: int = 1, gpus: int = 0) -> Node:
    return Node(Instance(f"i-{number}", "c6i.xlarge", "running", f"192.0.2.{number}",
                         f"10.0.0.{number}", "gpu-x", False, 0.0), max(1, gpus), gpus)


@dataclass(frozen=True)
class Shell(Remote):
    """The shell of this machine in place of ssh."""

    def command(self, node: Node, *words: str) -> list[str]:
        return ["sh", "-c", *words]

    def call(self, node: Node, script: str, limit_s: float, given: bytes = b""
             ) -> CompletedProcess[bytes]:
        # A training that has only just started would end before it listens to signals.
        if "kill -TERM" in script:
            log = Path(self.layout.scratch, "train.log")
            script = f"until grep -q ready {log}; do sleep 0.01; done; {script}"
        return super().call(node, script, limit_s, given)


def program(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)
    return file


def shell(folder: Path, python: str, heartbeat: str = "echo alive") -> Shell:
    """A node in a folder, whose Python and heartbeat are these lines of shell."""
    (folder / "scratch").mkdir(parents=True)
    (folder / "state").mkdir()
    layout = Layout(str(program(folder / "python", python)), str(folder / "scratch"),
                    str(folder / "state"), str(program(folder / "heartbeat", heartbeat)))
    return Shell(folder, "nobody", layout)


def record(deadline: float) -> Record:
    made = Record("gpu-x", "eu-central-1", "nobody", 1.0, deadline)
    made.save()
    return made
