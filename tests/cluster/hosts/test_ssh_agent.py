"""The command that starts mpirun's daemon on a host with another path."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.hosts.ssh_agent import PYTHONS, START, main, translate


def test_paths_of_the_environment_here_become_those_there() -> None:
    command = "PRTE_PREFIX=/here/env;export X; LD=/here/env/lib:/here/environs; /here/env/bin/prted"
    assert translate(command, "/opt/mill/bin/python", "/here/env").endswith(
        "; PRTE_PREFIX=/opt/mill;export X; LD=/opt/mill/lib:/here/environs; /opt/mill/bin/prted")


@pytest.mark.parametrize("python", ["", "/bin/echo"])
def test_a_rank_starts_with_the_python_of_its_host(python: str) -> None:
    done = subprocess.run(["sh", "-c", START, sys.executable, "-c", "print('one')"],
                          env={"REVIEWMILL_PYTHON": python}, capture_output=True, text=True)
    assert done.stdout == ("-c print('one')\n" if python else "one\n"), done.stderr


def test_the_agent_becomes_ssh_with_the_options_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda _, words: became.append(words))
    pythons = {PYTHONS: json.dumps({"gpu02": "/opt/mill/bin/python"})}
    main(["-o", "BatchMode=yes", "gpu01", "prted 1"], pythons)
    main(["gpu02", f"{sys.prefix}/bin/prted", "2"], pythons)
    assert became == [
        ["ssh", "-o", "BatchMode=yes", "gpu01", "prted 1"],
        ["ssh", "gpu02", "export REVIEWMILL_PYTHON=/opt/mill/bin/python "
         "REVIEWMILL_PREFIX=/opt/mill; /opt/mill/bin/prted 2"]]
