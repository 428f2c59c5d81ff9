"""The parser of a command line: errors of one line, and hints at the nearest name."""

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import Any, NoReturn

_CHOICE = re.compile(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)")

_NEGATIVE = re.compile(r"-[0-9.]")  # begins a value such as -1,1, and no option


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, naming the nearest option.

    It takes no abbreviations, nor do its subcommands: a misspelt option must stop the run.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})
        self._negative_number_matcher = _NEGATIVE

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            name = unknown.split()[0].split("=")[0]
            message = f"unknown argument {name}{near(name, self._option_string_actions)}"
        if choice := _CHOICE.fullmatch(message):
            message += near(choice[1], re.findall(r"'([^']*)'", choice[2]))
        self.exit(2, f"{self.prog}: {message}\n")


def make_parser(prog: str, description: str) -> Parser:
    """A parser of a command that says what it does."""
    return Parser(prog=prog, description=description)


def flag(name: str) -> str:
    """The name of an option on the command line: --some-name for some_name."""
    return "--" + name.replace("_", "-")


def near(name: str, names: Iterable[str]) -> str:
    """'; did you mean X?' when X is close to name, else the empty string."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
