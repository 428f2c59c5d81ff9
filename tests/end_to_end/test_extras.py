"""Extras: `all` has every one that users need, and pip finds versions of each in good time."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads(
    (ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"all", "bench", "dev"}
LIMIT_S = 3 * 90  # three times what is promised


def test_all_is_every_extra_that_users_need() -> None:
    (wanted,) = EXTRAS["all"]
    names = wanted.removeprefix("reviewmill[").removesuffix("]").split(",")
    assert sorted(names) == sorted(EXTRAS.keys() - FOR_DEVELOPERS)


@pytest.mark.soak
@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_pip_finds_versions_of_an_extra_by_its_ranges_alone(extra: str, tmp_path: Path) -> None:
    # All but torch, of which other versions are gigabytes.
    torch = next(line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
                 if line.startswith("torch=="))
    (tmp_path / "torch.txt").write_text(torch + "\n")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    done = subprocess.run(
        [tmp_path / "venv/bin/pip", "install", "--dry-run", "--quiet", "-c",
         str(tmp_path / "torch.txt"), f"{ROOT}[{extra}]"],
        capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stderr
