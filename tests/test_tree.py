"""The rules of the tree: who imports whom, and what the package has to list."""

import ast
import re
import runpy
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import setuptools

from tests.stores import make_store

ROOT = Path(__file__).resolve().parents[1]
# Folders that hold Python files but are no part of the installation.
NOT_PACKAGED = {"tests"}

# What a stage must never import: stages meet in files, and the core knows none of them.
STAGES = {"mapreduce", "mpi_train", "reports", "scoring", "cluster", "compare"}
FORBIDDEN = {
    "reviews": {*STAGES, "torch", "mpi4py", "mrjob", "matplotlib"},
    "models": {*STAGES, "mpi4py", "mrjob", "matplotlib"},
    "mapreduce": {*STAGES - {"mapreduce", "cluster"}, "torch", "mpi4py", "matplotlib"},
    "mpi_train": {*STAGES - {"mpi_train", "cluster"}, "mrjob", "matplotlib"},
    "reports": {*STAGES - {"reports"}, "torch", "mpi4py", "mrjob"},
    "scoring": {*STAGES - {"scoring"}, "torch", "mpi4py", "mrjob", "matplotlib"},
    "compare": {*STAGES - {"compare"}, "torch", "mpi4py", "mrjob", "matplotlib"},
    "cluster": {*STAGES - {"cluster"}, "torch", "mpi4py", "mrjob", "matplotlib"},
}


@cache
def python_files() -> list[Path]:
    """Every module of the project, relative to the root; environments and builds left out."""
    folders = [path for path in ROOT.iterdir() if path.is_dir()
               and not path.name.startswith(".") and path.name not in ("build", "demo")]
    found = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    return sorted(path.relative_to(ROOT) for path in found)


@cache
def imported(module: Path) -> set[str]:
    """Top names of all imports of a module, those inside of functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"), str(module))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of setup.py for setuptools."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    wrong = {
        f"{module} imports {name}"
        for module in python_files() if module.parts[0] == package
        for name in imported(module) & FORBIDDEN[package]
    }
    assert wrong == set()


def test_no_part_of_the_product_imports_its_tests() -> None:
    modules = [module for module in python_files() if module.parts[0] != "tests"]
    assert modules
    assert [module for module in modules if "tests" in imported(module)] == []


def test_every_package_is_listed_and_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {module.parent for module in python_files()} - {Path(".")}
    packages = {".".join(f.parts) for f in folders if f.parts[0] not in NOT_PACKAGED}
    assert set(setup_arguments(monkeypatch)["packages"]) == packages
    assert all((ROOT / f / "__init__.py").is_file() for f in folders)


def test_every_module_beside_setup_py_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {module.stem for module in python_files() if len(module.parts) == 1} - {"setup"}
    assert set(setup_arguments(monkeypatch)["py_modules"]) == modules


def test_every_data_file_of_a_package_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = setup_arguments(monkeypatch)
    for package in arguments["packages"]:
        folder = ROOT / package.replace(".", "/")
        data = {path.name for path in folder.iterdir()
                if path.is_file() and path.suffix not in (".py", ".pyc")}
        patterns = arguments["package_data"].get(package, [])
        found = {pattern: {path.name for path in folder.glob(pattern)} for pattern in patterns}
        assert set().union(*found.values()) == data, package
        assert [pattern for pattern, names in found.items() if not names] == [], package


def test_every_folder_of_tests_mirrors_a_folder_of_code() -> None:
    own = {"end_to_end", "faults", "attacks", "fixtures"}
    folders = {path.name for path in (ROOT / "tests").iterdir()
               if path.is_dir() and path.name != "__pycache__"}
    assert [name for name in folders - own if not (ROOT / name).is_dir()] == []


def test_no_module_is_longer_than_400_lines() -> None:
    long = {str(module): lines for module in python_files()
            if (lines := (ROOT / module).read_bytes().count(b"\n")) > 400}
    assert long == {}


def test_every_module_of_the_product_says_what_it_is_for() -> None:
    silent = [
        str(module) for module in python_files()
        if module.parts[0] != "tests"
        and not ast.get_docstring(ast.parse((ROOT / module).read_text("utf-8")))
    ]
    assert silent == []


def loaded_by(statement: str) -> set[str]:
    """Top names of the modules that a fresh interpreter has loaded after a statement."""
    program = f"import sys\n{statement}\nprint('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("loaded ")]
    return {name.split(".")[0] for name in line.split()}


@pytest.mark.parametrize("statement", [
    "import mapreduce.prepare, mapreduce.gather_reviews, mapreduce.encode_reviews",
    "import reviewmill; reviewmill.main(['prepare', '--print-recipe'])",
])
def test_a_preparation_node_never_loads_what_trains_or_draws(statement: str) -> None:
    assert loaded_by(statement) & {"torch", "mpi4py", "matplotlib", "mpi_train", "reports"} == set()


def test_prepare_never_loads_what_only_other_packages_would_use(tmp_path: Path) -> None:
    (tmp_path / "reviews.json").write_text('{"reviewText": "good tea", "overall": 5}\n' * 9)
    line = ["prepare", f"{tmp_path}/reviews.json", "--out", f"{tmp_path}/store", "--overwrite"]
    statement = f"import reviewmill; reviewmill.main({line})"
    loaded_by(statement)  # which compiles what is not compiled yet
    assert loaded_by(statement) & {
        "cffi", "models", "numba", "pandas", "scipy", "setuptools"} == set()


def test_training_never_loads_what_compiles_models(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 20, "validation": 10}, length=8).path
    line = ["train", str(store), "--out", str(tmp_path / "run"), "--epochs", "1", "--overwrite"]
    calls = [f"reviewmill.main({[*line, *options.split()]})"
             for options in ("--optimizer adamw", "--optimizer sgd", "--optimizer lamb",
                             "--model bag")]
    statement = "; ".join(["import reviewmill", *calls, "assert 'torch.optim' in sys.modules",
                           "assert 'torch._dynamo' not in sys.modules",
                           "assert 'torch._decomp' not in sys.modules"])
    assert "numba" not in loaded_by(statement)


def test_the_command_line_loads_no_stage_before_one_is_called() -> None:
    heavy = {"numpy", "pyarrow", "numba", "h5py", *STAGES}
    assert loaded_by("import reviewmill; reviewmill.main([])") & heavy == set()


def test_scoring_never_loads_what_trains() -> None:
    modules = [".".join(module.with_suffix("").parts) for module in python_files()
               if module.parts[0] == "scoring"]
    statement = "import " + ", ".join(name.removesuffix(".__init__") for name in modules)
    heavy = {"torch", "mpi4py", "mrjob", "matplotlib", "onnx", "pandas"}
    assert loaded_by(statement) & heavy == set()


def test_drawing_a_report_never_loads_torch() -> None:
    assert "torch" not in loaded_by("import reports.page, reports.run")


def test_no_folder_has_more_than_16_modules() -> None:
    """Beside the one that makes it a package."""
    folders = Counter(path.parent for path in python_files()
                      if path.name != "__init__.py" and path.parts[0] != "tests")
    assert {str(folder): n for folder, n in folders.items() if n > 16} == {}


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text("utf-8"), str(module))


Function = ast.FunctionDef | ast.AsyncFunctionDef


def statements(function: Function) -> int:
    """Lines of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def test_every_docstring_opens_with_a_noun_or_a_verb() -> None:
    questions = re.compile("(what|who|whether|how|where|which|when|why) ", re.IGNORECASE)
    asking = [
        f"{module}: {text.splitlines()[0]}" for module in python_files()
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and (text := ast.get_docstring(node)) and questions.match(text)]
    assert asking == []


