"""User data of a GPU node, run for real below a folder; programs of the system are stand-ins."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from cluster.gpu.node_files import NodeFiles, user_data
from tests.requirements import need

SCRIPT = resources.files("bootstrap") / "gpu_node.sh"
REQUIREMENTS = "torch==2.13.0 --hash=sha256:0\nnumpy==2.4.6 --hash=sha256:1\n"
NOW = 1_800_000_000
ONE_DISK = "/dev/nvme1n1 Amazon EC2 NVMe Instance Storage"
TWO_DISKS = f"{ONE_DISK}\n/dev/nvme2n1 Amazon EC2 NVMe Instance Storage"


class Machine:
    """A machine of stand-ins that note what is asked of them."""

    def __init__(self, folder: Path, gpus: int = 1, disks: str = ONE_DISK) -> None:
        self.folder, self.asked = folder, folder / "asked"
        self.root, self.programs, self.source = folder / "root", folder / "bin", folder / "source"
        (ssh := self.root / "etc" / "ssh").mkdir(parents=True)
        (ssh / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAC3 k\n")
        self.source.mkdir()
        self.asked.touch()
        (self.source / "gpu-requirements.txt").write_text(REQUIREMENTS)
        (self.source / "w.whl").write_text("wheel")
        for name in ("shutdown", "mdadm", "mkfs.ext4", "mount", "dnf", "chown"):
            self.stub(name, f'echo {name} "$@" >>{self.asked}')
        self.stub("date", f'case "$*" in +%s) echo {NOW};; *) echo now;; esac')
        self.stub("curl", "exit 22")
        self.stub("systemctl", "exit 5")
        self.stub("mountpoint", "exit 32")
        self.stub("lsblk", f"cat <<END\n/dev/nvme0n1 Amazon Elastic Block Store\n{disks}\nEND")
        self.stub("nvidia-smi", f"seq {gpus}")
        self.stub("aws", f'cp {self.source}/"$(basename "$4")" "$5"')
        self.stub("venv-python", f'echo python "$@" >>{self.asked}')
        self.stub("python3.11",
                  f'mkdir -p "$3/bin"; cp {self.programs}/venv-python "$3/bin/python"')

    def stub(self, name: str, text: str) -> None:
        self.programs.mkdir(exist_ok=True)
        (path := self.programs / name).write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.programs}:{os.environ['PATH']}", "REVIEWMILL_ROOT": str(self.root),
                "REVIEWMILL_CONSOLE": str(self.folder / "console")}

    def start(self, gpus: int = 1, wheel_sha256: str | None = None, deadline: float = NOW + 7200
              ) -> subprocess.CompletedProcess[str]:
        digests = [hashlib.sha256((self.source / name).read_bytes()).hexdigest()
                   for name in ("w.whl", "gpu-requirements.txt")]
        files = NodeFiles("s3://b/work", "w.whl", wheel_sha256 or digests[0], digests[1])
        return subprocess.run(
            ["bash", "-c", user_data(files, gpus, deadline, 20, "somebody")],
            capture_output=True, text=True, timeout=60, env=self.environment)

    def heartbeat(self) -> str:
        self.asked.write_text("")
        file = self.root / "usr/local/sbin/reviewmill-heartbeat"
        return subprocess.run([file], capture_output=True, text=True, timeout=60, check=True,
                              env=self.environment).stdout

    def calls(self, program: str) -> list[str]:
        return [line for line in self.asked.read_text().splitlines()
                if line.split()[0] == program]

    def state(self, name: str) -> Path:
        return self.root / "var/lib/reviewmill" / name


def test_a_node_is_set_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    done = machine.start()
    assert done.returncode == 0, done.stderr
    assert machine.state("ready").exists() and not machine.state("failed").exists()
    # The timer comes before anything that could fail.
    assert machine.asked.read_text().splitlines()[0] == "shutdown -P +20"
    scratch = machine.root / "mnt/reviewmill"
    assert machine.calls("mkfs.ext4") == ["mkfs.ext4 -q -E nodiscard /dev/nvme1n1"]
    assert machine.calls("mount") == [f"mount -o noatime /dev/nvme1n1 {scratch}"]
    assert machine.calls("chown") == [f"chown somebody {scratch}"]
    assert machine.calls("mdadm") == machine.calls("dnf") == []
    hashed, torch, wheel = machine.calls("python")
    assert "--no-deps --require-hashes" in hashed and hashed.endswith("gpu-requirements.txt")
    assert torch.endswith(" torch==2.13.0")
    assert "--no-deps --no-index --require-hashes -r wheel.txt" in wheel
    assert list(scratch.iterdir()) == []


def test_host_keys_are_on_the_console_as_the_launcher_reads_them(tmp_path: Path) -> None:
    from cluster.gpu.host_keys import parse_keys

    machine = Machine(tmp_path)
    machine.start()
    assert parse_keys((tmp_path / "console").read_text()) == ["ssh-ed25519 AAAAC3"]


def test_several_disks_are_striped(tmp_path: Path) -> None:
    machine = Machine(tmp_path, disks=TWO_DISKS)
    machine.start()
    assert machine.calls("mdadm") == [
        "mdadm --create /dev/md0 --run --level=0 --raid-devices=2 /dev/nvme1n1 /dev/nvme2n1"]
    assert machine.calls("mount")[0].startswith("mount -o noatime /dev/md0 ")


def test_disks_that_the_image_has_mounted_already_are_used_where_they_are(tmp_path: Path) -> None:
    machine = Machine(tmp_path, disks=TWO_DISKS)
    striped = machine.root / "opt/dlami/nvme"
    machine.stub("systemctl", f'echo systemctl "$@" >>{machine.asked}')
    machine.stub("mountpoint", f'[ "$*" = "-q {striped}" ]')
    assert machine.start().returncode == 0
    assert machine.calls("systemctl") == ["systemctl start dlami-nvme.service"]
    assert machine.calls("mount") == [
        f"mount --bind {striped}/reviewmill {machine.root}/mnt/reviewmill"]
    assert machine.calls("mdadm") == machine.calls("mkfs.ext4") == []


def test_without_a_disk_of_its_own_the_volume_does(tmp_path: Path) -> None:
    machine = Machine(tmp_path, disks="")
    assert machine.start().returncode == 0
    assert machine.calls("mount") == [] and machine.state("ready").exists()


@pytest.mark.parametrize(("gpus", "there", "message"), [
    (4, 3, "the driver sees 3 GPUs of 4"), (1, 0, "the driver sees 0 GPUs of 1")])
def test_a_missing_gpu_is_why_it_failed(
    gpus: int, there: int, message: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, gpus=there)
    assert machine.start(gpus=gpus).returncode == 1
    assert machine.state("failed").read_text() == f"{message}\n"
    assert not machine.state("ready").exists() and machine.calls("shutdown")


def test_a_node_without_gpus_needs_no_driver(tmp_path: Path) -> None:
    machine = Machine(tmp_path, gpus=0)
    machine.stub("nvidia-smi", "exit 9")
    assert machine.start(gpus=0).returncode == 0


def test_a_wheel_of_another_content_is_not_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.start(wheel_sha256="0" * 64).returncode == 1
    assert machine.state("failed").read_text() == "another content of s3://b/work\n"
    assert machine.calls("python") == []


def test_a_command_that_fails_is_why_it_failed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.stub("venv-python", "exit 1")
    assert machine.start().returncode == 1
    assert "--require-hashes" in machine.state("failed").read_text()


def test_a_heartbeat_renews_the_timer_up_to_the_deadline_and_no_longer(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.start()
    assert machine.heartbeat() == "alive\n"
    assert machine.calls("shutdown") == ["shutdown -P +20"]
    machine.stub("date", f"echo {NOW + 7200 - 7 * 60 - 1}")
    machine.heartbeat()
    assert machine.calls("shutdown") == ["shutdown -P +7"]
    machine.stub("date", f"echo {NOW + 9999}")
    machine.heartbeat()
    assert machine.calls("shutdown") == ["shutdown -P +0"]


def test_a_heartbeat_says_that_aws_takes_the_node_away(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.start()
    machine.stub("curl", f"""echo curl "$@" >>{machine.asked}
case "$*" in *api/token*) echo secret;; *'metadata-token: secret'*instance-action*) exit 0;; esac
exit 22""".replace("echo secret;;", "echo secret; exit 0;;"))
    assert machine.heartbeat() == "notice\n"
    # IMDSv2: a token is asked for first.
    assert "-X PUT" in machine.calls("curl")[0]
    assert machine.calls("shutdown") == ["shutdown -P +20"]


def test_the_scripts_of_this_folder_are_clean_for_shellcheck() -> None:
    program = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    need(program is not None, "shellcheck is not installed")
    scripts = [str(file) for file in resources.files("bootstrap").iterdir()
               if file.name.endswith(".sh")]
    assert len(scripts) == 3
    done = subprocess.run([str(program), *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_heartbeat_is_a_program(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.start()
    mode = (machine.root / "usr/local/sbin/reviewmill-heartbeat").stat().st_mode
    assert mode & stat.S_IXUSR
