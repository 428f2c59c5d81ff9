"""Files of a node: the wheel is this very package, and installs by its hash."""

import hashlib
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from cluster.gpu.node_files import NodeFiles, build_wheel, ship, user_data
from tests.cluster.aws import BUCKET, objects


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


def test_files_are_put_by_their_content(aws: str) -> None:
    files = ship(f"s3://{BUCKET}/work/")
    found = objects("work/bootstrap/")
    prefix = files.source.removeprefix(f"s3://{BUCKET}/")
    assert hashlib.sha256(found[f"{prefix}/{files.wheel}"]).hexdigest() == files.wheel_sha256
    requirements = found[f"{prefix}/gpu-requirements.txt"]
    assert hashlib.sha256(requirements).hexdigest() == files.requirements_sha256


def test_settings_stand_above_the_script_in_one_line() -> None:
    files = NodeFiles("s3://b/it's here", "w.whl", "0", "1")
    lines = user_data(files, 2, 99.9, 20, "ubuntu").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    printed = subprocess.run(["bash", "-c", f'{lines[1]}; echo "$SOURCE $GPUS $DEADLINE"'],
                             capture_output=True, text=True, check=True).stdout
    assert printed == "s3://b/it's here 2 99\n"
