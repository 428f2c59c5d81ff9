"""Faults of users' files and surroundings, each a folder beside the checkout with the command that
showed it; what it has to give now is said here, as the folder's `expected` does in words."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reviews.store import Store
from tests.requirements import need

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
BESIDE = Path(sys.executable).parent
SECONDS = 800  # of the longest case, on a busy machine


class Outcome:
    """A case's command in a copy of its folder, run to its end."""

    def __init__(self, name: str, folder: Path) -> None:
        need((CASES / name / "command").is_file(), f"no case {name} beside the checkout")
        need((BESIDE / "reviewmill").is_file(), "reviewmill is not installed beside this Python")
        self.folder = folder / name
        shutil.copytree(CASES / name, self.folder)
        for path in [self.folder, *self.folder.rglob("*")]:
            path.chmod(0o755)
        environment = {**os.environ, "PATH": f"{BESIDE}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "./command"], cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=SECONDS)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in self.err, self.err

    @property
    def refusals(self) -> list[str]:
        """The lines by which commands ended with status 2."""
        return [line for line in self.err.splitlines() if re.match(r"reviewmill \w+: ", line)]

    def store(self) -> Store:
        assert self.status == 0, self.err
        return Store(self.folder / "store")

    def words(self) -> set[str]:
        return set(self.store().vocabulary_file.read_text("utf-8").split("\n"))

    def records(self) -> tuple[int, int]:
        """Records read, and stored."""
        records = self.store().manifest["records"]
        return records["read"], records["stored"]


def archives(case: Outcome) -> None:
    tars = [line for line in case.refusals if "tar archive; unpack it" in line]
    assert len(tars) == len(case.refusals) == 2
    assert case.out.count("60 records read") == 2
    assert case.records() == (60, 60)


def chinese_reviews(case: Outcome) -> None:
    assert case.status == 0
    [accuracy] = re.findall(r"reviews: accuracy (\d+\.\d+)%", case.out)
    assert float(accuracy) > 95
    assert "warning" not in case.out + case.err


def cr_line_ends_in_folder(case: Outcome) -> None:
    assert case.status == 2
    [line] = case.refusals
    assert "mac.csv: lines end in carriage returns alone" in line


def own_module_in_folder(case: Outcome) -> None:
    assert case.status == 0, case.err
    assert "2 ranks" in case.out
    assert "a script of mine" not in case.out + case.err


def hash_in_vocabulary(case: Outcome) -> None:
    assert case.words() == {*(case.folder / "words#2.txt").read_text().split(), ""}


def other_scales(case: Outcome) -> None:
    assert "60 records read" in case.out
    assert case.out.count("60 records read; dropped: none; bad: none") == 2  # stars and glyphs
    assert len(case.refusals) == 4
    for line, seen in zip(case.refusals, ("2 to 10", "0.5 to", "1.7 to 9.7", "0.5 to"),
                          strict=True):
        assert f"ratings from {seen}" in line
        assert "--rating-scale" in line


def tsv_stray_quotes(case: Outcome) -> None:
    assert case.records() == (60, 60)


def yelp_two_columns(case: Outcome) -> None:
    assert case.records() == (60, 60)
    assert "bought" in case.words()
    assert "nbought" not in case.words()


def s3_plain_lines(case: Outcome) -> None:
    assert case.records() == (60, 60)


def disk_without_locks(case: Outcome) -> None:
    assert case.records()[1] == 60
    assert (case.folder / "run" / "model" / "manifest.json").is_file()


def read_only_install(case: Outcome) -> None:
    try:
        assert case.status == 0, case.err
        assert Store("/tmp/ro_case/store").manifest["records"]["stored"] == 60
    finally:
        shutil.rmtree("/tmp/ro_case")


def hangup_leaves_ranks(case: Outcome) -> None:
    assert case.status == 0, "ranks are left"


def hosts_without_names(case: Outcome) -> None:
    assert case.status not in (124, 137), "it did not end by itself"


@pytest.mark.parametrize("check", [
    archives, chinese_reviews, cr_line_ends_in_folder, hash_in_vocabulary, other_scales,
    tsv_stray_quotes, yelp_two_columns,
])  # fmt: skip
def test_a_users_file_gives_what_is_expected(
    check: Callable[[Outcome], None], tmp_path: Path
) -> None:
    check(Outcome(check.__name__, tmp_path))


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize(("check", "programs"), [
    (own_module_in_folder, []), (disk_without_locks, ["gcc"]), (s3_plain_lines, []),
    (hangup_leaves_ranks, ["pgrep"]), (read_only_install, ["unshare", "setpriv"]),
    (hosts_without_names, ["unshare"]),
])  # fmt: skip
def test_a_users_surroundings_are_no_hindrance(
    check: Callable[[Outcome], None], programs: list[str]
) -> None:
    for program in programs:
        need(shutil.which(program) is not None, f"needs {program}")
    need("unshare" not in programs or os.geteuid() == 0, "needs root")
    # A user without rights stands in the folder, too; those of pytest are root's alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        check(Outcome(check.__name__, Path(folder)))


def test_every_case_has_a_test() -> None:
    need(CASES.is_dir(), f"no cases in {CASES}")
    assert {path.name for path in CASES.iterdir()} <= set(globals())
