"""A launcher on a host of the tests, with an EC2 whose instances are the other hosts.

    python -m tests.cluster.gpu.on_hosts FOLDER STORE ADDRESS...

prints a JSON object with what happened as its last line.
"""

import functools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import reviewmill
from cluster.gpu import cloud, command, roles
from cluster.gpu import run as run_module
from cluster.gpu.config import GpuConfig
from cluster.gpu.remote import Layout, Remote
from cluster.gpu.run import Times
from cluster.gpu.state import records
from reviews.run_folder import read_records
from tests.cluster.aws import BUCKET, REGION, pretended_aws
from tests.cluster.gpu.ec2 import IMAGE, Interference, alive, left_over

TRAINING = ["--model=bag", "--embedding-dim=4", "--batch-size=64", "--threads=1", "--epochs=100000",
            "--checkpoint-minutes=60", "--evaluate-every=100000"]


def steps(run: Path) -> int:
    return sum(1 for one in read_records(run) if one is not None and one["kind"] == "step")


def main(folder: Path, store: str, names: list[str], addresses: list[str]) -> dict[str, Any]:
    os.environ["REVIEWMILL_STATE"] = str(folder / "state")
    # Its own names of things on a node: the hosts share the disks of this machine.
    layout = Layout(sys.executable, "/run/mill", "/run/mill-state", "/run/mill-heartbeat")
    command.Remote = functools.partial(Remote, layout=layout)  # type: ignore[misc,assignment]
    run_module.Times = functools.partial(Times, 0.5)  # type: ignore[misc,assignment]
    cloud.PACE = cloud.Pace(0.1, 0.1, 20)
    role = GpuConfig().node_role
    roles.set_up(role, roles.documents(role, "123456789012", REGION, [], [f"s3://{BUCKET}/work"]))
    ec2 = Interference(hide=1, hide_addresses=2, addresses=[(one, one) for one in addresses])
    for name in names:
        key = (folder / "hosts" / name / "ssh" / "host_key.pub").read_text()
        ec2.consoles.append(f"-----BEGIN SSH HOST KEY KEYS-----\n{key}"
                            "-----END SSH HOST KEY KEYS-----\n")

    def put_key(**_: Any) -> None:
        """EC2 puts the public key onto new instances."""
        [record] = records()
        for name in names:
            shutil.copy(record.folder / "key.pub", folder / "hosts" / name / "ssh" / "key.pub")

    client = cloud.Cloud(REGION).ec2
    client.meta.events.register("before-call.ec2.RunInstances", put_key)
    out, found = folder / "run", dict[str, Any]()
    with ec2.on(client):
        found["first"] = reviewmill.main([
            "cluster", "gpu", "run", store, "--out", str(out), "--work", f"s3://{BUCKET}/work",
            "--nodes", "c6i.xlarge:2", "--image", IMAGE, "--ssh-from", "192.0.2.7/32", "--user",
            "root", "--", *TRAINING])
        found["alive"], found["steps"] = len(alive()), steps(out)
        found["checkpoints"] = [path.name for path in (out / "checkpoints").iterdir()]
        [record] = records()
        found["noticed"] = [record.known.index(one) for one in record.noticed]
        found["second"] = reviewmill.main([
            "cluster", "gpu", "run", store, "--out", str(out), "--cluster", record.id, "--resume",
            "--", f"--max-steps={found['steps'] + 5}"])
    found["all"] = steps(out)
    found["summary"] = (out / "summary.json").is_file()
    found["left"] = [alive(), left_over(), [one.id for one in records()]]
    return found


if __name__ == "__main__":
    names, addresses = sys.argv[3].split(","), sys.argv[4].split(",")
    for _ in pretended_aws():
        print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], names, addresses)), flush=True)