def test_no_function_has_more_than_60_lines() -> None:
    long = {f"{module}: {node.name}": statements(node)
            for module in python_files() for node in ast.walk(tree_of(module))
            if isinstance(node, Function) and statements(node) > 60}
    assert long == {}


# Options declare these things themselves: see reviews/options.py.
LISTS_OF_OPTIONS = {
    "FIXED", "ONE_START", "OWN_OPTIONS", "READ_WITH", "MODEL_DEFAULTS", "OF_STORES",
    "FILE_OPTIONS", "RUNNERS", "CLUSTERS", "READ_BY", "SETUP_READS", "COST_READS",
}


def test_no_list_says_of_options_what_they_declare_themselves() -> None:
    found = {f"{module}: {node.id}" for module in python_files()
             for node in ast.walk(tree_of(module))
             if isinstance(node, ast.Name) and node.id in LISTS_OF_OPTIONS}
    assert found == set()


# Names that say less than the field's own: a phase timer, an average, a barrier, a broadcast ...
VAGUE = {
    "Laps", "Board", "Draws", "Joined", "Average", "Settled", "Coming",
    "meet", "sum_start", "collect", "tell_all", "share", "hand_over", "hand_out", "become",
}
VAGUE_MODULES = {
    "settle", "places", "parcels", "gathered", "forking", "meter", "warm", "sharing", "journal",
    "fits", "board", "laps", "process", "messages",
}


def test_nothing_has_a_name_that_only_its_authors_understand() -> None:
    modules = {str(module) for module in python_files() if module.stem in VAGUE_MODULES}
    named = {f"{module}: {node.name}" for module in python_files()
             for node in ast.walk(tree_of(module))
             if isinstance(node, Function | ast.ClassDef) and node.name in VAGUE}
    assert modules | named == set()
