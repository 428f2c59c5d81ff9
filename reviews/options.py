"""One frozen dataclass per stage becomes command-line options, YAML keys and help."""

import argparse
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from reviews.errors import UserError

C = TypeVar("C")


def option(default: Any, help: str, choices: Sequence[str] | None = None) -> Any:
    """A dataclass field that is also a command-line option."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, naming the nearest option.

    It takes no abbreviations, nor do its subcommands: a misspelt option must stop the run.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            name = unknown.split()[0].split("=")[0]
            message = f"unknown argument {name}{near(name, self._option_string_actions)}"
        self.exit(2, f"{self.prog}: {message}\n")


def make_parser(prog: str, description: str) -> Parser:
    """A parser of a command that says what it does."""
    return Parser(prog=prog, description=description)


def flag(name: str) -> str:
    """How the command line names the field of a dataclass."""
    return "--" + name.replace("_", "-")


def near(name: str, names: Iterable[str]) -> str:
    """'; did you mean X?' when X is close to name, else the empty string."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def add_options(parser: argparse.ArgumentParser, config: type, skip: Sequence[str] = ()) -> None:
    """Add an option --some-name for every field some_name of the dataclass.

    An option that is not given is absent from the parsed namespace, so that defaults,
    files and the command line can be laid over one another.
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name in skip or "help" not in field.metadata:
            continue
        shown = field.default
        if isinstance(shown, tuple):
            shown = ",".join(map(str, shown))
        help = field.metadata["help"]
        if shown is True:
            shown = "on"
        if shown is not None and shown is not False and shown != "":
            help += f" (default: {shown})"
        help = help.replace("%", "%%")
        kind = hints[field.name]
        if kind is bool:
            parser.add_argument(
                flag(field.name), action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS, help=help,
            )
        else:
            parser.add_argument(
                flag(field.name),
                type=_converter(kind),
                choices=field.metadata["choices"],
                default=argparse.SUPPRESS,
                help=help,
                metavar=None if field.metadata["choices"] else _metavar(kind),
            )


def given(args: argparse.Namespace, config: type) -> dict[str, Any]:
    """The options of the dataclass that were named on the command line."""
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in vars(args).items() if name in names}


def config_from(args: argparse.Namespace, config: type[C]) -> C:
    """The dataclass with the options of the command line laid over its defaults."""
    return config(**given(args, config))


def from_mapping(config: type[C], values: Mapping[str, Any], where: str) -> C:
    """The dataclass made from a YAML or JSON mapping; an unknown key is a UserError."""
    hints = typing.get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    checked = {}
    for name, value in values.items():
        if name not in fields:
            hint = near(str(name), fields) or "; allowed: " + ", ".join(fields)
            raise UserError(f"{where}: unknown key {name!r}{hint}")
        checked[name] = _from_plain(value, hints[name], f"{where}: {name}")
        choices = fields[name].metadata.get("choices")
        if choices and checked[name] not in choices:
            raise UserError(f"{where}: {name} is {value!r}, not one of {', '.join(choices)}")
    return config(**checked)


def to_mapping(config: Any) -> dict[str, Any]:
    """The dataclass as plain values for YAML and JSON: tuples become lists."""
    plain = dataclasses.asdict(config)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}


def _bare(kind: Any) -> Any:
    """T for `T | None`, otherwise the type itself."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _converter(kind: Any) -> Any:
    """What makes a value of the text on the command line."""
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        part = _converter(typing.get_args(kind)[0])
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


def _metavar(kind: Any) -> str:
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        return "A,B,.."
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _from_plain(value: Any, kind: Any, where: str) -> Any:
    """Check one value of a file against its type; whole numbers may stand for floats."""
    if value is None:
        if type(None) in typing.get_args(kind):
            return None
        raise UserError(f"{where} has no value")
    kind = _bare(kind)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise UserError(f"{where} is {value!r}, not a list")
        return tuple(_from_plain(part, typing.get_args(kind)[0], where) for part in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not _is(value, kind):
        raise UserError(f"{where} is {value!r}, not {_NAMES[kind]}")
    return value


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of this very kind; what is not finite is no number."""
    return type(value) is kind and (kind is not float or math.isfinite(value))
