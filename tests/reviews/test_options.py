"""A dataclass becomes command-line options and YAML keys, with errors of one line."""

import argparse
import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from reviews.errors import UserError
from reviews.options import (
    AtLeast,
    Option,
    add_options,
    build,
    check_bounds,
    check_conditions,
    config_from,
    flag,
    flatten,
    from_mapping,
    given,
    leaves,
    make_parser,
    option,
    replace_flat,
    to_mapping,
    unread,
)
from reviews.recipe import Recipe


@dataclass(frozen=True)
class Config:
    """One option of every kind."""

    name: str = option("plain", "a text")
    field_name: str | None = option(None, "a text, or none")
    count: int = option(0, "a whole number")
    rate: float = option(0.5, "a number; 100 % is 1")
    quick: bool = option(False, "a flag")
    slow: bool = option(True, "a flag that is on")
    mode: str = option("b", "one of three", ("a", "b", "c"))
    parts: tuple[float, ...] = option((1.0, 2.0), "several numbers")
    words: tuple[str, ...] = option((), "several words")
    inner: int = 7  # no option: it has no help


def parser() -> argparse.ArgumentParser:
    made = make_parser("tool", "What it does.")
    add_options(made, Config)
    return made


def parse(*arguments: str) -> Config:
    return config_from(parser().parse_args(arguments), Config)


def changed(config: type, field: dataclasses.Field) -> Any:
    """Some allowed value of the option that is not its default."""
    if field.metadata["choices"]:
        return next(choice for choice in field.metadata["choices"] if choice != field.default)
    kind = typing.get_type_hints(config)[field.name]
    values: dict[Any, Any] = {
        bool: not field.default, int: 3,
        str: "huggingface:folder" if field.name == "tokenizer" else "other",
        str | None: ";" if field.name == "delimiter" else "other",
        float: 2.5 if kind is float and field.default > 1 else 0.75,
        tuple[float, ...]: (1.0, 10.0) if field.name == "rating_scale" else (0.5, 0.25, 0.25),
         tuple[str, ...]: ("one", "two"),
    }  # fmt: skip
    return values[kind]


