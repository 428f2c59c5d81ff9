"""Writes the pinned and hashed requirements of nodes: `python -m bootstrap.lock [emr] [gpu]`.

Run from a checkout after a change of constraints.txt or of what reviewmill needs. pip itself
resolves, for Python 3.11 and each kind of processor; the hashes of all are written.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Amazon Linux 2023 has glibc 2.34.
GLIBCS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26",
          "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
          "manylinux_2_5", "manylinux1")


@dataclass(frozen=True)
class Nodes:
    """Nodes of a kind: what they are, the extras they need, and their processors.

    alone: packages without those that they need, which a node gets from PyPI as they pin them:
        of torch, gigabytes of NVIDIA's libraries.
    """

    title: str
    extras: tuple[str, ...]
    machines: tuple[str, ...]
    alone: tuple[str, ...] = ()


KINDS = {
    "emr": Nodes("a node of EMR", ("aws",), ("x86_64", "aarch64")),
    "gpu": Nodes("a GPU node", ("aws", "train"), ("x86_64",), ("torch",)),
}


def resolve(
    requirements: list[str], machine: str, alone: bool = False
) -> dict[tuple[str, str], str]:
    """The sha256 of the wheel of each (name, version) that one kind of processor gets.

    alone: without what the requirements need themselves.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed",
            "--target", folder, "--only-binary", ":all:", "--python-version", "3.11",
            "--implementation", "cp", "--report", str(report),
            "-c", str(ROOT / "constraints.txt"), *["--no-deps"] * alone, *requirements,
        ]
        # From PyPI alone, which is what nodes reach: another index may have another torch.
        others = ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
        environment = {name: value for name, value in os.environ.items() if name not in others}
        environment["PIP_CONFIG_FILE"] = os.devnull
        for glibc in GLIBCS:
            command += ["--platform", f"{glibc}_{machine}"]
        subprocess.run(command, check=True, env=environment)
        found = json.loads(report.read_text())["install"]
    return {
        (entry["metadata"]["name"].lower().replace("_", "-"), entry["metadata"]["version"]):
        entry["download_info"]["archive_info"]["hashes"]["sha256"]
        for entry in found
    }


def lock(kind: str) -> None:
    """Write the file of one kind of nodes."""
    nodes = KINDS[kind]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in nodes.extras:
        wanted += project["optional-dependencies"][extra]
    hashes: dict[tuple[str, str], set[str]] = {}
    for machine in nodes.machines:
        found = resolve([one for one in wanted if not one.startswith(nodes.alone or "-")], machine)
        if nodes.alone:
            found |= resolve(list(nodes.alone), machine, alone=True)
        for package, sha256 in found.items():
            hashes.setdefault(package, set()).add(sha256)
    lines = [f"# Made by `python -m bootstrap.lock`; what pip installs on {nodes.title}.\n"]
    for (name, version), every in sorted(hashes.items()):
        digests = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(every))
        lines.append(f"{name}=={version}{digests}\n")
    Path(__file__).with_name(f"{kind}-requirements.txt").write_text("".join(lines), "utf-8")


def main(argv: Sequence[str]) -> None:
    """Write the files of the named kinds, or of all."""
    for kind in argv or KINDS:
        lock(kind)


if __name__ == "__main__":
    main(sys.argv[1:])
