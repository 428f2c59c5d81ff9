"""Files of a node: the wheel is this very package, and installs by its hash."""

import hashlib
import subprocess
import sys
import zipfile
from importlib import metadata
from io import BytesIO
from pathlib import Path

import pytest

from cluster.gpu.node_files import NodeFiles, build_wheel, user_data


def test_the_wheel_installs_by_its_hash_and_has_every_file_of_the_package(tmp_path: Path) -> None:
    name, data = build_wheel()
    assert (name, data) == build_wheel()
    (tmp_path / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "wheel.txt").write_text(f"./{name} --hash=sha256:{digest}\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile",
         "--require-hashes", "--target", str(tmp_path / "site"), "-r", "wheel.txt"],
        cwd=tmp_path, check=True, timeout=120)
    site = tmp_path / "site"
    for file in ("cluster/iam/gpu-nodes.json", "cluster/gpu/instances.yaml", "reviewmill.py",
                 "bootstrap/gpu_node.sh", "reports/report.html",
                 "scoring/service/page/page.html", "reviews/store.py"):
        assert (site / file).is_file(), file
    assert "mpi_train.launch" in (site / "reviewmill.py").read_text()
    assert not any(name.startswith("tests") for name in zipfile.ZipFile(BytesIO(data)).namelist())


def test_a_checkout_whose_metadata_is_that_of_a_build_makes_a_wheel_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = metadata.distribution("reviewmill")
    (built := tmp_path / "reviewmill.egg-info").mkdir()
    for name, there in (("PKG-INFO", "METADATA"), ("top_level.txt", ""), ("entry_points.txt", "")):
        text = installed.read_text(there or name) or installed.read_text(name)
        (built / name).write_text(text or "")
    monkeypatch.syspath_prepend(str(tmp_path))
    _, data = build_wheel()
    with zipfile.ZipFile(BytesIO(data)) as wheel:
        [file] = [name for name in wheel.namelist() if name.endswith("dist-info/METADATA")]
        assert "\nName: reviewmill\n" in wheel.read(file).decode()


def test_settings_stand_above_the_script_in_one_line() -> None:
    files = NodeFiles("s3://b/it's here", "w.whl", "0", "1")
    lines = user_data(files, 2, 99.9, 20, "ubuntu").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    printed = subprocess.run(["bash", "-c", f'{lines[1]}; echo "$SOURCE $GPUS $DEADLINE"'],
                             capture_output=True, text=True, check=True).stdout
    assert printed == "s3://b/it's here 2 99\n"
