"""Options of a command, declared once as the fields of frozen dataclasses.

    @dataclass(frozen=True)
    class Loss:
        loss: str = option("bce", "loss function", ("bce", "focal"), fixed=True)
        focal_gamma: float = option(2.0, "exponent", at_least=0, only_if={"loss": ("focal",)})

        def __post_init__(self) -> None:
            check_bounds(self, flag)

    @dataclass(frozen=True)
    class Config:
        loss: Loss = Loss()                      # a group: its fields are leaves of the tree
        epochs: int = option(3, "number of epochs", at_least=1)

A configuration is such a dataclass, or a tree of them. The command line, YAML and JSON are flat:
they know the leaves alone, each by its own name, which no other leaf of the tree has. The options
of a tree come in the order of its fields. A group may be of one of several kinds, as the value of
an option before it says (`variant`): what only some kinds have is read with these alone.

- `leaves(Config)`: every Leaf (path, name, kind, default, option), without the groups;
  `groups(Config)`: every dataclass of the tree.
- `flatten(config)`, `build(Config, values)`, `replace_flat(config, **values)`: between a tree
  and its values by name.
- `check_bounds(config)` refuses a value out of bounds; `check_conditions(config, named)` a named
  option whose `only_if` does not hold; `unread(config)` names all options without an effect.
- `add_options`, `given`, `config_from` for the command line; `from_mapping`, `to_mapping` for
  files, where options of `one_start` are not kept.
- `leaf.option.fixed`, `.one_start`, `.commands`: for the program to read.
"""

import argparse
import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from reviews.errors import UserError
from reviews.runtime.option_values import AtLeast, Search, converter, from_plain, metavar
from reviews.runtime.parser import Parser, flag, make_parser, near

__all__ = [
    "AtLeast", "Leaf", "Option", "Parser", "Search", "add_options", "build", "check_bounds",
    "check_conditions", "checked_values", "condition_text", "config_from", "default_text", "flag",
    "flatten", "from_mapping", "given", "groups", "has_command", "leaves", "make_parser", "near",
    "option", "replace_flat", "to_mapping", "unread", "variant", "with_default",
]  # fmt: skip

C = TypeVar("C")


Condition = Mapping[str, Collection[Any] | AtLeast]


@dataclasses.dataclass(frozen=True)
class Option:
    """Declaration of an option beside its name, type and default.

    at_least, above, at_most, below: bounds of a number, or of every number of a tuple; wanted:
        the same in words, where those made from the numbers would not do.
    fixed: a resumed run cannot change it.
    one_start: it is for one start of a command, and is not kept in files.
    later: files are without it where it has its default, as those are that were made before it.
    only_if: values of other options that it is read with; all of them must hold.
    training_only: a model is built the same whatever it is; model.json is without it.
    commands: the commands that have it, None for all that have its configuration.
    search: values that `tune` searches; None where other values are seldom better.
    """

    help: str
    choices: Sequence[str] | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    wanted: str | None = None
    fixed: bool = False
    one_start: bool = False
    later: bool = False
    training_only: bool = False
    only_if: Condition = dataclasses.field(default_factory=dict)
    commands: Collection[str] | None = None
    search: Search | None = None

    @property
    def bounds(self) -> str:
        """The bounds in words, such as '1 or more'; empty where there are none."""
        if self.wanted is not None:
            return self.wanted
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least} to {self.at_most}"
        words = {"{} or more": self.at_least, "more than {}": self.above,
                 "at most {}": self.at_most, "below {}": self.below}
        return ", ".join(
            text.format(bound) for text, bound in words.items() if bound is not None)

    @property
    def has_bounds(self) -> bool:
        """True where numbers are checked."""
        return any(bound is not None
                   for bound in (self.at_least, self.above, self.at_most, self.below))

    def allows(self, number: float) -> bool:
        """True for a finite number inside the bounds."""
        return (
            math.isfinite(number)
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )


class Leaf(NamedTuple):
    """A field of a tree that is not a group."""

    path: tuple[str, ...]  # names of the groups, and its own
    kind: Any  # type of its values
    default: Any
    option: Option | None  # None: it is neither on the command line nor in the help

    @property
    def name(self) -> str:
        """The name on the command line (with dashes) and in files."""
        return self.path[-1]


def option(default: Any, help: str, choices: Sequence[str] | None = None, **declared: Any) -> Any:
    """A dataclass field that is also an option; `declared`: the other fields of Option."""
    made = Option(help, choices, **declared)
    return dataclasses.field(default=default, metadata={"option": made})


def with_default(group: type, name: str, default: Any) -> Any:
    """The option of a dataclass with another default, for a field of a class derived from it."""
    [declared] = [field for field in dataclasses.fields(group) if field.name == name]
    return dataclasses.field(default=default, metadata=declared.metadata)


