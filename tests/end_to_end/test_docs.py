"""The commands of README.md and docs/by-hand.md do what they say, as they are written."""

import re
import shlex
from pathlib import Path

import pytest

from mpi_train.journal import SUMMARY_FORMAT
from reviews.generate import generate
from reviews.store import Store
from tests.end_to_end.checkout import ROOT, run

PAGES = ["README.md", "docs/by-hand.md"]
# Where tests run as root, or on fewer cores than ranks, mpirun has to be told that it may.
MPIRUN_MAY = {
    **dict.fromkeys([f"{who}_ALLOW_RUN_AS_ROOT{sure}" for who in ("OMPI", "PRTE")
                     for sure in ("", "_CONFIRM")], "1"),
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def code_blocks(page: str) -> list[list[str]]:
    """The indented blocks of a page of Markdown that hold commands, line by line."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", text, flags=re.M)
    listed = [[line[4:] for line in block.splitlines() if line.strip()] for block in blocks]
    programs = ("reviewmill ", "python ", "mpirun ", "make ", "pip ", "mkdir ", "ls ")
    return [block for block in listed if block[0].startswith(programs)]


def commands(page: str) -> list[str]:
    """All commands of a page, without their comments."""
    return [re.sub(r"\s{2,}#.*", "", line) for block in code_blocks(page) for line in block]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: the reviews lie where the pages have them."""
    top = tmp_path_factory.mktemp("user")
    (top / "reviews").mkdir()
    generate(str(top / "reviews" / "part.json.gz"), reviews=800, files=2)
    return top


def run_as_script(lines: list[str], folder: Path) -> str:
    """Run commands in one shell that stops at the first that fails; what they printed."""
    done = run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], folder, env=MPIRUN_MAY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pages_have_commands_to_try() -> None:
    assert all(commands(page) for page in PAGES)


def test_the_readme_turns_raw_reviews_into_a_report(folder: Path) -> None:
    lines = [line for line in commands("README.md") if line.startswith("reviewmill ")]
    used = {shlex.split(line)[1] for line in lines}
    assert {"prepare", "inspect", "train", "evaluate", "report"} <= used
    printed = run_as_script(lines, folder)
    assert printed.splitlines()[-1] == "run/report.html"
    assert SUMMARY_FORMAT in (folder / "run" / "summary.json").read_text()
    assert (folder / "run" / "report.html").is_file()


def test_the_jobs_by_hand_make_a_store_to_train_on(folder: Path) -> None:
    by_hand = folder / "by-hand"
    by_hand.mkdir()
    (by_hand / "reviews").symlink_to(folder / "reviews")
    run_as_script(commands("docs/by-hand.md"), by_hand)
    assert Store(by_hand / "store").rows("train") > 0
    assert SUMMARY_FORMAT in (by_hand / "run" / "summary.json").read_text()


def test_every_make_target_of_the_readme_exists() -> None:
    targets = {shlex.split(line)[1] for line in commands("README.md") if line.startswith("make ")}
    assert targets >= {"demo", "test"}
    done = run(["make", "--dry-run", *sorted(targets)], ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target
