"""Functions in the place of `numba.njit`'s, which load numba when there is something to compile.

numba takes half a second of a processor before the first call of a function that it compiled in
an earlier process. So what a short run calls has machine code of its own (`kernel`), which is kept
as a file and needs no numba; the rest (`compiled`) is numba's as ever, but for the time of its
import.
"""

import threading
from collections.abc import Callable, Iterator
from functools import cached_property, update_wrapper
from importlib import import_module
from operator import index
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from reviews.compiled.machine_code import MachineCode, load

Array = np.ndarray
_LOCK = threading.RLock()


class Compiled:
    """A function that numba compiles when it is first called, by these options of `njit`.

    Functions of this kind may call each other.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        update_wrapper(self, function)
        self.function, self.options = function, options

    def __call__(self, *given: Any) -> Any:
        return self._cached(*given)

    @property
    def signatures(self) -> list[Any]:
        """Kinds of arguments that numba has code for, as its own functions have them."""
        return list(self._cached.signatures)

    @cached_property
    def _cached(self) -> Any:
        with _LOCK:
            return self._dispatcher(cache=True)

    @cached_property
    def for_machine_code(self) -> Any:
        """numba's dispatcher, which keeps nothing on the disk."""
        return self._dispatcher(cache=False)

    def _dispatcher(self, cache: bool) -> Any:
        from numba import njit

        function, names = self.function, dict(used_names(self.function))
        found = {}
        for name, value in names.items():
            if isinstance(value, Later):
                found[name] = value.value
            elif isinstance(value, Compiled) and value is not self:
                found[name] = value._cached if cache else value.for_machine_code
        assert isinstance(function, FunctionType)
        copy = FunctionType(function.__code__, {**function.__globals__, **found},
                            function.__name__, function.__defaults__, function.__closure__)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        return njit(cache=cache, **self.options)(copy)


class Kernel(Compiled):
    """A function that is called from Python, by machine code of its own.

    It takes arrays, C-contiguous and aligned, and whole numbers and truth values; it returns what
    `returns` says, allocates no memory and raises nothing. While it runs, other threads do.
    """

    def __init__(
        self, function: Callable[..., Any], returns: type[int] | None = None, **options: Any
    ) -> None:
        super().__init__(function, **options)
        self.returns = returns
        self._loaded: dict[tuple[int | bool, ...], MachineCode] = {}

    def __call__(self, *given: Any) -> Any:
        kinds: list[int | bool] = []
        numbers: list[int] = []
        for value in given:
            if isinstance(value, np.ndarray):
                flags = value.flags
                if not (flags.c_contiguous and flags.aligned):
                    raise TypeError(f"{self.function.__name__} takes contiguous arrays")
                kinds += (value.dtype.num, value.ndim)
                numbers.append(value.__array_interface__["data"][0])
                numbers += value.shape
            else:
                kinds.append(isinstance(value, bool))
                numbers.append(index(value))
        code = self._loaded.get(tuple(kinds)) or self._load(tuple(kinds), given)
        returned = code(*numbers)
        return returned if self.returns else None

    def _load(self, kinds: tuple[int | bool, ...], given: tuple[Any, ...]) -> MachineCode:
        with _LOCK:
            if kinds not in self._loaded:
                self._loaded[kinds] = load(self, given)
            return self._loaded[kinds]


class Later:
    """A name of a module, for functions that are compiled: it is imported when they are."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    @property
    def value(self) -> Any:
        """The thing of that name."""
        return getattr(import_module(self.module), self.name)


def used_names(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Global names of a function's module that its code has in it, and what they stand for."""
    def names(code: CodeType) -> Iterator[str]:
        yield from code.co_names
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                yield from names(inner)

    assert isinstance(function, FunctionType)
    for name in sorted({*names(function.__code__)} & function.__globals__.keys()):
        yield name, function.__globals__[name]


def compiled(**options: Any) -> Any:
    """A decorator: `Compiled`."""
    return lambda function: Compiled(function, **options)


def kernel(returns: type[int] | None = None, **options: Any) -> Any:
    """A decorator: `Kernel`."""
    return lambda function: Kernel(function, returns, **options)


def inlined(function: Callable[..., Any]) -> Any:
    """A decorator: a part of the functions that call it, into which it is copied."""
    return Compiled(function, inline="always")
