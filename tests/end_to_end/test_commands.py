"""The command line as a whole: help, near names, exit statuses."""

import errno
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import reviewmill as program
from reviewmill import COMMANDS, EXTRAS, NEEDS, main
from tests.end_to_end.checkout import ROOT, run


def reviewmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["reviewmill", *arguments], Path.cwd())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_it_shows_every_command(arguments: list[str]) -> None:
    shown = reviewmill(*arguments)
    assert shown.returncode == 0
    assert re.findall(r"^  (\w+) ", shown.stdout, flags=re.M) == list(COMMANDS)


def test_the_version_is_that_of_the_package() -> None:
    shown = reviewmill("--version")
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert (shown.returncode, shown.stdout.strip()) == (0, package["project"]["version"])


def test_an_unknown_command_names_the_near_one() -> None:
    refused = reviewmill("prepair", "x")
    assert refused.returncode == 2
    assert refused.stderr == "reviewmill: no command 'prepair'; did you mean prepare or report?\n"


def test_an_unknown_command_like_none_lists_them_all() -> None:
    refused = reviewmill("xyzzy")
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert all(name in line for name in COMMANDS)


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "reviewmill", "prepare", "--print-recipe"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as it:
        assert it.stdout and it.stderr
        it.stdout.close()  # as `head` does
        assert it.stderr.read() == b""
    assert it.returncode == 141


def test_only_commands_that_exist_need_extras() -> None:
    assert set(NEEDS) <= set(COMMANDS)


def test_a_closed_standard_output_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m reviewmill prepare --print-recipe >&-"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_is_not_started_without_what_its_extra_brings() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    brought = [re.split(r"[<>=\[]", line)[0] for line in
               package["project"]["optional-dependencies"]["score"]]
    assert {"httptools", "uvicorn", "fastapi"} <= {*brought} & {*EXTRAS["score"]}


def status(*arguments: str) -> int:
    """Exit status of a command that runs in this process."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(command, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: reviewmill {command} ")


@pytest.mark.parametrize("command", ["prepare", "inspect", "train", "evaluate", "report"])
def test_a_misspelt_option_stops_a_command_with_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(command, "here", "--hepl") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"reviewmill {command}: unknown argument --hepl; did you mean --help"
    )


@pytest.mark.parametrize(("error", "line"), [
    (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "/x/y: Permission denied"),
    (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
])  # fmt: skip
def test_what_the_system_refuses_is_one_line(
    error: OSError, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: object) -> int:
        raise error

    monkeypatch.setattr(program, "_stage", lambda _: SimpleNamespace(main=refused))
    assert main(["inspect", "x"]) == 2
    assert capsys.readouterr().err == f"reviewmill inspect: {line}\n"


def test_setting_up_says_which_python_is_missing(tmp_path: Path) -> None:
    refused = run(["bash", "bootstrap/environment.sh", "python-of-nobody", str(tmp_path / "v")],
                  ROOT)
    assert refused.returncode == 2
    assert refused.stderr == "python-of-nobody is not there; set PYTHON=...\n"
    assert not (tmp_path / "v").exists()
