"""The bootstrap action of EMR, and the requirements that it installs."""

import hashlib
import os
import shlex
import subprocess
from importlib import resources
from pathlib import Path


class TestBootstrapAction:
    """The script runs for real; sudo, python3.11 and aws are stubs that note what is asked."""

    def stub(self, folder: Path, name: str, text: str) -> None:
        folder.mkdir(exist_ok=True)
        (path := folder / name).write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run(self, tmp_path: Path, sha256: str | None = None, pip: str = "exit 0",
            packages: str | None = None) -> subprocess.CompletedProcess[str]:
        programs, source = tmp_path / "bin", tmp_path / "source"
        self.stub(programs, "sudo", 'exec "$@"')
        self.stub(programs, "aws", f'cp {shlex.quote(str(source))}/"$(basename "$4")" "$5"')
        python = f'echo "$@" >> {tmp_path}/asked; {pip}'
        self.stub(programs, "venv-python", python)
        self.stub(programs, "python3.11",
                  f'mkdir -p "$3/bin"; cp {programs}/venv-python "$3/bin/python"')
        source.mkdir(exist_ok=True)
        requirements = (resources.files("bootstrap") / "emr-requirements.txt").read_bytes()
        (source / "emr-requirements.txt").write_bytes(requirements)
        sha256 = sha256 or hashlib.sha256(requirements).hexdigest()
        script = resources.files("bootstrap") / "emr.sh"
        more = []
        if packages is not None:
            (source / "packages.txt").write_text(packages)
            more = [hashlib.sha256(packages.encode()).hexdigest()]
        return subprocess.run(
            ["bash", str(script), "s3://b/bootstrap", sha256, *more], capture_output=True,
            text=True, timeout=60,
            env={"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(tmp_path),
                 "REVIEWMILL_FOLDER": str(tmp_path / "opt")})

    def test_it_installs_hashed_requirements_into_a_folder_of_its_own(self, tmp_path: Path) -> None:
        done = self.run(tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{tmp_path}/opt is ready" in done.stdout
        asked = (tmp_path / "asked").read_text()
        assert "-m pip install" in asked and "--require-hashes" in asked
        assert list(tmp_path.glob("tmp.*")) == []

    def test_more_packages_come_after_and_change_no_version_that_it_needs(
        self, tmp_path: Path
    ) -> None:
        pins = 'cat "${@: -1}" >' + f"{tmp_path}/pins"
        done = self.run(tmp_path, packages="spacy==3.8\n", pip=pins)
        assert done.returncode == 0, done.stderr
        first, second = (tmp_path / "asked").read_text().splitlines()
        assert "--require-hashes" in first and "--require-hashes" not in second
        assert second.partition(" -r ")[2].split()[0].endswith("/packages.txt")
        pinned = (tmp_path / "pins").read_text().splitlines()
        assert any(line.startswith("mrjob==") for line in pinned)
        assert all("==" in line and "hash" not in line for line in pinned)

    def test_requirements_of_another_content_are_refused(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, sha256="0" * 64)
        assert done.returncode != 0
        assert "bootstrap failed in line" in done.stderr and "sha256sum" in done.stderr
        assert not (tmp_path / "asked").exists()

    def test_it_fails_loudly_where_pip_does(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, pip="echo no such package >&2; exit 1")
        assert done.returncode == 1
        assert "no such package" in done.stderr
        assert "bootstrap failed in line" in done.stderr

    def test_every_requirement_is_pinned_and_hashed(self) -> None:
        text = (resources.files("bootstrap") / "emr-requirements.txt").read_text()
        entries = [line for line in text.replace("\\\n", "").splitlines() if line[0] != "#"]
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
        names = {entry.split("==")[0] for entry in entries}
        assert {"mrjob", "numba", "pyarrow", "h5py", "boto3", "s3fs"} <= names

    def test_pins_are_those_of_the_constraints(self) -> None:
        root = Path(__file__).parents[2]
        pins = dict(line.lower().split("==") for line in
                    (root / "constraints.txt").read_text().splitlines() if "==" in line)
        text = (resources.files("bootstrap") / "emr-requirements.txt").read_text()
        for line in text.splitlines():
            if "==" in line:
                name, version = line.removesuffix(" \\").split("==")
                assert pins.get(name, version) == version, f"python -m bootstrap.lock ({name})"
