"""The Containerfile, held against the tree: there is no container engine where the tests run."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import setuptools

from tests.scoring.bundles import make_bundle

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """Instructions and their arguments, in order."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines()
             if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in whole.splitlines() if line]


def arguments(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def copied() -> list[str]:
    """Paths of the tree that are copied, which all keep their names."""
    found = []
    for rest in arguments("COPY"):
        *sources, target = rest.split()
        assert target == "./" or sources == [target], rest
        found += sources
    return found


def test_all_that_the_package_lists_is_copied_and_there(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", listed.update)
    runpy.run_path(str(ROOT / "setup.py"))
    needed = {name.partition(".")[0] for name in listed["packages"]}
    needed |= {f"{name}.py" for name in listed["py_modules"]}
    assert {*copied()} == needed | {"setup.py", "pyproject.toml", "constraints.txt", "README.md"}
    assert all((ROOT / name).exists() for name in copied())


def test_it_installs_the_extra_of_scoring_alone_at_the_versions_that_were_tried() -> None:
    [run] = [rest for rest in arguments("RUN") if "pip install" in rest]
    assert "-c constraints.txt '.[score]'" in run
    assert re.findall(r"\[([^]]*)\]", run) == ["score"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "score" in project["optional-dependencies"]
    [image] = arguments("FROM")
    version = re.search(r"/python:(3\.\d+)", image)
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_the_server_is_not_run_by_root_and_asks_for_a_token() -> None:
    names = [name for name, _ in instructions()]
    [user] = arguments("USER")
    assert int(user) > 0
    assert "RUN" not in names[names.index("USER"):]
    assert "REVIEWMILL_TOKEN" not in " ".join(arguments("ENV"))
    assert "--no-token" not in " ".join(arguments("ENTRYPOINT") + arguments("CMD"))


def test_what_is_copied_is_enough_to_serve(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name)  # with the compiled kernels that are there
        else:
            shutil.copy(ROOT / name, tree / name)
    command, *options = json.loads(arguments("ENTRYPOINT")[0])
    assert command == "reviewmill"
    assert json.loads(arguments("CMD")[0]) == ["/model"]
    [port] = arguments("EXPOSE")
    assert options[options.index("--port") + 1] == port
    options[options.index("--port") + 1] = "0"
    options[options.index("--host") + 1] = "127.0.0.1"
    program = (f"import sys; sys.path.insert(0, {str(tree)!r}); import reviewmill, scoring; "
               f"assert scoring.__file__.startswith({str(tree)!r}), scoring.__file__; "
               "sys.exit(reviewmill.main(sys.argv[1:]))")
    model, _ = make_bundle(tmp_path / "served", "bag")
    process = subprocess.Popen(
        [sys.executable, "-c", program, *options, str(model)], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, env={**os.environ, "REVIEWMILL_TOKEN": "open sesame"})
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        [health] = re.findall(r"http://127.0.0.1:(\d+)(/[a-z]+)", arguments("HEALTHCHECK")[0])
        assert health[0] == port
        with urllib.request.urlopen(address.rstrip("/") + health[1], timeout=60) as answer:
            assert answer.status == 200
    finally:
        process.kill()
        process.communicate()
