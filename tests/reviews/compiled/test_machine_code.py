"""Kernels are what their functions say, need numba once, and are compiled anew where they have to
be."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reviews.compiled import machine_code
from reviews.compiled.functions import Kernel, Later, compiled, inlined, kernel

ADDED = 3


@inlined
def twice(value: int) -> int:
    return 2 * value


@compiled()
def larger(one: int, two: int) -> int:
    return one if one > two else two


@kernel(returns=int)
def weigh(rows: np.ndarray, columns: np.ndarray, at_least: int, double: bool) -> int:
    """Sums of the rows' squares, no less than a number, into the columns; how many there are."""
    for i in range(rows.shape[0]):
        found = ADDED
        for j in range(rows.shape[1]):
            found += rows[i, j] * rows[i, j]
        columns[i] = larger(twice(found) if double else found, at_least)
    return rows.shape[0]


def by_hand(rows: np.ndarray, at_least: int, double: bool) -> list[int]:
    sums = [ADDED + sum(value * value for value in row) for row in rows.tolist()]
    return [max((1 + double) * one, at_least) for one in sums]


@given(arrays(st.sampled_from([np.uint8, np.int32, np.uint16]),
              st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.integers(0, 200)),
       st.integers(-9, 100_000), st.booleans())
def test_a_kernel_does_what_its_function_says(
    rows: np.ndarray, at_least: int, double: bool
) -> None:
    columns = np.zeros(len(rows), np.int64)
    assert weigh(rows, columns, at_least, double) == len(rows)
    assert columns.tolist() == by_hand(rows, at_least, double)


def test_arrays_with_gaps_and_numbers_of_other_kinds_are_refused() -> None:
    square, out = np.zeros((4, 4), np.int32), np.zeros(4, np.int64)
    with pytest.raises(TypeError, match="weigh takes contiguous arrays"):
        weigh(square[:, ::2], out, 0, False)
    with pytest.raises(TypeError, match="float"):
        weigh(square, out, 0.5, False)


SOURCE = """
import numpy as np
from reviews.compiled.functions import Later, kernel

load64 = Later("reviews.compiled.intrinsics", "load64")
ADDED = np.uint64(1)


@kernel()
def add(data, out):
    for i in range(out.size):
        out[i] = load64(data, 8 * i) + ADDED


@kernel()
def split(data, out):
    for i in range(out.size):
        out[i] = data[i] // data[i + 1]


@kernel()
def collect(data, out):
    other = np.zeros(data.size, np.uint8)
    out[0] = other[0]
"""


@pytest.fixture()
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for compiled code, and nothing in it."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


Loading = Callable[[str], ModuleType]


@pytest.fixture()
def module(tmp_path: Path) -> Iterator[Loading]:
    """Loads a module of this text, as a process would that begins now."""
    def load(text: str) -> ModuleType:
        machine_code._text_digest.cache_clear()
        (tmp_path / "sums.py").write_text(text)
        spec = importlib.util.spec_from_file_location("sums", tmp_path / "sums.py")
        assert spec
        assert spec.loader
        found = importlib.util.module_from_spec(spec)
        # Its code is of this text, whatever a file of bytecode says.
        exec(compile(text, tmp_path / "sums.py", "exec"), found.__dict__)
        return found

    yield load
    machine_code._text_digest.cache_clear()


def added(module: ModuleType) -> list[int]:
    out = np.zeros(2, np.uint64)
    module.add(np.arange(16, dtype=np.uint8), out)
    return [int(value) - int.from_bytes(range(8 * i, 8 * i + 8), "little")
            for i, value in enumerate(out)]


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that are compiled from now on."""
    names: list[str] = []
    inner = machine_code._compile

    def noted(kernel: Kernel, kinds: list[str]) -> bytes:
        names.append(kernel.function.__name__)
        return inner(kernel, kinds)

    monkeypatch.setattr(machine_code, "_compile", noted)
    return names


def test_a_kernel_is_compiled_once_for_its_text(
    kept: Path, module: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = compilations(monkeypatch)
    assert added(module(SOURCE)) == added(module(SOURCE)) == [1, 1]
    assert names == ["add"]
    [first] = kept.rglob("*.kernel")
    assert added(module(SOURCE.replace("uint64(1)", "uint64(7)"))) == [7, 7]
    assert names == ["add", "add"]
    [second] = kept.rglob("*.kernel")  # the old one is of no use
    assert second != first


def test_code_that_is_damaged_is_compiled_again(
    kept: Path, module: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = compilations(monkeypatch)
    assert added(module(SOURCE)) == [1, 1]
    [path] = kept.rglob("*.kernel")
    path.write_bytes(path.read_bytes()[:-1])
    assert added(module(SOURCE)) == [1, 1]
    assert added(module(SOURCE)) == [1, 1]  # from the file again
    assert names == ["add", "add"]


def test_where_nothing_can_be_kept_a_kernel_is_compiled_all_the_same(
    module: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "kernel_folders", lambda source: [Path(os.devnull)])
    assert added(module(SOURCE)) == [1, 1]


def test_a_kernel_may_not_allocate_memory(kept: Path, module: Loading) -> None:
    with pytest.raises(AssertionError, match="collect allocates memory"):
        module(SOURCE).collect(np.zeros(1, np.uint8), np.zeros(1, np.uint8))


def test_what_a_kernel_would_raise_ends_the_process(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(SOURCE)
    program = "import numpy, sums\nsums.split(numpy.zeros(2, 'u1'), numpy.zeros(1, 'u1'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGABRT
    assert "compiled code raised" in done.stderr
    assert 'line 2 in <module>' in done.stderr


def test_a_name_for_later_is_looked_up_then() -> None:
    assert Later("signal", "SIGABRT").value == signal.SIGABRT
