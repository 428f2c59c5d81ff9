"""Writes the pinned and hashed requirements of an EMR node: `python -m bootstrap.lock`.

Run from a checkout after a change of constraints.txt or of what reviewmill needs. pip itself
resolves, for Python 3.11 and both kinds of processors; the hashes of both are written.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(__file__).with_name("emr-requirements.txt")
EXTRAS = ("aws",)
PLATFORMS = ("x86_64", "aarch64")
# Amazon Linux 2023 has glibc 2.34.
GLIBCS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26",
          "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
          "manylinux_2_5", "manylinux1")


def resolve(requirements: list[str], machine: str) -> dict[tuple[str, str], str]:
    """The sha256 of the wheel of each (name, version) that one kind of processor gets."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed",
            "--target", folder, "--only-binary", ":all:", "--python-version", "3.11",
            "--implementation", "cp", "--report", str(report),
            "-c", str(ROOT / "constraints.txt"), *requirements,
        ]
        for glibc in GLIBCS:
            command += ["--platform", f"{glibc}_{machine}"]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text())["install"]
    return {
        (entry["metadata"]["name"].lower().replace("_", "-"), entry["metadata"]["version"]):
        entry["download_info"]["archive_info"]["hashes"]["sha256"]
        for entry in found
    }


def main() -> None:
    """Write the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    hashes: dict[tuple[str, str], set[str]] = {}
    for machine in PLATFORMS:
        for package, sha256 in resolve(wanted, machine).items():
            hashes.setdefault(package, set()).add(sha256)
    lines = ["# Made by `python -m bootstrap.lock`; what pip installs on a node of EMR.\n"]
    for (name, version), every in sorted(hashes.items()):
        digests = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(every))
        lines.append(f"{name}=={version}{digests}\n")
    TARGET.write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main()
