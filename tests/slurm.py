"""A real Slurm on hosts of this machine: the controller on the first, a node on each."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import need
from tests.ssh_hosts import ROOT, SshHost, ssh_hosts

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
LIMIT_S = 180.0
# TaskPlugin and ProctrackType without cgroups, which namespaces lack.
CONFIGURATION = """
ClusterName=mill
SlurmctldHost={first}
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Commands of Slurm on its first host, from a folder."""

    def __init__(self, hosts: list[SshHost], folder: Path) -> None:
        self.hosts, self._folder = hosts, folder

    def run(self, *words: str | Path, check: bool = True) -> str:
        """Standard output of a command."""
        environment = {**os.environ, "SLURM_CONF": str(self._folder / "slurm.conf"),
                       "PYTHONPATH": str(ROOT)}
        done = subprocess.run(self.hosts[0].command("env", f"--chdir={self._folder}", *words),
                              capture_output=True, text=True, env=environment, timeout=60)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def state(self, job: str) -> str:
        """State of a job, such as RUNNING."""
        shown = self.run("scontrol", "show", "job", job).split()
        return next(word for word in shown if word.startswith("JobState=")).partition("=")[2]

    def wait_for(self, job: str, *states: str) -> None:
        """Until a job is in one of these states. One that is requeued starts as soon as the nodes
        have cleared up, and not minutes later."""
        limit = time.monotonic() + LIMIT_S
        pending = 0
        while (state := self.state(job)) not in states:
            pending = pending + 1 if state == "PENDING" and self.are_idle() else 0
            if pending == 10:
                self.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)
            assert time.monotonic() < limit, f"{state}: {self.logs()}"
            time.sleep(0.3)

    def are_idle(self) -> bool:
        """True when no node has a job, or clears up after one."""
        return self.run("sinfo", "-h", "-t", "idle", "-o", "%D", check=False).strip() == str(
            len(self.hosts))

    def logs(self) -> str:
        """Last lines of all logs."""
        return "\n".join(f"{file.name}: {file.read_text()[-1500:]}"
                         for file in sorted(self._folder.glob("*.log")))


@contextmanager
def slurm(folder: Path, nodes: int) -> Iterator[Slurm]:
    """A Slurm of so many nodes while the block runs; a skip where it is not installed."""
    need(all(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") for name in PROGRAMS),
         "needs slurmctld, slurmd, slurm-client, munge")
    with ssh_hosts(folder / "hosts", nodes) as hosts:
        (folder / "state").mkdir()
        lines = "\n".join(f"NodeName={host.name} NodeAddr={host.address} CPUs=4 State=UNKNOWN"
                          for host in hosts)
        (folder / "slurm.conf").write_text(CONFIGURATION.format(
            first=f"{hosts[0].name}({hosts[0].address})", folder=folder, nodes=lines))
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        for host in hosts:
            host.set_up("mkdir -p /run/munge && chmod 755 /run/munge && /usr/sbin/munged --force "
                        f"--key-file={key} --log-file=/run/munge/log --seed-file=/run/munge/seed "
                        "--pid-file=/run/munge/pid 2>/run/munge/said")
        made = Slurm(hosts, folder)
        hosts[0].set_up(f"SLURM_CONF={folder}/slurm.conf /usr/sbin/slurmctld")
        for host in hosts:
            host.set_up(f"SLURM_CONF={folder}/slurm.conf /usr/sbin/slurmd -N {host.name}")
        limit = time.monotonic() + LIMIT_S
        while not made.are_idle():
            assert time.monotonic() < limit, made.logs()
            time.sleep(0.2)
        yield made