def variant(by: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Arguments of dataclasses.field for a group of one of several kinds, by the value of the
    option `by`; by default the first."""
    return {"default_factory": next(iter(kinds.values())), "metadata": {"by": by, "kinds": kinds}}


def groups(config: type) -> set[type]:
    """The dataclass and those of all its groups, of every kind."""
    hints, found = typing.get_type_hints(config), {config}
    for field in dataclasses.fields(config):
        for kind in field.metadata.get("kinds", {0: hints[field.name]}).values():
            if dataclasses.is_dataclass(kind):
                found |= groups(typing.cast(type, kind))
    return found


def leaves(config: type) -> tuple[Leaf, ...]:
    """All leaves of the dataclass and its groups, in order; ValueError for a name used twice."""
    return _leaves(typing.cast(Hashable, config))


@functools.cache
def _leaves(config: type) -> tuple[Leaf, ...]:
    found: list[Leaf] = []
    names: set[str] = set()
    for leaf in _walk(config, ()):
        if leaf.name in names:
            raise ValueError(f"{config.__name__} has two options {leaf.name}")
        names.add(leaf.name)
        found.append(leaf)
    return tuple(found)


def _walk(group: type, above: tuple[str, ...]) -> Iterator[Leaf]:
    hints = typing.get_type_hints(group)
    for field in dataclasses.fields(group):
        kind, path = hints[field.name], (*above, field.name)
        if "kinds" in field.metadata:
            yield from _of_all_kinds(field.metadata["by"], field.metadata["kinds"], path)
        elif dataclasses.is_dataclass(kind):
            yield from _walk(typing.cast(type, kind), path)
        else:
            yield Leaf(path, kind, field.default, field.metadata.get("option"))


def _of_all_kinds(by: str, kinds: Mapping[str, type], path: tuple[str, ...]) -> Iterator[Leaf]:
    """The leaves of all kinds of a group, once each, as the first kind that has it declares it."""
    found: dict[str, Leaf] = {}
    owners: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        for leaf in _walk(kind, path):
            found.setdefault(leaf.name, leaf)
            owners.setdefault(leaf.name, []).append(name)
    for name, leaf in found.items():
        if len(owners[name]) < len(kinds) and leaf.option is not None:
            condition = {by: tuple(owners[name]), **leaf.option.only_if}
            leaf = leaf._replace(option=dataclasses.replace(leaf.option, only_if=condition))
        yield leaf


def flatten(config: Any) -> dict[str, Any]:
    """The values of all leaves by name, in order."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        values |= flatten(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return values


def build(config: type[C], values: Mapping[str, Any]) -> C:
    """The tree with these values of leaves over its defaults; TypeError for an unknown name.

    Options that only other kinds of a group have are left out.
    """
    unknown = set(values) - {leaf.name for leaf in leaves(config)}
    if unknown:
        raise TypeError(f"{config.__name__} has no option {', '.join(sorted(unknown))}")
    return _build(config, values)


def _build(config: type[C], values: Mapping[str, Any]) -> C:
    hints = typing.get_type_hints(config)
    made: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        kind = hints[field.name]
        if "kinds" in field.metadata:
            by, kinds = field.metadata["by"], field.metadata["kinds"]
            kind = kinds[values.get(by, getattr(config, by))]
        if dataclasses.is_dataclass(kind):
            made[field.name] = _build(typing.cast(type, kind), values)
        elif field.name in values:
            made[field.name] = values[field.name]
    return config(**made)


def replace_flat(config: C, /, **values: Any) -> C:
    """The tree with other values of these leaves."""
    return build(type(config), {**flatten(config), **values})


def check_bounds(config: Any, spell: Callable[[str], str] = str) -> None:
    """Raise UserError for the first number out of its bounds.

    spell: the name as a user knows it, `flag` for options of the command line alone.
    """
    values = flatten(config)
    for leaf in leaves(type(config)):
        if leaf.option is None or not leaf.option.has_bounds or leaf.name not in values:
            continue
        value = values[leaf.name]
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(map(leaf.option.allows, numbers)):
            several = isinstance(value, tuple)
            shown = ",".join(f"{number:g}" for number in value) if several else value
            raise UserError(f"{spell(leaf.name)} is {shown}: give "
                            f"{'numbers of ' if several else ''}{leaf.option.bounds}")


def unread(config: Any) -> set[str]:
    """The names of the options that have no effect beside the others' values."""
    values = flatten(config)
    return {leaf.name for leaf in leaves(type(config)) if _unmet(leaf, values)}


def check_conditions(
    config: Any, named: Collection[str],
    spell: Callable[[str, Any], str] = lambda other, value: str(value),
) -> None:
    """Raise UserError for a named option that the other options leave without an effect.

    spell: the other option and its value as the message shows them, by default the value alone.
    """
    values = flatten(config)
    for leaf in leaves(type(config)):
        other = _unmet(leaf, values) if leaf.name in named else None
        if other is None or leaf.option is None:
            continue
        raise UserError(f"{flag(leaf.name)} is for {condition_text(leaf.option, other)}: "
                        f"{spell(other, values[other])} has no use for it")


def condition_text(declared: Option, other: str) -> str:
    """The condition on one other option, such as '--loss bce or focal', or '--int8' that is on."""
    allowed = declared.only_if[other]
    if allowed == (True,):
        return flag(other)
    shown = str(allowed) if isinstance(allowed, AtLeast) else " or ".join(map(str, allowed))
    return f"{flag(other)} {shown}"


def _unmet(leaf: Leaf, values: Mapping[str, Any]) -> str | None:
    """The first option that keeps the leaf from being read, None where it is read."""
    conditions = leaf.option.only_if if leaf.option else {}
    return next((name for name, allowed in conditions.items() if values[name] not in allowed),
                None)


def add_options(
    parser: argparse.ArgumentParser, config: type, skip: Collection[str] = (),
    command: str | None = None,
) -> None:
    """Add an option --some-name for every leaf some_name that the command has.

    An option that is not given is absent from the parsed namespace, so that defaults,
    files and the command line can be laid over one another.
    """
    for leaf in leaves(config):
        declared = leaf.option
        if declared is None or leaf.name in skip or not has_command(command, leaf):
            continue
        conditions = " and ".join(condition_text(declared, other) for other in declared.only_if)
        shown = default_text(leaf)
        notes = ["with " + conditions] * bool(conditions) + [f"default: {shown}"] * bool(shown)
        help = declared.help + (f" ({'; '.join(notes)})" if notes else "")
        help = help.replace("%", "%%")
        if leaf.kind is bool:
            parser.add_argument(flag(leaf.name), action=argparse.BooleanOptionalAction,
                                default=argparse.SUPPRESS, help=help)
        else:
            parser.add_argument(
                flag(leaf.name), type=converter(leaf.kind), choices=declared.choices,
                default=argparse.SUPPRESS, help=help,
                metavar=None if declared.choices else metavar(leaf.kind))


def has_command(command: str | None, leaf: Leaf) -> bool:
    """True where the command has the option."""
    commands = leaf.option.commands if leaf.option else None
    return command is None or commands is None or command in commands


def default_text(leaf: Leaf) -> str:
    """The default as the help shows it; empty for none, off and the empty text."""
    if leaf.default is None or leaf.default is False:
        return ""
    if leaf.default is True:
        return "on"
    if isinstance(leaf.default, tuple):
        return ",".join(map(str, leaf.default))
    return str(leaf.default)


def given(args: argparse.Namespace, config: type, command: str | None = None) -> dict[str, Any]:
    """The options of the configuration that were named on the command line.

    command: the one of add_options; what it does not have may be another option of that name.
    """
    names = {leaf.name for leaf in leaves(config) if has_command(command, leaf)}
    return {name: value for name, value in vars(args).items() if name in names}


def config_from(args: argparse.Namespace, config: type[C]) -> C:
    """The configuration with the options of the command line laid over its defaults."""
    return build(config, given(args, config))


def from_mapping(config: type[C], values: Mapping[str, Any], where: str) -> C:
    """The configuration made from a flat YAML or JSON mapping; an unknown key is a UserError."""
    return build(config, checked_values(leaves(config), values, where))


def checked_values(
    declared: Iterable[Leaf], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Values of a flat YAML or JSON mapping, of the types of these leaves; UserError for others."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is no mapping of options")
    known = {leaf.name: leaf for leaf in declared}
    checked = {}
    for name, value in values.items():
        if name not in known:
            hint = near(str(name), known) or "; allowed: " + ", ".join(known)
            raise UserError(f"{where}: unknown key {name!r}{hint}")
        checked[name] = from_plain(value, known[name].kind, f"{where}: {name}")
        choices = getattr(known[name].option, "choices", None)
        if choices and checked[name] not in choices:
            raise UserError(f"{where}: {name} is {value!r}, not one of {', '.join(choices)}")
    needed = {name for name, leaf in known.items() if leaf.default is dataclasses.MISSING}
    if needed - set(checked):
        raise UserError(f"{where} has no {min(needed - set(checked))}")
    return checked


def to_mapping(config: Any, every: bool = False) -> dict[str, Any]:
    """The options that files keep, flat and as plain values: tuples become lists.

    every: also those that came later and have their defaults.
    """
    kept = {leaf.name: leaf for leaf in leaves(type(config))
            if not (leaf.option and leaf.option.one_start)}
    values = {name: value for name, value in flatten(config).items() if name in kept}
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if every or value != kept[name].default or not getattr(kept[name].option, "later", 0)}