def spelled(name: str, value: Any) -> list[str]:
    """The option as words of the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


FIELDS = [
    (config, field)
    for config in (Config, Recipe)
    for field in dataclasses.fields(config)
    if "help" in field.metadata
]


@pytest.mark.parametrize(
    ("config", "field"), FIELDS, ids=[f"{config.__name__}.{field.name}" for config, field in FIELDS]
)
def test_every_option_reaches_the_command_line_the_help_and_yaml(
    config: type, field: dataclasses.Field
) -> None:
    value = changed(config, field)
    expected = dataclasses.replace(config(), **{field.name: value})
    made = make_parser("tool", "What it does.")
    add_options(made, config)
    assert config_from(made.parse_args(spelled(field.name, value)), config) == expected
    plain = list(value) if isinstance(value, tuple) else value
    assert from_mapping(config, {field.name: plain}, "file") == expected
    assert to_mapping(expected)[field.name] == plain
    words = " ".join(made.format_help().split())
    assert " ".join(field.metadata["help"].split()[:4]) in words


def test_all_fields_of_a_recipe_are_options() -> None:
    assert {field.name for config, field in FIELDS if config is Recipe} == {
        field.name for field in dataclasses.fields(Recipe)
    }


def test_a_field_without_help_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--inner", "3")
    assert "unknown argument --inner" in capsys.readouterr().err


def test_options_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    made = make_parser("tool", "What it does.")
    add_options(made, Config, skip=["count"])
    with pytest.raises(SystemExit):
        made.parse_args(["--count", "3"])
    assert "unknown argument --count" in capsys.readouterr().err


def test_what_is_not_given_leaves_the_default_and_no_trace() -> None:
    assert parse() == Config()
    args = parser().parse_args(["--count", "0", "--no-slow"])
    assert given(args, Config) == {"count": 0, "slow": False}


def test_both_spellings_of_a_value_and_an_empty_list_are_read() -> None:
    assert parse("--count=4", "--words=").count == 4
    assert parse("--parts", "").parts == ()
    assert parse("--parts", "1,2.5, 3").parts == (1.0, 2.5, 3.0)
    assert parse("--rate", "1").rate == 1.0


def test_the_help_shows_every_default() -> None:
    words = " ".join(parser().format_help().split())
    for text in (
        "a text (default: plain)",
        "a whole number (default: 0)",
        "100 % is 1 (default: 0.5)",
        "a flag that is on (default: on)",
        "one of three (default: b)",
        "several numbers (default: 1.0,2.0)",
    ):
        assert text in words
    assert "a text, or none (default" not in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cuont", "3"], "unknown argument --cuont; did you mean --count?"),
        (["--cuont=3"], "unknown argument --cuont; did you mean --count?"),
        (["--zzz"], "unknown argument --zzz"),
        (["--coun", "3"], "unknown argument --coun; did you mean --count?"),  # no abbreviations
        (["surplus"], "unknown argument surplus"),
        (["--count"], "argument --count: expected one argument"),
        (["--count", "x"], "argument --count: 'x' is not a whole number"),
        (["--count", "1.5"], "argument --count: '1.5' is not a whole number"),
        (["--rate", "x"], "argument --rate: 'x' is not a number"),
        (["--rate", "nan"], "argument --rate: 'nan' is not a number"),
        (["--rate", "1e999"], "argument --rate: '1e999' is not a number"),
        (["--parts", "1,x"], "argument --parts: 'x' is not a number"),
        (["--parts", "1,,2"], "argument --parts: '' is not a number"),
        (["--mode", "d"], "argument --mode: invalid choice: 'd' (choose from 'a', 'b', 'c')"),
        (["--quick=yes"], "argument --quick/--no-quick: ignored explicit argument 'yes'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"tool: {message}\n"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 3}, "file: unknown key 'cuont'; did you mean count?"),
        ({"inner-": 3}, "file: unknown key 'inner-'; did you mean inner?"),
        ({"zzz": 3}, "file: unknown key 'zzz'; allowed: name, field_name, count, rate"),
        ({1: 3}, "file: unknown key 1; allowed: name, "),
        ({None: 3}, "file: unknown key None"),
        ({"count": None}, "file: count has no value"),
        ({"count": "3"}, "file: count is '3', not a whole number"),
        ({"count": 3.0}, "file: count is 3.0, not a whole number"),
        ({"count": True}, "file: count is True, not a whole number"),
        ({"rate": "x"}, "file: rate is 'x', not a number"),
        ({"rate": False}, "file: rate is False, not a number"),
        ({"rate": float("inf")}, "file: rate is inf, not a number"),
        ({"quick": 1}, "file: quick is 1, not true or false"),
        ({"name": 5}, "file: name is 5, not a text"),
        ({"field_name": []}, r"file: field_name is [], not a text"),
        ({"parts": "1,2"}, "file: parts is '1,2', not a list"),
        ({"parts": 1}, "file: parts is 1, not a list"),
        ({"parts": [1, "x"]}, "file: parts is 'x', not a number"),
        ({"words": [None]}, "file: words has no value"),
        ({"mode": "d"}, "file: mode is 'd', not one of a, b, c"),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_key(
    values: dict[Any, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        from_mapping(Config, values, "file")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_whole_numbers_in_a_file_stand_for_numbers_too() -> None:
    made = from_mapping(Config, {"rate": 2, "parts": [1, 2.5], "field_name": None}, "file")
    assert made == Config(rate=2.0, parts=(1.0, 2.5))
    assert type(made.rate) is float


def test_plain_values_make_the_same_configuration_again() -> None:
    config = Config(name="ä: #", field_name="x", parts=(0.1, 1e-9), words=("a", "b"), slow=False)
    assert from_mapping(Config, to_mapping(config), "file") == config


@dataclass(frozen=True)
class Loss:
    """A group of the tree."""

    loss: str = option("bce", "loss function", ("bce", "focal"), fixed=True)
    focal_gamma: float = option(2.0, "exponent", at_least=0, only_if={"loss": ("focal",)})


@dataclass(frozen=True)
class Ngrams:
    """A group inside a group."""

    ngrams: int = option(0, "number of words of the longest n-gram", at_least=0)
    buckets: int = option(
        100, "number of rows", at_least=1, only_if={"loss": ("bce",), "ngrams": AtLeast(2)})


@dataclass(frozen=True)
class Model:
    """A group with a group."""

    width: int = option(4, "number of columns", above=0, at_most=9)
    bag: Ngrams = Ngrams()


@dataclass(frozen=True)
class Tree:
    """Groups between leaves."""

    seed: int = option(0, "seed")
    objective: Loss = Loss()
    model: Model = Model()
    betas: tuple[float, ...] = option((0.9,), "decays", at_least=0, below=1)
    cost: float | None = option(None, "price", above=0, commands=("buy",))
    resume: bool = option(False, "continue", one_start=True)

    def __post_init__(self) -> None:
        check_bounds(self, flag)


NAMES = ["seed", "loss", "focal_gamma", "width", "ngrams", "buckets", "betas", "cost", "resume"]
VALUES = st.fixed_dictionaries({}, optional={
    "seed": st.integers(), "loss": st.sampled_from(["bce", "focal"]),
    "focal_gamma": st.floats(0, 5), "width": st.integers(1, 9), "ngrams": st.integers(0, 5),
    "buckets": st.integers(1, 99), "betas": st.lists(st.floats(0, 0.99)).map(tuple),
    "cost": st.none() | st.floats(0.1, 9), "resume": st.booleans(),
})


def test_the_leaves_of_a_tree_come_in_order_with_their_paths() -> None:
    assert [leaf.name for leaf in leaves(Tree)] == NAMES == list(flatten(Tree()))
    assert {leaf.name: leaf.path for leaf in leaves(Tree)}["buckets"] == (
        "model", "bag", "buckets")
    assert [leaf.name for leaf in leaves(Tree) if leaf.option and leaf.option.fixed] == ["loss"]


def test_a_name_stands_once_in_a_tree() -> None:
    @dataclass(frozen=True)
    class Twice:
        loss: str = option("", "a text")
        objective: Loss = Loss()

    with pytest.raises(ValueError, match="Twice has two options loss"):
        leaves(Twice)


@for_all(VALUES, VALUES)
def test_values_by_name_and_the_tree_are_the_same_choices(
    values: dict[str, Any], others: dict[str, Any]
) -> None:
    config = build(Tree, values)
    assert flatten(config) == {**flatten(Tree()), **values}
    assert build(Tree, flatten(config)) == config
    assert replace_flat(config, **others) == build(Tree, {**values, **others})


@for_all(VALUES)
def test_a_tree_is_flat_in_files_without_what_is_for_one_start(values: dict[str, Any]) -> None:
    config = build(Tree, values)
    plain = to_mapping(config)
    assert list(plain) == NAMES[:-1]
    assert from_mapping(Tree, plain, "file") == replace_flat(config, resume=False)


def test_a_tree_is_flat_on_the_command_line() -> None:
    made = make_parser("tool", "Tool.")
    add_options(made, Tree)
    args = made.parse_args(["--buckets", "7", "--loss", "focal", "--resume"])
    assert given(args, Tree) == {"buckets": 7, "loss": "focal", "resume": True}
    assert config_from(args, Tree) == Tree(
        objective=Loss("focal"), model=Model(bag=Ngrams(buckets=7)), resume=True)
    with pytest.raises(UserError, match="unknown key 'bucket'; did you mean buckets"):
        from_mapping(Tree, {"bucket": 7}, "file")


def test_a_name_that_the_tree_has_not_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="Tree has no option bag"):
        replace_flat(Tree(), bag=Ngrams())


@pytest.mark.parametrize(("command", "there"), [("buy", True), ("look", False), (None, True)])
def test_a_command_has_the_options_that_name_it(command: str | None, there: bool) -> None:
    made = make_parser("tool", "Tool.")
    add_options(made, Tree, command=command)
    assert ("--cost" in made.format_help()) is there
    other = argparse.Namespace(cost=1.0, width=2)
    assert given(other, Tree, command) == ({"cost": 1.0} if there else {}) | {"width": 2}
    assert "--width" in made.format_help()


@pytest.mark.parametrize(("values", "message"), [
    ({"width": 0}, "--width is 0: give more than 0, at most 9"),
    ({"width": 10}, "--width is 10: give more than 0, at most 9"),
    ({"ngrams": -1}, "--ngrams is -1: give 0 or more"),
    ({"focal_gamma": float("inf")}, "--focal-gamma is inf: give 0 or more"),
    ({"cost": 0.0}, "--cost is 0.0: give more than 0"),
    ({"betas": (0.5, 1.0)}, "--betas is 0.5,1: give numbers of 0 or more, below 1"),
])
def test_a_value_out_of_bounds_is_refused_with_the_bounds(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        build(Tree, values)
    assert str(error.value) == message


@for_all(
    st.floats() | st.integers(),
    *[st.none() | st.integers(-5, 5)] * 4,
)
def test_bounds_allow_the_finite_numbers_inside_them(
    number: float, at_least: float | None, above: float | None, at_most: float | None,
    below: float | None,
) -> None:
    declared = Option("", at_least=at_least, above=above, at_most=at_most, below=below)
    inside = float("-inf") < number < float("inf") and not (
        (at_least is not None and number < at_least) or (above is not None and number <= above)
        or (at_most is not None and number > at_most) or (below is not None and number >= below))
    assert declared.allows(number) == inside


def test_bounds_in_words_are_those_declared_or_those_of_the_numbers() -> None:
    assert Option("", at_least=1, at_most=3).bounds == "1 to 3"
    assert Option("", at_least=0, wanted="0 or more MB").bounds == "0 or more MB"
    assert Option("").bounds == ""


def test_an_option_without_an_effect_is_refused_where_it_was_named() -> None:
    check_conditions(Tree(), ["seed", "loss"])
    check_conditions(build(Tree, {"loss": "focal"}), ["focal_gamma"])
    with pytest.raises(UserError) as error:
        check_conditions(Tree(), ["focal_gamma"])
    assert str(error.value) == "--focal-gamma is for --loss focal: bce has no use for it"
    with pytest.raises(UserError) as error:
        check_conditions(
            build(Tree, {"ngrams": 1}), ["buckets"], lambda other, value: f"{flag(other)} {value}")
    assert str(error.value) == (
        "--buckets is for --ngrams 2 or more: --ngrams 1 has no use for it")


@pytest.mark.parametrize(("values", "names"), [
    ({}, {"focal_gamma", "buckets"}),
    ({"ngrams": 2}, {"focal_gamma"}),
    ({"loss": "focal", "ngrams": 2}, {"buckets"}),
])
def test_all_conditions_of_an_option_must_hold(values: dict[str, Any], names: set[str]) -> None:
    assert unread(build(Tree, values)) == names
