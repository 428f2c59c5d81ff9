"""Machine code of kernels: compiled once by numba, kept as files, and loaded by LLVM alone.

A file is an object file of a function of C's kind: for each array its address and shape, for each
number itself. It lies where numba would keep its own, under a name that says from which sources,
for which kinds of arguments and for which processor it is; so nothing of it can be out of date.
Nothing in it calls numba or Python: what a kernel would raise ends the process.
"""

import ctypes
import faulthandler
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from reviews.runtime.kernel_cache import kernel_folders

if TYPE_CHECKING:
    from reviews.compiled.functions import Kernel

MachineCode = Callable[..., int]
SUFFIX = ".kernel"
_ENTRY, _FAILED = "reviewmill_kernel", "reviewmill_kernel_failed"
_DIGEST = 32  # bytes of sha256, before the object file
# What may be called all the same, of the C library.
_LIBRARY = {"memcpy", "memmove", "memset", "memcmp"}
_DECLARED = re.compile(
    r'^declare (?P<head>[^@\n]*@(?P<name>"[^"]*"|[^("\n]+)\(.*\))[^()\n]*$', re.MULTILINE)
_engines: list[Any] = []  # of LLVM, which own the code


def load(kernel: "Kernel", given: tuple[Any, ...]) -> MachineCode:
    """The machine code of a kernel for arguments of the kinds of these, compiled if need be."""
    kinds = [_kind(value) for value in given]
    source = kernel.function.__code__.co_filename
    name = f"{Path(source).stem}.{kernel.function.__name__}"
    what = _short(_processor(), llvmlite.__version__, *_numba(), *kinds)
    file = f"{name}-{what}-{_short(*_sources(kernel))}{SUFFIX}"
    folders = kernel_folders(Path(source))
    found = next(filter(None, (_read(folder / file) for folder in folders)), None)
    if found is None:
        found = _compile(kernel, kinds)
        _keep(folders, f"{name}-{what}-*{SUFFIX}", file, found)
    parameters = [ctypes.c_int64] * sum(1 + getattr(value, "ndim", 0) for value in given)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *parameters)(_address(found))


def _kind(value: Any) -> str:
    """The kind of an argument, such as `uint8 1` for an array of one dimension, `bool`, `int`."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name} {value.ndim}"
    return "bool" if isinstance(value, bool) else "int"


def _short(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@cache
def _processor() -> str:
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@cache
def _numba() -> list[str]:
    """The version of numba, by what stands beside it; to ask for it would take longer than all
    else here."""
    spec = importlib.util.find_spec("numba")
    top = Path(spec.origin if spec and spec.origin else "").parents[1]
    return sorted(path.name for path in top.glob("numba-*-info"))


def _sources(kernel: "Kernel") -> Iterator[str]:
    """All that the code of a kernel depends on: texts of modules, and values from others."""
    from reviews.compiled.functions import Compiled, Later, used_names

    yield _text_digest(__file__)
    to_do, seen = [kernel.function], set()
    while to_do:
        function = to_do.pop()
        seen.add(function)
        yield _text_digest(function.__code__.co_filename)
        for name, value in used_names(function):
            if isinstance(value, Compiled):
                to_do += {value.function} - seen
            elif isinstance(value, Later):
                spec = importlib.util.find_spec(value.module)
                yield _text_digest(spec.origin if spec and spec.origin else "")
            elif isinstance(value, np.ndarray):
                yield f"{name} {value.dtype} {value.shape} {value.tobytes().hex()}"
            elif isinstance(value, int | float | str | tuple | np.generic):
                yield f"{name} {value!r}"


@cache
def _text_digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _read(path: Path) -> bytes | None:
    """An object file that was kept, None where there is none or it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code = data[_DIGEST:]
    return code if hashlib.sha256(code).digest() == data[:_DIGEST] else None


def _keep(folders: list[Path], others: str, name: str, code: bytes) -> None:
    """Write an object file into the first folder that takes it, in the place of older ones."""
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{name}.{os.getpid()}"
            partial.write_bytes(hashlib.sha256(code).digest() + code)
            for old in folder.glob(others):
                old.unlink(missing_ok=True)
            partial.rename(folder / name)
            return


def _compile(kernel: "Kernel", kinds: list[str]) -> bytes:
    """The object file, from numba's code for the kernel and LLVM's own compiler."""
    import numba

    carray: Any = numba.carray  # type: ignore[attr-defined]
    names, arguments = [], []
    parameters: list[Any] = []
    types: Any = numba.types
    for number, kind in enumerate(kinds):
        name = f"a{number}"
        if " " not in kind:
            parameters.append(types.int64)
            names.append(name)
            arguments.append(f"{name} != 0" if kind == "bool" else name)
            continue
        dtype, dimensions = kind.split()
        sizes = [f"{name}_{axis}" for axis in range(int(dimensions))]
        parameters += [types.CPointer(getattr(types, dtype)), *[types.int64] * len(sizes)]
        names += [name, *sizes]
        arguments.append(f"carray({name}, ({', '.join(sizes)},))")
    call = f"kernel({', '.join(arguments)})"
    call = f"return int64({call})" if kernel.returns else f"{call}; return 0"
    # The one way to have as many parameters as the kernel wants.
    text = f"def entry({', '.join(names)}):\n    {call}\n"
    known: dict[str, Any] = {
        "kernel": kernel.for_machine_code, "carray": carray, "int64": types.int64}
    exec(text, known)
    entry = numba.cfunc(types.int64(*parameters))(known["entry"])
    return _object_file(entry.inspect_llvm(), entry.native_name, kernel.function.__name__)


def _object_file(code: str, entry: str, name: str) -> bytes:
    """An object file of LLVM's code that has `entry` under our name, and calls nothing outside."""
    def end(match: re.Match[str]) -> str:
        called = match["name"].strip('"')
        assert "alloc" not in called.lower(), f"{name} allocates memory"
        if called.startswith("llvm.") or called in _LIBRARY:
            return match[0]
        return f"define weak {match['head']} {{\n call void @{_FAILED}()\n unreachable\n}}"

    code = _DECLARED.sub(end, code) + f"\ndeclare void @{_FAILED}()\n"
    module = llvm.parse_assembly(code)
    module.get_function(entry).name = _ENTRY
    module.verify()
    return bytes(_target().emit_object(module))


@cache
def _target() -> Any:
    """The processor of this machine, for LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3,
        codemodel="jitdefault")


def _address(code: bytes) -> int:
    """The address of the entry of an object file, which is put into memory."""
    if not _engines:
        llvm.add_symbol(_FAILED, ctypes.cast(_end_process, ctypes.c_void_p).value)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    _engines.append(engine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(_ENTRY))


@ctypes.CFUNCTYPE(None)
def _end_process() -> None:
    """Called by kernels in the place of raising."""
    sys.stderr.write("reviewmill: compiled code raised, which it never may:\n")
    sys.stderr.flush()
    faulthandler.dump_traceback()
    os.abort()
