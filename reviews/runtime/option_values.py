"""Values of options as text of a command line and as plain values of YAML and JSON."""

import argparse
import math
import reprlib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reviews.errors import UserError


@dataclass(frozen=True)
class AtLeast:
    """All numbers from `least` on, as the values of a condition."""

    least: float

    def __contains__(self, value: Any) -> bool:
        return bool(value >= self.least)

    def __str__(self) -> str:
        return f"{self.least} or more"


@dataclass(frozen=True)
class Search:
    """Values of an option that `tune` searches: some, or the numbers from low to high.

    log: the logarithm is searched evenly, in place of the number.
    factors: low and high are factors of the default that a model or a preset has.
    """

    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    factors: bool = False

    def around(self, default: Any) -> "Search | None":
        """The same with the ends as numbers; None where the default is not inside, as an option
        is that is off."""
        if self.values:
            return self if default in self.values else None
        if self.factors:
            low, high = self.low * default, self.high * default
            low, high = (round(low), round(high)) if isinstance(default, int) else (low, high)
            return Search(low=low, high=high, log=self.log) if default else None
        return self if self.low <= default <= self.high else None

    def __str__(self) -> str:
        if self.values:
            return ", ".join(map(str, self.values))
        unit = " times the default" if self.factors else ""
        return f"{self.low:g} to {self.high:g}{unit}"


def _bare(kind: Any) -> Any:
    """T for `T | None`, otherwise the type itself."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def converter(kind: Any) -> Any:
    """Converter of the text on the command line to a value."""
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        part = converter(typing.get_args(kind)[0])
        return lambda text: tuple(map(part, text.split(","))) if text else ()

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not _is(value, kind):
            raise argparse.ArgumentTypeError(f"{text!r} is not {_NAMES[kind]}")
        return value

    return convert


def metavar(kind: Any) -> str:
    """Name of a value in the help."""
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        return "A,B,.."
    return {int: "N", float: "X"}.get(kind, "TEXT")


def from_plain(value: Any, kind: Any, where: str) -> Any:
    """Check one value of a file against its type; whole numbers may stand for floats."""
    if value is None:
        if type(None) in typing.get_args(kind):
            return None
        raise UserError(f"{where} has no value")
    kind = _bare(kind)
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise UserError(f"{where} is too large a number")
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise UserError(f"{where} is {_SHORT.repr(value)}, not a list")
        return tuple(from_plain(part, typing.get_args(kind)[0], where) for part in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not _is(value, kind):
        raise UserError(f"{where} is {_SHORT.repr(value)}, not {_NAMES[kind]}")
    return value


def _short() -> reprlib.Repr:
    made = reprlib.Repr()
    made.maxstring = made.maxother = made.maxlong = 200
    made.maxlist = made.maxdict = made.maxtuple = 20
    made.maxlevel = 2
    return made


_BITS = 1000  # of a whole number, which a float can still hold
_SHORT = _short()  # values as messages show them: aliases of YAML make endless ones
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _is(value: Any, kind: Any) -> bool:
    """True when a value is of this very kind; what is not finite is no number."""
    return type(value) is kind and (kind is not float or math.isfinite(value))
