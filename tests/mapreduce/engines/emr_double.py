"""A pretended EMR that does the work: bootstrap actions and streaming steps as subprocesses.

moto keeps the books; it never runs anything. Here a thread takes what moto was asked for and
does it as a node would: the bootstrap script under stubs of sudo, python3.11 and aws, and
mapper | sort | reducer of each step, with the files that the step names.
"""

import gzip
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from tests.cluster.aws import boto, clusters

ROOT = str(Path(__file__).resolve().parents[3])
ATTEMPTS = 2

_AWS = f"""#!{sys.executable}
import sys
import boto3

source, target = sys.argv[-2:]
bucket, key = source.removeprefix("s3://").split("/", 1)
boto3.client("s3").download_file(bucket, key, target)
"""
_VENV = """#!/bin/bash
[ "$2" = venv ] || exit 9
mkdir -p "$3/bin"
printf '#!/bin/bash\\nif [ "$2" = pip ]; then %s; fi\\nexec %s "$@"\\n' "$PIP" "$PYTHON" \\
    > "$3/bin/python"
chmod +x "$3/bin/python"
"""


class Double:
    """The nodes of all clusters; `pip` is what stands for pip on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pip = folder, "exit 0"
        self.ended = threading.Event()
        self.before_step: Any = lambda cluster: None  # called as a step begins
        programs = folder / "programs"
        programs.mkdir(parents=True)
        for name, text in (("aws", _AWS), ("python3.11", _VENV),
                           ("sudo", '#!/bin/bash\nexec "$@"\n')):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path != ROOT]
        self.environment = {
            **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHON": sys.executable,
            "PYTHONPATH": ":".join(filter(None, paths)), "LC_ALL": "C",
            "REVIEWMILL_FOLDER": str(folder / "opt"), "REVIEWMILL_CACHE": str(folder / "cache"),
        }
        (folder / "cache").mkdir()

    def work(self) -> None:
        """Do what there is to do, until it is told to stop."""
        while not self.ended.wait(0.02):
            for cluster in list(clusters().values()):
                if not getattr(cluster, "nodes_start", False):  # moto still fills it in
                    continue
                if cluster.state == "STARTING":
                    self.bootstrap(cluster)
                for step in list(cluster.steps):
                    if cluster.state == "RUNNING" and step.state in ("PENDING", "RUNNING"):
                        self.run(cluster, step)

    def bootstrap(self, cluster: Any) -> None:
        for action in cluster.bootstrap_actions:
            (script := self.folder / "bootstrap.sh").write_bytes(get(action.script_path))
            done = subprocess.run(
                ["bash", script, *action.args], capture_output=True, timeout=60, cwd=self.folder,
                env={**self.environment, "PIP": self.pip})
            if done.returncode:
                log(cluster, "node/i-1/bootstrap-actions/1/stderr.gz", done.stderr)
                cluster.last_state_change_reason = "bootstrap action 1 returned a non-zero code"
                cluster.state = "TERMINATED_WITH_ERRORS"
                return
        if cluster.state == "STARTING":  # nobody has ended it meanwhile
            cluster.state = "WAITING"

    def run(self, cluster: Any, step: Any) -> None:
        from botocore.exceptions import ClientError

        step.state = "RUNNING"
        step.start()
        self.before_step(cluster)
        try:
            self.stream(cluster, step.args)
        except TaskFailed as error:
            log(cluster, "containers/application_1/container_1/stderr.gz", error.said)
            step.state = "FAILED"
        except ClientError:  # the run was stopped, and its files are gone
            step.state = "CANCELLED"
        else:
            step.state = "COMPLETED"
        if cluster.state == "RUNNING":
            cluster.state = "WAITING"

    def stream(self, cluster: Any, args: list[str]) -> None:
        """A streaming step: a map task for some lines each, sorted, and the reducers."""
        options: dict[str, list[str]] = {}
        assert args[0] == "hadoop-streaming"
        for name, value in zip(args[1::2], args[2::2], strict=True):
            options.setdefault(name, []).append(value)
        assert options["-inputformat"] == ["org.apache.hadoop.mapred.lib.NLineInputFormat"]
        conf = dict(entry.split("=", 1) for entry in options["-D"])
        files = {name: get(uri) for entry in options["-files"][0].split(",")
                 for uri, name in [entry.rsplit("#", 1)]}
        lines = [line for uri in options["-input"] for line in get(uri).splitlines(keepends=True)]
        many = int(conf["mapreduce.input.lineinputformat.linespermap"])
        splits = [b"".join(lines[i : i + many]) for i in range(0, len(lines), many)]
        reducers = int(conf["mapreduce.job.reduces"])
        with ThreadPoolExecutor(2) as pool:
            mapped = pool.map(lambda data: self.task(options["-mapper"][0], files, data), splits)
            parts: list[list[bytes]] = [[] for _ in range(reducers)]
            for line in b"".join(mapped).splitlines(keepends=True) if reducers else ():
                parts[crc32(line.split(b"\t")[0]) % reducers].append(line)
            reduced = pool.map(
                lambda part: self.task(options["-reducer"][0], files, b"".join(sorted(part))),
                parts)
            for number, data in enumerate(reduced if reducers else mapped):
                put(f"{options['-output'][0].rstrip('/')}/part-{number:05d}", data)

    def task(self, command: str, files: dict[str, bytes], data: bytes) -> bytes:
        """Output of a task for its input; a failed one is tried again."""
        said = b""
        program = command.replace("/opt/reviewmill", str(self.folder / "opt"))
        for attempt in range(ATTEMPTS):
            node = Path(self.folder, f"task-{threading.get_ident()}-{attempt}")
            node.mkdir(exist_ok=True)
            for name, content in files.items():
                (node / name).write_bytes(content)
            done = subprocess.run(shlex.split(program), input=data, capture_output=True, cwd=node,
                                  env=self.environment, timeout=120)
            if not done.returncode:
                return done.stdout
            said = done.stderr
        raise TaskFailed(said)


class TaskFailed(Exception):
    """All attempts of a task failed; `said` is the last one's standard error."""

    def __init__(self, said: bytes) -> None:
        super().__init__(said)
        self.said = said


def get(uri: str) -> bytes:
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    body: bytes = boto("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def put(uri: str, data: bytes) -> None:
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    boto("s3").put_object(Bucket=bucket, Key=key, Body=data)


def log(cluster: Any, name: str, text: bytes) -> None:
    put(f"{cluster.log_uri.rstrip('/')}/{cluster.id}/{name}", gzip.compress(text))


@contextmanager
def impatience() -> Iterator[None]:
    """Nobody waits for long between two questions, each of which moto takes a while to answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cluster.emr.POLL_S", 0.2)
        patch.setattr("cluster.emr.LOG_WAIT_S", 0.0)
        patch.setattr("mapreduce.engines.emr.CHECK_S", 0.2)
        yield


@contextmanager
def working(folder: Path) -> Iterator[Double]:
    """Nodes at work while the block runs."""
    from moto.emr.models import Cluster

    double = Double(folder)
    with pytest.MonkeyPatch.context() as patch:
        # moto calls a cluster ready as soon as it is asked for; here the nodes say when.
        patch.setattr(Cluster, "run_bootstrap_actions",
                      lambda self: setattr(self, "nodes_start", True))
        thread = threading.Thread(target=double.work, daemon=True)
        thread.start()
        try:
            yield double
        finally:
            double.ended.set()
            thread.join(60)
