"""The commands of README.md and docs/by-hand.md do what they say, as they are written."""

import contextlib
import functools
import io
import itertools
import re
import shlex
import sys
from pathlib import Path

import pytest

import reviewmill
from mapreduce.prepare import parser as prepare_parser
from reviews.corpora.columns import REASONS
from reviews.generate import generate
from reviews.run_folder import RECORDS, RUN_FORMAT, read_records
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
    """The indented blocks of a page of Markdown, line by line."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", text, flags=re.M)
    return [[line[4:] for line in block.splitlines() if line.strip()] for block in blocks]


def commands(page: str) -> list[str]:
    """All commands of a page, without their comments."""
    programs = ("reviewmill ", "python ", "mpirun ", "make ", "pip ", "mkdir ", "ls ")
    # Figures were measured on data that not everybody has; tests/benchmarks runs those commands.
    blocks = [block for block in code_blocks(page)
              if block[0].startswith(programs) and not block[0].startswith("reviewmill bench")]
    return [re.sub(r"\s{2,}#.*", "", line) for block in blocks for line in block]


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


def test_the_page_about_inputs_names_options_and_reasons_that_exist() -> None:
    page = (ROOT / "docs" / "inputs.md").read_text("utf-8")
    options = set(prepare_parser()._option_string_actions)
    assert set(re.findall(r"--[a-z][a-z-]*", page)) <= options
    assert set(filter(None, REASONS)) == set(re.findall(r"`([a-z][a-z0-9_]*_[a-z0-9]+)`", page)) - {
        "too_few_words", "requests_made_again"}


def test_the_pages_have_commands_to_try() -> None:
    assert all(commands(page) for page in PAGES)


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    """Output of the README's commands, run in the folder."""
    lines = [line for line in commands("README.md") if line.startswith("reviewmill ")]
    used = {shlex.split(line)[1] for line in lines}
    assert {"prepare", "inspect", "train", "evaluate", "report", "score"} <= used
    return run_as_script(lines, folder)


def test_the_readme_turns_raw_reviews_into_a_report(folder: Path, printed: str) -> None:
    assert "run/report.html" in printed.splitlines()
    assert (folder / "predictions.parquet").is_file()
    assert RUN_FORMAT in (folder / "run" / "summary.json").read_text()
    assert (folder / "run" / "report.html").is_file()


def test_the_records_of_a_run_have_the_fields_of_their_page(folder: Path, printed: str) -> None:
    page = (ROOT / "docs" / "run-format.md").read_text("utf-8")
    records = list(read_records(folder / "run"))
    assert {"step", "epoch", "rebalance", "evaluation"} <= {r["kind"] for r in records if r}
    for record in records:
        assert record is not None
        fields = RECORDS.get(record["kind"])
        if fields and record["kind"] != "rebalance":
            assert fields.__required_keys__ <= set(record) <= set(fields.__annotations__)
        elif fields:
            assert set(record) - {"a", "b"} == set(fields.__annotations__)
    for kind, fields in RECORDS.items():
        [section] = re.findall(rf"^### {kind}$(.*?)(?=^##)", page, flags=re.M | re.S)
        assert set(re.findall(r"^\| `(\w+)`", section, flags=re.M)) - {"a", "b"} == set(
            fields.__annotations__) - {"kind"}


def test_the_jobs_by_hand_make_a_store_to_train_on(folder: Path) -> None:
    by_hand = folder / "by-hand"
    by_hand.mkdir()
    (by_hand / "reviews").symlink_to(folder / "reviews")
    run_as_script(commands("docs/by-hand.md"), by_hand)
    assert Store(by_hand / "store").rows("train") > 0
    assert RUN_FORMAT in (by_hand / "run" / "summary.json").read_text()


def test_a_store_is_read_as_its_page_says(folder: Path, printed: str) -> None:
    blocks = code_blocks("docs/store-format.md")
    [reading] = [block for block in blocks if block[0] == "import h5py"]
    script = "\n".join([*reading, "print(tokens.shape, labels.shape)"])
    done = run([sys.executable, "-c", script], folder)
    assert done.returncode == 0, done.stderr
    store = Store(folder / "store")
    rows = min(1000, store.rows("train"))
    assert done.stdout.strip() == f"({rows}, {store.length}) ({rows},)"


def test_every_make_target_of_the_readme_exists() -> None:
    targets = {shlex.split(line)[1] for line in commands("README.md") if line.startswith("make ")}
    assert targets >= {"demo", "test"}
    done = run(["make", "--dry-run", *sorted(targets)], ROOT)
    assert done.returncode == 0, done.stderr


EVERY_PAGE = ["README.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]


@functools.cache
def help_of(*command: str) -> str:
    """Output of a command with --help."""
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        reviewmill.main([*command, "--help"])
    return shown.getvalue()


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_command_of_a_page_takes_its_options(page: str) -> None:
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    for line in re.findall(r"(?:^    |`)reviewmill ([^`#\n]+)", text, flags=re.M):
        named = itertools.takewhile(lambda word: not word.startswith("-"), line.split())
        # Words of the command itself; those behind are its arguments.
        command = list(named)[: {"bench": 2, "cluster": 3}.get(line.split()[0], 1)]
        command += ["--simulate"] * ("--simulate" in line)  # it has options of its own
        own, _, of_train = line.partition(" -- ")
        for words, of in ((own, command), (of_train, ["train"])):
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", words):
                assert re.search(rf"{option}(?![a-z-])", help_of(*of)), line


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target
