"""The wheel, installed without a checkout and without extras."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from reviews.generate import generate
from reviews.store import Store
from tests.end_to_end.checkout import ROOT, copy_checkout, run, tracked_files


@dataclass(frozen=True)
class Installation:
    """A fresh environment with nothing but the wheel in it, and a folder that is elsewhere."""

    wheel: Path
    program: Path
    folder: Path

    def reviewmill(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command in the folder; no checkout is on its path.

        Kernels are compiled anew there, which is quicker with little optimization; without any,
        numba warns that it cannot keep them.
        """
        return run([str(self.program), *arguments], self.folder,
                   env={"PYTHONPATH": "", "NUMBA_OPT": "1",
                        "NLTK_DATA": str(self.folder / "nltk_data")})


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The wheel of the tracked files, installed as the README says."""
    top = tmp_path_factory.mktemp("wheel")
    copy = copy_checkout(top / "copy")
    built = run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w",
                 str(top / "dist"), str(copy)], top)
    assert built.returncode == 0, built.stderr
    [wheel] = (top / "dist").glob("*.whl")
    made = run([sys.executable, "-m", "venv", "--without-pip", str(top / "venv")], top)
    assert made.returncode == 0, made.stderr
    program = top / "venv" / "bin" / "reviewmill"
    # Bytecode of numpy and the like would take longer than all that is tested here.
    wanted = [sys.executable, "-m", "pip", "--python", str(program.with_name("python")), "install",
              "--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    got = run(wanted, top)
    assert got.returncode == 0, got.stderr
    (top / "elsewhere").mkdir()
    yield Installation(wheel, program, top / "elsewhere")


def test_the_wheel_has_every_module_and_data_file_of_the_packages(installed: Installation) -> None:
    packaged = set(zipfile.ZipFile(installed.wheel).namelist())
    tops = {name.split("/")[0] for name in packaged}
    wanted = {
        name for name in tracked_files()
        if (os.sep in name and name.split("/")[0] in tops) or name in ("reviewmill.py", "demo.py")
    }
    assert wanted - packaged == set()
    assert {"reviews/recipes/rnn2019.yaml", "reports/report.html"} <= packaged


def test_the_wheel_has_no_tests_and_nothing_of_the_checkout(installed: Installation) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(installed.wheel).namelist()}
    assert not tops & {"tests", "docs", ".ci", "build"}


def test_prepare_makes_a_store_outside_of_a_checkout(installed: Installation) -> None:
    generate(str(installed.folder / "reviews.json.gz"), reviews=500)
    done = installed.reviewmill("prepare", "reviews.json.gz", "--out", "store", "--workers", "1")
    assert done.returncode == 0, done.stderr
    store = Store(installed.folder / "store")
    assert store.manifest["records"]["read"] == 500
    assert store.rows("train") > 300


@pytest.mark.parametrize("preset", ["default", "rnn2019"])
def test_every_preset_is_printed_and_can_be_read_again(
    installed: Installation, preset: str
) -> None:
    lists = installed.folder / "nltk_data" / "corpora" / "stopwords"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "english").write_text("the\nof\n")
    shown = installed.reviewmill("prepare", "--recipe", preset, "--print-recipe")
    assert shown.returncode == 0, shown.stderr
    words = ["get", "of", "product", "the", "would"] if preset == "rnn2019" else []
    assert yaml.safe_load(shown.stdout)["stop_words"] == words
    (installed.folder / f"my-{preset}.yaml").write_text(shown.stdout)
    again = installed.reviewmill("prepare", "--recipe", f"my-{preset}.yaml", "--print-recipe")
    assert again.stdout == shown.stdout


@pytest.mark.parametrize("command", ["train", "evaluate", "demo", "bench"])
def test_a_command_that_needs_the_train_extra_says_so(
    installed: Installation, command: str
) -> None:
    refused = installed.reviewmill(command, "store", "--out", "run")
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert "torch" in line
    assert "pip install 'reviewmill[train" in line


def test_a_report_without_its_extra_says_so(installed: Installation) -> None:
    refused = installed.reviewmill("report", "run")
    assert refused.returncode == 2
    assert "pip install 'reviewmill[report]'" in refused.stderr
